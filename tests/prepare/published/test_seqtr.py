"""SeqTR's files: entries become refs of their own split, with their masks, categories and defects."""

import json

import numpy as np
import pytest
from refer_fixture import photo, rectangle, write_photos

from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import DataError
from vlt.prepare.published.refer import EXPECTED
from vlt.prepare.published.seqtr import prepare_seqtr, published_counts

PHOTOS = [photo(11, 6, 8), photo(12, 5, 10), photo(13, 4, 4)]


def entry(image_id=11, box=(1.0, 1.0, 4.0, 3.0), *texts, **keys):
    height, width = next(((each["height"], each["width"]) for each in PHOTOS if each["id"] == image_id), (4, 4))
    x, y, w, h = box
    given = {
        "bbox": list(box),
        "image_id": image_id,
        "height": height,
        "width": width,
        "category_id": 16,
        "mask": [rectangle(x, y, x + w, y + h)],
        "expressions": list(texts or ("left dog",)),
    }
    return given | keys


@pytest.fixture
def root(tmp_path):
    write_photos(tmp_path / "images", PHOTOS[:2])
    return tmp_path


def write(root, content, folder="any"):
    path = root / folder / "instances.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def prepare(root, content, folder="any", **how):
    return prepare_seqtr(write(root, content, folder), root / "images", root / "out", name="set", **how)


def read(root, split="train"):
    return read_prepared(root / "out", "set", split, root / "images")


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def test_entries_become_the_refs_of_their_split(root):
    runs = {"size": [5, 10], "counts": [5, 10, 35]}
    content = {
        "train": [entry(11, (1.9, 1.2, 4.7, 3.9), " left dog ", "dog", mask=[rectangle(1, 1, 5, 4)])],
        "val_refcoco_unc": [entry(12, mask=runs, category_id=0), entry(11)],
    }
    report = prepare(root, content)
    [first] = read(root)
    assert first.image == root / "images" / "COCO_train2014_000000000011.jpg"
    assert [one.text for one in first.expressions] == ["left dog", "dog"]
    assert first.box == (1, 1, 5, 4)
    mask = np.zeros((6, 8), bool)
    mask[1:4, 1:5] = True
    assert np.array_equal(read_targets(first.targets, (1, 1)), mask)
    person, dog = read(root, "val_refcoco_unc")
    assert [report.categories[one.category] for one in (first, person, dog)] == ["dog", "person", "dog"]
    assert read_targets(person.targets, (1, 1)).sum() == 10
    assert [one.ref_id for one in (first, person, dog)] == [0, 1, 2]
    assert {split: tuple(counts) for split, counts in report.counts.items()} == {
        "train": (1, 1, 2),
        "val_refcoco_unc": (2, 2, 2),
    }
    assert defects(report) == {}


def test_categories_by_cocos_ids_are_recognised(root):
    report = prepare(root, {"train": [entry(category_id=18), entry(category_id=90), entry(category_id=12)]})
    names = [one.category if one.category < 0 else report.categories[one.category] for one in read(root)]
    assert names == ["dog", "toothbrush", -1]
    assert defects(report) == {"unknown category": [2]}


def test_the_category_may_stand_under_cat_or_be_missing(root):
    other, missing = entry(cat=15), entry()
    del other["category_id"], missing["category_id"]
    report = prepare(root, {"train": [other, missing]})
    assert report.categories[read(root)[0].category] == "cat"
    assert defects(report) == {"unknown category": [1]}


def test_entries_that_cannot_be_used_are_reported(root):
    content = {
        "train": [
            entry(),
            entry(13),
            entry(mask=None),
            entry(mask=[]),
            entry(mask=[[1, 1, 2, 2], rectangle(0, 0, 2, 2)]),
            entry(mask={"size": [9, 9], "counts": [81]}),
            entry(expressions=[]),
            entry(12, height=10, width=5),
        ],
        "val": [entry(mask=None)],
    }
    report = prepare(root, content)
    assert defects(report) == {
        "no outline": [2, 3, 8],
        "missing photo": [1],
        "degenerate polygon": [4],
        "unreadable segmentation": [5],
        "no sentence": [6],
        "photo of another size than stated": [7],
        "no such split": ["val"],
    }
    assert [one.ref_id for one in read(root)] == [0, 4]
    assert json.loads((root / "out/anns/set/prepare.json").read_text())["counts"] == {
        "train": {"refs": 2, "images": 1, "sentences": 2}
    }


