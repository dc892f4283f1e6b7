"""The original's flat YAML files, read as ours."""

from pathlib import Path

import pytest
import yaml

from vlt.ablate import read_study
from vlt.config import ReferDataConfig, is_original, parse_config, read_config, translate
from vlt.errors import ConfigError, VLTWarning

CONFIGS = Path(__file__).parents[2] / "configs"

# The smallest file that says where everything is.
PATHS = {
    "train_set": "./data/anns/refcoco/train.json",
    "evaluate_set": "./data/anns/refcoco/val.json",
    "image_path": "./data/images/train2014",
    "log_path": "./log/refcoco",
}

# As the original's published example, in its own spelling; 1e-3 is a text to a YAML 1.1 parser.
PUBLISHED = """\
train_set: ./data/anns/{dataset}/train.json
evaluate_set: ./data/anns/{dataset}/val.json
seg_gt_path: ./data/masks/{dataset}/
image_path: ./data/images/train2014/
pretrained_weights: ./data/weights/darknet53.h5
log_path: runs/reference_{dataset}
batch_size: 128
num_query: 16
word_len: {words}
lr: 1e-3
"""


@pytest.mark.parametrize(
    ("dataset", "words"), [("refcoco", 15), ("refcoco+", 15), ("refcocog_umd", 20), ("refcocog_google", 20)]
)
def test_published_files_are_our_reference_configurations(tmp_path, dataset, words):
    path = tmp_path / "original.yaml"
    path.write_text(PUBLISHED.format(dataset=dataset, words=words))
    theirs, ours = read_config(path), read_config(CONFIGS / f"reference_{dataset}.yaml")
    assert theirs.model.backbone.pretrained == ours.model.backbone.pretrained
    assert theirs == ours


def test_every_key_arrives():
    values = PATHS | {
        "evaluate_set": "data/anns/refcoco/testA.json",
        "pretrained_weights": "mcn.h5",
        "seed": 7,
        "input_size": 320,
        "seg_out_stride": 4,
        "free_body": 2,
        "hidden_dim": 64,
        "batch_size": 9,
        "lr_scheduler": "step",
        "lr": 0.5,
        "steps": [3, 4],
        "epoches": 5,
        "workers": 6,
        "word_embed": "en_core_web_lg",
        "word_len": 11,
        "embed_dim": 12,
        "lang_att": True,
        "jemb_dim": 1024,
        "rnn_bidirectional": False,
        "rnn_hidden_size": 13,
        "rnn_drop_out": 0.25,
        "segment_thresh": 0.4,
        "log_images": 3,
        "transformer_hidden_dim": 64,
        "transformer_encoder_num": 1,
        "transformer_decoder_num": 3,
        "transformer_head_num": 4,
        "num_query": 17,
    }
    config = parse_config(translate(values), "test")
    model, train, data = config.model, config.train, config.data
    assert isinstance(data, ReferDataConfig)
    assert (data.root, data.dataset, data.images) == (Path("data"), "refcoco", Path("data/images/train2014"))
    assert (data.train_split, data.val_split, config.output_dir) == ("train", "testA", Path("log/refcoco"))
    assert (model.image_size, model.output_stride, model.max_words, model.num_queries) == (320, 4, 11, 17)
    assert (model.hidden_dim, model.transformer_dim, model.heads, model.fused_dim) == (64, 64, 4, 1024)
    assert (model.encoder_layers, model.decoder_layers, model.bidirectional) == (1, 3, False)
    assert (model.rnn_dim, model.rnn_dropout) == (13, 0.25)
    assert (model.words.source, model.words.path, model.words.dim) == ("spacy", "en_core_web_lg", 12)
    assert (model.backbone.pretrained, model.backbone.trainable_blocks) == (Path("mcn.h5"), 1)
    assert (train.batch_size, train.lr, train.epochs, train.workers, train.pictures) == (9, 0.5, 5, 6, 3)
    assert (train.schedule.name, train.schedule.milestones, train.schedule.factor) == ("step", (3, 4), 0.1)
    assert (config.inference.threshold, config.seed) == (0.4, 7)


def test_what_no_key_says_is_the_originals():
    config = parse_config(translate(PATHS), "test")
    assert (config.loss.bce, config.loss.dice, config.loss.reduction, config.loss.conv_l2) == (1, 0, "sum", 5e-4)
    assert (config.train.optimizer, config.train.weight_decay, config.train.clip_norm) == ("adam", 0, None)
    assert (config.train.schedule.warmup_steps, config.train.ema, config.evaluate.select_by) == (0, None, "miou")


def test_base_values_are_the_base_files():
    """Not the published examples': RefCOCOg is reported to fall to about 28 % with these two."""
    config = parse_config(translate(PATHS), "test")
    assert (config.train.batch_size, config.model.num_queries) == (24, 32)
    assert (config.model.max_words, config.model.output_stride, config.seed) == (15, 2, 10010)
    assert config.train.schedule.milestones == (40, 45, 50)


def test_a_base_of_ones_own():
    base = PATHS | {"num_query": 16, "word_len": 20}
    config = parse_config(translate({"word_len": 18}, base), "test")
    assert (config.model.num_queries, config.model.max_words, config.train.batch_size) == (16, 18, 24)


