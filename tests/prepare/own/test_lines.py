"""JSON lines: every form of outline gives its mask, bad structure is refused by line, bad outlines are reported."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from records_fixture import BOXES, NAMES, SIZE, TRAIN, VAL, mask_of, polygon, write_folder, write_photo

from vlt.categories import COCO_CATEGORIES
from vlt.data.masks import encode_rle, read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import ConfigError, DataError
from vlt.prepare.coco import prepare_coco
from vlt.prepare.own.lines import read_lines
from vlt.prepare.own.record_set import form_of, prepare_records, read_records, read_referrals
from vlt.types import Standing


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def write(root, *lines, name="my.jsonl"):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (root / name).write_text(text + "\n", encoding="utf-8")
    return root / name


def prepare(root, *lines, images=None, instances=True, **choices):
    return prepare_records(
        [write(root, *lines)],
        images or [root / "images"],
        root / "out",
        form="lines",
        name="set",
        instances=[root / "instances.json"] if instances else [],
        **choices,
    )


def line(image=TRAIN, text="dog", **keys):
    return {"image": NAMES.get(image, image), "expression": text, **keys}


def read(root, split="train"):
    return read_prepared(root / "out", "set", split, root / "images")


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def counted_runs(mask):
    """Uncompressed run lengths of a mask."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()


# ---------------------------------------------------------------- outlines


def test_every_form_of_outline_gives_the_same_mask(root):
    Image.fromarray(mask_of(5).astype(np.uint8)).save(root / "mask.png")
    x0, y0, x1, y1 = BOXES[5]
    corners = [polygon(5)[i : i + 2] for i in range(0, 8, 2)]
    forms = [
        {"rle": encode_rle(mask_of(5))},
        {"rle": {"size": list(SIZE), "counts": counted_runs(mask_of(5))}},
        {"polygon": [polygon(5)]},
        {"polygon": [corners]},
        {"polygon": corners},
        {"mask": "mask.png"},
        {"mask": str(root / "mask.png")},
        {"box": [x0, y0, x1, y1]},
        {"annotation": 5},
    ]
    report = prepare(root, *(line(**form, id=100 + i) for i, form in enumerate(forms)))
    referrals = read(root)
    assert [one.ref_id for one in referrals] == list(range(100, 109))
    for form, one in zip(forms, referrals, strict=True):
        assert np.array_equal(read_targets(one.targets, (1, 1)), mask_of(5)), form
        assert one.box == BOXES[5]
    assert defects(report) == {}
    assert "1 target is a box without an outline." in report.notes


def test_polygons_of_several_parts_are_united_and_boxes_cover_the_pixels_they_touch(root):
    prepare(root, line(polygon=[polygon(5), polygon(6)]), line(box=[0.5, 1.5, 3.2, 3]), line(box=[-1, 30, 9, 41.5]))
    united, touched, cut = (read_targets(one.targets, (1, 1)) for one in read(root))
    assert np.array_equal(united, mask_of(5) | mask_of(6))
    assert np.argwhere(touched).min(0).tolist() == [1, 0]
    assert np.argwhere(touched).max(0).tolist() == [2, 3]
    assert np.argwhere(cut).min(0).tolist() == [30, 0]
    assert np.argwhere(cut).max(0).tolist() == [39, 8]


def test_lines_of_one_target_are_merged_unless_they_have_ids(root):
    several = {"image": NAMES[TRAIN], "expressions": ["left dog", " big dog "], "annotation": 5}
    report = prepare(
        root,
        several,
        line(text="other dog", annotation=6),
        line(text="the dog", annotation=5),
        line(text="a cat", absent=True),
        line(text="a zebra", absent=True),
        line(text="itself", annotation=5, id="mine"),
        line(text="a cow", absent=True, id=40),
    )
    referrals = read(root)
    texts = [[each.text for each in one.expressions] for one in referrals]
    assert texts == [["left dog", "big dog", "the dog"], ["other dog"], ["a cat", "a zebra"], ["itself"], ["a cow"]]
    assert [len(one.targets) for one in referrals] == [1, 1, 0, 1, 0]
    assert [one.ref_id for one in referrals] == [41, 42, 43, 44, 40]
    sentence_ids = [each.sent_id for one in referrals for each in one.expressions]
    assert len(set(sentence_ids)) == len(sentence_ids) == 8
    assert report.notes[0] == "Targets: 3, with 5 expressions; expressions without a target: 3."


