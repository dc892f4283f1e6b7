"""Label Studio's export: regions become records in pixels; texts, labels, cancelled annotations, brush masks."""

import json

import numpy as np
import pytest
from records_fixture import BOXES, NAMES, SIZE, TRAIN, mask_of, write_folder

from vlt.data.masks import read_targets
from vlt.errors import DataError
from vlt.prepare.own.brush import decode_brush
from vlt.prepare.own.label_studio import image_names, read_label_studio
from vlt.prepare.own.record_set import prepare_records, read_referrals

HEIGHT, WIDTH = SIZE


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def result(region, kind, value, **keys):
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": region, "type": kind, "from_name": "x", "to_name": "image", "value": value} | size | keys


def percent(number):
    x0, y0, x1, y1 = BOXES[number]
    sides = {"x": x0 / WIDTH, "y": y0 / HEIGHT, "width": (x1 - x0) / WIDTH, "height": (y1 - y0) / HEIGHT}
    return {key: 100 * side for key, side in sides.items()}


def rectangle(region, number, label="Dog", **value):
    return result(region, "rectanglelabels", {**percent(number), "rotation": 0, "rectanglelabels": [label]} | value)


def text(region, number, *texts):
    return result(region, "textarea", {**percent(number), "text": list(texts)})


def export(root, *results, image=f"/data/upload/1/0a1b2c3d-{NAMES[TRAIN]}", **annotation):
    task = {"id": 7, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)} | annotation]}
    (root / "export.json").write_text(json.dumps([task]))
    return root / "export.json"


def referrals(root, *results, **how):
    return read_referrals(read_label_studio(export(root, *results, **how)), [root / "images"])


def pack(mask, literal=False):
    """Pack an RGBA picture of a mask: runs, or single values, of at most 256; written from the format's description."""
    values = np.repeat(mask.ravel() * 255, 4).astype(int)
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{width - 1:04b}" for width in (1, 4, 8, 16))
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and end - start < 256 and (literal or values[end] == values[start]):
            end += 1
        bits += f"{int(not literal):b}" + "10" + f"{end - start - 1:08b}"
        bits += "".join(f"{value:08b}" for value in (values[start:end] if literal else values[start : start + 1]))
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_rectangles_polygons_and_brushes_give_the_same_mask(root):
    x0, y0, x1, y1 = BOXES[5]
    points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    found = referrals(
        root,
        rectangle("a", 5),
        result("b", "polygonlabels", {"points": points, "closed": True, "polygonlabels": ["Dog"]}),
        result("c", "brushlabels", {"format": "rle", "rle": pack(mask_of(5)), "brushlabels": ["Dog"]}),
        result("d", "rectangle", percent(5)),
        result("d", "labels", {**percent(5), "labels": ["Dog"]}),
        text("d", 5, "the dog"),
    )
    assert not found.defects
    box, polygon, brush = (read_targets(one.targets, (1, 1)) for one in found.referrals)
    for mask in (box, polygon, brush):
        assert np.array_equal(mask, mask_of(5))
    texts = [[each.text for each in one.expressions] for one in found.referrals]
    assert texts == [["Dog", "the dog"], ["Dog"], ["Dog"]]  # the last rectangle is the first one again
    assert found.boxes == 1
    assert {found.categories[one.category] for one in found.referrals} == {"dog"}