@pytest.mark.parametrize(("free_body", "blocks"), [(0, None), (1, 2), (2, 1)])
def test_frozen_body(free_body, blocks):
    config = parse_config(translate(PATHS | {"free_body": free_body}), "test")
    assert config.model.backbone.trainable_blocks == blocks


@pytest.mark.parametrize(
    ("values", "original"),
    [
        ({"train_set": "x"}, True),
        ({"seed": 1, "lr": 0.1}, True),
        ({"num_query": 16, "model": {}}, True),
        ({"seed": 1}, False),
        ({"model": {"name": "reference"}, "seed": 1}, False),
        ({}, False),
    ],
)
def test_originals_are_told_from_ours(values, original):
    assert is_original(values) is original


def test_a_study_may_change_one_of_them(tmp_path):
    (tmp_path / "original.yaml").write_text(yaml.safe_dump(PATHS))
    study = "base: original.yaml\nchanges: {slow: [train.lr=1e-5]}\nseeds: [0]\noutput_dir: ~/study\n"
    (tmp_path / "study.yaml").write_text(study)
    base, slow = read_study(tmp_path / "study.yaml").planned()
    assert (base.config.model.name, base.config.train.lr, slow.config.train.lr) == ("reference", 1e-3, 1e-5)
    assert base.folder.is_relative_to(Path.home())


def test_overrides_are_ours_and_come_last(tmp_path):
    path = tmp_path / "original.yaml"
    path.write_text(yaml.safe_dump(PATHS | {"lr": 0.1}))
    config = read_config(path, ["train.lr=0.25", "model.words.source=text", "model.words.path=glove.txt"])
    assert (config.train.lr, config.model.words.source, config.train.epochs) == (0.25, "text", 50)


def test_our_own_files_are_read_too(tmp_path):
    path = tmp_path / "ours.yaml"
    path.write_text("data: {name: synthetic}\noutput_dir: runs/x\n")
    assert read_config(path, ["seed=3"]) == read_config(path, ["seed=3"])


def test_inert_keys_are_named_in_one_warning(tmp_path, recwarn):
    inert = {
        "query_balance": False,
        "max_queue_size": 10,
        "multi_thres": True,
        "start_epoch": 3,
        "evaluate_model": "a.h5",
    }
    path = tmp_path / "original.yaml"
    path.write_text(yaml.safe_dump(PATHS | inert))
    config = read_config(path)
    (warning,) = recwarn
    assert issubclass(warning.category, VLTWarning)
    assert str(path) in str(warning.message)
    assert all(f"{key} (" in str(warning.message) for key in inert)
    path.write_text(yaml.safe_dump(PATHS))
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 3}, r"unknown key 'epochs'.*did you mean 'epoches'\?"),
        ({"model": {"name": "vlt"}}, "unknown key 'model' beside the original's flat keys"),
        ({"epoch": 3, "numquery": 4}, "unknown key 'epoch'.*'epoches'.*unknown key 'numquery'.*'num_query'"),
        ({"lr": "fast"}, "'lr' is 'fast': input should be a valid number"),
        ({"num_query": 1.5}, "'num_query' is 1.5: input should be a valid integer"),
        ({"free_body": 3}, "'free_body' is 3: input should be 0, 1 or 2"),
        ({"lr_scheduler": "cosine"}, "'lr_scheduler' is 'cosine': input should be 'step'"),
        ({"lang_att": False}, "lang_att is false, which is not built"),
        ({"input_size": 400}, r"model\.image_size is 400, not a multiple of .*32; take 384 or 416"),
        ({"jemb_dim": 512}, r"model\.fused_dim is 512 but .* 1024 channels"),
        ({"transformer_hidden_dim": 128}, r"model\.transformer_dim is 128 and model\.hidden_dim is 256"),
        ({"train_set": "data/train.json"}, r"train_set is data/train\.json, not ROOT/anns/DATASET/SPLIT\.json"),
        (
            {"evaluate_set": "data/anns/refcoco+/val.json"},
            r"anns/refcoco/train\.json .*val\.json lie in different folders",
        ),
        ({"seg_gt_path": "data/png"}, "seg_gt_path is data/png, but .* belong in data/masks/refcoco"),
        ({"train_set": None, "evaluate_set": ""}, "train_set and evaluate_set are missing"),
        ({"image_path": None}, "image_path is missing; name the folder with the images"),
        ({"log_path": None}, "log_path is missing"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path, change, sentence):
    path = tmp_path / "original.yaml"
    path.write_text(yaml.safe_dump(PATHS | change))
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_one_annotation_file_is_enough():
    config = parse_config(translate({key: PATHS[key] for key in PATHS if key != "train_set"}), "test")
    assert (config.data.dataset, config.data.val_split) == ("refcoco", "val")


@pytest.mark.parametrize("root", ["/srv/refer", ".", "data/../prepared"])
def test_roots_of_every_kind(root):
    values = PATHS | {
        "train_set": f"{root}/anns/refcocog/train.json",
        "evaluate_set": None,
        "seg_gt_path": f"{root}/masks/refcocog/",
    }
    config = parse_config(translate(values), "test")
    assert config.data.root == Path({"data/../prepared": "prepared"}.get(root, root))
    assert config.data.dataset == "refcocog"
