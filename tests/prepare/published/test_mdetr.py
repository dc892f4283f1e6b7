"""MDETR's files: captions of one object become one ref, outlines come from the file or from an instance file."""

import json

import numpy as np
import pytest
from refer_fixture import annotation, photo, rectangle, write_photos

from vlt.categories import COCO_CATEGORIES
from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import DataError
from vlt.prepare.published.mdetr import prepare_mdetr
from vlt.prepare.published.refer_set import COCO_IDS

PHOTOS = {11: photo(11, 6, 8), 12: photo(12, 5, 10), 13: photo(13, 4, 4)}
CATEGORIES = [{"id": each, "name": name} for each, name in zip(COCO_IDS, COCO_CATEGORIES, strict=True)]
OUTLINES = {101: rectangle(1, 1, 5, 4), 102: rectangle(0, 0, 2, 2), 103: rectangle(5, 1, 7, 3)}


@pytest.fixture
def root(tmp_path):
    write_photos(tmp_path / "images", [PHOTOS[11], PHOTOS[12]])
    return tmp_path


def caption(number, original_id, text, dataset="refcoco", **keys):
    given = {**PHOTOS[original_id], "id": number, "original_id": original_id, "caption": text, "dataset_name": dataset}
    return given | {"tokens_negative": [[0, len(text)]]} | keys


def target(number, image_id, original_id, box=(1.9, 1.2, 4.7, 3.9), category=18, **keys):
    given = {"id": number, "image_id": image_id, "original_id": original_id, "bbox": list(box), "iscrowd": 0}
    given |= {"category_id": category, "area": 12.0, "tokens_positive": [[0, 3]]}
    return given | {"segmentation": [OUTLINES.get(original_id, rectangle(0, 0, 1, 1))]} | keys


def write(root, captions, targets, name="finetune_refcoco_train.json", **keys):
    content = {"info": {}, "images": captions, "annotations": targets, "categories": CATEGORIES} | keys
    (root / name).write_text(json.dumps(content))
    return root / name


def prepare(root, *files, **how):
    return prepare_mdetr(files, root / "images", root / "out", name="set", **how)


def read(root, split="train"):
    return read_prepared(root / "out", "set", split, root / "images")


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def test_captions_of_one_object_are_merged(root):
    captions = [caption(0, 11, " left dog "), caption(1, 12, "cat"), caption(2, 11, "dog"), caption(3, 11, "other")]
    targets = [target(0, 0, 101), target(1, 1, 102, category=17), target(2, 2, 101), target(3, 3, 103)]
    train = write(root, captions, targets)
    val = write(root, [caption(0, 12, "cup")], [target(0, 0, 104, category=47)], "finetune_refcoco_val.json")
    report = prepare(root, train, val)
    dog, cat, other = read(root)
    assert [one.ref_id for one in (dog, cat, other)] == [101, 102, 103]
    assert [[each.text for each in one.expressions] for one in (dog, cat, other)] == [
        ["left dog", "dog"],
        ["cat"],
        ["other"],
    ]
    assert dog.box == (1, 1, 5, 4)
    mask = np.zeros((6, 8), bool)
    mask[1:4, 1:5] = True
    assert np.array_equal(read_targets(dog.targets, (1, 1)), mask)
    assert dog.image == other.image == root / "images" / "COCO_train2014_000000000011.jpg"
    [cup] = read(root, "val")
    assert [report.categories[one.category] for one in (dog, cat, cup)] == ["dog", "cat", "cup"]
    assert {split: tuple(counts) for split, counts in report.counts.items()} == {"train": (3, 2, 4), "val": (1, 1, 1)}
    assert defects(report) == {}


def test_a_caption_may_refer_to_several_objects(root):
    place = (5, 1, 2, 2)
    targets = [target(0, 0, 101), target(1, 0, 103, place), target(2, 1, 103, place), target(3, 1, 101)]
    targets.append(target(4, 2, 101))
    prepare(root, write(root, [caption(0, 11, "both"), caption(1, 11, "all"), caption(2, 11, "dog")], targets))
    both, dog = read(root)
    assert [one.text for one in both.expressions] == ["both", "all"]
    assert (both.ref_id, dog.ref_id) == (104, 101)
    assert len(both.targets) == 2
    assert both.box == (1, 1, 7, 4)


def test_counts_are_compared_with_those_of_the_data_set_in_the_file(root):
    for dataset, expected in (("refcoco", "10,834"), ("refcoco+", "10,758"), ("refcocog", "4,896")):
        path = write(root, [caption(0, 11, "dog", dataset)], [target(0, 0, 101)], f"finetune_{dataset}_val.json")
        report = prepare_mdetr([path], root / "images", root / "out", name=dataset)
        assert f"val: 1 sentences, expected {expected}" in report.differences()
        assert set(report.expected) == {"val"}
    path = write(root, [caption(0, 11, "dog", "mine")], [target(0, 0, 101)], "mine_val.json")
    assert prepare_mdetr([path], root / "images", root / "out", name="mine").expected == {}