# ---------------------------------------------------------------- categories and standings


def test_categories_are_cocos_then_the_other_nouns(root):
    report = prepare(
        root,
        line(annotation=5),
        line(box=[1, 1, 5, 5], category="Wine_Glass"),
        line(box=[1, 1, 6, 6], category="valve"),
        line(box=[1, 1, 7, 7], category="pump"),
        line(box=[1, 1, 8, 8]),
        line(absent=True, category="lion"),
    )
    names = [one.category if one.category < 0 else report.categories[one.category] for one in read(root)]
    assert names == ["dog", "wine glass", "valve", "pump", -1, -1]
    assert [one.category for one in read(root)][:2] == [COCO_CATEGORIES.index("dog"), 40]
    assert report.categories[:80] == COCO_CATEGORIES
    assert "pump" in report.categories[80:]


def test_standing_counts_the_annotated_objects_of_the_category(root):
    x0, y0, x1, y1 = BOXES[6]
    rivals = [
        line(annotation=5),
        line(annotation=6),
        line(box=[x0 - 1, y0, x1, y1], category="dog"),  # overlaps most with the annotation 6
        line(box=[x0 - 1, y0, x1, y1 + 1]),  # of an unknown category
        line(box=[40, 30, 49, 39], category="dog"),  # not annotated
        line(box=[x0, y0, x1, y1], category="cup"),  # a category that is not annotated
        line(annotation=7),
    ]
    prepare(root, *rivals)
    assert [one.standing for one in read(root)] == [
        Standing(2, 1), Standing(2, 2), Standing(2, 2), None, None, None, Standing(1, 1),
    ]  # fmt: skip


def test_standing_of_boxes_without_outlines_is_by_the_area_of_the_box(root):
    content = json.loads((root / "instances.json").read_text())
    for each in content["annotations"]:
        each["segmentation"] = []
    (root / "instances.json").write_text(json.dumps(content))
    prepare(root, line(box=list(BOXES[5]), category="dog"), line(box=list(BOXES[6]), category="dog"))
    assert [one.standing for one in read(root)] == [Standing(2, 1), Standing(2, 2)]


def test_ids_that_two_instance_files_share_are_understood_by_their_image(root):
    content = json.loads((root / "instances.json").read_text())
    other = {**content, "images": [content["images"][1]], "annotations": []}
    other["annotations"] = [{**each, "id": each["id"] - 10} for each in content["annotations"] if each["id"] > 10]
    (root / "other.json").write_text(json.dumps(other))
    path = write(root, line(VAL, annotation=5), line(VAL, annotation=15), line(VAL, annotation=16))
    files = [root / "instances.json", root / "other.json"]
    found = read_referrals(read_lines(path), [root / "images"], files)
    assert [one.standing for one in found.referrals] == [Standing(2, 1), Standing(2, 1), Standing(2, 2)]
    assert found.referrals[0].targets == found.referrals[1].targets


# ---------------------------------------------------------------- images and splits


def test_the_split_is_that_of_prepare_coco(root):
    prepare(root, *(line(image, annotation=number + 10 * (image == VAL)) for image in (TRAIN, VAL) for number in BOXES))
    ours = {split: {one.image.name for one in read(root, split)} for split in ("train", "val")}
    assert ours == {"train": {NAMES[TRAIN]}, "val": {NAMES[VAL]}}
    prepare_coco(root / "instances.json", root / "images", root / "out", name="coco")
    for split in ("train", "val"):
        theirs = read_prepared(root / "out", "coco", split, root / "images")
        assert {one.image.name for one in theirs} == ours[split]
        of = {one.targets[0]["counts"]: one for one in read(root, split)}
        for one in theirs:
            mine = of[one.targets[0]["counts"]]
            assert (mine.standing, mine.box, mine.targets) == (one.standing, one.box, one.targets)


