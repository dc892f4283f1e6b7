"""PhraseCut's files: a task becomes a ref with all its instances as targets, in the split of its file."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from vlt.categories import COCO_CATEGORIES
from vlt.cli import main
from vlt.data.masks import read_target
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import ConfigError, DataError
from vlt.prepare.published.phrasecut import EXPECTED, prepare_phrasecut

SIZES = {11: (6, 8), 12: (5, 10), 13: (4, 4)}  # height, width
IMAGE_SPLITS = {11: "train", 12: "val", 13: "miniv"}


def square(left, top, right, bottom):
    """A polygon as a list of points."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def task(image_id, phrase, *instances, name="horses", **keys):
    """A task whose instances are lists of polygons, the first a square, of which the box is two pixels high."""
    corners = [(polygons[0][0], polygons[0][len(polygons[0]) // 2]) for polygons in instances]
    boxes = [[left, top, right - left, 2] for (left, top), (right, _) in corners]
    given = {
        "task_id": f"{image_id}__{phrase}",
        "image_id": image_id,
        "ann_ids": [1, 2],
        "instance_boxes": boxes,
        "Polygons": list(instances),
        "phrase": phrase,
        "phrase_structure": {
            "name": name,
            "attributes": ["black"],
            "relation_ids": [],
            "relation_descriptions": [],
            "type": "attribute",
        },
    }
    return given | keys


@pytest.fixture
def root(tmp_path):
    (tmp_path / "files" / "images").mkdir(parents=True)
    for image_id, (height, width) in SIZES.items():
        PILImage.new("RGB", (width, height)).save(tmp_path / "files" / "images" / f"{image_id}.jpg")
    return tmp_path


def write(root, image_data=None, **splits):
    if image_data is None:
        image_data = [
            {
                "image_id": each,
                "width": width,
                "height": height,
                "split": IMAGE_SPLITS[each],
                "coco_id": None,
                "url": "u",
            }
            for each, (height, width) in SIZES.items()
        ]
    (root / "files" / "image_data_split3000.json").write_text(json.dumps(image_data))
    for split, tasks in splits.items():
        (root / "files" / f"refer_{split}.json").write_text(json.dumps(tasks))


def prepare(root, **how):
    return prepare_phrasecut(root / "files", root / "out", name="set", **how)


def read(root, split="train", images="images"):
    return read_prepared(root / "out", "set", split, root / "files" / images)


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def test_every_instance_of_a_phrase_is_a_target(root):
    write(
        root,
        train=[
            task(11, " black horses ", [square(0, 0, 2, 2), square(4, 0, 5, 1)], [square(3, 3, 6, 5)]),
            task(11, "a dog", [square(1, 1, 3, 3)], name="Dog"),
        ],
        val=[task(12, "wall", [square(0, 0, 10, 2)], name="wall")],
    )
    report = prepare(root)
    horses, dog = read(root)
    [wall] = read(root, "val")
    assert [one.ref_id for one in (horses, dog, wall)] == [0, 1, 2]
    assert [one.text for one in horses.expressions] == ["black horses"]
    first = np.zeros((6, 8), bool)
    first[0:2, 0:2] = first[0:1, 4:5] = True
    second = np.zeros((6, 8), bool)
    second[3:5, 3:6] = True
    assert [read_target(target).tolist() for target in horses.targets] == [first.tolist(), second.tolist()]
    assert horses.box == (0, 0, 6, 5)  # around both boxes
    assert horses.image == root / "files" / "images" / "11.jpg"
    assert [report.categories[one.category] for one in (horses, dog, wall)] == ["horses", "dog", "wall"]
    assert dog.category == COCO_CATEGORIES.index("dog")
    assert list(report.categories[80:]) == ["horses", "wall"]
    assert {split: tuple(counts) for split, counts in report.counts.items()} == {"train": (2, 1, 2), "val": (1, 1, 1)}
    assert defects(report) == {}


def test_val_includes_miniv_as_the_published_counts_do(root):
    write(root, val=[task(12, "wall", [square(0, 0, 2, 2)])], miniv=[task(13, "sky", [square(0, 0, 3, 3)])])
    report = prepare(root)
    assert [one.expressions[0].text for one in read(root, "val")] == ["wall", "sky"]
    assert [one.expressions[0].text for one in read(root, "miniv")] == ["sky"]
    assert report.expected == {split: EXPECTED[split] for split in ("val", "miniv")}
    assert "val: 2 refs, expected 20,316" in report.differences()
    assert "lacks the images of miniv" not in str(report)
    report = prepare_phrasecut(root / "files", root / "out", name="alone", splits=["val"])
    assert "val lacks the images of miniv, which the published val includes" in str(report)
    assert split_names(root / "out", "alone") == ["val"]
    report = prepare_phrasecut(root / "files", root / "out", name="small", splits=["miniv"])
    assert split_names(root / "out", "small") == ["miniv"]


def test_published_counts_add_up():
    assert sum(EXPECTED[split].refs for split in ("train", "val", "test")) == 345_486
    assert sum(EXPECTED[split].images for split in ("train", "val", "test")) == 77_262


def test_images_may_lie_in_the_two_folders_of_visual_genome(root):
    for image_id, folder in ((11, "VG_100K"), (12, "VG_100K_2")):
        (root / "vg" / folder).mkdir(parents=True)
        (root / "files" / "images" / f"{image_id}.jpg").rename(root / "vg" / folder / f"{image_id}.jpg")
    write(root, train=[task(11, "a", [square(0, 0, 2, 2)]), task(12, "b", [square(0, 0, 2, 2)])])
    report = prepare(root, images=root / "vg")
    assert [str(one.image) for one in read_prepared(root / "out", "set", "train", root / "vg")] == [
        str(root / "vg" / "VG_100K" / "11.jpg"),
        str(root / "vg" / "VG_100K_2" / "12.jpg"),
    ]
    assert defects(report) == {"split other than the file's": [1]}


def test_tasks_that_cannot_be_used_are_reported(root):
    (root / "files" / "images" / "12.jpg").unlink()
    good = [square(0, 0, 2, 2)]
    write(
        root,
        train=[
            task(11, "good", good),
            task(11, "good", good),
            task(11, "uneven", good, instance_boxes=[]),
            task(11, "none"),
            task(99, "no such image", good),
            task(12, "no photo", good),
            task(13, "of miniv", good),
            task(11, "two points", [[[1, 1], [2, 2]], square(0, 0, 2, 2)]),
            task(11, "letters", [square(0, 0, 2, 2), [["a", 1], [2, 2], [3, 3]]]),
            task(11, "flat", [[[1, 1], [3, 1]]]),
            task(11, "no structure", good, phrase_structure=None),
            task(11, " ", good),
        ],
    )
    report = prepare(root)
    assert defects(report) == {
        "repeated task_id": [1],
        "boxes and polygons of different numbers": [2],
        "no outline": [3],
        "image_id of no image": [4],
        "split other than the file's": [5, 6],
        "missing photo": [5],
        "degenerate polygon": [7, 9],
        "empty mask": [9],
        "unreadable segmentation": [8],
        "unknown category": [10],
        "empty sentence": [11],
    }
    assert "such as task_id '11__good'" in str(report)
    assert [one.ref_id for one in read(root)] == [0, 6, 7, 9, 10, 11]


def test_photos_of_another_size_are_left_out(root):
    PILImage.new("RGB", (3, 3)).save(root / "files" / "images" / "11.jpg")
    write(root, train=[task(11, "a", [square(0, 0, 2, 2)]), task(13, "b", [square(0, 0, 2, 2)])])
    assert defects(prepare(root))["photo of another size than stated"] == [0]


def test_annotations_can_be_prepared_before_the_photos_come(root):
    for path in (root / "files" / "images").iterdir():
        path.unlink()
    write(root, train=[task(11, "a", [square(0, 0, 2, 2)])])
    report = prepare(root)
    assert report.counts["train"].refs == 1
    assert "Images were not checked: " in str(report)


def test_the_newer_name_of_the_list_of_images_is_read(root):
    write(root, train=[task(11, "a", [square(0, 0, 2, 2)])])
    (root / "files" / "image_data_split3000.json").rename(root / "files" / "image_data_split.json")
    assert prepare(root).counts["train"].refs == 1


def bad(**keys):
    return {"train": [task(11, "a", [square(0, 0, 2, 2)]) | keys]}


@pytest.mark.parametrize(
    ("image_data", "splits", "how", "sentence"),
    [
        (None, {}, {}, r"There is no .*refer_train.json; .*files holds image_data_split3000.json"),
        (None, bad(), {"splits": ["val"]}, r"There is no .*refer_val.json; .*files holds .*refer_train.json"),
        (None, bad(), {"splits": ["testA"]}, "PhraseCut has no split 'testA'; it has train, val, test, miniv"),
        (None, {"train": {"a": 1}}, {}, r"refer_train.json: Input should be a valid array; a refer_<split>.json"),
        (None, bad(image_id="11"), {}, r"refer_train.json, entry 0, key 'image_id': Input should be a valid integer"),
        (None, bad(instance_boxes=[[1, 2, 3]]), {}, r"entry 0, key 'instance_boxes', entry 0, entry 3: Field required"),
        (None, bad(Polygons=None), {}, r"key 'Polygons': .*; refer_input_<split>.json has no outlines"),
        (
            [{"image_id": 11}],
            bad(),
            {},
            r"image_data_split3000.json, entry 0, key 'width': Field required; PhraseCut's",
        ),
        ([], bad(), {}, r"No ref of .* can be used: image_id of no image 1 time"),
        (None, bad(), {"images": "nowhere"}, r"There is no folder of images .*nowhere; name the one"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, image_data, splits, how, sentence):
    write(root, image_data, **splits)
    how = how | ({"images": root / how["images"]} if "images" in how else {})
    with pytest.raises(DataError, match=sentence):
        prepare(root, **how)
    assert not (root / "out").exists()


def test_the_list_of_images_is_needed(root):
    write(root, train=[task(11, "a", [square(0, 0, 2, 2)])])
    (root / "files" / "image_data_split3000.json").unlink()
    with pytest.raises(DataError, match=r"There is no .*image_data_split3000.json; download it"):
        prepare(root)
    with pytest.raises(ConfigError, match="cannot be the name of a data set"):
        prepare_phrasecut(root / "files", root / "out", name="../x")


def test_the_command_prints_the_report(root):
    write(root, train=[task(11, "a", [square(0, 0, 2, 2)])], test=[task(12, "b", [square(0, 0, 2, 2)])])
    options = ["prepare", "phrasecut", root / "files", "--output-dir", root / "out", "--split", "test"]
    result = CliRunner().invoke(main, [str(each) for each in options])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("phrasecut: refs / images / sentences")
    assert "Differs: test: 1 refs, expected 14,354." in result.stdout
    assert split_names(root / "out", "phrasecut") == ["test"]
