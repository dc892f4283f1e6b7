"""Every refusal of a configuration in its sentence, `--set`, and the round trip through YAML."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.ablate import read_study
from vlt.config import Config, ReferenceConfig, VLTConfig, dump_config, override, parse_config, read_config, read_yaml
from vlt.errors import ConfigError

MINIMAL: dict[str, Any] = {"data": {"name": "synthetic"}, "output_dir": "runs/x"}


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, **changes}, "run.yaml")
    sentence = str(caught.value)
    assert sentence.startswith("run.yaml: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence.removeprefix("run.yaml: ").removesuffix(".")


# ---------------------------------------------------------------- what is taken


def test_the_improved_network_is_the_default_and_every_repair_is_on():
    model = parse_config(MINIMAL, "here").model
    assert isinstance(model, VLTConfig)
    repairs = (model.mask_padding, model.any_size, model.pixel_features, not model.causal_queries)
    assert all(repairs)
    assert model.positions == "2d"
    assert model.query_balance


def test_the_reference_networks_defaults_are_the_originals():
    model = parse_config({**MINIMAL, "model": {"name": "reference"}}, "here").model
    assert isinstance(model, ReferenceConfig)
    assert (model.input_size, model.max_words, model.output_stride, model.antialias) == ((416, 416), 15, 2, False)
    assert (model.num_queries, model.backbone.trainable_blocks) == (16, 2)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ({"image_size": [448, 224]}, (448, 224)),
        ({"image_size": [64, 416], "backbone": {"name": "darknet53"}}, (64, 416)),
        ({"image_size": [96, 32], "backbone": {"name": "swin"}}, (96, 32)),
        ({"image_size": [32, 48], "backbone": {"name": "dinov2", "architecture": {"patch_size": 16}}}, (32, 48)),
        (
            {"image_size": [8, 12], "backbone": {"name": "swin", "architecture": {"patch_size": 2, "depths": [1, 1]}}},
            (8, 12),
        ),
    ],
)
def test_any_multiple_of_the_coarsest_stride_is_a_size(model, size):
    assert parse_config({**MINIMAL, "model": model}, "here").model.input_size == size


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trian": {}}, "unknown key 'trian' (did you mean 'train'?)"),
        ({"train": {"epoch": 1}}, "unknown key 'train.epoch' (did you mean 'epochs'?)"),
        ({"train": {"schedule": {"nam": "step"}}}, "unknown key 'train.schedule.nam' (did you mean 'name'?)"),
        ({"model": {"num_query": 3}}, "unknown key 'model.num_query' (did you mean 'num_queries'?)"),
        (
            {"model": {"name": "reference", "num_query": 3}},
            "unknown key 'model.num_query' (did you mean 'num_queries'?)",
        ),
        ({"model": {"name": "reference", "fusio": 1}}, "unknown key 'model.fusio' (did you mean 'fused_dim'?)"),
        (
            {
                "data": {
                    "name": "refer",
                    "root": "data",
                    "dataset": "own",
                    "images": "photos",
                    "mixed_with": [{"dataset": "more", "images": "photos", "split": "train"}],
                }
            },
            "unknown key 'data.mixed_with.0.split' (known here: dataset, images)",
        ),
        (
            {"model": {"backbone": {"name": "swin", "siz": "tiny"}}},
            "unknown key 'model.backbone.siz' (did you mean 'size'?)",
        ),
        (
            {"model": {"language": {"name": "gru", "words": {"sorce": "hash"}}}},
            "unknown key 'model.language.words.sorce' (did you mean 'source'?)",
        ),
        (
            {"evaluate": {"xyz": 1}},
            "unknown key 'evaluate.xyz' (known here: protocol, select_by)",
        ),
        (
            {"data": {"name": "synthetic", "root": "d", "flop": 0.5}},
            "unknown key 'data.root' (known here: absent, chatter, details, flip, kinds, light, name, referents, seed, "
            "several, size, slips, train_scenes, train_split, val_scenes, val_split); unknown key "
            "'data.flop' (did you mean 'flip'?)",
        ),
    ],
)
def test_unknown_keys(changes, sentence):
    assert refusal(**changes) == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {"name": "vlt2"}}, "model.name is 'vlt2'; known: reference, vlt"),
        (
            {"model": {"backbone": {"name": "resnet"}}},
            "model.backbone.name is 'resnet'; known: darknet53, swin, dinov2",
        ),
        ({"model": {"language": {"hidden_dim": 3}}}, "model.language.name is None; known: gru, bert"),
        ({"data": {"name": "coco"}}, "data.name is 'coco'; known: refer, shards, synthetic"),
        ({"train": {"optimizer": "sgd"}}, "'train.optimizer' is 'sgd': input should be 'adamw' or 'adam'"),
    ],
)
def test_unknown_choices(changes, sentence):
    assert refusal(**changes) == sentence


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"train": {"lr": "fast"}}, "'train.lr' is 'fast': input should be a valid number"),
        ({"train": {"lr": "5e-4"}}, "'train.lr' is '5e-4': input should be a valid number"),
        ({"train": {"lr": True}}, "'train.lr' is True: input should be a valid number"),
        ({"train": {"lr": -1}}, "'train.lr' is -1: input should be greater than 0"),
        ({"train": {"lr": float("inf")}}, "'train.lr' is inf: input should be a finite number"),
        ({"loss": {"dice": float("nan")}}, "'loss.dice' is nan: input should be"),
        ({"train": {"epochs": 1.5}}, "'train.epochs' is 1.5: input should be a valid integer"),
        ({"train": {"epochs": True}}, "'train.epochs' is True: input should be a valid integer"),
        ({"train": {"epochs": 0}}, "'train.epochs' is 0: input should be greater than 0"),
        ({"train": None}, "'train' is None: input should be a valid dictionary"),
        ({"train": [1]}, "'train' is [1]: input should be a valid dictionary"),
        ({"model": "vlt"}, "'model' is 'vlt': input should be a valid dictionary"),
        ({"model": {"backbone": "swin"}}, "'model.backbone' is 'swin': input should be a valid dictionary"),
        ({"model": {"mask_padding": "maybe"}}, "'model.mask_padding' is 'maybe': input should be a valid boolean"),
        ({"model": {"image_size": 448}}, "'model.image_size' is 448: input should be a valid tuple"),
        ({"model": {"image_size": [448]}}, "'model.image_size.1' is missing"),
        ({"inference": {"threshold": 1.5}}, "'inference.threshold' is 1.5: input should be less than or equal to 1"),
        ({"data": {"name": "refer", "root": "d", "images": "i"}}, "'data.dataset' is missing"),
        ({"train": {3: 4}}, "'train.3' is 3: keys should be strings"),
    ],
)
def test_wrong_types_and_ranges(changes, start):
    assert refusal(**changes).startswith(start)


@pytest.mark.parametrize("key", ["data", "output_dir"])
def test_what_must_be_given(key):
    with pytest.raises(ConfigError, match=f"run.yaml: '{key}' is missing."):
        parse_config({name: value for name, value in MINIMAL.items() if name != key}, "run.yaml")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            {"image_size": [448, 450]},
            "model.image_size (width) is 450, not a multiple of dinov2's patch, 14; take 448 or 462",
        ),
        ({"image_size": [5, 14]}, "model.image_size (height) is 5, not a multiple of dinov2's patch, 14; take 14"),
        (
            {"image_size": [400, 416], "backbone": {"name": "darknet53"}},
            "model.image_size (height) is 400, not a multiple of darknet53's coarsest stride, 32; take 384 or 416",
        ),
        (
            {"image_size": [64, 100], "backbone": {"name": "swin"}},
            "model.image_size (width) is 100, not a multiple of swin's coarsest stride, 32; take 96 or 128",
        ),
        (
            {"name": "reference", "image_size": 400},
            "model.image_size is 400, not a multiple of darknet53's coarsest stride, 32; take 384 or 416",
        ),
        (
            {"backbone": {"name": "swin", "architecture": {"patch_size": 0}}},
            "model.backbone.architecture.patch_size is 0, not a whole number above 0",
        ),
        (
            {"backbone": {"name": "dinov2", "architecture": {"patch_size": [14, 14]}}},
            "model.backbone.architecture.patch_size is [14, 14], not a whole number above 0",
        ),
        (
            {"backbone": {"name": "swin", "architecture": {"depths": 4}}},
            "model.backbone.architecture.depths is 4, not a list of numbers",
        ),
        ({"heads": 7}, "model.dim is 256, not a multiple of model.heads, 7"),
        ({"dim": 30, "heads": 5}, "model.dim is 30: two-dimensional positions need a multiple of 4"),
        ({"name": "reference", "heads": 7}, "model.transformer_dim is 256, not a multiple of model.heads, 7"),
        (
            {"name": "reference", "hidden_dim": 128},
            "model.transformer_dim is 256 and model.hidden_dim is 128: the reference network adds one to the other, "
            "so they must be equal",
        ),
        (
            {"name": "reference", "fused_dim": 512},
            "model.fused_dim is 512 but the backbone's widest map has 1024 channels; set it to 1024",
        ),
        (
            {"language": {"name": "gru", "words": {"source": "text"}}},
            "word vectors from source 'text' needs a path, but path is None",
        ),
        (
            {"language": {"name": "gru", "words": {"path": "v.npz"}}},
            "word vectors from source 'hash' needs no path, but path is 'v.npz'",
        ),
        (
            {"language": {"name": "bert"}},
            "a bert encoder needs `pretrained`, or a `tokenizer` to read words with",
        ),
    ],
)
def test_values_that_contradict_each_other(model, sentence):
    assert refusal(model=model) == sentence


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ({"name": "step"}, "the schedule 'step' needs milestones, but milestones is []"),
        (
            {"name": "cosine", "milestones": [3]},
            "the schedule 'cosine' has no milestones, but milestones is [3]",
        ),
    ],
)
def test_milestones_are_for_steps(schedule, sentence):
    assert refusal(train={"schedule": schedule}) == sentence


def test_all_that_is_wrong_is_named_at_once():
    sentence = refusal(train={"lr": -1, "epochs": 0}, evaluate={"tresh": 1})
    for part in ("'train.lr' is -1", "'train.epochs' is 0", "unknown key 'evaluate.tresh'"):
        assert part in sentence


def test_what_was_read_cannot_be_changed():
    config = parse_config(MINIMAL, "here")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


# ---------------------------------------------------------------- reading


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_numbers_with_exponents_are_numbers(tmp_path):
    """YAML 1.1 takes 5e-4 for text, and so would end up in a network's `architecture`."""
    path = write(
        tmp_path,
        "data: {name: synthetic}\noutput_dir: runs/5e4\ntrain: {lr: 5e-4, weight_decay: 1E-2}\n"
        "model: {backbone: {name: dinov2, architecture: {layer_norm_eps: 1e-12, drop: -.5e1}}}\n",
    )
    config = read_config(path)
    assert (config.train.lr, config.train.weight_decay) == (5e-4, 1e-2)
    assert config.model.backbone.architecture == {"layer_norm_eps": 1e-12, "drop": -5.0}
    assert config.output_dir == Path("runs/5e4")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [1, 2", "cannot be read as YAML: while parsing"),
        ("a: !!python/object/apply:os.getcwd []", "cannot be read as YAML: could not determine a constructor"),
        (b"a: \xff", "cannot be read as YAML: 'utf-8' codec"),
        ("", "is empty: it holds no keys; start from a file in configs/."),
        ("- 1", "holds list, not a mapping"),
        ("just words", "holds str, not a mapping"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, part):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path} ")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file_and_a_directory(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no configuration file .*no\.yaml; check the path, or start from"):
        read_config(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="is a directory, not a configuration file; name the YAML file inside it"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config("a" * 5000)


# ---------------------------------------------------------------- --set


def test_assignments_are_read_as_yaml_and_leave_the_original_alone():
    values = {"train": {"lr": 1.0, "epochs": 3}, "seed": 1}
    changed = override(
        values, ["train.lr=5e-4", " model.image_size = [64, 32]", "data.name=synthetic", "seed=", "a=b=c"]
    )
    assert changed == {
        "train": {"lr": 5e-4, "epochs": 3},
        "seed": None,
        "model": {"image_size": [64, 32]},
        "data": {"name": "synthetic"},
        "a": "b=c",
    }
    assert values == {"train": {"lr": 1.0, "epochs": 3}, "seed": 1}


def test_later_assignments_win():
    assert override({}, ["a.b=1", "a.b=2"]) == {"a": {"b": 2}}
    assert override({}, ["a={b: 1}", "a.c=2"]) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("train.lr", "--set 'train.lr' is not of the form a.b=value."),
        ("=3", "--set '=3' is not of the form a.b=value."),
        ("", "--set '' is not of the form a.b=value."),
        ("seed.x=3", "--set 'seed.x=3': 'seed' is a value, not a section."),
        ("a=[1", "--set 'a=[1': the value cannot be read as YAML."),
    ],
)
def test_assignments_that_are_none(assignment, sentence):
    with pytest.raises(ConfigError) as caught:
        override({"seed": 1}, [assignment])
    assert str(caught.value) == sentence