@pytest.mark.parametrize(
    ("name", "image_id", "split"),
    [
        ("cat.png", VAL, "val"),
        ("cat.png", TRAIN, "train"),
        (f"{VAL}.png", None, "val"),
        (f"COCO_val2014_{VAL:012}.png", None, "val"),
        (f"{VAL}.png", TRAIN, "train"),
    ],
)
def test_the_image_id_decides_the_split(root, name, image_id, split):
    write_photo(root / "images" / name, 200)
    keys = {} if image_id is None else {"image_id": image_id}
    prepare(root, line(name, box=[1, 1, 5, 5], **keys), instances=False)
    assert [one.image.name for one in read(root, split)] == [name]


def test_an_instance_file_names_the_id_of_an_image(root):
    (root / "images" / NAMES[VAL]).rename(root / "images" / "dogs.png")
    content = json.loads((root / "instances.json").read_text())
    content["images"][1]["file_name"] = "dogs.png"
    (root / "instances.json").write_text(json.dumps(content))
    prepare(root, line("dogs.png", annotation=15))
    assert [one.image.name for one in read(root, "val")] == ["dogs.png"]


def test_copies_of_an_image_are_in_one_split(root):
    shutil.copy(root / "images" / NAMES[VAL], root / "images" / f"{TRAIN + 1000}.png")
    path = write(root, line(VAL, box=[1, 1, 5, 5]), line(f"{TRAIN + 1000}.png", box=[1, 1, 5, 5]))
    found = read_referrals(read_lines(path), [root / "images"])
    assert {found.image_id(one) for one in found.referrals} == {VAL}
    assert defects(found) == {"photo of several names": [f"{TRAIN + 1000}.png"]}


def test_images_of_several_folders_are_named_from_their_common_one(root):
    (root / "more").mkdir()
    write_photo(root / "more" / "x.png", 99)
    report = prepare(
        root,
        line(annotation=5),
        line("x.png", box=[1, 1, 5, 5]),
        line(str(root / "more" / "x.png"), box=[1, 1, 6, 6]),
        line("more/x.png", box=[1, 1, 7, 7]),  # beside the file
        images=[root / "images", root / "more"],
    )
    assert report.notes[-1].startswith(f"Images are named relative to {root}, ")
    written = [
        entry["img_name"]
        for split in ("train", "val")
        if (root / f"out/anns/set/{split}.json").exists()
        for entry in json.loads((root / f"out/anns/set/{split}.json").read_text())
    ]
    assert sorted(written) == [f"images/{NAMES[TRAIN]}", "more/x.png", "more/x.png", "more/x.png"]
    write_photo(root / "more" / NAMES[TRAIN], 98)
    with pytest.raises(DataError, match=r"line 1: .* lies in several folders of images"):
        prepare(root, line(annotation=5), images=[root / "images", root / "more"])


# ---------------------------------------------------------------- defects


