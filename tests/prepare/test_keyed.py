"""COCO instance files whose annotations have expressions under a key: what is read, left out and refused."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from records_fixture import NAMES, TRAIN, VAL, mask_of, write_folder

from vlt.cli import main
from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import ConfigError, DataError
from vlt.prepare.coco import prepare_coco
from vlt.types import Standing


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def change(root, keys, more=()):
    """Add keys to annotations, by their position, and annotations."""
    content = json.loads((root / "instances.json").read_text())
    for position, own in keys.items():
        content["annotations"][position] |= own
    content["annotations"] += more
    (root / "instances.json").write_text(json.dumps(content))


def prepare(root, key="caption", **how):
    return prepare_coco(root / "instances.json", root / "images", root / "out", name="set", expressions_key=key, **how)


def read(root, split="train"):
    return read_prepared(root / "out", "set", split, root / "images")


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def test_expressions_of_annotations_become_referrals(root):
    texts = [{"sent": "dog on the left", "raw": "x"}, "a dog"]
    change(root, {0: {"caption": " left dog "}, 1: {"caption": ["small dog", "", "dog 2"]}, 3: {"caption": texts}})
    change(root, {2: {"caption": None, "expression": "a bed"}, 4: {"caption": ""}, 5: {"caption": []}})
    report = prepare(root)
    left, small = read(root)
    [other] = read(root, "val")
    assert [one.ref_id for one in (left, small, other)] == [5, 6, 15]
    assert [[each.text for each in one.expressions] for one in (left, small, other)] == [
        ["left dog"],
        ["small dog", "dog 2"],
        ["dog on the left", "a dog"],
    ]
    assert np.array_equal(read_targets(left.targets, (1, 1)), mask_of(5))
    assert (left.standing, small.standing) == (Standing(2, 1), Standing(2, 2))
    assert [report.categories[one.category] for one in (left, small)] == ["dog", "dog"]
    assert [one.image.name for one in (left, other)] == [NAMES[TRAIN], NAMES[VAL]]
    assert "3 are targets, in 5 of 5 expressions" in str(report)
    assert report.source["expressions_key"] == "caption"
    assert defects(report) == {}


def test_any_key_can_have_them(root):
    change(root, {2: {"expression": "a bed", "referring expressions": ["the bed"]}})
    prepare(root, "expression")
    assert [one.expressions[0].text for one in read(root)] == ["a bed"]
    with pytest.raises(DataError, match="holds another data set, made from expressions_key 'expression', not"):
        prepare(root, "referring expressions")


def test_objects_that_cannot_be_targets_are_reported_and_left_out(root):
    change(
        root,
        {
            0: {"caption": "good"},
            1: {"caption": "no outline", "segmentation": []},
            2: {"caption": "no category", "category_id": 99},
            3: {"caption": "no image", "image_id": 77},
        },
    )
    report = prepare(root)
    assert defects(report) == {"empty mask": [6], "unknown category": [7], "annotation of no image": [15]}
    assert [one.ref_id for one in read(root)] == [5]
    assert "1 are targets, in 1 of 4 expressions" in str(report)


def test_one_id_for_several_annotations(root):
    first = json.loads((root / "instances.json").read_text())["annotations"][0]
    change(root, {0: {"caption": "dog"}}, [first | {"caption": "dog"}])
    report = prepare(root)
    assert [len(one.expressions) for one in read(root)] == [1]
    assert defects(report) == {"repeated annotation id": [5]}
    change(root, {}, [first | {"caption": "another dog"}])
    with pytest.raises(DataError, match=f"image {TRAIN} has 2 annotations 5; give each an id of its own"):
        prepare_coco(root / "instances.json", root / "images", root / "other", name="set", expressions_key="caption")
    assert not (root / "other").exists()


@pytest.mark.parametrize(
    ("key", "keys", "sentence"),
    [
        ("caption", {}, "No annotation of .* has an expression under 'caption'; name the key that has them with --exp"),
        ("caption", {0: {"caption": " "}}, "annotation 5: expression 1 is empty or blank"),
        (
            "caption",
            {0: {"caption": 3}},
            r"key 'annotations', entry 0, key 'caption': .* or a list of texts under 'cap",
        ),
        ("caption", {0: {"caption": [["a"]]}}, r"entry 0, key 'caption': Input should be a valid string"),
        ("caption", {0: {"caption": [{"text": "a"}]}}, r"entry 0, key 'caption': Input should be a valid string"),
        ("bbox", {}, r"key 'annotations', entry 0, key 'bbox'"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, key, keys, sentence):
    change(root, keys)
    with pytest.raises(DataError, match=sentence):
        prepare(root, key)
    assert not (root / "out").exists()


def test_a_table_and_a_key_are_refused_together(root):
    with pytest.raises(ConfigError, match="give one of --expressions and --expressions-key"):
        prepare(root, expressions=root / "table.tsv")


def test_the_command_takes_the_key(root):
    change(root, {0: {"caption": "left dog"}})
    options = ["--instances", root / "instances.json", "--images", root / "images", "--output-dir", root / "out"]
    result = CliRunner().invoke(main, ["prepare", "coco", *map(str, options), "--expressions-key", "caption"])
    assert result.exit_code == 0, result.stderr
    assert "1 are targets, in 1 of 1 expressions" in result.stdout
