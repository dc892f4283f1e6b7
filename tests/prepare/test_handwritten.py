"""Sentences that people wrote: what they mean, where they go, and every way in which a table can be wrong."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import DataError
from vlt.prepare.coco import is_validation, prepare_coco
from vlt.types import Standing

HEADER = "image_id\tannotation_id\texpression"
TRAIN, VAL = (next(i for i in range(100) if is_validation(i) is which) for which in (False, True))
BOXES = {5: (2, 2, 12, 12), 6: (20, 2, 26, 12), 7: (4, 20, 30, 30)}
"""Of the objects of each photo, as (x0, y0, x1, y1), by the id in the training photo; the others' are 10 higher."""


@pytest.fixture
def root(tmp_path):
    """Two photos of two dogs and a bed each, and one of nothing; of the second photo's bed there is no outline."""
    (tmp_path / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 18, "name": "dog"}, {"id": 65, "name": "bed"}]}
    for image_id, offset in ((TRAIN, 0), (VAL, 10), (1000, None)):
        pixels = np.full((40, 50, 3), 90, np.uint8)
        pixels[0, 0] = image_id % 256  # copies of an image would be merged
        Image.fromarray(pixels).save(tmp_path / "images" / f"{image_id}.png")
        content["images"].append({"id": image_id, "file_name": f"{image_id}.png", "height": 40, "width": 50})
        for number, (x0, y0, x1, y1) in BOXES.items() if offset is not None else ():
            outline = [] if number + offset == 17 else [[x0, y0, x1, y0, x1, y1, x0, y1]]
            content["annotations"].append(
                {
                    "id": number + offset,
                    "image_id": image_id,
                    "category_id": 65 if number == 7 else 18,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": outline,
                }
            )
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def prepare(root, *rows, header=HEADER, **choices):
    (root / "table.tsv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return prepare_coco(
        root / "instances.json", root / "images", root / "out", name="set", expressions=root / "table.tsv", **choices
    )


def read(root, split="train"):
    return read_prepared(root / "out", "set", split, root / "images")


def mask_of(*numbers):
    mask = np.zeros((40, 50), bool)
    for x0, y0, x1, y1 in (BOXES[number] for number in numbers):
        mask[y0:y1, x0:x1] = True
    return mask


def test_sentences_mean_what_the_table_says(root):
    rows = ["6\tsmall dog", "5\tbig dog", "6\tdog “B”", "5 + 6\tboth dogs", "-\ta cat", "7\tbed"]
    report = prepare(root, *(f"{TRAIN}\t{row}" for row in rows))
    small, big, both, cat, bed = read(root)
    assert [[each.text for each in one.expressions] for one in (small, both, cat)] == [
        ["small dog", "dog “B”"],
        ["both dogs"],
        ["a cat"],
    ]
    assert np.array_equal(read_targets(small.targets, (1, 1)), mask_of(6))
    assert np.array_equal(read_targets(both.targets, (1, 1)), mask_of(5, 6))
    assert [len(each.targets) for each in (small, both, cat)] == [1, 2, 0]
    assert [one.ref_id for one in (small, big, bed)] == [6, 5, 7]
    assert len({one.ref_id for one in read(root)} - set(BOXES) - {number + 10 for number in BOXES}) == 2
    assert [one.category for one in read(root)] == [0, 0, 0, -1, 1]
    assert [one.standing for one in read(root)] == [Standing(2, 2), Standing(2, 1), None, None, Standing(1, 1)]
    assert [one.box for one in (small, both, cat)] == [(20, 2, 26, 12), (2, 2, 26, 12), None]
    assert len({each.sent_id for one in read(root) for each in one.expressions}) == 6
    assert list(report.counts) == ["train"]
    assert report.notes == ["Of the objects in usable images, 3 are targets, in 6 of 6 expressions."]
    assert report.categories == ("dog", "bed")


def test_photos_stay_on_their_side(root):
    prepare(root, f"{VAL}\t15\tbig dog", f"{TRAIN}\t5\tbig dog", f"{VAL}\t-\tzebra")
    assert [one.image.stem for one in read(root)] == [str(TRAIN)]
    assert [one.image.stem for one in read(root, "val")] == [str(VAL)] * 2
    shutil.rmtree(root / "out")
    prepare(root, f"{VAL}\t15\tbig dog", val_share=0.0)
    assert [one.image.stem for one in read(root)] == [str(VAL)]
    assert not (root / "out/anns/set/val.json").exists()


