"""Sets whose targets are boxes: Ref-L4, Ref-Adv-s, FineCops-Ref and MDETR's files, and what their readers refuse."""

from __future__ import annotations

import json

import pytest
from parquet_fixture import NAMES, SIZES, picture, write_images, write_rows
from PIL import Image

from vlt.cli import main
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import ConfigError, DataError
from vlt.prepare.published import parquet_sets
from vlt.prepare.published.finecops import prepare_finecops
from vlt.prepare.published.mdetr import prepare_mdetr
from vlt.prepare.published.parquet import prepare_parquet
from vlt.prepare.published.refer_set import BOXES_ALONE
from vlt.prepare.report import Counts


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def read(root, split, images):
    return read_prepared(root / "out", "set", split, images)


# ---------------------------------------------------------------- Ref-L4


def l4_row(number, image_id, box, text, split="val", **changes):
    """A row of JierunChen/Ref-L4."""
    height, width = SIZES[image_id]
    return {
        "id": number,
        "caption": text,
        "bbox": box,
        "bbox_area": box[2] * box[3],
        "bbox_id": f"coco_{number}",
        "ori_category_id": "refcoco_1",
        "image_id": f"coco_{image_id}",
        "height": height,
        "width": width,
        "file_name": NAMES[image_id],
        "is_rewrite": False,
        "split": split,
        **changes,
    }


@pytest.fixture
def l4(tmp_path):
    write_images(tmp_path / "photos", 11, 12)
    val = [l4_row(1, 11, [1.25, 1.5, 4.5, 3.25], "the man"), l4_row(2, 11, [1.25, 1.5, 4.5, 3.25], "him ")]
    write_rows(tmp_path / "Ref-L4/ref-l4-val.parquet", [*val, l4_row(3, 12, [0.0, 0.0, 2.5, 2.0], "a dog")])
    write_rows(tmp_path / "Ref-L4/ref-l4-test.parquet", [l4_row(4, 12, [0.0, 0.0, 2.5, 2.0], "the dog", "test")])
    return tmp_path


def prepare(root, folder="Ref-L4", **choices):
    choices = {"images": root / "photos", **choices}
    return prepare_parquet([root / folder], root / "out", name="set", **choices)


def test_ref_l4_keeps_its_splits_ids_and_exact_boxes(l4, monkeypatch):
    monkeypatch.setattr(parquet_sets, "REF_L4_EXPRESSIONS", 4)
    report = prepare(l4)
    assert (defects(report), report.counts) == ({}, {"val": Counts(3, 2, 3), "test": Counts(1, 1, 1)})
    assert {BOXES_ALONE, "val and test have 4 expressions together, as published."} <= {*report.notes}
    referrals = read(l4, "val", l4 / "photos")
    assert [(each.ref_id, each.expressions[0].sent_id, each.expressions[0].text) for each in referrals] == [
        (1, 1, "the man"),
        (2, 2, "him"),
        (3, 3, "a dog"),
    ]
    assert [each.targets for each in referrals] == [((1.25, 1.5, 5.75, 4.75),)] * 2 + [((0.0, 0.0, 2.5, 2.0),)]
    assert {each.category for each in referrals} == {-1}
    [first, *_] = json.loads((l4 / "out/anns/set/val.json").read_text())
    assert (first["bbox"], first["boxes"]) == ([1, 1, 5, 4], [[1.25, 1.5, 5.75, 4.75]])


def test_the_number_of_expressions_of_ref_l4_is_compared_where_both_splits_are_there(l4):
    assert not any("together" in note for note in prepare(l4, splits=["val"]).notes)
    (l4 / "out/anns/set/prepare.json").unlink()  # or the folder is refused, as it holds another selection
    assert "val and test have 4 expressions together, expected 45,341." in prepare(l4).notes