def test_assignments_are_checked_like_the_file(tmp_path):
    path = write(tmp_path, "data: {name: synthetic}\noutput_dir: o\n")
    assert read_config(path, ["train.lr=5e-4", "data.train_scenes=7"]).data.train_scenes == 7
    with pytest.raises(ConfigError, match=r"unknown key 'train\.ls' \(did you mean 'lr'\?\)"):
        read_config(path, ["train.ls=5e-4"])


# ---------------------------------------------------------------- round trip

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
NUMBERS = st.floats(1e-12, 1e6) | st.integers(1, 10**6).map(float)
CONFIGS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            [
                {"name": "reference"},
                {"name": "reference", "words": {"source": "spacy", "path": "en_vectors_web_lg"}},
                {"name": "vlt", "backbone": {"name": "swin", "architecture": {"layer_norm_eps": 1e-12}}},
                {"name": "vlt", "backbone": {"name": "darknet53", "pretrained": "a/b.h5", "trainable_blocks": 0}},
                {"name": "vlt", "language": {"name": "bert", "tokenizer": "1e5"}},
            ]
        ),
        "data": st.one_of(
            st.just({"name": "synthetic", "size": [64, 96]}),
            st.fixed_dictionaries({"name": st.just("refer"), "root": TEXT, "dataset": TEXT, "images": TEXT}),
        ),
        "train": st.fixed_dictionaries({"lr": NUMBERS, "ema": st.none() | st.just(0.999)}),
        "output_dir": st.just("1e-5") | TEXT,
    }
)