def test_sentences_of_a_photo_that_cannot_be_used_go_with_it(root):
    (root / "images" / f"{VAL}.png").unlink()
    report = prepare(root, f"{VAL}\t15\tbig dog", f"{TRAIN}\t5\tbig dog")
    assert {kind.name: ids for kind, ids in report.defects.items()} == {"missing photo": [VAL]}
    assert report.notes == ["Of the objects in usable images, 1 are targets, in 1 of 2 expressions."]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (f"{TRAIN}\t5", "2 columns in place of 3; put one tab between two"),
        (f"{TRAIN}\t5\tdog\tleft", "4 columns in place of 3"),
        ("", "1 columns in place of 3"),
        (f"{TRAIN}\t5\t ", "the expression is blank; write one, or remove the line"),
        ("99999\t5\tdog", "the instance file has no image '99999'"),
        (f"{TRAIN}\t99\tdog", f"image {TRAIN} has no annotation '99'"),
        (f"{TRAIN}\t15\tdog", f"image {TRAIN} has no annotation '15'"),
        (f"{TRAIN}\t5+x\tdog", f"image {TRAIN} has no annotation 'x'"),
        (f"{TRAIN}\t\tdog", f"image {TRAIN} has no annotation ''"),
        (f"{VAL}\t15+17\tdog on bed", "annotation 17 has no usable mask"),
    ],
)
def test_a_line_that_does_not_fit_is_named(root, row, sentence):
    with pytest.raises(DataError) as error:
        prepare(root, f"{TRAIN}\t5\tdog", row)
    assert str(error.value).startswith(f"{root / 'table.tsv'}, line 3: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert not (root / "out").exists()


def test_a_file_that_is_no_table_is_refused(root):
    with pytest.raises(DataError, match=r"does not begin with the columns image_id, annotation_id, expression"):
        prepare(root, f"{TRAIN}\t5\tdog", header=f"{TRAIN}\t5\tbig dog")
    with pytest.raises(DataError, match="holds no expression"):
        prepare(root)
    whole = root / "instances.json", root / "images", root / "out"
    with pytest.raises(DataError, match=r"There is no table of expressions .*none\.tsv"):
        prepare_coco(*whole, name="set", expressions=root / "none.tsv")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        prepare_coco(*whole, name="set", expressions=root)
    (root / "table.tsv").write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(DataError, match="is not UTF-8 text"):
        prepare_coco(*whole, name="set", expressions=root / "table.tsv")
    (root / "table.tsv").write_bytes(b"")
    with pytest.raises(DataError, match="does not begin with the columns"):
        prepare_coco(*whole, name="set", expressions=root / "table.tsv")


def test_written_and_drawn_sentences_do_not_overwrite_each_other(root):
    prepare(root, f"{TRAIN}\t5\tdog")
    prepare(root, f"{TRAIN}\t5\tbig dog")  # the same table, corrected
    with pytest.raises(DataError, match="holds another data set"):
        prepare_coco(root / "instances.json", root / "images", root / "out", name="set")
    assert [each.text for each in read(root)[0].expressions] == ["big dog"]


def test_a_table_with_a_byte_order_mark_is_read(root):
    (root / "table.tsv").write_bytes(f"{HEADER}\r\n{TRAIN}\t5\tbig dog\r\n".encode("utf-8-sig"))
    whole = root / "instances.json", root / "images", root / "out"
    prepare_coco(*whole, name="set", expressions=root / "table.tsv")
    assert [each.text for each in read(root)[0].expressions] == ["big dog"]


def change_ids(root, change):
    content = json.loads((root / "instances.json").read_text())
    for each in content["annotations"]:
        each["id"] = change(each["id"])
    (root / "instances.json").write_text(json.dumps(content))


def test_annotation_ids_that_begin_anew_in_each_photo_are_understood_within_it(root):
    change_ids(root, lambda number: number % 10)
    prepare(root, f"{VAL}\t5\tbig dog", f"{TRAIN}\t5\tbig dog", f"{TRAIN}\t6\tsmall dog")
    assert [np.argwhere(read_targets(one.targets, (1, 1)))[0].tolist() for one in read(root)] == [[2, 2], [2, 20]]
    [val] = read(root, "val")
    assert np.array_equal(read_targets(val.targets, (1, 1)), mask_of(5))
    assert val.ref_id not in {one.ref_id for one in read(root)}


def test_negative_annotation_ids_can_be_named(root):
    change_ids(root, lambda number: -number)
    report = prepare(root, f"{TRAIN}\t-5\tbig dog", f"{TRAIN}\t-5+-6\tboth", f"{TRAIN}\t-\ta cat")
    big, both, cat = read(root)
    assert min(one.ref_id for one in (big, both, cat)) > 0
    assert [len(one.targets) for one in (big, both, cat)] == [1, 2, 0]
    assert np.array_equal(read_targets(big.targets, (1, 1)), mask_of(5))
    assert {kind.name: ids for kind, ids in report.defects.items()} == {"negative annotation id": [-5, -6, -7]}


def test_an_annotation_id_of_two_objects_of_a_photo_is_refused(root):
    change_ids(root, lambda number: 5 if number == 6 else number)
    with pytest.raises(DataError, match=f"line 2: image {TRAIN} has 2 annotations '5'; give each an id of its own"):
        prepare(root, f"{TRAIN}\t5\tdog")


def test_expressions_about_a_photo_that_is_listed_again_go_to_its_first_id(root):
    (root / "images" / f"{VAL}.png").write_bytes((root / "images" / f"{TRAIN}.png").read_bytes())
    report = prepare(root, f"{VAL}\t15\tbig dog", f"{VAL}\t16\tsmall dog", "1000\t-\ta cat")
    assert {kind.name: ids for kind, ids in report.defects.items()} == {
        "photo listed again": [VAL],
        "empty mask": [17],
    }
    assert [one.image.stem for one in read(root)] == [str(TRAIN)] * 2 + ["1000"]