def test_outlines_that_do_not_fit_are_reported_and_left_out(root):
    write_photo(root / "images" / "big.png", 60, (80, 100))
    (root / "images" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.ones((9, 9), np.uint8)).save(root / "small.png")
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(root / "empty.png")
    bad = {
        "empty outline": [
            {"polygon": []}, {"box": [5, 5, 5, 9]}, {"box": [9, 5, 3, 9]}, {"mask": "empty.png"},
            {"rle": encode_rle(np.zeros(SIZE, bool))},
        ],
        "outline outside the image": [
            {"box": [40, 30, 60, 39]}, {"polygon": [[1, 1, 9, 1, 9, 43]]}, {"box": [60, 60, 70, 70]},
        ],
        "photo of another size than stated": [
            {"image": "big.png", "rle": encode_rle(mask_of(5))}, {"box": [1, 1, 5, 5], "size": [80, 100]},
            {"mask": "small.png"},
        ],
        "unreadable outline": [
            {"mask": "none.png"}, {"rle": {"size": list(SIZE), "counts": [1, 2, 3]}},
            {"polygon": [["a", 1, 2, 3, 4, 5]]}, {"rle": {"size": list(SIZE), "counts": "0"}},
            {"rle": encode_rle(mask_of(5)), "size": [50, 40], "image": "t.png"},
        ],
        "missing photo": [{"image": "none.png", "box": [1, 1, 5, 5]}, {"image": "none.png", "absent": True}],
        "unreadable photo": [{"image": "broken.png", "absent": True}, {"image": "broken.png", "box": [1, 1, 5, 5]}],
    }  # fmt: skip
    write_photo(root / "images" / "t.png", 61, (50, 40))
    lines = [line(annotation=5)] + [line(**keys) | keys for group in bad.values() for keys in group]
    report = prepare(root, *lines)
    numbers = iter(range(2, 100))
    where = {name: [f"{root / 'my.jsonl'}, line {next(numbers)}" for _ in group] for name, group in bad.items()}
    assert defects(report) == where
    assert len(read(root)) == 1
    assert "run `vlt prepare`" not in str(report)
    stored = json.loads((root / "out/anns/set/prepare.json").read_text())
    assert {one["kind"] for one in stored["defects"]} == set(bad)


def test_a_missing_image_of_a_similar_name_is_pointed_at(root):
    report = prepare(root, line(annotation=5), line(NAMES[VAL].upper(), box=[1, 1, 5, 5]))
    assert "differs from the file in upper and lower case" in str(report)


def test_a_degenerate_polygon_is_left_out_of_an_outline(root):
    report = prepare(root, line(polygon=[polygon(5), [1, 2, 3, 4]]))
    assert list(defects(report)) == ["degenerate polygon"]
    assert np.array_equal(read_targets(read(root)[0].targets, (1, 1)), mask_of(5))


