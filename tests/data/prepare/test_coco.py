"""COCO instance files: what is worded, what is left out and said to be, what is refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from vlt.data.expressions import parse, resolve
from vlt.data.masks import encode_rle, read_target
from vlt.data.prepare.coco import is_validation, prepare_coco
from vlt.data.prepare.coco_scenes import MANY, CocoScenes, read_instances
from vlt.data.prepared import read_prepared
from vlt.errors import DataError
from vlt.types import Standing

HEIGHT, WIDTH = 96, 128
CATEGORIES = [{"id": 3, "name": "car"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "Fire_Hydrant"}]
RED, GREEN, BLUE = (200, 20, 20), (30, 140, 50), (20, 60, 200)


def rectangle(x0, y0, x1, y1):
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


class CocoFolder:
    """An instance file and its photos, built thing by thing."""

    def __init__(self, root):
        self.images, self.file = root / "images", root / "instances.json"
        self.images.mkdir()
        self.content = {"images": [], "annotations": [], "categories": list(CATEGORIES)}
        self._pixels = {}

    def photo(self, image_id, size=(HEIGHT, WIDTH)):
        name = f"{image_id}.png"
        self.content["images"].append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        self._pixels[image_id] = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)

    def thing(self, number, image_id, category, x0, y0, x1, y1, colour=RED, **changes):
        self._pixels.get(image_id, np.zeros((HEIGHT, WIDTH, 3), np.uint8))[y0:y1, x0:x1] = colour
        self.content["annotations"].append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": category,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": rectangle(x0, y0, x1, y1),
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            | changes
        )

    def write(self):
        for image_id, pixels in self._pixels.items():
            Image.fromarray(pixels).save(self.images / f"{image_id}.png")
        self.file.write_text(json.dumps(self.content))

    def scenes(self):
        self.write()
        return CocoScenes(read_instances(self.file), self.images)

    def prepare(self, output, **kwargs):
        self.write()
        return prepare_coco(self.file, self.images, output, name="set", **kwargs)


@pytest.fixture
def coco(tmp_path):
    return CocoFolder(tmp_path)


@pytest.fixture
def two_cars(coco):
    """A red car on the left, a blue one on the right, and a dog between; one photo for training, one for validation."""
    train, val = (next(i for i in range(100) if is_validation(i) is which) for which in (False, True))
    for number, image_id in ((0, train), (10, val)):
        coco.photo(image_id)
        coco.thing(number + 1, image_id, 3, 5, 30, 35, 60, RED)
        coco.thing(number + 2, image_id, 3, 95, 30, 125, 60, BLUE)
        coco.thing(number + 3, image_id, 18, 55, 35, 75, 55, GREEN)
    return coco


def said(root, split="train"):
    images = root / "images"
    return {
        each.ref_id: [e.text for e in each.expressions] for each in read_prepared(root / "out", "set", split, images)
    }


def found(defects):
    return {kind.name: ids for kind, ids in defects.items()}


# ---------------------------------------------------------------- what is worded


def test_a_data_set_comes_out(two_cars, tmp_path):
    report = two_cars.prepare(tmp_path / "out")
    assert {split: counts[:2] for split, counts in report.counts.items()} == {"train": (3, 1), "val": (3, 1)}
    assert str(report.notes[0]) == "Of the objects in usable photos 6 are worded."
    assert not report.defects
    texts = said(tmp_path)
    assert set(texts) == {1, 2, 3}
    assert set(said(tmp_path, "val")) == {11, 12, 13}
    assert "dog" in texts[3]
    first = read_prepared(tmp_path / "out", "set", "train", two_cars.images)[0]
    assert (first.category, first.box) == (0, (5, 30, 35, 60))
    assert read_target(first.target).sum() == 30 * 30


def test_what_is_written_means_its_target_alone(two_cars, tmp_path):
    two_cars.prepare(tmp_path / "out", per_target=10)
    for scene in two_cars.scenes():
        texts = said(tmp_path, "val" if is_validation(scene.photo.id) else "train")
        for index, instance in enumerate(scene.instances):
            assert texts[instance.id]
            assert all(resolve(parse(text), scene.scene) == {index} for text in texts[instance.id])


def test_the_photo_says_which_colour(two_cars):
    things = next(iter(two_cars.scenes())).scene.things
    assert [max(each.colours, key=each.colours.get) for each in things] == ["red", "blue", "green"]


def test_a_thing_is_what_its_mask_shows(coco):
    coco.photo(1)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:70] = True
    mask[20:30, 30:50] = True
    coco.thing(1, 1, 90, 30, 10, 70, 30, segmentation=dict(encode_rle(mask)), bbox=[0, 0, 1, 1])
    [thing] = next(iter(coco.scenes())).scene.things
    rows, columns = np.nonzero(mask)
    assert thing.noun == "fire hydrant"
    assert thing.box == (30, 10, 70, 30)
    assert thing.area == mask.sum()
    assert thing.centre == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5))


def test_the_seed_decides(two_cars, tmp_path):
    first = two_cars.prepare(tmp_path / "out", seed=1, per_target=2) and said(tmp_path)
    again = two_cars.prepare(tmp_path / "out", seed=1, per_target=2) and said(tmp_path)
    others = [two_cars.prepare(tmp_path / "out", seed=seed, per_target=2) and said(tmp_path) for seed in range(2, 6)]
    assert first == again
    assert any(other != first for other in others)


def test_what_is_said_in_one_photo_does_not_hang_on_the_others(two_cars, tmp_path):
    before = two_cars.prepare(tmp_path / "out", seed=1) and said(tmp_path)
    two_cars.content["images"].reverse()
    two_cars.content["annotations"] = [each for each in two_cars.content["annotations"] if each["id"] < 10]
    shutil.rmtree(tmp_path / "out")
    assert two_cars.prepare(tmp_path / "out", seed=1)
    assert said(tmp_path) == before


def test_sentence_ids_are_unique_over_both_splits(two_cars, tmp_path):
    two_cars.prepare(tmp_path / "out")
    both = [
        each for split in ("train", "val") for each in read_prepared(tmp_path / "out", "set", split, two_cars.images)
    ]
    ids = [expression.sent_id for each in both for expression in each.expressions]
    assert len(set(ids)) == len(ids)


def test_masks_can_be_pngs(two_cars, tmp_path):
    two_cars.prepare(tmp_path / "out", generate_mask=True)
    assert {path.name for path in (tmp_path / "out/masks/set").iterdir()} == {f"{i}.png" for i in (1, 2, 3, 11, 12, 13)}


def test_each_object_knows_how_it_stands_among_its_kind(coco, tmp_path):
    coco.photo(1)
    coco.thing(1, 1, 3, 5, 30, 35, 60)
    coco.thing(2, 1, 3, 60, 20, 125, 70, BLUE)
    coco.thing(3, 1, 18, 40, 75, 55, 90, GREEN)
    coco.thing(4, 1, 3, 124, 0, 126, 2)  # too small to be meant, and still one of them
    coco.thing(5, 1, 18, 0, 0, 128, 20, iscrowd=1)  # several, so none of them can be larger
    report = coco.prepare(tmp_path / "out", val_share=0.0)
    read = read_prepared(tmp_path / "out", "set", "train", coco.images)
    assert {each.ref_id: each.standing for each in read} == {1: Standing(3, 2), 2: Standing(3, 1), 3: Standing(2, 1)}
    assert [report.categories[each.category] for each in read] == ["car", "car", "dog"]


# ---------------------------------------------------------------- what is not meant, but told apart


@pytest.mark.parametrize(
    "changes",
    [
        {"iscrowd": 1},
        {"segmentation": []},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": "nothing"},
        {"segmentation": {"size": [1, 1], "counts": [1]}},
        {"segmentation": rectangle(100, 70, 103, 73)},  # tiny
    ],
)
def test_a_distractor_that_is_never_meant_must_be_excluded(coco, tmp_path, changes):
    coco.photo(1)
    coco.thing(1, 1, 18, 10, 20, 40, 50)
    coco.thing(2, 1, 18, 100, 70, 120, 90, **changes)
    coco.prepare(tmp_path / "out", val_share=0.0)
    texts = said(tmp_path)
    assert set(texts) == {1}
    assert "dog" not in texts[1]


def test_many_of_a_kind_are_not_told_apart(coco, tmp_path):
    coco.photo(1)
    for i in range(MANY + 1):
        coco.thing(i, 1, 18, 9 * i, 5, 9 * i + 8, 20)
    coco.thing(50, 1, 3, 10, 50, 60, 90)
    report = coco.prepare(tmp_path / "out", val_share=0.0)
    assert set(said(tmp_path)) == {50}
    assert report.notes == [
        f"Of the objects in usable photos {MANY + 1} are too small, too many or a crowd, 1 are worded."
    ]


# ---------------------------------------------------------------- defects


def test_every_defect_is_reported_with_its_id(coco, tmp_path):
    for image_id in (1, 2, 3, 4):
        coco.photo(image_id)
        coco.thing(image_id, image_id, 18, 10, 20, 40, 50)
    coco.photo(5, size=(HEIGHT, WIDTH + 1))
    coco.photo(1)
    coco.thing(1, 1, 18, 60, 20, 80, 50)
    coco.thing(6, 77, 18, 10, 20, 40, 50)
    coco.thing(7, 1, 4, 10, 20, 40, 50)
    coco.thing(8, 1, 3, 90, 60, 120, 90, segmentation=[*rectangle(90, 60, 120, 90), [1, 1]])
    coco.thing(9, 1, 90, 0, 0, 9, 9, segmentation=None)
    coco.thing(10, 1, 90, 0, 0, 9, 9, segmentation=[["x"] * 6])
    coco.write()
    (coco.images / "2.png").unlink()
    (coco.images / "3.png").write_bytes(b"no photo")
    report = prepare_coco(coco.file, coco.images, tmp_path / "out", name="set", val_share=0.0)
    assert found(report.defects) == {
        "repeated image id": [1],
        "repeated annotation id": [1],
        "annotation of no image": [6],
        "unknown category": [7],
        "degenerate polygon": [8],
        "empty mask": [9],
        "unreadable segmentation": [10],
        "missing photo": [2],
        "unreadable photo": [3],
        "photo of another size than stated": [5],
    }
    assert set(said(tmp_path)) == {1, 4, 8}
    assert {d["kind"] for d in json.loads((tmp_path / "out/anns/set/prepare.json").read_text())["defects"]} == set(
        found(report.defects)
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "Invalid JSON.*an instance file of COCO's format is needed"),
        ("[]", "an instance file of COCO's format is needed"),
        ('{"images": []}', "key 'annotations': Field required"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "key 'images', entry 0, key 'file_name'"),
        ('{"images": [], "annotations": [{"id": "a"}], "categories": []}', "key 'annotations', entry 0"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": " "}]}',
            "key 'categories', entry 0, key 'name'",
        ),
        ('{"images": [], "annotations": [], "categories": []}', "can be worded: no photo in it can be used"),
    ],
)
def test_a_file_that_is_no_instance_file_is_refused(tmp_path, text, sentence):
    file = tmp_path / "instances.json"
    file.write_text(text)
    with pytest.raises(DataError, match=sentence) as error:
        prepare_coco(file, tmp_path, tmp_path / "out", name="set")
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_missing_files_and_folders_are_refused(tmp_path, two_cars):
    two_cars.write()
    with pytest.raises(DataError, match=r"There is no instance file .*missing.json"):
        prepare_coco(tmp_path / "missing.json", two_cars.images, tmp_path / "out", name="set")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        prepare_coco(tmp_path, two_cars.images, tmp_path / "out", name="set")
    with pytest.raises(DataError, match="There is no folder of photos"):
        prepare_coco(two_cars.file, tmp_path / "missing", tmp_path / "out", name="set")


def test_nothing_to_word_says_what_there_was(coco, tmp_path):
    coco.photo(1)
    coco.thing(1, 1, 18, 10, 10, 12, 12)
    with pytest.raises(DataError, match=r"Nothing in .* can be worded: 1 are too small, too many or a crowd"):
        coco.prepare(tmp_path / "out")


def test_another_data_set_of_that_name_is_not_overwritten(two_cars, tmp_path):
    two_cars.prepare(tmp_path / "out", seed=1)
    two_cars.prepare(tmp_path / "out", seed=2)  # the same file in other words
    two_cars.content["annotations"].pop()
    with pytest.raises(DataError, match=r"holds another data set, .*take another name"):
        two_cars.prepare(tmp_path / "out")
    (tmp_path / "out/anns/set/prepare.json").write_text('{"source": {"dataset": "refcoco", "split": "unc"}}')
    with pytest.raises(DataError, match="holds another data set"):
        two_cars.prepare(tmp_path / "out")


def test_no_photo_stays_in_a_split_that_has_become_empty(two_cars, tmp_path):
    two_cars.prepare(tmp_path / "out")
    assert set(said(tmp_path, "val")) == {11, 12, 13}
    report = two_cars.prepare(tmp_path / "out", val_share=0.0)
    assert list(report.counts) == ["train"]
    assert not (tmp_path / "out/anns/set/val.json").exists()
    assert set(said(tmp_path)) == {1, 2, 3, 11, 12, 13}


# ---------------------------------------------------------------- the split


VALIDATION = [9, 39, 46, 49, 50, 51, 55]
"""Never to change: weights were chosen on these photos and trained on the others."""


def test_the_split_hangs_on_the_id_alone():
    assert [i for i in range(40) if is_validation(i)] == [i for i in range(40) if is_validation(str(i), 0.15)]
    assert [i for i in range(60) if is_validation(i)] == VALIDATION


def test_the_split_has_the_share_that_is_asked_for():
    ids = range(20_000)
    for share in (0.05, 0.15, 0.5):
        assert sum(is_validation(i, share) for i in ids) / len(ids) == pytest.approx(share, abs=0.01)
    assert not any(is_validation(i, 0.0) for i in ids)
    assert all(is_validation(i, 1.0) for i in ids)


def test_more_validation_keeps_what_was_validation():
    assert {i for i in range(500) if is_validation(i, 0.1)} < {i for i in range(500) if is_validation(i, 0.2)}