def test_entries_that_contradict_each_other_about_an_image_are_left_out(root):
    report = prepare(root, {"train": [entry(11), entry(11, height=7), entry(12)]})
    assert defects(report) == {"repeated image id": [11], "image or annotation id of several entries": [0, 1]}
    assert [one.ref_id for one in read(root)] == [2]


def test_annotations_can_be_prepared_before_the_photos_come(root):
    for path in (root / "images").iterdir():
        path.unlink()
    report = prepare(root, {"train": [entry()]})
    assert report.counts["train"].refs == 1
    assert "Images were not checked: " in str(report)


def test_counts_are_compared_where_the_set_is_recognised(root):
    assert "expected" not in str(prepare(root, {"val": [entry()]})).replace("expected counts", "")
    report = prepare_seqtr(
        write(root, {"val": [entry()]}, "refcocoplus-unc"), root / "images", root / "out", name="other"
    )
    assert "val: 1 refs, expected 3,805" in report.differences()
    found = published_counts(root / "instances.json", ["train", "testA_refcoco_unc", "val_refcocog_umd", "val_x"])
    assert found == {
        "testA_refcoco_unc": EXPECTED["refcoco", "unc"]["testA"],
        "val_refcocog_umd": EXPECTED["refcocog", "umd"]["val"],
    }


def test_splits_that_a_corrected_file_no_longer_has_are_removed(root):
    prepare(root, {"train": [entry()], "val": [entry(12)]})
    prepare(root, {"train": [entry()]})
    assert split_names(root / "out", "set") == ["train"]


# ---------------------------------------------------------------- several targets, or none

LEFT, RIGHT = [rectangle(0, 0, 2, 2)], [rectangle(4, 1, 7, 4)]


def several(image_id, raw, *targets, **keys):
    """An entry as DeRIS and InstanceVG write them."""
    height, width = next((each["height"], each["width"]) for each in PHOTOS if each["id"] == image_id)
    given = {"image_id": image_id, "height": height, "width": width, "annotations": list(targets)}
    return given | {"expressions": {"raw": raw, "sent": "unused", "tokens": []}} | keys


def target(segmentation=None, bbox=(0, 0, 2, 2), category=18, **keys):
    return {"bbox": bbox and list(bbox), "segmentation": segmentation, "category_id": category, "id": 5} | keys


def test_the_objects_of_an_entry_are_its_targets(root):
    crowd = {"size": [6, 8], "counts": [0, 48]}
    content = {
        "train": [
            several(11, "both dogs", target(LEFT), target(RIGHT, (4, 1, 3, 3))),
            several(11, ["left one", "the left"], target(LEFT, category=1)),
            several(11, "dogs, not the crowd", target(LEFT), target(crowd, (0, 0, 8, 6), iscrowd=1)),
        ],
        "testA": [entry(12, category_id=17)],
    }
    report = prepare(root, content)
    both, left, one = read(root)
    [cat] = read(root, "testA")
    assert [len(each.targets) for each in (both, left, one, cat)] == [2, 1, 1, 1]
    assert [int(read_targets(each.targets, (1, 1)).sum()) for each in (both, left, one)] == [13, 4, 4]
    assert (both.box, left.box) == ((0, 0, 7, 4), (0, 0, 2, 2))
    assert [each.text for each in left.expressions] == ["left one", "the left"]
    assert [each.ref_id for each in (both, left, one, cat)] == [0, 1, 2, 3]
    # COCO's ids in entries of several objects, 0 to 79 in the others of a file without a larger one
    assert [report.categories[each.category] for each in (both, left, cat)] == ["dog", "person", "horse"]
    assert defects(report) == {}


def test_nothing_may_match_an_expression(root):
    nothing = [
        several(11, "a zebra"),
        several(11, "a cow", {}),
        several(11, "a cup", target(None, None)),
        several(11, "a fox", target(None, (0, 0, 0, 0), -1)),
        several(11, "a hen", target([], (0, 0, 0, 0), -1)),
    ]
    report = prepare(root, {"val": [*nothing, several(11, "a dog", target(LEFT))]})
    found = read(root, "val")
    assert [len(each.targets) for each in found] == [0, 0, 0, 0, 0, 1]
    assert {(each.category, each.box) for each in found[:5]} == {(-1, None)}
    assert defects(report) == {}


