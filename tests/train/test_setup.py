from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlt.checkpoint import load_checkpoint
from vlt.errors import CheckpointError, ConfigError
from vlt.train import setup, train
from vlt.train.setup import build_network, load_data, make_run_dir, start_accelerator


def test_a_run_folder_that_cannot_be_made_is_refused_first(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(setup, "load_referrals", lambda *args: pytest.fail("data were read before the refusal"))
    with pytest.raises(ConfigError, match=r"file/run cannot be made or written to \(Not a directory\); name another"):
        train(small(tmp_path / "file" / "run"))


def test_a_run_folder_is_made_with_those_above_it(tmp_path):
    make_run_dir(tmp_path / "a" / "b")
    make_run_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_checkpoint_is_no_run_folder(tiny_checkpoint):
    before = sorted(tiny_checkpoint.iterdir())
    with pytest.raises(ConfigError, match=r"is a checkpoint, which answers but cannot be continued"):
        make_run_dir(tiny_checkpoint)
    assert sorted(tiny_checkpoint.iterdir()) == before


def test_half_precision_needs_a_gpu(small, tmp_path):
    with pytest.raises(ConfigError, match="'fp16', which needs a GPU, but this run is on the CPU"):
        start_accelerator(small(tmp_path, train={"precision": "fp16"}).train)


def test_precision_may_differ_from_run_to_run(small, tmp_path):
    for precision in ("no", "bf16", "no"):
        assert start_accelerator(small(tmp_path, train={"precision": precision}).train).mixed_precision == precision


def test_bf16_trains_on_the_cpu(small, tmp_path):
    config = small(tmp_path / "run", train={"precision": "bf16", "epochs": 1})
    train(config)
    state = torch.load(config.output_dir / "resume" / "state.pt", weights_only=True)
    assert all(tensor.dtype != torch.bfloat16 for tensor in state["parts"]["network"].values())


def test_a_batch_that_cannot_be_shared_is_refused_with_the_numbers(small, tmp_path):
    config = small(tmp_path, train={"batch_size": 10, "accumulate": 4})
    with pytest.raises(
        ConfigError, match=r"batch_size is 10, not a multiple of 4 \(1 processes x .* 4\); take 8 or 12"
    ):
        start_accelerator(config.train)


def test_processes_count_in_sharing_a_batch(small, tmp_path, monkeypatch):
    state = SimpleNamespace(num_processes=3, device=torch.device("cpu"))
    monkeypatch.setattr(setup, "PartialState", lambda **_: state)
    with pytest.raises(ConfigError, match=r"batch_size is 4, not a multiple of 3 .* take 3 or 6"):
        start_accelerator(small(tmp_path).train)


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


def test_training_may_be_judged_by_one_half_of_the_photos(small, tmp_path, monkeypatch):
    named = [replace(each, image=Path(f"{each.ref_id}.jpg")) for each in load_data(small(tmp_path)).train]
    monkeypatch.setattr("vlt.train.setup.load_referrals", lambda config, split: named)
    data = {half: load_data(small(tmp_path, evaluate={"half": half})) for half in ("a", "b", None)}
    ids = {half: [each.ref_id for each in one.val] for half, one in data.items()}
    assert all(ids.values())
    assert sorted(ids["a"] + ids["b"]) == ids[None]
    assert len({one.fingerprint for one in data.values()}) == 3
    assert all(len(one.train) == len(named) for one in data.values())


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
    monkeypatch.setattr(setup, "KEPT_BYTES", 12 * 64 * 64 * setup.SCENE_BYTES_PER_PIXEL - 1)
    drawn = load_data(small(tmp_path))
    third, _ = drawn.train[3], drawn.train[0]
    assert drawn.train[3] is not third  # drawn again once another was asked for
    assert drawn.fingerprint == kept.fingerprint
    assert np.array_equal(drawn.train[3].image, kept.train[3].image)
    assert drawn.train[3].expressions == kept.train[3].expressions


def test_both_readings_of_a_thing_must_fit_into_a_pass(small, tmp_path):
    options = {"train": {"batch_size": 6, "accumulate": 2}, "loss": {"contrast": {"weight": 1.0}}}
    sentence = (
        r"batch_size is 6, not a multiple of 4 \(1 processes x train\.accumulate 2 x 2 readings .*\); take 4 or 8"
    )
    with pytest.raises(ConfigError, match=sentence):
        train(small(tmp_path / "run", **options))


def test_with_two_readings_an_epoch_is_twice_as_long(small, tmp_path):
    plain, contrasted = small(tmp_path), small(tmp_path, loss={"contrast": {"weight": 1.0}})
    data = load_data(plain)
    assert (data.steps(plain), data.steps(contrasted)) == (3, 6)
    assert len(data.samples(contrasted, 0)) == len(data.order(contrasted, 0)) == 24


# ---------------------------------------------------------------- learning on


def test_a_run_starts_from_the_weights_of_another(small, tmp_path):
    before = small(tmp_path / "before")
    train(before)
    after = small(tmp_path / "after", train={"start_from": str(before.output_dir)}, seed=5)
    kept = load_checkpoint(before.output_dir).model.state_dict()
    network = build_network(after, load_data(after).text)
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    train(after)  # other words in its vocabulary, of the same vectors


def test_weights_of_another_network_are_refused(small, tmp_path):
    before = small(tmp_path / "before")
    train(before)
    after = small(tmp_path / "after", train={"start_from": str(before.output_dir)}, model={"num_queries": 3})
    with pytest.raises(
        CheckpointError, match=r"of train\.start_from, .*before, do not fit the network of this run's conf"
    ):
        build_network(after)


def test_weights_that_know_another_tokenizer_are_refused(small, tmp_path, monkeypatch):
    before = small(tmp_path / "before")
    train(before)
    monkeypatch.setattr(setup, "TokenReader", SimpleNamespace)
    after = small(tmp_path / "after", train={"start_from": str(before.output_dir)})
    with pytest.raises(CheckpointError, match=r"start_from .*before was trained with another tokenizer"):
        build_network(after, SimpleNamespace(fingerprint="f" * 64))