@given(CONFIGS)
def test_what_is_written_is_read_back_equal(tmp_path_factory, values):
    config = parse_config(values, "here")
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert read_config(path) == config


def test_the_written_file_names_every_key(tmp_path):
    written = read_yaml(write(tmp_path, dump_config(parse_config(MINIMAL, "here"))))
    assert set(written) == set(Config.model_fields)
    assert written["train"]["schedule"]["name"] == "cosine"
    assert written["model"]["backbone"]["name"] == "dinov2"


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs").glob("**/*.yaml")), ids=lambda p: p.stem
)
def test_every_file_of_the_project_can_be_run(path):
    if "changes" in read_yaml(path):
        assert list(read_study(path).planned())
    else:
        assert read_config(path).output_dir == Path("runs") / path.stem


@pytest.mark.parametrize("new", [{"compose": {"instances": "i.json", "images": "photos"}}, {"light": 0.5}])
def test_maps_of_photos_that_never_come_again_are_not_kept(new):
    data = {"name": "refer", "root": "d", "dataset": "x", "images": "i", **new}
    assert f"data.{next(iter(new))} makes new images; leave one out" in refusal(data=data, train={"map_cache": "maps"})


def test_boxes_are_told_where_they_are_taught():
    told = {"name": "vlt", "boxes": True}
    assert refusal(model=told) == "model.boxes is true but loss.box is 0; they must be enabled together"
    assert refusal(loss={"box": 0.5}) == "model.boxes is false but loss.box is 0.5; they must be enabled together"
    assert parse_config({**MINIMAL, "model": told, "loss": {"box": 0.5}}, "here").loss.box == 0.5


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"loss": {"choice": 1.0}}, "loss.choice"),
        ({"loss": {"contrast": {"weight": 0.1, "negatives": "photo"}}}, "loss.contrast.negatives photo"),
        (
            {
                "data": {"name": "refer", "root": "d", "dataset": "x", "images": "i"}
                | {"compose": {"instances": "i.json", "images": "photos"}}
            },
            "data.compose",
        ),
    ],
)
def test_things_of_a_photo_are_kept_together_where_that_is_needed(options, key):
    assert f"{key} needs several objects of an image in one batch; set train.by_photo to true" in refusal(**options)


@pytest.mark.parametrize("part", ["coarse", "choice"])
@pytest.mark.parametrize("model", [{"any_size": False}, {"name": "reference"}])
def test_what_guides_needs_answers_that_paint_logits(part, model):
    assert f"loss.{part} needs response maps that are logits" in refusal(model=model, loss={part: 0.5})


@pytest.mark.parametrize(
    ("contrast", "others", "sentence"),
    [
        ({"feature": "words"}, {}, "cannot separate equal expressions about two images; set loss.contrast.negatives"),
        (
            {"feature": "queries"},
            {"model": {"queries": "learned"}},
            "all expressions have equal queries",
        ),
    ],
)
def test_contrast_that_nothing_can_learn_is_refused(contrast, others, sentence):
    assert sentence in refusal(loss={"contrast": {"weight": 0.1, **contrast}}, **others)
    assert parse_config({**MINIMAL, "loss": {"contrast": contrast}, **others}, "here").loss.contrast.weight == 0


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"model": {"candidates": {}}},
            "model.candidates is given but loss.candidate is 0; they must be enabled together",
        ),
        (
            {"loss": {"candidate": 1.0}},
            "model.candidates is null but loss.candidate is 1; they must be enabled together",
        ),
        ({"train": {"only": "candidates"}}, "train.only is candidates, but model.candidates is null"),
        ({"train": {"only": "masks"}}, "train.only is masks, but model.candidates is null"),
        ({"inference": {"presence": 0.2}}, "inference.presence is 0.2, but without model.candidates nothing is chosen"),
        ({"inference": {"agreement": 1}}, "inference.agreement is 1, but without model.candidates nothing is chosen"),
        (
            {"inference": {"several": 0.5}},
            "inference.several is 0.5, but without model.candidates nothing is chosen; set it to null, or configure",
        ),
        ({"inference": {"several": 0.0}}, "inference.several"),
        ({"inference": {"several": 1.5}}, "inference.several"),
        (
            {"model": {"candidates": {"dim": 30}}, "loss": {"candidate": 1.0}},
            "model.candidates.dim is 30, not a multiple of model.candidates.heads, 4",
        ),
    ],
)
def test_settings_of_candidates_that_do_not_fit_are_refused(sections, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({"data": {"name": "synthetic"}, "output_dir": "runs/x", **sections}, "test")
