import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlt.checkpoint import load_checkpoint
from vlt.config.reading import parse_config
from vlt.errors import CheckpointError, ConfigError, DataError, VLTWarning
from vlt.model.language import BertEncoder
from vlt.train import data as training_data
from vlt.train import setup, train
from vlt.train.data import load_data
from vlt.train.feature_cache import CachedLanguage
from vlt.train.setup import RunFolder, build_network, load_start, start_accelerator, start_text


def test_a_run_folder_that_cannot_be_made_is_refused_first(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(training_data, "load_referrals", lambda *args: pytest.fail("data were read before the refusal"))
    with pytest.raises(ConfigError, match=r"file/run cannot be made or written to \(Not a directory\); name another"):
        train(small(tmp_path / "file" / "run"))


def test_a_run_folder_is_made_with_those_above_it(tmp_path):
    for _ in range(2):
        with RunFolder(tmp_path / "a" / "b", is_main=True) as folder:
            folder.keep()
    assert (tmp_path / "a" / "b").is_dir()


def test_a_checkpoint_is_no_run_folder(tiny_checkpoint):
    before = sorted(tiny_checkpoint.iterdir())
    with pytest.raises(ConfigError, match=r"is a checkpoint, which cannot be continued"):
        RunFolder(tiny_checkpoint, is_main=True).__enter__()
    assert sorted(tiny_checkpoint.iterdir()) == before


def test_half_precision_needs_a_gpu(small, tmp_path):
    with pytest.raises(ConfigError, match="'fp16', which needs a GPU, but this is the CPU"):
        start_accelerator(small(tmp_path, train={"precision": "fp16"}))


def test_precision_may_differ_from_run_to_run(small, tmp_path):
    for precision in ("no", "bf16", "no"):
        assert start_accelerator(small(tmp_path, train={"precision": precision})).mixed_precision == precision


def test_bf16_trains_on_the_cpu(small, tmp_path):
    config = small(tmp_path / "run", train={"precision": "bf16", "epochs": 1})
    train(config)
    state = torch.load(config.output_dir / "resume" / "state.pt", weights_only=True)
    assert all(tensor.dtype != torch.bfloat16 for tensor in state["parts"]["network"].values())


def test_a_batch_with_fewer_samples_than_passes_is_refused_with_the_numbers(small, tmp_path):
    config = small(tmp_path, train={"batch_size": 3, "accumulate": 4})
    with pytest.raises(ConfigError, match=r"batch_size is 3, too few for 1 processes x .* 4; take at least 4"):
        start_accelerator(config)


def test_batch_normalisation_of_the_reference_network_needs_two_samples_in_a_pass(small, tmp_path):
    model = {"name": "reference", "words": {"source": "hash", "dim": 8}}
    train = {"batch_size": 3, "accumulate": 2}
    data = {"name": "synthetic"}
    config = parse_config({"model": model, "data": data, "train": train, "output_dir": str(tmp_path)}, "here")
    with pytest.raises(ConfigError, match=r"batch_size is 3, too few for .* x 2 samples for batch normalisation; take"):
        start_accelerator(config)


def test_processes_count_in_sharing_a_batch(small, tmp_path, monkeypatch):
    state = SimpleNamespace(num_processes=3, device=torch.device("cpu"))
    monkeypatch.setattr(setup, "PartialState", lambda **_: state)
    with pytest.raises(ConfigError, match=r"batch_size is 2, too few for 3 processes x .* or use fewer processes"):
        start_accelerator(small(tmp_path, train={"batch_size": 2}))


@pytest.mark.parametrize(("variable", "option"), setup.SHARDED.items())
def test_a_launch_that_divides_the_weights_is_refused(small, tmp_path, monkeypatch, variable, option):
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ConfigError, match=f"accelerate launch {option} divides the weights .* leave it out"):
        train(small(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_on_cuda_does_without_the_attention_that_prepares_itself_for_each_shape(small, tmp_path, monkeypatch):
    enabled = []
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", enabled.append)
    start_accelerator(small(tmp_path))
    assert enabled == []
    state = SimpleNamespace(num_processes=1, device=torch.device("cuda"))
    monkeypatch.setattr(setup, "PartialState", lambda **_: state)
    start_accelerator(small(tmp_path))
    assert enabled == [False]


def test_fewer_referrals_than_a_batch_are_refused(small, tmp_path):
    config = small(tmp_path, train={"batch_size": 16})
    with pytest.raises(
        ConfigError, match=r"'train' has 12 referrals, too few for train\.batch_size, 16; take at most 12"
    ):
        load_data(config)


def test_data_say_what_they_are(small, tmp_path):
    data, again = load_data(small(tmp_path)), load_data(small(tmp_path))
    assert data.fingerprint == again.fingerprint
    assert data.fingerprint != load_data(small(tmp_path, data={"seed": 1})).fingerprint
    assert (len(data.train), len(data.val)) == (12, 3)


def test_all_sentences_are_in_the_vocabulary(small, tmp_path):
    data = load_data(small(tmp_path))
    for referrals in (data.train, data.val):
        for referral in referrals:
            assert not any(data.text(expression.text).unknown for expression in referral.expressions)


def test_a_darknet_file_is_loaded_into_the_backbone(small, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(setup, "load_keras_backbone", lambda path, backbone: loaded.append((path, backbone)))
    backbone = {"name": "darknet53", "width": 0.0625, "blocks": [1, 1, 1, 1, 1], "pretrained": "mcn.h5"}
    network = build_network(small(tmp_path, model={"backbone": backbone}))
    ((path, part),) = loaded
    assert path.name == "mcn.h5"
    assert part is network.backbone


@pytest.mark.filterwarnings("ignore:.*keeps the others at random weights")
def test_kept_maps_are_those_of_the_depths_that_are_read(small, tmp_path):
    """Two networks of the same weights share a cache, but no maps, where they read other depths."""
    architecture = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    images = torch.rand(1, 3, 56, 56)
    for layers in ([1, 4], [3, 4]):
        backbone = {"name": "dinov2", "architecture": architecture, "layers": layers, "trainable_blocks": 0}
        options = {"image_size": [56, 56], "backbone": backbone}
        torch.manual_seed(0)
        plain = build_network(small(tmp_path, model=options)).backbone
        torch.manual_seed(0)
        keeping = build_network(small(tmp_path, model=options, train={"map_cache": str(tmp_path / "maps")})).backbone
        for kept, computed in zip(keeping(images), plain(images), strict=True):
            torch.testing.assert_close(kept, computed, rtol=1e-3, atol=1e-3)


def test_scenes_are_kept_where_memory_allows_and_are_the_same_either_way(small, tmp_path, monkeypatch):
    kept = load_data(small(tmp_path))
    assert kept.train[3] is kept.train[3]
    monkeypatch.setattr(training_data, "MAX_CACHED_BYTES", 12 * 64 * 64 * training_data.SCENE_BYTES_PER_PIXEL - 1)
    drawn = load_data(small(tmp_path))
    third, _ = drawn.train[3], drawn.train[0]
    assert drawn.train[3] is not third  # drawn again once another was asked for
    assert drawn.fingerprint == kept.fingerprint
    assert np.array_equal(drawn.train[3].image, kept.train[3].image)
    assert drawn.train[3].expressions == kept.train[3].expressions


def test_both_readings_of_a_thing_must_fit_into_a_pass(small, tmp_path):
    contrast = {"contrast": {"weight": 1.0}}
    sentence = "batch_size is 5, not a multiple of 2, the samples per referral for loss.contrast; take 4 or 6"
    with pytest.raises(ConfigError, match=sentence):
        train(small(tmp_path / "run", train={"batch_size": 5}, loss=contrast))
    sentence = r"batch_size is 2, too few for 1 processes x .* 2 x 2 samples per referral .*; take at least 4"
    with pytest.raises(ConfigError, match=sentence):
        train(small(tmp_path / "run", train={"batch_size": 2, "accumulate": 2}, loss=contrast))


def test_with_two_readings_an_epoch_is_twice_as_long(small, tmp_path):
    plain, contrasted = small(tmp_path), small(tmp_path, loss={"contrast": {"weight": 1.0}})
    data = load_data(plain)
    assert (data.steps_per_epoch(plain), data.steps_per_epoch(contrasted)) == (3, 6)
    assert len(data.samples(contrasted, 0)) == len(data.order(contrasted, 0)) == 24


def test_expressions_that_are_cut_are_counted_in_one_warning(small, tmp_path):
    with pytest.warns(
        VLTWarning, match=r"expressions of the training and validation data are longer than model"
    ) as seen:
        data = load_data(small(tmp_path, model={"max_words": 2}))
    expressions = [each.text for referrals in (data.train, data.val) for one in referrals for each in one.expressions]
    cut = sum(len(text.split()) > 2 for text in expressions)
    [message] = [str(warning.message) for warning in seen if "max_words" in str(warning.message)]
    assert message.startswith(f"{cut} of {len(expressions)} expressions")


# ---------------------------------------------------------------- the folder


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_second_run_in_a_folder_is_refused_and_the_first_goes_on(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1})
    with RunFolder(config.output_dir, is_main=True) as first:
        first.keep()
        with pytest.raises(ConfigError, match=r"Another run is in progress in output_dir .*run; wait for its end"):
            train(config)
        assert entries(config.output_dir) == ["resume", "resume/lock"]
    train(config)


def test_a_run_that_fails_before_its_first_step_leaves_nothing(small, tmp_path):
    with pytest.raises(ConfigError, match="too few for"):
        train(small(tmp_path / "a" / "run", train={"batch_size": 16}))
    assert entries(tmp_path) == []


def test_a_failed_run_leaves_what_was_there_before(small, tmp_path):
    (tmp_path / "run" / "log").mkdir(parents=True)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="too few for"):
        train(small(tmp_path / "run", train={"batch_size": 16}))
    assert entries(tmp_path / "run") == ["log", "notes.txt"]


def test_a_batch_that_cannot_be_loaded_leaves_nothing_either(small, tmp_path, monkeypatch):
    def refuse(*args):
        raise DataError("The image cannot be decoded.")

    monkeypatch.setattr("vlt.data.samples.TrainSamples.__getitem__", refuse)
    for workers in (0, 2):
        with pytest.raises(DataError, match=r"^The image cannot be decoded\.$"):
            train(small(tmp_path / "run", train={"workers": workers}))
        assert entries(tmp_path) == []


def test_missing_pretrained_parts_are_met_before_anything_is_written(small, tmp_path):
    backbone = {"name": "dinov2", "pretrained": str(tmp_path / "nowhere"), "trainable_blocks": 0}
    with pytest.raises(CheckpointError, match="nowhere"):
        train(small(tmp_path / "run", model={"image_size": [56, 56], "backbone": backbone}))
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- starting from a checkpoint


def test_a_run_starts_from_the_weights_of_another(small, tmp_path):
    before = small(tmp_path / "before")
    train(before)
    after = small(tmp_path / "after", train={"start_from": str(before.output_dir)}, seed=5)
    kept = load_checkpoint(before.output_dir).model.state_dict()
    network = build_network(after, load_start(before.output_dir))
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    train(after)  # other words in its vocabulary, of the same vectors


def test_weights_of_another_network_are_refused(small, tmp_path):
    before = small(tmp_path / "before")
    train(before)
    after = small(tmp_path / "after", train={"start_from": str(before.output_dir)}, model={"num_queries": 3})
    with pytest.raises(
        CheckpointError, match=r"of train\.start_from, .*before, do not fit the network of this run's conf"
    ):
        build_network(after, load_start(before.output_dir))


ARCHITECTURE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def pretrained(tmp_path):
    """Folders of a DINOv2 and of a BERT with its tokenizer, of a few kilobytes."""
    transformers = pytest.importorskip("transformers")
    transformers.Dinov2Model(transformers.Dinov2Config(**ARCHITECTURE)).save_pretrained(tmp_path / "dinov2")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "circle"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    bert = transformers.BertConfig(vocab_size=len(words), intermediate_size=16, **ARCHITECTURE)
    transformers.BertModel(bert).save_pretrained(tmp_path / "bert")
    return {
        "model": {
            "image_size": [56, 56],
            "max_words": 16,
            "backbone": {"name": "dinov2", "pretrained": str(tmp_path / "dinov2"), "layers": [1, 2]},
            "language": {"name": "bert", "pretrained": str(tmp_path / "bert")},
        }
    }


@pytest.mark.filterwarnings("ignore::vlt.errors.VLTWarning")
def test_a_start_needs_none_of_the_pretrained_parts(small, tmp_path, pretrained):
    before = small(tmp_path / "before", **pretrained, train={"epochs": 1})
    train(before)
    shutil.rmtree(tmp_path / "dinov2")
    shutil.rmtree(tmp_path / "bert")
    after = small(tmp_path / "after", **pretrained, train={"epochs": 1, "start_from": str(before.output_dir)})
    train(after)
    one, other = (load_checkpoint(config.output_dir) for config in (before, after))
    assert one.config.model == other.config.model
    assert one.text.fingerprint == other.text.fingerprint


@pytest.mark.filterwarnings("ignore::vlt.errors.VLTWarning")
def test_states_of_a_frozen_language_encoder_are_cached_in_the_run_and_not_in_its_checkpoint(
    small, tmp_path, pretrained
):
    def run(blocks, **train):
        model = pretrained["model"]
        counts = {"backbone": 0, "language": blocks}
        parts = {name: {**model[name], "trainable_blocks": count} for name, count in counts.items()}
        return small(tmp_path / "run", model={**model, **parts}, train={"epochs": 1, **train})

    config = run(0, map_cache=str(tmp_path / "maps"))
    for other in (run(0), run(1, map_cache=str(tmp_path / "maps"))):
        assert type(build_network(other).language) is BertEncoder
    assert isinstance(build_network(config).language, CachedLanguage)
    train(config)
    loaded = load_checkpoint(config.output_dir).model
    assert type(loaded.language) is BertEncoder
    assert loaded.state_dict().keys() == build_network(config).state_dict().keys()


@pytest.mark.filterwarnings("ignore::vlt.errors.VLTWarning")
def test_weights_of_another_tokenizer_are_refused(small, tmp_path, pretrained):
    before = small(tmp_path / "before", **pretrained, train={"epochs": 1})
    train(before)
    tokenizer = tmp_path / "bert" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"circle"', '"square"'))
    after = small(tmp_path / "after", **pretrained, train={"start_from": str(before.output_dir)})
    with pytest.raises(CheckpointError, match=r"start_from .*before was trained with another tokenizer"):
        start_text(after, load_start(before.output_dir))


def test_parts_of_another_kind_are_refused_by_name(small, tmp_path):
    before = small(tmp_path / "before", train={"epochs": 1})
    train(before)
    swin = {"name": "swin", "architecture": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}}
    after = small(tmp_path / "after", model={"backbone": swin}, train={"start_from": str(before.output_dir)})
    with pytest.raises(CheckpointError, match=r"start_from has model\.backbone\.name 'darknet53', but this run 'swin'"):
        train(after)


def test_default_is_the_model_in_the_package(monkeypatch, tiny_checkpoint):
    asked = []
    monkeypatch.setattr(
        setup, "load_checkpoint", lambda path, **_: asked.append(path) or load_checkpoint(tiny_checkpoint)
    )
    load_start(Path("default"))
    load_start(Path("runs/mine"))
    assert asked == [None, Path("runs/mine")]
    assert load_start(None) is None


def test_a_start_with_a_refiner_says_that_the_run_has_none(tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "packed")
    (tmp_path / "packed" / "refiner.safetensors").write_bytes(b"")
    with pytest.warns(VLTWarning, match=r"this run will have none; add one to the best of them with `vlt pack RUN OUT"):
        load_start(tmp_path / "packed")