def test_boxes_that_cannot_be_used_and_missing_photos_are_reported(l4):
    rows = [
        l4_row(1, 11, [1.0, 1.0, 2.0, 2.0], "fine"),
        l4_row(2, 11, [1.0, 1.0, 0.0, 2.0], "no width"),
        l4_row(3, 11, [8.0, 1.0, 2.0, 2.0], "right of the photo"),
        l4_row(4, 11, [-3.0, 1.0, 3.0, 2.0], "left of it"),
        l4_row(5, 11, [-1.0, 4.0, 3.0, 3.0], "over its corner"),
        l4_row(6, 12, [0.0, 0.0, 2.0, 2.0], "of another size", height=50),
        {**l4_row(7, 12, [0.0, 0.0, 2.0, 2.0], "missing"), "image_id": "coco_13", "file_name": "13.png"},
        l4_row(1, 11, [1.0, 1.0, 2.0, 2.0], "again"),
    ]
    write_rows(l4 / "other/ref-l4-val.parquet", rows)
    report = prepare(l4, "other")
    assert defects(report) == {
        "box that is empty or outside the photo": [2, 3, 4],
        "photo of another size than stated": [6],
        "missing photo": [7],
        "repeated ref_id": [1],
    }
    assert "such as [1, 1, 0, 2] in 6 x 8 pixels" in str(report)
    assert [each.ref_id for each in read(l4, "val", l4 / "photos")] == [1, 5]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bbox": [1.0, 1.0, 2.0]}, "row 1, key 'bbox'"),
        ({"caption": None}, "row 1, key 'caption'"),
        ({"height": 0}, "row 1, key 'height'"),
    ],
)
def test_a_bad_row_of_ref_l4_is_one_sentence(l4, changes, sentence):
    write_rows(l4 / "other/ref-l4-val.parquet", [l4_row(1, 11, [1.0, 1.0, 2.0, 2.0], "man", **changes)])
    with pytest.raises(DataError) as caught:
        prepare(l4, "other")
    assert sentence in str(caught.value)
    assert str(caught.value).endswith("this is not the layout of JierunChen/Ref-L4, download it again.")
    assert not (l4 / "out").exists()


def test_ref_l4_needs_the_folder_of_its_photos(l4):
    with pytest.raises(DataError, match=r"JierunChen/Ref-L4; name the folder of the unpacked images\.tar\.gz with"):
        prepare(l4, images=None)


# ---------------------------------------------------------------- Ref-Adv-s


def adv_row(image_id, box, text):
    """A row of dddraxxx/ref-adv-s."""
    height, width = SIZES[image_id]
    return {
        "image": {"bytes": picture(image_id), "path": None},
        "file_name": NAMES[image_id],
        "normal_caption": text,
        "solution": box,
        "width": width,
        "height": height,
        "distractors": "[1, 2]",
        "human_authored": True,
    }


def test_ref_adv_is_a_test_split_with_boxes_as_corners(tmp_path):
    rows = [adv_row(11, [1.5, 1.0, 5.25, 4.0], "the man without a hat"), adv_row(12, [0.0, 0.0, 2.5, 2.0], "the dog")]
    write_rows(tmp_path / "data/train-00000-of-00001.parquet", rows)
    report = prepare(tmp_path, "data", images=None)
    assert report.counts == {"test": Counts(2, 2, 2)}
    assert report.differences() == ["test: 2 refs, expected 1,142", "test: 2 sentences, expected 1,142"]
    assert split_names(tmp_path / "out", "set") == ["test"]
    one, other = read(tmp_path, "test", tmp_path / "out/images/set")
    assert (one.targets, other.targets) == (((1.5, 1.0, 5.25, 4.0),), ((0.0, 0.0, 2.5, 2.0),))
    assert one.image.read_bytes() == picture(11)


# ---------------------------------------------------------------- FineCops-Ref


def cops(root, name, *captions):
    """Write a file of FineCops-Ref; of each caption the photo, the text, the box, and a negative type or None."""
    images, annotations = [], []
    for number, (photo, text, box, negative) in enumerate(captions):
        images.append({"id": number, "file_name": photo, "height": 6, "width": 8, "caption": text})
        kind = {} if negative is None else {"negative_type": negative, "negative_level": 1, "positive_id": 0}
        annotations.append({"id": number, "image_id": number, "bbox": box, "level": 1, "area": 4.0, **kind})
    (root / name).write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return root / name


