"""Refs to referrals: which split, which photo, which of two rounding rules; what the table does not reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refer_fixture import annotation, photo, rectangle, ref, write_photos, write_refer

from vlt.data.masks import rle_area
from vlt.data.prepare.refer_set import COCO_IDS, MISSING_PHOTO, SPLITS, ReferSet, belongs, photo_folder, read_refer

BOX = annotation(1, [0, 0, 2, 2], [rectangle(0, 0, 2, 2)])


def read(root: Path, dataset: str = "refcoco", split_by: str = "unc") -> ReferSet:
    return read_refer(root, dataset, split_by, photo_folder(root, dataset))


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("train", ["train"]),
        ("val", ["val"]),
        ("testA", ["testA", "test"]),
        ("testAB", ["testA", "testB", "test"]),
        ("testBC", ["testB", "testC", "test"]),
        ("test", ["test"]),
        ("minival", []),
    ],
)
def test_which_splits_a_ref_belongs_to(name: str, splits: list[str]) -> None:
    every = ["train", "val", "testA", "testB", "testC", "test"]
    assert [split for split in every if belongs(name, split)] == [split for split in every if split in splits]


def test_cocos_eighty_categories() -> None:
    assert len(COCO_IDS) == 80
    assert [COCO_IDS.index(number) for number in (1, 11, 13, 44, 90)] == [0, 10, 11, 39, 79]


def test_boxes_are_truncated_corner_and_sides_apart(tmp_path: Path) -> None:
    """Not int(x + width): the original truncates both terms, which can lose a pixel."""
    annotations = [annotation(1, [1.6, 2.7, 3.6, 4.5], []), annotation(2, [0.5, 0, 0.5, 99], [])]
    write_refer(tmp_path, [ref(i, i, 1, "val", "x") for i in (1, 2)], [photo(1, 90, 90)], annotations)
    assert [referral.box for referral in read(tmp_path).splits["val"]] == [(1, 2, 4, 6), (0, 0, 0, 99)]


def test_photos_of_several_folders(tmp_path: Path) -> None:
    """Names come from instances.json, sub-folders too, never from the ref."""
    photos = [photo(1, 3, 4, "a.jpg"), photo(2, 3, 4, "sub/b.jpg"), photo(3, 3, 4, "sub/c.jpg")]
    write_refer(tmp_path, [ref(i, 1, i, "train", "x") for i in (1, 2, 3)], photos, [BOX])
    images = photo_folder(tmp_path, "refcoco")
    (images / "sub").mkdir(parents=True)
    write_photos(images, photos[:2])
    found = read(tmp_path)
    assert [referral.image for referral in found.splits["train"]] == [images / "a.jpg", images / "sub/b.jpg"]
    assert found.defects[MISSING_PHOTO] == [3]
    assert found.notes == []


def test_masks_are_of_the_photos_size_in_instances(tmp_path: Path) -> None:
    write_refer(tmp_path, [ref(1, 1, 1, "train", "x")], [photo(1, 30, 40)], [BOX])
    [referral] = read(tmp_path).splits["train"]
    assert isinstance(referral.target, dict)
    assert referral.target["size"] == [30, 40]
    assert rle_area(referral.target) == 4


def test_a_crowd_alone_is_a_target_in_every_set(tmp_path: Path) -> None:
    crowd = annotation(1, [0, 0, 4, 3], {"size": [3, 4], "counts": [0, 12]}, crowd=1)
    for dataset, ann_id in (("refcoco", 1), ("grefcoco", [1])):
        write_refer(tmp_path, [ref(1, ann_id, 1, "val", "all")], [photo(1, 3, 4)], [crowd], dataset=dataset)
        [referral] = read(tmp_path, dataset).splits["val"]
        assert isinstance(referral.target, dict)
        assert rle_area(referral.target) == 12


def test_several_targets_of_which_one_is_missing(tmp_path: Path) -> None:
    refs = [ref(1, [1, 2], 1, "val", "both", category=[1, 1]), ref(2, [1], 1, "val", "one", category=[])]
    write_refer(tmp_path, refs, [photo(1, 3, 4)], [BOX], dataset="grefcoco")
    found = read(tmp_path, "grefcoco")
    assert [referral.ref_id for referral in found.splits["val"]] == [2]
    assert {kind.name: ids for kind, ids in found.defects.items()} == {
        "missing annotation": [1],
        "unknown category": [2],
        "no such split": ["train", "testA", "testB"],
    }


def test_every_data_set_and_split_can_be_read(tmp_path: Path) -> None:
    for dataset, ways in SPLITS.items():
        for split_by, splits in ways.items():
            ann_id = [1] if dataset == "grefcoco" else 1
            refs = [ref(i, ann_id, 1, split, "x") for i, split in enumerate(splits)]
            write_refer(tmp_path, refs, [photo(1, 3, 4)], [BOX], dataset=dataset, split_by=split_by, categories=[1])
            found = read(tmp_path, dataset, split_by)
            assert tuple(found.splits) == splits
            assert not found.defects


@pytest.mark.parametrize(("names", "found"), [({300: "bear", 7: "sky"}, ["sky", "bear"]), ({300: "bear"}, [])])
def test_categories_are_named_by_their_index_where_all_have_a_name(
    tmp_path: Path, names: dict[int, str], found: list[str]
) -> None:
    folder = write_refer(tmp_path, [ref(1, 1, 1, "train", "x")], [photo(1, 3, 4)], [BOX], dataset="refclef")
    instances = json.loads((folder / "instances.json").read_text())
    instances["categories"] = [{"id": number, "name": names.get(number)} for number in (300, 7)]
    (folder / "instances.json").write_text(json.dumps(instances))
    assert read(tmp_path, "refclef").categories == found
