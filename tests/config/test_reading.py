"""Files and assignments as people write them: bases, former keys, doubled keys, byte-order marks, `~`, `no`."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from vlt.cli import main
from vlt.config import Config, configure, parse_config, read_config, read_yaml
from vlt.config.reference import configuration_page, key_meanings
from vlt.config.section import as_url, section_choices
from vlt.errors import ConfigError, VLTWarning

DATA = "data: {name: refer, root: d, dataset: x, images: i}\noutput_dir: o\n"


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---------------------------------------------------------------- base


def test_values_are_set_over_those_of_the_base_section_by_section(tmp_path):
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "one.yaml", DATA + "train: {lr: 0.5, epochs: 3, schedule: {warmup_steps: 7}}\nseed: 4\n")
    write(tmp_path / "below", "two.yaml", "base: one.yaml\ntrain: {epochs: 5, ema: 0.9}\n")
    path = write(tmp_path, "three.yaml", "base: below/two.yaml\ntrain: {ema: null, schedule: {final: 0.1}}\n")
    config = read_config(path, ["seed=5"])
    train = config.train
    assert (train.lr, train.epochs, train.ema, config.seed) == (0.5, 5, None, 5)
    assert (train.schedule.warmup_steps, train.schedule.final) == (7, 0.1)


@pytest.mark.parametrize(
    ("below", "above", "kept"),
    [
        ("model: {dim: 64, heads: 4}", "model: {name: vlt, heads: 8}", {"dim": 64, "heads": 8}),
        ("model: {dim: 64}", "model: {name: reference}", {"name": "reference"}),
        ("model: {backbone: {name: swin, size: base}}", "model: {backbone: {trainable_blocks: 1}}", {}),
    ],
)
def test_a_section_of_another_name_replaces_that_of_the_base(tmp_path, below, above, kept):
    write(tmp_path, "base.yaml", DATA + below + "\n")
    model = read_config(write(tmp_path, "run.yaml", f"base: base.yaml\n{above}\n")).model
    assert kept.items() <= model.model_dump().items()
    if model.backbone.name == "swin":
        assert (model.backbone.size, model.backbone.trainable_blocks) == ("base", 1)


def test_a_base_of_another_backbone_leaves_nothing_behind(tmp_path):
    write(tmp_path, "base.yaml", DATA + "model: {backbone: {name: swin, size: base}}\n")
    model = read_config(write(tmp_path, "run.yaml", "base: base.yaml\nmodel: {backbone: {name: darknet53}}\n")).model
    assert model.backbone.name == "darknet53"


def test_one_of_the_originals_files_may_be_the_base(tmp_path):
    original = "train_set: d/anns/x/train.json\nimage_path: i\nlog_path: o\nlr: 0.25\n"
    write(tmp_path, "original.yaml", original)
    config = read_config(write(tmp_path, "run.yaml", "base: original.yaml\ntrain: {epochs: 2}\n"))
    assert (config.model.name, config.train.lr, config.train.epochs) == ("reference", 0.25, 2)


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        ("run.yaml", "is based on itself through `base`"),
        ("other.yaml", "is based on itself through `base`"),
        ("nowhere.yaml", r"there is no configuration file .*nowhere\.yaml, named by `base`"),
        ("[a, b]", r"base is \['a', 'b'\], not the path of a configuration file"),
        ("3", "base is 3, not the path"),
    ],
)
def test_a_base_that_leads_nowhere(tmp_path, base, sentence):
    write(tmp_path, "other.yaml", "base: run.yaml\n")
    path = write(tmp_path, "run.yaml", f"base: {base}\n{DATA}")
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_config(path)
    assert str(caught.value).count("\n") == 0


# ---------------------------------------------------------------- keys of version 0.1


def test_former_keys_are_read_with_one_warning(tmp_path):
    path = write(tmp_path, "run.yaml", DATA + "evaluate: {threshold: 0.4, batch_size: 3, mirror: true, half: a}\n")
    with pytest.warns(VLTWarning) as caught:
        config = read_config(path, ["evaluate.mirror=false"])
    [warning] = caught
    for part in (str(path), "evaluate.threshold is now inference.threshold", "evaluate.mirror is now inference.flip"):
        assert part in str(warning.message)
    assert "evaluate.half is now data.val_split (val_a or val_b)" in str(warning.message)
    assert (config.inference.threshold, config.inference.batch_size, config.inference.flip) == (0.4, 3, False)
    assert config.data.val_split == "val_a"


@pytest.mark.parametrize(("split", "half", "expected"), [("val", "b", "val_b"), ("p", "a", "p_a"), ("p_a", "b", "p_b")])
def test_a_half_is_a_split(split, half, expected):
    data = {"name": "refer", "root": "d", "dataset": "x", "images": "i", "val_split": split}
    config = parse_config({"data": data, "output_dir": "o", "evaluate": {"half": half}}, "here")
    assert config.data.val_split == expected
    whole = parse_config({"data": data, "output_dir": "o", "evaluate": {"half": None}}, "here")
    assert whole.data.val_split == split


def test_a_former_key_of_a_base_gives_way_to_what_is_set_over_it(tmp_path):
    write(tmp_path, "base.yaml", DATA + "evaluate: {threshold: 0.4, mirror: true}\n")
    path = write(tmp_path, "run.yaml", "base: base.yaml\ninference: {threshold: 0.3}\n")
    with pytest.warns(VLTWarning):
        inference = read_config(path).inference
    assert (inference.threshold, inference.flip) == (0.3, True)


def test_a_key_under_both_of_its_names_is_refused(tmp_path):
    path = write(tmp_path, "run.yaml", DATA + "evaluate: {threshold: 0.4}\ninference: {threshold: 0.3}\n")
    with pytest.raises(ConfigError, match=r"evaluate\.threshold is the former name of inference\.threshold, and both"):
        read_config(path)


def test_assignments_may_use_former_keys(tmp_path):
    path = write(tmp_path, "run.yaml", DATA + "inference: {flip: false}\n")
    with pytest.warns(VLTWarning, match=r"evaluate\.mirror is now inference\.flip"):
        assert read_config(path, ["evaluate.mirror=true"]).inference.flip
    with pytest.warns(VLTWarning, match="the changed configuration uses keys of version 0.1"):
        changed = configure(
            read_config(path).model_dump(mode="json"), ["evaluate.threshold=0.2"], "the changed configuration"
        )
    assert changed.inference.threshold == 0.2


def test_what_is_written_uses_the_new_keys(tmp_path, recwarn):
    read_config(write(tmp_path, "run.yaml", DATA))
    assert not recwarn


# ---------------------------------------------------------------- YAML as people write it


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        (DATA + "train: {lr: 1e-3}\nseed: 1\ntrain:\n  epochs: 1\n", "train", "3 and 5"),
        (DATA + "train:\n  lr: 1e-3\n  epochs: 2\n  lr: 2e-3\n", "lr", "4 and 6"),
        (DATA + "train: {lr: 1, lr: 2}\n", "lr", "3 and 3"),
        (DATA + "train: {a: {b: [{c: 1, d: 2,\n c: 3}]}}\n", "c", "3 and 4"),
        ("train_set: a\nlr: 1\ntrain_set: b\n", "train_set", "1 and 3"),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(tmp_path, text, key, lines):
    path = write(tmp_path, "run.yaml", text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path}: the key {key!r} is given twice, in lines {lines}; remove one."
    result = CliRunner().invoke(main, ["train", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_key_given_twice_in_an_assignment(tmp_path):
    path = write(tmp_path, "run.yaml", DATA)
    with pytest.raises(ConfigError, match=r"^--set 'train={lr: 1, lr: 2}': the key 'lr' is given twice"):
        read_config(path, ["train={lr: 1, lr: 2}"])


def test_merge_keys_of_yaml_are_no_doubles(tmp_path):
    path = write(tmp_path, "run.yaml", "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: *a, x: 4}\n")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 4, "y": 2}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_files_of_other_editors(tmp_path, encoding):
    text = "\ufeff" + DATA if encoding == "utf-16-le" else DATA
    path = write(tmp_path, "run.yaml", text.replace("\n", "\r\n").encode(encoding))
    assert read_config(path) == read_config(write(tmp_path, "plain.yaml", DATA))


HOME_PATHS = {
    "output_dir": "~/runs/x",
    "data.root": "~/data",
    "data.images": "~",
    "data.compose.instances": "~/i.json",
    "data.compose.images": "~/images",
    "data.compose.people": "~/people",
    "train.start_from": "~/runs/y",
    "train.map_cache": "~/maps",
    "model.backbone.pretrained": "~/dinov2",
    "model.language.pretrained": "~/bert",
    "model.language.tokenizer": "~/tokenizer",
}


@pytest.mark.parametrize(("key", "path"), HOME_PATHS.items())
@pytest.mark.parametrize("way", ["file", "--set"])
def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, key, path, way):
    monkeypatch.setenv("HOME", "/home/somebody")
    values = yaml.safe_load(DATA) | {"train": {"by_photo": True}}
    values["model"] = {"language": {"name": "bert", "tokenizer": "t"}}
    if "compose" in key:
        values["data"]["compose"] = {"instances": "i", "images": "i"}
    *sections, last = key.split(".")
    if way == "file":
        node = values
        for section in sections:
            node = node.setdefault(section, {"name": "dinov2"} if section == "backbone" else {})
        node[last] = path
    assignments = [] if way == "file" else [f"{key}='{path}'"]
    if key == "model.backbone.pretrained":
        assignments.append("model.backbone.name=dinov2")
    found = read_config(write(tmp_path, "run.yaml", yaml.safe_dump(values)), assignments)
    for section in sections:
        found = getattr(found, section)
    assert str(getattr(found, last)) == path.replace("~", "/home/somebody")


@pytest.mark.parametrize(
    ("assignment", "path"),
    [
        ("model.backbone={name: darknet53, pretrained: ~/d.h5}", ("backbone", "pretrained")),
        ("model={name: reference, words: {source: text, path: ~/v.txt}}", ("words", "path")),
    ],
)
def test_a_tilde_in_the_reference_networks_paths(tmp_path, monkeypatch, assignment, path):
    monkeypatch.setenv("HOME", "/home/somebody")
    found = read_config(write(tmp_path, "run.yaml", DATA), [assignment]).model
    for part in path:
        found = getattr(found, part)
    assert str(found).startswith("/home/somebody/")


def test_a_base_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "base.yaml", DATA + "seed: 3\n")
    (tmp_path / "below").mkdir()
    assert read_config(write(tmp_path / "below", "run.yaml", "base: ~/base.yaml\n")).seed == 3


def test_every_path_of_the_configuration_is_a_local_path():
    """A key added later as a plain Path would not expand `~`."""
    sections, plain = [Config], []
    while sections:
        section = sections.pop()
        for key, field in section.model_fields.items():
            sections += section_choices(section, key)
            is_path = field.annotation is Path or "Path" in str(field.annotation)
            if is_path and "expand_home" not in f"{field.annotation} {field.metadata}":
                plain.append(f"{section.__name__}.{key}")
    assert plain == []


@pytest.mark.parametrize("text", ["no", '"no"', "false", "null", "~", "False"])
def test_the_precision_no_is_taken_as_it_is_typed(tmp_path, text):
    path = write(tmp_path, "run.yaml", DATA + f"train: {{precision: {text}}}\n")
    assert read_config(path).train.precision == "no"
    assert read_config(write(tmp_path, "plain.yaml", DATA), [f"train.precision={text}"]).train.precision == "no"


@pytest.mark.parametrize("name", ["no", "off", "on", "yes", "2014", "0123", "1:30", "2024-01-01", "1e3x", "y"])
def test_names_stay_as_they_are_written(tmp_path, name):
    """YAML 1.1 makes booleans, octal numbers, minutes and dates of these."""
    path = write(
        tmp_path, "run.yaml", f"data: {{name: refer, root: d, dataset: {name}, images: i}}\noutput_dir: {name}\n"
    )
    config = read_config(path)
    assert (config.data.dataset, config.output_dir) == (name, Path(name))
    assert read_config(path, [f"data.val_split={name}"]).data.val_split == name


def test_a_fraction_for_a_name_is_refused_with_the_remedy(tmp_path):
    """1.10 is the number 1.1."""
    path = write(tmp_path, "run.yaml", DATA.replace("dataset: x", "dataset: 1.10"))
    with pytest.raises(ConfigError, match=r"'data\.dataset' is 1\.1: input should be a valid string; put it in quotes"):
        read_config(path)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("on", True), ("no", False), ("off", False)])
def test_switches_are_still_switched_by_words(tmp_path, text, value):
    path = write(tmp_path, "run.yaml", DATA + f"model: {{pixel_features: {text}}}\n")
    assert read_config(path).model.pixel_features is value
    architecture = f"model.backbone={{name: dinov2, architecture: {{qkv_bias: {text}}}}}"
    assert read_config(path, [architecture]).model.backbone.architecture == {"qkv_bias": value}


# ---------------------------------------------------------------- the size of the input


def test_predictions_may_use_another_size():
    values = {"data": {"name": "synthetic"}, "output_dir": "o"}
    assert parse_config(values, "here").input_size == (448, 448)
    other = parse_config({**values, "inference": {"image_size": [560, 700]}}, "here")
    assert (other.input_size, other.model.input_size) == ((560, 700), (448, 448))


@pytest.mark.parametrize(
    ("model", "size", "sentence"),
    [
        ({}, [560, 561], r"inference\.image_size \(width\) is 561, not a multiple of dinov2's patch, 14; take 560 or"),
        ({"any_size": False}, [560, 560], r"inference\.image_size is 560 x 560, but this network takes its model\."),
        ({"name": "reference"}, [320, 320], r"inference\.image_size is 320 x 320, but this network takes its model\."),
    ],
)
def test_sizes_that_the_network_does_not_take(model, size, sentence):
    values = {"model": model, "data": {"name": "synthetic"}, "output_dir": "o", "inference": {"image_size": size}}
    with pytest.raises(ConfigError, match=sentence):
        parse_config(values, "here")


# ---------------------------------------------------------------- the page


def test_the_page_is_what_the_configuration_says():
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == configuration_page(), "run python -m vlt.config.reference > docs/…"


def test_every_key_says_what_it_is():
    sections, seen = [Config], set()
    while sections:
        section = sections.pop()
        seen.add(section)
        assert set(key_meanings(section)) == set(section.model_fields), section
        sections += [below for key in section.model_fields for below in section_choices(section, key)]
    assert len(seen) > 15


def test_a_url_is_no_configuration_file(tmp_path):
    url = "https://example.org/a.yaml"
    with pytest.raises(ConfigError, match=f"^{url} is a URL, which is not supported; download"):
        read_config(url)
    (tmp_path / "a.yaml").write_text(f"base: {url}\n")
    with pytest.raises(ConfigError, match=f"^{url} is a URL, which is not supported"):
        read_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match=r"s3://bucket/run is a URL, which is not supported"):
        parse_config({"data": {"name": "synthetic"}, "output_dir": "s3://bucket/run"}, "here")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("", "is empty"), ("# nothing\n", "is empty"), ("a: " + "[" * 5000, "nested too deeply")],
)
def test_files_without_values_and_of_too_many_levels(tmp_path, content, sentence):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("path", [None, 3, [], b"a.yaml"])
def test_what_is_no_path_names_no_configuration(path):
    with pytest.raises(ConfigError, match="named by its path, not by"):
        read_config(path)


@pytest.mark.parametrize("assignments", ["seed=1", [3], [None]])
def test_assignments_are_a_list_of_texts(assignments):
    with pytest.raises(ConfigError, match="list of texts"):
        configure({"data": {"name": "synthetic"}, "output_dir": "runs/a"}, assignments, "here")


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("https://example.org//a.yaml", "https://example.org//a.yaml"),
        (Path("https://example.org/a.yaml"), "https://example.org/a.yaml"),
        ("S3://bucket/a", "S3://bucket/a"),
        ("C:/runs", None),
        ("runs/a", None),
        ("", None),
    ],
)
def test_urls_are_recognised_with_their_slashes(path, url):
    assert as_url(path) == url