@pytest.fixture
def gqa(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("7.jpg", "n8.jpg"):
        Image.new("RGB", (8, 6)).save(tmp_path / "photos" / name)
    return tmp_path


def test_negative_captions_of_finecops_refer_to_nothing(gqa):
    box = [1.5, 1.0, 2.0, 3.0]
    val = cops(
        gqa, "expression_pos_val_set_coco_format.json", ("7.jpg", "red car", box, None), ("7.jpg", "car", box, None)
    )
    positive = cops(gqa, "test_expression_pos_coco_format.json", ("7.jpg", "cup", box, None))
    negative = cops(
        gqa, "test_expression_neg_coco_format.json", ("7.jpg", "blue cup", box, "attribute"), ("n8.jpg", "cup", box, 1)
    )
    report = prepare_finecops([val, positive, negative], gqa / "photos", gqa / "out", name="set")
    assert defects(report) == {}
    assert report.counts == {"val": Counts(2, 1, 2), "test": Counts(3, 2, 3)}
    assert "2 of the 5 captions are negative: nothing in their image matches them." in report.notes
    referrals = read(gqa, "test", gqa / "photos")
    assert [each.targets for each in referrals] == [((1.5, 1.0, 3.5, 4.0),), (), ()]
    assert [(each.ref_id, each.expressions[0].text) for each in referrals] == [(2, "cup"), (3, "blue cup"), (4, "cup")]
    prepare_finecops([val, positive, negative], gqa / "photos", gqa / "out", name="set")  # may be repeated


def test_defects_of_finecops(gqa):
    path = cops(gqa, "val.json", ("7.jpg", "car", [1, 1, 2, 2], None), ("9.jpg", "lost", [1, 1, 2, 2], None))
    content = json.loads(path.read_text())
    content["images"] += [{**content["images"][0], "id": number} for number in (5, 5, 6, 7)]
    content["annotations"] += [
        {"id": 8, "image_id": 7, "bbox": [1, 1, 2, 2]},
        {"id": 9, "image_id": 7, "bbox": [1, 1, 2, 2]},
        {"id": 10, "image_id": 99, "bbox": [1, 1, 2, 2]},
    ]
    path.write_text(json.dumps(content))
    report = prepare_finecops([path], gqa / "photos", gqa / "out", name="set")
    assert defects(report) == {
        "image id of several captions": [5],
        "annotation of no image": [10],
        "caption without an annotation": [6],
        "caption with several annotations": [7],
        "missing photo": [1],
    }


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("all.json", "{}", r"all\.json: the name has no split; end it in one of _train, _val"),
        (
            "val.json",
            "[]",
            r"val\.json.*; a file of FineCops-Ref in COCO's format is needed, with an image",
        ),
        (
            "val.json",
            '{"images": [{"id": 1}], "annotations": []}',
            r"val\.json, key 'images', entry 0, key 'file_na",
        ),
        ("val.json", '{"images": [], "annotations": []}', r"No ref of .*val\.json can be used"),
    ],
)
def test_a_bad_file_of_finecops_is_one_sentence(gqa, name, content, sentence):
    (gqa / name).write_text(content)
    with pytest.raises(DataError, match=sentence) as caught:
        prepare_finecops([gqa / name], gqa / "photos", gqa / "out", name="set")
    assert "\n" not in str(caught.value)
    assert not (gqa / "out").exists()


def test_the_command_prepares_finecops(gqa, capsys):
    path = cops(gqa, "val.json", ("7.jpg", "car", [1, 1, 2, 2], None))
    arguments = ["prepare", "finecops", path, "--images", gqa / "photos", "--output-dir", gqa / "out", "--name", "set"]
    main(list(map(str, arguments)), standalone_mode=False)
    assert "1 / 1 / 1" in capsys.readouterr().out


# ---------------------------------------------------------------- MDETR


def test_mdetr_s_files_can_be_used_without_outlines(gqa):
    photo = {"file_name": "7.jpg", "height": 6, "width": 8, "original_id": 7, "dataset_name": "refcoco"}
    target = {"original_id": 101, "bbox": [1.5, 1.0, 2.0, 3.0], "category_id": 18}
    content = {
        "images": [{**photo, "id": 0, "caption": "dog"}, {**photo, "id": 1, "caption": "left dog"}],
        "annotations": [{**target, "id": 0, "image_id": 0}, {**target, "id": 1, "image_id": 1}],
    }
    path = gqa / "finetune_refcoco_val.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"no outline .*give the instance file of the data set with --instances"):
        prepare_mdetr([path], gqa / "photos", gqa / "out", name="set")
    report = prepare_mdetr([path], gqa / "photos", gqa / "out", name="set", boxes=True)
    assert (defects(report), report.counts["val"], BOXES_ALONE in report.notes) == ({}, Counts(1, 1, 2), True)
    [one] = read(gqa, "val", gqa / "photos")
    assert (one.ref_id, one.targets, one.category) == (101, ((1.5, 1.0, 3.5, 4.0),), 16)
    with pytest.raises(ConfigError, match=r"outlines of .*instances.json are not read; leave --instances or --b"):
        prepare_mdetr([path], gqa / "photos", gqa / "out", name="b", instances=gqa / "instances.json", boxes=True)
