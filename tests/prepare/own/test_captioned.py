"""COCO instance files whose annotations have expressions: every key for them, and what is refused."""

import json

import numpy as np
import pytest
from records_fixture import NAMES, TRAIN, VAL, mask_of, write_folder

from vlt.data.masks import read_targets
from vlt.errors import DataError
from vlt.prepare.own.captioned import read_captioned
from vlt.prepare.own.record_set import read_records, read_referrals
from vlt.types import Standing


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def caption(root, keys):
    """Add keys to annotations, by their position."""
    content = json.loads((root / "instances.json").read_text())
    for position, more in keys.items():
        content["annotations"][position] |= more
    (root / "instances.json").write_text(json.dumps(content))
    return root / "instances.json"


def test_expressions_under_any_key_become_referrals(root):
    path = caption(
        root,
        {
            0: {"expressions": ["left dog", "big dog "]},
            1: {"expression": "small dog", "caption": ""},
            2: {"caption": "a bed"},
            3: {"sentences": [{"sent": "dog on the left", "raw": "x"}, "a dog"]},
            4: {"expressions": []},
        },
    )
    found = read_referrals(read_records([path]), [root / "images"], [path])
    texts = [[each.text for each in one.expressions] for one in found.referrals]
    assert texts == [["left dog", "big dog"], ["small dog"], ["a bed"], ["dog on the left", "a dog"]]
    assert [one.ref_id for one in found.referrals] == [5, 6, 7, 15]
    assert [one.standing for one in found.referrals][:3] == [Standing(2, 1), Standing(2, 2), Standing(1, 1)]
    assert np.array_equal(read_targets(found.referrals[0].targets, (1, 1)), mask_of(5))
    assert [found.categories[one.category] for one in found.referrals] == ["dog", "dog", "bed", "dog"]
    assert {split: len(members) for split, members in found.split().items()} == {"train": 3, "val": 1}
    assert found.image_ids == {root / "images" / NAMES[TRAIN]: TRAIN, root / "images" / NAMES[VAL]: VAL}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "No annotation of .* has an expression; write them under one of expressions"),
        ({0: {"expression": " "}}, "annotation 5: expression 1 is empty or blank"),
        ({0: {"expression": "a", "image_id": 77}}, "annotation 5: there is no image 77"),
        ({0: {"expression": "a"}, 1: {"expression": "b", "id": 5}}, "annotation 5: another annotation"),
        ({0: {"expressions": "a"}}, "key 'expressions'"),
        ({0: {"caption": 3}}, "key 'caption'"),
    ],
)
def test_bad_files_are_refused(root, keys, sentence):
    with pytest.raises(DataError, match=sentence):
        read_captioned(caption(root, keys))
