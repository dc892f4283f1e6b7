"""RefCOCOm: parts and objects with a mask file each, and splits that keep the level in their names."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from vlt.cli import main
from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import ConfigError, DataError
from vlt.prepare.published.refcocom import prepare_refcocom

NAMES = {11: "COCO_train2014_000000000011.jpg", 12: "COCO_train2014_000000000012.jpg"}
SIZES = {11: (6, 8), 12: (5, 10)}  # height, width
EAR, DOG = (slice(0, 2), slice(1, 3)), (slice(0, 4), slice(1, 7))
"""Rows and columns of a part and of its object in the first image."""


def mask_of(place, image_id=11):
    mask = np.zeros(SIZES[image_id], bool)
    mask[place] = True
    return mask


def entry(segment_id, image_id, *texts, **keys):
    sentences = [{"idx": index, "sent_id": index, "sent": text} for index, text in enumerate(texts)]
    given = {"segment_id": segment_id, "img_name": NAMES[image_id], "sentences": sentences}
    return {"bbox": [0, 0, 1, 1], "cat": 16, "sentences_num": len(sentences)} | given | keys


@pytest.fixture
def root(tmp_path):
    for folder in ("RefCOCOm/annotations", "RefCOCOm/masks", "images"):
        (tmp_path / folder).mkdir(parents=True)
    for image_id, (height, width) in SIZES.items():
        PILImage.new("RGB", (width, height)).save(tmp_path / "images" / NAMES[image_id])
    return tmp_path


def write(root, masks, **splits):
    for segment_id, mask in masks.items():
        PILImage.fromarray(mask.astype(np.uint8) * 255).save(root / "RefCOCOm" / "masks" / f"{segment_id}.png")
    for split, entries in splits.items():
        content = entries if isinstance(entries, str) else json.dumps(entries)
        (root / "RefCOCOm" / "annotations" / f"{split}.json").write_text(content)


def prepare(root, **how):
    return prepare_refcocom(root / "RefCOCOm", root / "images", root / "out", name="set", **how)


def read(root, split):
    return read_prepared(root / "out", "set", split, root / "images")


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def test_parts_and_objects_are_in_splits_of_their_level(root):
    ear, dog = entry(70, 11, " left ear of the dog ", "ear"), entry(7, 11, "the dog")
    write(root, {70: mask_of(EAR), 7: mask_of(DOG)}, val_part_only=[ear], val_object_part=[ear, dog])
    report = prepare(root)
    assert split_names(root / "out", "set") == ["val_object_part", "val_part_only"]
    [part] = read(root, "val_part_only")
    both = read(root, "val_object_part")
    assert [one.ref_id for one in (part, *both)] == [70, 70, 7]
    assert [one.text for one in part.expressions] == ["left ear of the dog", "ear"]
    assert np.array_equal(read_targets(part.targets, (1, 1)), mask_of(EAR))
    assert np.array_equal(read_targets(both[1].targets, (1, 1)), mask_of(DOG))
    assert (part.box, part.category, part.image) == ((1, 0, 3, 2), -1, root / "images" / NAMES[11])
    assert {split: tuple(counts) for split, counts in report.counts.items()} == {
        "val_part_only": (1, 1, 2),
        "val_object_part": (2, 1, 3),
    }
    assert defects(report) == {}
    assert "No expected counts are known" in str(report)


def test_ids_that_are_text_get_numbers_above_the_others(root):
    entries = [entry("7_ear", 11, "ear"), entry(7, 11, "dog"), entry("7_tail", 11, "tail")]
    masks = {"7_ear": mask_of(EAR), 7: mask_of(DOG), "7_tail": mask_of(DOG)}
    write(root, masks, testA_object_part=entries, testA_part_only=[entries[2], entries[0]])
    prepare(root)
    assert [one.ref_id for one in read(root, "testA_part_only")] == [8, 9]
    found = {one.ref_id: one for one in read(root, "testA_object_part")}
    assert [found[number].expressions[0].text for number in (7, 8, 9)] == ["dog", "tail", "ear"]
    assert read_targets(found[9].targets, (1, 1)).sum() == 4


def test_splits_can_be_chosen(root):
    write(root, {7: mask_of(DOG)}, val_part_only=[entry(7, 11, "a")], testB_part_only=[entry(7, 11, "b")])
    prepare(root, splits=["testB_part_only"])
    assert split_names(root / "out", "set") == ["testB_part_only"]


def test_entries_that_cannot_be_used_are_reported(root):
    (root / "images" / NAMES[12]).unlink()
    entries = [
        entry(1, 11, "good"),
        entry(2, 11, "no mask"),
        entry(3, 11, "no PNG"),
        entry(4, 12, "no photo"),
        entry(5, 11, "empty"),
        entry(6, 11),
        entry(1, 11, "again"),
        entry(1, 12, "of another photo"),
        entry(-8, 11, "negative"),
    ]
    masks = {number: mask_of(EAR) for number in (1, 6, -8)} | {4: mask_of(EAR, 12), 5: np.zeros(SIZES[11], bool)}
    write(root, masks, val_part_only=entries)
    (root / "RefCOCOm" / "masks" / "3.png").write_text("no picture")
    report = prepare(root)
    assert defects(report) == {
        "missing mask": [2],
        "unreadable segmentation": [3],
        "missing photo": [4],
        "empty mask": [5],
        "no sentence": [6],
        "repeated ref_id": [1, 1],
        "negative ref_id": [-8],
    }
    assert "such as 2.png" in str(report)
    assert [one.ref_id for one in read(root, "val_part_only")] == [1, 5]


def test_masks_of_another_size_than_their_photo_are_left_out(root):
    write(
        root,
        {1: mask_of(EAR, 12), 2: mask_of(EAR), 3: mask_of(EAR, 12)},
        val_part_only=[entry(1, 11, "a"), entry(3, 12, "c")],
        val_object_part=[entry(1, 11, "a")],
        testA_part_only=[entry(2, 11, "b")],
    )
    report = prepare(root, splits=["val_part_only", "val_object_part"])
    assert defects(report) == {"photo of another size than stated": [1, 1], "no such split": ["val_object_part"]}
    report = prepare_refcocom(root / "RefCOCOm", root / "images", root / "out", name="other")
    assert defects(report)["image or annotation id of several entries"] == [1, 1, 2]
    assert split_names(root / "out", "other") == ["val_part_only"]


def test_annotations_can_be_prepared_before_the_photos_come(root):
    for path in (root / "images").iterdir():
        path.unlink()
    write(root, {1: mask_of(EAR)}, val_part_only=[entry(1, 11, "a")])
    assert "Images were not checked: " in str(prepare(root))


@pytest.mark.parametrize(
    ("splits", "how", "sentence"),
    [
        ({}, {}, r"There is no .*val_part_only.json; name the folder with RefCOCOm's files"),
        ({"val": []}, {}, r"There is no .*val_part_only.json; .*annotations holds val.json"),
        (
            {"val_part_only": []},
            {"splits": ["val_object_part"]},
            r"There is no .*val_object_part.json; .*annotations holds val_part_only.json",
        ),
        ({}, {"splits": ["val"]}, "RefCOCOm has no split 'val'; it has val_part_only, val_object_part, testA_part"),
        ({"val_part_only": "[{"}, {}, r"val_part_only.json: Invalid JSON: EOF .*; RefCOCOm's list of segment_id"),
        ({"val_part_only": [{"segment_id": 1}]}, {}, r"entry 0, key 'img_name': Field required"),
        ({"val_part_only": [entry("../1", 11, "a")]}, {}, r"entry 0, key 'segment_id'.*; RefCOCOm's list"),
        ({"val_part_only": [entry(9, 11, "a")]}, {}, r"No ref of .*RefCOCOm can be used: missing mask 1 time"),
        ({"val_part_only": []}, {}, r"No ref of .*RefCOCOm can be used"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, splits, how, sentence):
    write(root, {}, **splits)
    with pytest.raises(DataError, match=sentence):
        prepare(root, **how)
    assert not (root / "out").exists()


def test_a_folder_of_images_and_a_plain_name_are_needed(root):
    write(root, {1: mask_of(EAR)}, val_part_only=[entry(1, 11, "a")])
    with pytest.raises(DataError, match="There is no folder of images"):
        prepare_refcocom(root / "RefCOCOm", root / "nowhere", root / "out", name="set")
    with pytest.raises(ConfigError, match="cannot be the name of a data set"):
        prepare_refcocom(root / "RefCOCOm", root / "images", root / "out", name="a/b")


def test_the_command_prints_the_report(root):
    write(root, {1: mask_of(EAR)}, val_part_only=[entry(1, 11, "a")])
    options = ["prepare", "refcocom", root / "RefCOCOm", "--images", root / "images", "--output-dir", root / "out"]
    result = CliRunner().invoke(main, [str(each) for each in options])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("refcocom: refs / images / sentences")
    assert split_names(root / "out", "refcocom") == ["val_part_only"]