def test_ids_that_point_nowhere_and_other_defects_are_reported(root):
    captions = [
        caption(0, 11, "dog"),
        caption(1, 11, "nothing"),
        caption(2, 13, "no photo"),
        caption(3, 11, "twice"),
        caption(3, 11, "twice more"),
        caption(4, 12, "two points"),
        caption(5, 12, "another size of the outline"),
    ]
    targets = [
        target(0, 0, 101),
        target(1, 77, 102),
        target(2, 2, 103),
        target(3, 3, 104),
        target(4, 4, 105, segmentation=[[1, 1, 2, 2], rectangle(0, 0, 2, 2)]),
        target(5, 5, 106, segmentation={"size": [9, 9], "counts": [81]}),
    ]
    report = prepare(root, write(root, captions, targets))
    assert defects(report) == {
        "image id of several captions": [3],
        "annotation of no image": [1],
        "caption without an annotation": [1],
        "missing photo": [103],
        "degenerate polygon": [105],
        "unreadable segmentation": [106],
    }
    assert [one.ref_id for one in read(root)] == [101, 105]


def test_photos_of_another_size_and_contradicting_entries_are_left_out(root):
    captions = [
        caption(0, 12, "dog", height=10, width=5),
        caption(1, 11, "a"),
        caption(2, 11, "b"),
        caption(3, 11, "c"),
    ]
    targets = [target(0, 0, 101), target(1, 1, 102), target(2, 2, 102, segmentation=[OUTLINES[103]]), target(3, 3, 103)]
    report = prepare(root, write(root, captions, targets))
    assert defects(report) == {
        "photo of another size than stated": [101],
        "repeated annotation id": [102],
        "image or annotation id of several entries": [102],
    }
    assert [one.ref_id for one in read(root)] == [103]


def test_outlines_come_from_an_instance_file_where_the_file_has_none(root):
    captions = [caption(0, 11, "dog"), caption(1, 11, "cat"), caption(2, 11, "cup")]
    targets = [target(0, 0, 101), target(1, 1, 102), target(2, 2, 103)]
    for each in targets[:2]:
        del each["segmentation"]
    path = write(root, captions, targets)
    assert defects(prepare(root, path)) == {"no outline": [101, 102]}
    elsewhere = {**annotation(102, [0, 0, 2, 2], [OUTLINES[102]]), "image_id": 12}
    content = {
        "images": list(PHOTOS.values()),
        "annotations": [{**annotation(101, [0, 0, 2, 2], [OUTLINES[101]]), "image_id": 11}, elsewhere],
    }
    (root / "instances.json").write_text(json.dumps(content))
    report = prepare_mdetr([path], root / "images", root / "out", name="outlined", instances=root / "instances.json")
    assert defects(report) == {"no outline": [102]}  # that of another image is not taken
    assert "instances.json" in str(report)
    dog, cup = read_prepared(root / "out", "outlined", "train", root / "images")
    assert read_targets(dog.targets, (1, 1)).sum() == 12
    assert read_targets(cup.targets, (1, 1)).sum() == 4


def test_a_file_without_outlines_names_the_remedy(root):
    path = write(root, [caption(0, 11, "dog")], [target(0, 0, 101, segmentation=None)])
    with pytest.raises(DataError, match=r"No ref of .* can be used: no outline 1 time .*--instances"):
        prepare(root, path)
    assert not (root / "out").exists()


def test_files_that_do_not_belong_together_are_refused(root):
    one = write(root, [caption(0, 11, "dog")], [target(0, 0, 101)])
    same = write(root, [caption(0, 11, "dog")], [target(0, 0, 101)], "finetune_refcoco+_train.json")
    with pytest.raises(DataError, match=r"_train.json and .*\+_train.json are both of the split train; give one file"):
        prepare(root, one, same)
    other = write(root, [caption(0, 11, "dog", "refcoco+")], [target(0, 0, 101)], "finetune_refcoco+_val.json")
    with pytest.raises(DataError, match=r"of several data sets, refcoco and refcoco\+; prepare each under a name"):
        prepare(root, one, other)
    nowhere = write(root, [caption(0, 11, "dog")], [target(0, 0, 101)], "refcoco.json")
    with pytest.raises(DataError, match=r"refcoco.json: the name has no split; end it in one of _train, _val, _test"):
        prepare(root, nowhere)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0a\n", "is a pointer of Git LFS .*`git lfs pull`"),
        ('{"images": [{"id": 1', r"finetune_refcoco_train.json: Invalid JSON: EOF .*; a file of MDETR's format"),
        ('{"images": []}', "key 'annotations': Field required; a file of MDETR's format is needed"),
        (json.dumps({"images": [PHOTOS[11]], "annotations": []}), "key 'images', entry 0, key 'original_id'"),
        ('{"images": [], "annotations": [], "categories": []}', "No ref of .* can be used"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, content, sentence):
    path = root / "finetune_refcoco_train.json"
    path.write_text(content)
    with pytest.raises(DataError, match=sentence):
        prepare(root, path)
    assert not (root / "out").exists()


def test_the_instance_file_and_the_images_must_exist(root):
    path = write(root, [caption(0, 11, "dog")], [target(0, 0, 101)])
    with pytest.raises(DataError, match=r"There is no instance file .*none.json"):
        prepare(root, path, instances=root / "none.json")
    with pytest.raises(DataError, match="There is no folder of images"):
        prepare_mdetr([path], root / "nowhere", root / "out", name="set")
