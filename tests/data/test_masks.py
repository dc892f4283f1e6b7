"""Masks and their encodings, against pycocotools where it can be trusted and against pixels where it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image
from pycocotools import mask as coco_mask
from refer_fixture import rectangle

from vlt.data.masks import (
    decode_rle,
    encode_rle,
    label_parts,
    mask_box,
    read_segmentation,
    read_target,
    rle_area,
)
from vlt.errors import DataError
from vlt.types import RLE

SIZE = (5, 7)
MASKS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=60))


def boxes_as_pixels(boxes: list[list[int]]) -> np.ndarray[Any, Any]:
    """The twin of a union of rectangles: paint one after the other."""
    mask = np.zeros(SIZE, bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def segmentation_mask(segmentation: object, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    return decode_rle(read_segmentation(segmentation, size).rle)


# ---------------------------------------------------------------- run lengths


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # the twin's own
@given(MASKS)
def test_masks_survive_run_lengths(mask: np.ndarray[Any, Any]) -> None:
    rle = encode_rle(mask)
    decoded = decode_rle(rle)
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)
    np.testing.assert_array_equal(decoded, coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}))
    assert rle_area(rle) == mask.sum()


@given(MASKS)
def test_the_box_is_the_tightest(mask: np.ndarray[Any, Any]) -> None:
    box = mask_box(mask)
    if box is None:
        assert not mask.any()
        return
    left, top, right, bottom = map(int, box)
    assert mask[top:bottom, left:right].sum() == mask.sum()
    inside = mask[top:bottom, left:right]
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_long_runs_of_a_large_photo() -> None:
    mask = np.zeros((3000, 4000), bool)
    mask[100:2900, 7:3990] = True
    mask[0, ::7] = True
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


@given(st.text(st.characters(max_codepoint=300), max_size=12))
def test_any_text_is_a_mask_of_the_size_or_refused(counts: str) -> None:
    """pycocotools returns uninitialised memory for run lengths that end too soon; nothing of that kind here."""
    try:
        mask = decode_rle(RLE(size=[5, 7], counts=counts))
    except DataError:
        return
    assert mask.shape == (5, 7)
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        (";23000", "add up to 23 pixels, but the image has 5 x 7"),
        ("", "are damaged"),
        ("\x7f", "are damaged"),
        ("é", "are damaged"),
        ("o", "are damaged"),  # announces more that does not follow
        ("P" * 30 + "0", "are damaged"),  # a number of more than 50 bits
        (";O", "are damaged"),  # a run of -1
    ],
)
def test_damaged_run_lengths_are_refused(counts: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        decode_rle(RLE(size=[5, 7], counts=counts))


# ---------------------------------------------------------------- segmentations


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 4), max_size=6))
def test_polygons_are_united(corners: list[tuple[int, int, int, int]]) -> None:
    boxes = [[x, y, min(x + w + 1, 7), min(y + h + 1, 5)] for x, y, w, h in corners if y < 5]
    polygons = [rectangle(*box) for box in boxes]
    np.testing.assert_array_equal(segmentation_mask(polygons, SIZE), boxes_as_pixels(boxes))


def test_polygons_with_too_few_points_are_left_out_and_counted() -> None:
    outline = read_segmentation([[1, 1], [0, 0, 3, 3], [], [0, 0, 3, 0, 3, 3, 9], rectangle(0, 0, 2, 2)], SIZE)
    few = "fewer than three points"
    assert outline.left_out == (few, few, few, "an odd number of coordinates")
    np.testing.assert_array_equal(decode_rle(outline.rle), boxes_as_pixels([[0, 0, 2, 2]]))


def test_polygons_may_be_lists_of_pairs() -> None:
    boxes = [[0, 0, 2, 2], [3, 1, 6, 4]]
    flat = [rectangle(*box) for box in boxes]
    pairs = [[polygon[i : i + 2] for i in range(0, len(polygon), 2)] for polygon in flat]
    for polygons in (flat, pairs, [flat[0], pairs[1]]):
        outline = read_segmentation(polygons, SIZE)
        assert outline.left_out == ()
        np.testing.assert_array_equal(decode_rle(outline.rle), boxes_as_pixels(boxes))
    np.testing.assert_array_equal(segmentation_mask(pairs[0], SIZE), boxes_as_pixels(boxes[:1]))  # one, without a list
    assert read_segmentation([[[0, 0], [3, 3]]], SIZE).left_out == ("fewer than three points",)


def test_counts_beyond_32_bits_are_refused() -> None:
    with pytest.raises(DataError, match=r"add up to 4294967331 pixels, but the image has 5 x 7"):
        read_segmentation({"size": [5, 7], "counts": [2**32 + 35]}, SIZE)


def test_run_lengths_in_every_dress() -> None:
    mask = boxes_as_pixels([[1, 0, 3, 4]])
    rle = encode_rle(mask)
    for dressed in (
        rle,
        {**rle, "counts": rle["counts"].encode()},
        [rle],  # refclef
        {"size": [5, 7], "counts": [5, 4, 1, 4, 21]},
        [{"size": [5, 7], "counts": [5, 4, 26]}, rectangle(2, 0, 3, 4)],
    ):
        np.testing.assert_array_equal(segmentation_mask(dressed, SIZE), mask)


@pytest.mark.parametrize("nothing", [None, [], [[1, 2]], {"size": [5, 7], "counts": [35]}])
def test_nothing_is_an_empty_mask(nothing: object) -> None:
    mask = segmentation_mask(nothing, SIZE)
    assert mask.shape == SIZE
    assert not mask.any()


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ("polygon", "A segmentation is str, neither polygons nor run lengths"),
        ([1.0, 1.0, 4.0, 1.0, 4.0, 4.0], "not a flat list of coordinates"),
        ([[[0, 0, 2], [1, 1, 2], [2, 2, 2]]], "not a flat list of coordinates"),
        ([[[[0, 0], [1, 1], [2, 2], [0, 1]]]], "not a flat list of coordinates"),
        ([[0, 0, 1, 0, [1], 1]], "not a flat list of coordinates"),
        ([[[0, 0], [3, 0], [3, "a"]]], "holds something that is no number"),
        ([[0, 0, 1, 0, "a", 1]], "holds something that is no number"),
        ([["0", "0", "3", "0", "3", "3"]], "holds something that is no number"),
        ([[False, False, True, False, True, True]], "holds something that is no number"),
        ([[0, 0, 3, 0, 3, None]], "holds something that is no number"),
        ([[{"x": 0, "y": 0}, {"x": 3, "y": 0}, {"x": 3, "y": 3}]], "holds something that is no number"),
        ([[0, 0, 3, 0, 3, 10**400]], "does not lie between"),
        ([[0, 0, float("nan"), 0, 1, 1]], "between -100000 and 100000"),
        ([[0, 0, 1e9, 0, 1, 1]], "between -100000 and 100000"),
        ({"size": [5, 8], "counts": [40]}, r"for the size \[5, 8\], but the image has \[5, 7\]"),
        ({"counts": [35]}, "for the size None"),
        ({"size": [5, 7], "counts": [30]}, "add up to 30 pixels, but the image has 5 x 7"),
        ({"size": [5, 7], "counts": [36, -1]}, "are not all whole numbers of at least 0"),
        ({"size": [5, 7], "counts": [17.5, 17.5]}, "are not all whole numbers of at least 0"),
        ({"size": [5, 7]}, "counts of run lengths are NoneType"),
        ({"size": [5, 7], "counts": ";2"}, "add up to 13 pixels"),
    ],
)
def test_what_is_no_segmentation_is_refused(segmentation: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_segmentation(segmentation, SIZE)


# ---------------------------------------------------------------- targets


def test_a_target_is_read_wherever_it_lies(tmp_path: Path) -> None:
    mask = boxes_as_pixels([[1, 1, 4, 3]])
    grey = mask * np.uint8(255)
    grey[1, 1] = 1  # faint, but above 0
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "2.png")
    for target in (mask, encode_rle(mask), tmp_path / "1.png"):
        read = read_target(target)
        assert read.dtype == bool
        np.testing.assert_array_equal(read, mask)
    np.testing.assert_array_equal(read_target(tmp_path / "2.png"), mask)


def test_a_mask_file_that_cannot_be_read(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((50, 50), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "truncated.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-30])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"There is no mask .*missing\.png; run `vlt prepare` again"):
        read_target(tmp_path / "missing.png")
    for name in ("truncated.png", "text.png"):
        with pytest.raises(DataError, match=rf"The mask .*{name} cannot be read"):
            read_target(tmp_path / name)


# ---------------------------------------------------------------- connected parts


def flooded(mask: np.ndarray[Any, Any]) -> list[set[tuple[int, int]]]:
    """The twin of the connected parts of a mask: fill each from its first pixel."""
    left, parts = {(int(y), int(x)) for y, x in zip(*mask.nonzero(), strict=True)}, []
    while left:
        pending, part = [min(left)], set()
        while pending:
            y, x = pending.pop()
            if (y, x) in left:
                left.remove((y, x))
                part.add((y, x))
                pending += [(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        parts.append(part)
    return parts


@given(npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_parts_are_what_a_flood_reaches_the_largest_first(mask: np.ndarray[Any, Any]) -> None:
    labels, count = label_parts(mask)
    assert (labels.shape, labels.dtype) == (mask.shape, np.int32)
    found = [
        {(int(y), int(x)) for y, x in zip(*(labels == number).nonzero(), strict=True)} for number in range(1, count + 1)
    ]
    assert sorted(found, key=min) == sorted(flooded(mask), key=min)
    assert [len(part) for part in found] == sorted(map(len, found), reverse=True)
    assert np.array_equal(labels > 0, mask)


def test_a_spiral_is_one_part_and_lines_that_touch_nowhere_are_many() -> None:
    spiral, lines = np.zeros((21, 21), bool), np.zeros((21, 21), bool)
    top, left, bottom, right = 0, 0, 20, 20
    while top < bottom:
        spiral[top, left : right + 1] = spiral[top : bottom + 1, right] = True
        spiral[bottom, left : right + 1] = spiral[top + 2 : bottom + 1, left] = True
        spiral[top + 2, left : left + 3] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    lines[::2] = True
    assert label_parts(spiral)[1] == 1
    assert label_parts(lines)[1] == 11
