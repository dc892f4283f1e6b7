"""Refs to referrals: which split, which photo, which of two rounding rules; what the table does not reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from refer_fixture import annotation, photo, rectangle, ref, write_photos, write_refer

from vlt.data.masks import rle_area
from vlt.prepare.published.refer_set import COCO_IDS, MISSING_PHOTO, SPLITS, ReferSet, belongs, photo_folder, read_refer

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
    [target] = referral.targets
    assert isinstance(target, dict)
    assert target["size"] == [30, 40]
    assert rle_area(target) == 4


def test_negative_ref_ids_are_left_out_because_no_mask_can_have_them(tmp_path: Path) -> None:
    refs = [ref(-1, 1, 1, "train", "a"), ref(0, 1, 1, "train", "b"), ref(-1, 1, 1, "val", "c")]
    write_refer(tmp_path, refs, [photo(1, 3, 4)], [BOX])
    found = read(tmp_path)
    assert {kind.name: ids for kind, ids in found.defects.items() if kind.of == "ref_id"} == {
        "negative ref_id": [-1, -1]
    }
    assert [referral.ref_id for referral in found.splits["train"]] == [0]
    assert "val" not in found.splits


def test_a_crowd_alone_is_a_target_in_every_set(tmp_path: Path) -> None:
    crowd = annotation(1, [0, 0, 4, 3], {"size": [3, 4], "counts": [0, 12]}, crowd=1)
    for dataset, ann_id in (("refcoco", 1), ("grefcoco", [1])):
        write_refer(tmp_path, [ref(1, ann_id, 1, "val", "all")], [photo(1, 3, 4)], [crowd], dataset=dataset)
        [referral] = read(tmp_path, dataset).splits["val"]
        [target] = referral.targets
        assert isinstance(target, dict)
        assert rle_area(target) == 12


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


# ---------------------------------------------------------------- entries and photos that do not fit


def found(refer_set: ReferSet) -> dict[str, list[int | str]]:
    return {kind.name: ids for kind, ids in refer_set.defects.items() if kind.name != "no such split"}


def test_an_annotation_of_another_photo_is_not_drawn_on_this_one(tmp_path: Path) -> None:
    photos = [photo(1, 3, 4, "a.jpg"), photo(2, 3, 4, "b.jpg")]
    annotations = [BOX | {"id": i, "image_id": i} for i in (1, 2)]
    refs = [ref(1, 1, 1, "train", "x"), ref(2, 2, 1, "train", "y"), ref(3, 2, 2, "train", "z")]
    write_refer(tmp_path, refs, photos, annotations)
    refer_set = read(tmp_path)
    assert [referral.ref_id for referral in refer_set.splits["train"]] == [1, 3]
    assert found(refer_set) == {"annotation of another photo": [2]}


def test_several_targets_of_which_one_is_on_another_photo(tmp_path: Path) -> None:
    annotations = [BOX | {"id": i, "image_id": i} for i in (1, 2)]
    refs = [ref(1, [1, 2], 1, "val", "both", category=[1, 1]), ref(2, [1], 1, "val", "one", category=[1])]
    write_refer(tmp_path, refs, [photo(1, 3, 4), photo(2, 3, 4)], annotations, dataset="grefcoco")
    refer_set = read(tmp_path, "grefcoco")
    assert [referral.ref_id for referral in refer_set.splits["val"]] == [2]
    assert found(refer_set) == {"annotation of another photo": [1]}


def test_a_photo_under_two_ids_is_reported(tmp_path: Path) -> None:
    photos = [photo(1, 3, 4, "a.jpg"), photo(2, 3, 4, "a.jpg")]
    annotations = [BOX | {"id": i, "image_id": i} for i in (1, 2)]
    write_refer(tmp_path, [ref(1, 1, 1, "train", "x"), ref(2, 2, 2, "val", "y")], photos, annotations)
    refer_set = read(tmp_path)
    assert found(refer_set) == {"photo of several image ids": [2]}
    assert {split for split, members in refer_set.splits.items() if members} == {"train", "val"}


def test_refs_of_repeated_ids_are_left_out_where_the_entries_differ(tmp_path: Path) -> None:
    photos = [photo(1, 3, 4, "a.jpg"), photo(2, 3, 4, "b.jpg"), photo(2, 3, 4, "c.jpg"), photo(1, 3, 4, "a.jpg")]
    annotations = [BOX, BOX, BOX | {"id": 2}, annotation(2, [0, 0, 1, 1], [rectangle(0, 0, 1, 1)])]
    refs = [ref(1, 1, 1, "train", "x"), ref(2, 1, 2, "train", "y"), ref(3, 2, 1, "train", "z")]
    write_refer(tmp_path, refs, photos, annotations)
    refer_set = read(tmp_path)
    assert [referral.ref_id for referral in refer_set.splits["train"]] == [1]
    assert found(refer_set) == {
        "repeated image id": [2, 1],
        "repeated annotation id": [1, 2],
        "image or annotation id of several entries": [2, 3],
    }


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 6])
def test_photos_that_exif_turns_are_left_out_and_counted(tmp_path: Path, orientation: int) -> None:
    photos = [photo(1, 3, 4, "a.jpg"), photo(2, 3, 4, "b.jpg")]
    refs = [ref(1, 1, 1, "train", "x"), ref(2, 1, 2, "train", "y"), ref(3, 1, 2, "train", "z")]
    write_refer(tmp_path, refs, photos, [BOX])
    images = photo_folder(tmp_path, "refcoco")
    write_photos(images, photos)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", (4, 3)).save(images / "b.jpg", exif=exif)
    refer_set = read(tmp_path)
    is_fine = orientation == 1
    assert [referral.ref_id for referral in refer_set.splits["train"]] == ([1, 2, 3] if is_fine else [1])
    assert found(refer_set) == ({} if is_fine else {"photo that EXIF rotates or mirrors": [2, 3]})
    assert f"2 x EXIF orientation {orientation}; write the pixels upright" in refer_set.defects.summary() or is_fine


def test_photos_that_are_unreadable_or_of_another_size_are_left_out(tmp_path: Path) -> None:
    photos = [photo(i, 3, 4, f"{i}.jpg") for i in (1, 2, 3)]
    write_refer(tmp_path, [ref(i, 1, i, "train", "x") for i in (1, 2, 3)], photos, [BOX])
    images = photo_folder(tmp_path, "refcoco")
    write_photos(images, photos)
    Image.new("RGB", (5, 3)).save(images / "2.jpg")
    (images / "3.jpg").write_text("no photo")
    refer_set = read(tmp_path)
    assert [referral.ref_id for referral in refer_set.splits["train"]] == [1]
    assert found(refer_set) == {"photo of another size than stated": [2], "unreadable photo": [3]}


def test_missing_photos_that_are_found_under_another_name_are_explained(tmp_path: Path) -> None:
    photos = [photo(1, 3, 4, "a.jpg"), photo(2, 3, 4, "B.JPG")]
    write_refer(tmp_path, [ref(i, 1, i, "train", "x") for i in (1, 2)], photos, [BOX])
    images = photo_folder(tmp_path, "refcoco")
    write_photos(images, photos)
    (images / "B.JPG").rename(images / "b.jpg")
    summary = read(tmp_path).defects.summary()
    assert "missing photo 1 time (1 x file_name differs from the file in upper and lower case" in summary
    (images / "sub").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (images / name).rename(images / "sub" / name)
    assert read(tmp_path).notes == [
        f"Images were not checked: {images} holds none of the 2, such as 'B.JPG', where 'sub/b.jpg' exists."
    ]


def test_targets_are_a_tuple_of_masks(tmp_path: Path) -> None:
    """Crowds among several are left out; where all are crowds, they are the targets."""
    crowd = [annotation(i, [0, 0, 4, 3], {"size": [3, 4], "counts": [0, 12]}, crowd=1) for i in (2, 3)]
    cases = ([1], [-1], [1, 2], [2, 3], [1, 4])
    refs = [ref(i, ids, 1, "val", "x", category=[1]) for i, ids in enumerate(cases)]
    other = annotation(4, [2, 0, 1, 1], [rectangle(2, 0, 3, 1)])
    write_refer(tmp_path, refs, [photo(1, 3, 4)], [BOX, *crowd, other], dataset="grefcoco")
    areas = [
        [rle_area(target) for target in referral.targets]  # type: ignore[arg-type]
        for referral in read(tmp_path, "grefcoco").splits["val"]
    ]
    assert areas == [[4], [], [4], [12, 12], [4, 1]]


def test_malformed_segmentations_are_told_with_the_reason(tmp_path: Path) -> None:
    shapes = [[[[0, 0], [2, 0], [2, 2], [0, 2]]], [0, 0, 2, 0, 2, 2], [[0, 0, 2, 0, 2, 2, 1], rectangle(0, 0, 2, 2)]]
    annotations = [annotation(i, [0, 0, 2, 2], shape) for i, shape in enumerate(shapes)]
    write_refer(tmp_path, [ref(i, i, 1, "val", "x") for i in range(3)], [photo(1, 3, 4)], annotations)
    refer_set = read(tmp_path)
    assert [rle_area(referral.targets[0]) for referral in refer_set.splits["val"]] == [4, 4]  # type: ignore[arg-type]
    assert found(refer_set) == {"unreadable segmentation": [1], "degenerate polygon": [2]}
    summary = refer_set.defects.summary()
    assert "unreadable segmentation 1 time (1 x A polygon is not a flat list of coordinates" in summary
    assert "degenerate polygon 1 time (1 x an odd number of coordinates, such as ref_id 2)" in summary


def test_files_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    refs = [ref(1, [1], 1, "val", "one", category=[1])]
    folder = write_refer(tmp_path, refs, [photo(1, 3, 4)], [BOX], dataset="grefcoco")
    for path in folder.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(tmp_path, "grefcoco").splits["val"]) == 1


def test_ids_of_other_types_are_explained(tmp_path: Path) -> None:
    refs = [ref(1, 1, "1", "train", "x"), ref(2, "1", 1, "train", "x"), ref(3, 7, 1, "train", "x")]
    write_refer(tmp_path, refs, [photo(1, 90, 90)], [BOX])
    summary = read(tmp_path).defects.summary()
    assert "image_id and the id in instances.json are text and number; use one type, such as image_id '1'" in summary
    assert "ann_id and the id in instances.json are text and number; use one type, such as ann_id '1'" in summary
    assert "such as ann_id 7" in summary


def test_sentences_of_invisible_characters_are_empty(tmp_path: Path) -> None:
    write_refer(tmp_path, [ref(1, 1, 1, "train", "\xad")], [photo(1, 90, 90)], [BOX])
    assert "empty sentence 1 time" in read(tmp_path).defects.summary()


def test_ref_zom_has_several_targets_one_and_none(tmp_path: Path) -> None:
    photos = [photo(1, 4, 6), photo(2, 4, 6, "COCO_val2014_000000000002.jpg")]
    annotations = [annotation(i, [2 * i, 0, 2, 2], [rectangle(2 * i, 0, 2 * i + 2, 2)]) for i in (0, 1, 2)]
    refs = [
        ref(1, [0, 2], 1, "train", "both", category=[1, 1]),
        ref(2, [], 2, "train", "a whale", category=[]),
        ref(3, [-1], 2, "train", "a shark", category=[-1]),
        ref(4, -1, 1, "test", "a squid", category=-1),
        ref(5, 1, 2, "test", "the middle one"),
        ref(6, [1], 2, "test", "the same", category=[18]),
        ref(7, [1, 9], 2, "test", "one of them is nowhere", category=[1, 1]),
    ]
    write_refer(tmp_path, refs, photos, annotations, dataset="ref-zom", split_by="final")
    write_photos(tmp_path / "images" / "trainval2014", photos)
    found = read(tmp_path, "ref-zom", "final")
    targets = {split: {one.ref_id: len(one.targets) for one in members} for split, members in found.splits.items()}
    assert targets == {"train": {1: 2, 2: 0, 3: 0}, "test": {4: 0, 5: 1, 6: 1}}
    assert found.splits["train"][0].box == (0, 0, 6, 2)
    assert found.splits["test"][1].image == tmp_path / "images" / "trainval2014" / "COCO_val2014_000000000002.jpg"
    assert {kind.name: ids for kind, ids in found.defects.items()} == {"missing annotation": [7]}
    assert found.notes == []


@pytest.mark.parametrize("there", [("ref_zom",), ("ref-zom",), ("ref_zom", "ref-zom")])
def test_the_folder_of_ref_zom_has_either_name(tmp_path: Path, there: tuple[str, ...]) -> None:
    for number, name in enumerate(there):
        write_refer(tmp_path, [ref(number, 1, 1, "test", "x")], [photo(1, 3, 4)], [BOX], dataset=name, split_by="final")
    [referral] = read(tmp_path, "ref-zom", "final").splits["test"]
    assert referral.ref_id == len(there) - 1