def test_outlines_on_rotated_photos_are_used_only_where_their_size_decides(root):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 40 x 50, upright 50 x 40
    write_photo(root / "images" / "turned.png", 70, exif=exif)
    report = prepare(
        root,
        line("turned.png", box=[1, 1, 9, 9], size=[50, 40]),
        line("turned.png", box=[1, 1, 8, 8]),
        line("turned.png", box=[1, 1, 7, 7], size=[40, 50]),
        line("turned.png", absent=True),
        instances=False,
    )
    lines = [f"{root / 'my.jsonl'}, line {number}" for number in (2, 3)]
    assert defects(report) == {"photo that EXIF rotates or mirrors": lines}
    split = next(path.stem for path in (root / "out/anns/set").glob("*.json") if path.stem in ("train", "val"))
    assert [len(one.targets) for one in read(root, split)] == [1, 0]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("{'image': 1}", "this is not JSON"),
        ('["a"]', "this is no JSON object"),
        ({"expression": "dog", "box": [1, 1, 5, 5]}, "the key 'image' is missing"),
        (line(box=[1, 1, 5, 5], imge="x"), "unknown key 'imge' (did you mean 'image'?)"),
        (line(box=[1, 1, 5, 5], colour="x"), "unknown key 'colour' (known: image, expressions"),
        (line(), "there is no outline; give exactly one of rle, polygon, mask, box, annotation, absent"),
        (line(box=[1, 1, 5, 5], absent=True), "there are 2 outlines, box and absent; give exactly one"),
        (line(box=[1, 1, 5]), "'box' cannot be used: field required"),
        (line(box=[1, 1, 5, "9"]), "'box' cannot be used: input should be a valid number"),
        (line(absent=False), "'absent' cannot be used"),
        (line(rle={"size": [4, 4]}), "'rle' cannot be used"),
        (line(annotation="5"), "'annotation' cannot be used"),
        (line(id=-1, box=[1, 1, 5, 5]), "'id' cannot be used"),
        ({"image": "1.png", "box": [1, 1, 5, 5]}, "there is no expression; give one of the two keys"),
        ({"image": "1.png", "box": [1, 1, 5, 5], "expressions": []}, "'expressions' cannot be used"),
        (line(box=[1, 1, 5, 5], expressions=["a"]), "both expressions and expression"),
        (line(text=" ", box=[1, 1, 5, 5]), "expression 1 is empty or blank"),
        ({"image": "1.png", "box": [1, 1, 5, 5], "expressions": ["a", "\u200b"]}, "expression 2 has only invisible"),
        (line(annotation=99), "has no annotation 99 in the instance files; correct the id"),
        (line("other.png", annotation=5), "the instance files list no image other"),
        (line(box=[1, 1, 5, 5], image_id=7), f"has the id 7, but {TRAIN} in "),
        (line(box=[1, 1, 5, 5], id=1), "the id 1 stands in "),
    ],
)
def test_bad_structure_is_refused_with_file_and_line(root, bad, sentence):
    write_photo(root / "images" / "other.png", 80)
    with pytest.raises(DataError) as error:
        prepare(root, line(annotation=5, id=1), "", bad)
    assert str(error.value).startswith(f"{root / 'my.jsonl'}, line 3: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert not (root / "out").exists()


def test_an_annotation_needs_an_instance_file(root):
    with pytest.raises(DataError, match=r"line 1: there is no instance file with annotation 5; .*--instances"):
        prepare(root, line(annotation=5), instances=False)
    content = json.loads((root / "instances.json").read_text())
    content["annotations"][1]["id"] = 5
    (root / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"line 1: image .* has 2 annotations 5"):
        prepare(root, line(annotation=5))


def test_files_that_cannot_be_used_are_refused(root):
    with pytest.raises(DataError, match="holds no line"):
        prepare(root, "")
    with pytest.raises(DataError, match=r"No record of .*my.jsonl can be used: missing photo 1 time"):
        prepare(root, line("none.png", box=[1, 1, 5, 5]))
    with pytest.raises(DataError, match="There is no folder of images"):
        prepare(root, line(annotation=5), images=[root / "nowhere"])
    with pytest.raises(DataError, match="There is no file of JSON lines"):
        read_lines(root / "none.jsonl")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_lines(root)
    (root / "my.jsonl").write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        read_lines(root / "my.jsonl")
    with pytest.raises(ConfigError, match="val_share is 2"):
        prepare(root, line(annotation=5), val_share=2)
    assert not (root / "out").exists()


def test_a_corrected_file_may_be_prepared_again_but_no_other(root):
    prepare(root, line(text="dgo", annotation=5))
    prepare(root, line(text="dog", annotation=5))
    assert [each.text for each in read(root)[0].expressions] == ["dog"]
    with pytest.raises(DataError, match="holds another data set"):
        prepare(root, line(annotation=5), val_share=0.5)
    with pytest.raises(DataError, match="holds another data set"):
        prepare_coco(root / "instances.json", root / "images", root / "out", name="set")


def test_splits_of_an_earlier_run_do_not_stay(root):
    prepare(root, line(annotation=5), line(VAL, annotation=15))
    prepare(root, line(annotation=5))
    assert not (root / "out/anns/set/val.json").exists()


def test_a_mark_at_the_start_and_windows_line_ends_are_read(root):
    (root / "my.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(line(annotation=5)).encode() + b"\r\n\r\n")
    assert len(read_lines(root / "my.jsonl")) == 1


def test_masks_as_pictures(root):
    prepare(root, line(annotation=5, id=3), generate_mask=True)
    assert os.listdir(root / "out/masks/set") == ["3.png"]


def test_forms_are_recognised(root):
    assert form_of(write(root, line(annotation=5))) == "lines"
    assert form_of(root / "instances.json") == "coco"
    (root / "export.json").write_text(' \n[{"data": {}}]')
    assert form_of(root / "export.json") == "label-studio"
    assert len(read_records([root / "my.jsonl"])) == 1
    with pytest.raises(DataError, match="cannot be read"):
        form_of(root / "none.json")