def test_texts_of_a_region_are_its_expressions_and_labels_replace_them(root):
    records = read_label_studio(
        export(
            root,
            text("a", 5, "left dog", " dog on the left "),
            rectangle("a", 5, "Dog"),
            rectangle("b", 6, "small_dog"),
            result("w", "textarea", {"text": ["three animals"]}),
            result("n", "textarea", {"text": ["a cat", "a zebra"]}, from_name="absent"),
            result("k", "choices", {"choices": ["indoor"]}),
            {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        )
    )
    assert [one.expressions for one in records] == [
        ("left dog", "dog on the left"),
        ("small_dog",),
        ("a cat", "a zebra"),
    ]
    assert [one.category for one in records] == ["Dog", "small_dog", None]
    assert [one.outline is None for one in records] == [False, False, True]
    assert records[0].where == f"{root / 'export.json'}, task 7, region a"


def test_a_rotated_rectangle_turns_around_its_upper_left_corner(root):
    value = {"x": 40.0, "y": 25.0, "width": 20.0, "height": 10.0, "rotation": 90}  # from (20, 10): 10 wide, 4 high
    found = referrals(root, result("a", "rectanglelabels", {**value, "rectanglelabels": ["Dog"]}))
    mask = np.zeros(SIZE, bool)
    mask[10:20, 16:20] = True
    assert np.array_equal(read_targets(found.referrals[0].targets, (1, 1)), mask)
    assert found.boxes == 0


def test_cancelled_annotations_are_skipped(root):
    path = export(root, rectangle("a", 5), was_cancelled=True)
    with pytest.raises(DataError, match="has no region in any of its 1 tasks"):
        read_label_studio(path)
    content = json.loads(path.read_text())
    content[0]["annotations"].append({"result": [rectangle("b", 6)], "was_cancelled": False})
    path.write_text(json.dumps(content))
    assert [one.where.rpartition(" ")[2] for one in read_label_studio(path)] == ["b"]


def test_regions_that_cannot_be_used_are_reported(root):
    found = referrals(
        root,
        rectangle("a", 5),
        result("e", "ellipselabels", {"x": 50, "y": 50, "radiusX": 4, "radiusY": 4, "ellipselabels": ["Dog"]}),
        result("r", "rectangle", percent(6)),
        result("s", "rectanglelabels", {**percent(6), "rectanglelabels": ["Dog"]}, original_width=77),
    )
    place = f"{root / 'export.json'}, task 7, region "
    assert {kind.name: ids for kind, ids in found.defects.items()} == {
        "region of a kind that is not read": [place + "e"],
        "region without an expression": [place + "r"],
        "photo of another size than stated": [place + "s"],
    }
    assert len(found.referrals) == 1


def test_an_export_is_prepared_like_lines(root):
    path = export(root, rectangle("a", 5), text("a", 5, "left dog"))
    report = prepare_records([path], [root / "images"], root / "out", form="label-studio", name="ls")
    assert {split: counts.sentences for split, counts in report.counts.items()} == {"train": 1}
    assert "1 target is a box without an outline." in report.notes


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"image_rotation": 90}, "the image is rotated by 90 degrees in Label Studio"),
        ({"original_width": None}, "original_width or original_height is missing"),
        ({"value": {"x": 1, "y": 1, "width": 5, "rectanglelabels": ["Dog"]}}, "value.height: Field required"),
        ({"value": {"x": 1, "y": 1, "width": 5, "height": "5", "rectanglelabels": ["Dog"]}}, "value.height: Input"),
        ({"type": "polygonlabels", "value": {"points": [[1, 2, 3]], "polygonlabels": ["Dog"]}}, "value.points.0"),
        ({"type": "brushlabels", "value": {"rle": [0, 0, 0, 4, 0], "brushlabels": ["Dog"]}}, "brush mask has 4 values"),
        ({"type": "brushlabels", "value": {"rle": [0], "brushlabels": ["Dog"]}}, "end too early"),
    ],
)
def test_incomplete_regions_are_refused_by_name(root, bad, sentence):
    with pytest.raises(DataError) as error:
        read_label_studio(export(root, rectangle("a", 5) | bad))
    assert str(error.value).startswith(f"{root / 'export.json'}, task 7, region a: ")
    assert sentence in str(error.value)


def test_other_files_are_refused(root):
    with pytest.raises(DataError, match="region a: expression 1 is empty or blank"):
        read_label_studio(export(root, rectangle("a", 5), text("a", 5, " ")))
    path = export(root, rectangle("a", 5))
    content = json.loads(path.read_text())
    path.write_text(json.dumps([{"image": "x.png", "label": content}]))
    with pytest.raises(DataError, match=r"export.json, entry 0, key 'data': .*as JSON \(not JSON-MIN\)"):
        read_label_studio(path)
    content[0]["data"] = {"img": "x.png"}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"task 7: there is no text data.image"):
        read_label_studio(path)
    path.write_text("{")
    with pytest.raises(DataError, match="Invalid JSON"):
        read_label_studio(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_label_studio(root / "none.json")


# ---------------------------------------------------------------- names of images, brush masks


@pytest.mark.parametrize(
    ("url", "last"),
    [
        ("s3://bucket/photos/cat.jpg", ("photos/cat.jpg", "cat.jpg")),
        ("https://example.com/photos/cat.jpg?x=1", ("photos/cat.jpg", "cat.jpg")),
        ("/data/local-files/?d=photos%5Ccat.jpg", ("photos/cat.jpg", "cat.jpg")),
        ("deadbeef-cat.jpg", ("deadbeef-cat.jpg", "cat.jpg")),
        ("deadbeef-", ("deadbeef-",)),
        ("../../etc/cat.jpg", ("etc/cat.jpg", "cat.jpg")),
    ],
)
def test_names_of_images(url, last):
    assert image_names(url)[-2:] == last


@pytest.mark.parametrize("literal", [False, True])
def test_brush_masks_round_trip(literal):
    rng = np.random.default_rng(0)
    for share in (0, 0.1, 0.5, 1):
        mask = rng.random((13, 7)) < share
        mask[:4] = False
        assert np.array_equal(decode_brush(pack(mask, literal), (13, 7)), mask)


def test_a_brush_mask_as_label_studio_packs_it():
    """Of a 4 x 6 picture whose rows 1 to 2 and columns 2 to 4 are painted; by `label-studio-converter` 0.0.59."""
    packed = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 27, 0, 0]
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    assert np.array_equal(decode_brush(packed, (4, 6)), mask)


def test_damaged_brush_masks_are_refused():
    packed = pack(mask_of(5))
    for damaged, sentence in (
        (packed[: len(packed) // 2], "end too early"),
        ([300, *packed[1:]], "a number outside 0 to 255"),
        ([0, 0, 0, 4, 57, 27, 255, 255, 255, 255, 255], "more than its 4 values"),
    ):
        with pytest.raises(DataError, match=sentence):
            decode_brush(damaged, (1, 1) if damaged[3] == 4 else SIZE)
    with pytest.raises(DataError, match="has 8000 values, but 50 x 50 pixels have 4 each"):
        decode_brush(packed, (50, 50))