def test_entries_may_name_their_image(root):
    (root / "images" / "COCO_train2014_000000000012.jpg").rename(root / "images" / "COCO_val2014_000000000012.jpg")
    prepare(root, {"test": [several(12, "dog", target(LEFT), file_name="COCO_val2014_000000000012.jpg")]})
    assert [each.image.name for each in read(root, "test")] == ["COCO_val2014_000000000012.jpg"]


def test_each_expression_of_an_image_may_have_objects_of_its_own(root):
    grouped = {
        "image_id": 11,
        "height": 6,
        "width": 8,
        "expressions": ["both", "a zebra", "right dog", "boxes alone"],
        "annotations": [[target(LEFT), target(RIGHT)], [], [target(RIGHT, (4, 1, 3, 3))], [target(LEFT), target(None)]],
        "bbox": [[[0, 0, 2, 2], [4, 1, 3, 3]], [], [[4, 1, 3, 3]], [[0, 0, 2, 2], [0, 0, 2, 2]]],
    }
    report = prepare(root, {"train": [grouped, entry(12)]})
    both, zebra, right, dog = read(root)
    assert [each.ref_id for each in (both, zebra, right, dog)] == [0, 1, 2, 4]
    assert [each.expressions[0].text for each in (both, zebra, right, dog)] == [
        "both",
        "a zebra",
        "right dog",
        "left dog",
    ]
    assert [int(read_targets(each.targets, (1, 1)).sum()) for each in (both, right, dog)] == [13, 9, 12]
    assert zebra.targets == ()
    assert defects(report) == {"no outline": [3]}


def test_objects_without_an_outline_are_reported(root):
    content = {"train": [several(11, "a", target(None)), several(11, "b", target(LEFT), target(None)), entry(12)]}
    report = prepare(root, content)
    assert defects(report) == {"no outline": [0, 1]}
    assert [each.ref_id for each in read(root)] == [2]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            several(11, "a", target(LEFT, (1, 2, 3))),
            r"entry 0, key 'annotations', entry 0, key 'bbox', entry 3: Field req",
        ),
        (
            several(11, "a", target(LEFT, None)),
            r"key 'annotations', entry 0: Value error, a segmentation without a bbox",
        ),
        (several(11, "a") | {"expressions": {"sent": "a"}}, r"entry 0, key 'expressions', key 'raw': Field required"),
        (several(11, "a") | {"expressions": ["a", "b"]}, r"entry 0: Value error, 0 annotations for 2 expressions"),
        ([several(11, "a")], r"key 'train', entry 0: Input should be "),
    ],
)
def test_other_entries_of_several_objects_are_refused(root, wrong, sentence):
    with pytest.raises(DataError, match=sentence):
        prepare(root, {"train": [wrong]})
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0a\n", "is a pointer of Git LFS .*`git lfs pull`"),
        (json.dumps({"train": [entry()]})[:-9], "instances.json: Invalid JSON: EOF .*; a file of splits is needed"),
        ([entry()], r"instances.json: Input should be .*; a file of splits is needed"),
        ({"images": [{"id": 1, "file_name": "a"}]}, r"key 'images', entry 0, key 'image_id': .*`vlt prepare refer`"),
        ({"train": [entry(), entry(expressions="dog")]}, r"key 'train', entry 1, key 'expressions': Input should be"),
        ({"train": [entry(bbox=[1, 2, 3])]}, r"key 'train', entry 0, key 'bbox', entry 3: Field required"),
        ({"train": [entry(height=0)]}, r"key 'height': Input should be greater than 0"),
        ({"train": []}, "holds no entry in any split"),
        ({"../val": [entry()]}, r"has a split '\.\./val', which cannot be the name of a file"),
        ({"Prepare": [entry()]}, "has a split 'Prepare', which cannot be the name of a file beside prepare.json"),
        ({"train": [several(11, "a", target(None)), several(11, "b")]}, "No ref of .* can be used: no outline 1 time"),
        ({"train": [entry(mask=None)]}, "No ref of .*instances.json can be used: no outline 1 time"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, content, sentence):
    with pytest.raises(DataError, match=sentence):
        prepare(root, content)
    assert not (root / "out").exists()


def test_a_folder_of_images_is_needed(root):
    with pytest.raises(DataError, match=r"There is no folder of images .*nowhere; name the one"):
        prepare_seqtr(write(root, {"train": [entry()]}), root / "nowhere", root / "out", name="set")
