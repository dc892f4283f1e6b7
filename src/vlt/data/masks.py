"""Masks and their encodings: COCO's run lengths (no other file decodes them), polygons, grey PNGs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from pycocotools import mask as coco_mask

from vlt.errors import DataError
from vlt.types import RLE, Box, Mask, Size, Target

FARTHEST = 100_000
"""Largest coordinate of a polygon that is accepted, in pixels; drawing costs memory per pixel of the outline."""


class Outline(NamedTuple):
    """The mask of a segmentation.

    Attributes:
        rle: the union of its parts.
        left_out: for each degenerate polygon, which is left out, the reason, such as "fewer than three points".
    """

    rle: RLE
    left_out: tuple[str, ...]


def encode_rle(mask: Mask) -> RLE:
    """Convert a mask to run lengths.

    Args:
        mask: (H, W) bool.

    Example:
        >>> encode_rle(np.array([[False, True], [False, True]]))
        {'size': [2, 2], 'counts': '22'}
    """
    return _from_coco(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode_rle(rle: RLE) -> Mask:
    """Convert run lengths to a mask.

    Returns:
        (H, W) bool.

    Raises:
        DataError: the run lengths are damaged, or do not add up to the size.
    """
    height, width = rle["size"]
    runs = decode_counts(rle)
    values = np.arange(len(runs)) % 2 == 1  # runs alternate, beginning outside the object
    return np.repeat(values, runs).reshape(width, height).T


def rle_area(rle: RLE) -> int:
    """Count the pixels of the object.

    Raises:
        DataError: see `decode_rle`.
    """
    return int(decode_counts(rle)[1::2].sum())


def mask_box(mask: Mask) -> Box | None:
    """Compute the smallest box around the object, xyxy in pixels, x1 and y1 just outside; None for an empty mask.

    Args:
        mask: (H, W) bool.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def label_parts(mask: Mask) -> tuple[npt.NDArray[np.int32], int]:
    """Number the connected parts of a mask; pixels that touch, if only at a corner, belong to one part.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) int32, 0 outside, 1 in the largest part, and so on; and the number of parts.

    Example:
        >>> label_parts(np.array([[True, False, True], [False, False, True]]))
        (array([[2, 0, 1],
               [0, 0, 1]], dtype=int32), 2)
    """
    width = mask.shape[1] + 1
    flat = np.pad(mask, ((0, 0), (0, 1))).ravel()  # a gap ends the runs of each row
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    starts, stops = edges[::2], edges[1::2]
    first, last = np.searchsorted(stops, starts - width), np.searchsorted(starts, stops - width, side="right")
    counts = (last - first).clip(0)  # runs of the row above that each run touches
    below = np.repeat(np.arange(len(starts)), counts)
    above = np.arange(len(below)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    part = np.arange(len(starts))  # of each run: the lowest run that is known to belong to its part
    while True:
        lowest = np.minimum(part[above], part[below])
        merged = part.copy()
        for side in (part[above], part[below]):
            np.minimum.at(merged, side, lowest)
        merged = merged[merged]
        if np.array_equal(merged, part):
            break
        part = merged
    roots, number = np.unique(part, return_inverse=True)
    rank = np.empty(len(roots), np.int32)
    areas = np.bincount(number, stops - starts, minlength=len(roots))
    rank[np.argsort(-areas, kind="stable")] = np.arange(1, len(roots) + 1)
    labels = np.zeros(flat.shape, np.int32)
    labels[flat] = np.repeat(rank[number], stops - starts)
    return labels.reshape(-1, width)[:, :-1], len(roots)


def box_overlap(one: Box | None, other: Box | None) -> float:
    """Compute the IoU of two boxes, each xyxy in the same unit; None is the box of an empty mask.

    Returns:
        In [0, 1]; 1 for two empty masks, 0 for one.

    Example:
        >>> box_overlap((0, 0, 2, 2), (1, 0, 3, 2))
        0.3333333333333333
    """
    if one is None or other is None:
        return float(one is other)
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0


def join_boxes(boxes: Sequence[Box]) -> Box | None:
    """Compute the smallest box around some boxes, each xyxy in the same unit; None for none.

    Example:
        >>> join_boxes([(0, 0, 2, 2), (1, 1, 3.5, 2)])
        (0, 0, 3.5, 2)
    """
    if not boxes:
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def fill_box(box: Box, size: Size) -> Mask:
    """Make the mask of a box, which includes every pixel that the box touches.

    Args:
        box: xyxy in pixels.
        size: (height, width) of the image in pixels.

    Returns:
        (H, W) bool.
    """
    mask = np.zeros(size, dtype=bool)
    # Percentages of a side, such as a third, end a little beyond the whole pixel.
    x0, y0, x1, y1 = (max(round(side, 3), 0.0) for side in box)
    mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = True
    return mask


def read_segmentation(segmentation: object, size: Size) -> Outline:
    """Convert any `segmentation` of a COCO-style annotation to run lengths.

    Args:
        segmentation: a list of polygons, each [x0, y0, x1, y1, ...] or [[x0, y0], [x1, y1], ...] in pixels; run lengths
            (their counts compressed, or a list of numbers); a list that contains run lengths, as in refclef; or one
            polygon of [x, y] pairs. Several parts are united. None and an empty list are an empty mask.
        size: (height, width) of the image in pixels.

    Raises:
        DataError: it is none of these, its run lengths are damaged or of another size, or a coordinate is no number
            between -`FARTHEST` and `FARTHEST`.
    """
    parts = [segmentation] if isinstance(segmentation, dict) else [] if segmentation is None else segmentation
    if not isinstance(parts, list):
        raise DataError(f"A segmentation is {type(parts).__name__}, neither polygons nor run lengths.")
    if len(parts) > 2 and _are_pairs(parts) and not any(isinstance(side, list) for point in parts for side in point):
        parts = [parts]
    rles: list[RLE] = []
    left_out: list[str] = []
    for part in parts:
        if isinstance(part, dict):
            rles.append(read_run_lengths(part, size))
            continue
        points = [side for point in part for side in point] if _are_pairs(part) else part
        if not isinstance(points, list) or any(isinstance(point, list | tuple) for point in points):
            raise DataError(
                "A polygon is not a flat list of coordinates [x0, y0, x1, y1, ...], nor one of [x, y] pairs."
            )
        if any(kind is bool or not issubclass(kind, int | float | np.number) for kind in set(map(type, points))):
            raise DataError("A polygon holds something that is no number.")
        if len(points) < 6 or len(points) % 2:
            left_out.append("fewer than three points" if len(points) < 6 else "an odd number of coordinates")
            continue
        try:
            coordinates = np.asarray(points, dtype=np.float64)
        except OverflowError:  # a whole number of hundreds of digits
            coordinates = np.array([np.inf])
        if not np.all(np.abs(coordinates) <= FARTHEST):  # `not all`, so that NaN is refused too
            raise DataError(f"A polygon has a coordinate that does not lie between -{FARTHEST} and {FARTHEST}.")
        rles.append(_from_coco(coco_mask.frPyObjects([coordinates.tolist()], *size)[0]))
    if not rles:
        return Outline(encode_rle(np.zeros(size, dtype=bool)), tuple(left_out))
    return Outline(rles[0] if len(rles) == 1 else _from_coco(coco_mask.merge(rles)), tuple(left_out))


def read_run_lengths(part: Mapping[str, Any], size: Size) -> RLE:
    """Convert the run lengths of an annotation, compressed or not, to checked compressed ones.

    Args:
        part: with "size" and "counts": compressed text or bytes, or a list of numbers.
        size: (height, width) of the image in pixels.

    Raises:
        DataError: they are damaged, or for another size.
    """
    found, counts = part.get("size"), part.get("counts")
    if found != list(size):
        raise DataError(f"Run lengths are for the size {found}, but the image has {list(size)}.")
    if isinstance(counts, list):
        if not all(isinstance(count, int) and count >= 0 for count in counts):
            raise DataError("The counts of run lengths are not all whole numbers of at least 0.")
        if sum(counts) != size[0] * size[1]:  # before pycocotools cuts them to 32 bits
            raise DataError(f"Run lengths add up to {sum(counts)} pixels, but the image has {size[0]} x {size[1]}.")
        return _from_coco(coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size))
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if not isinstance(counts, str):
        raise DataError(f"The counts of run lengths are {type(counts).__name__}, neither text nor a list.")
    rle = RLE(size=list(size), counts=counts)
    decode_counts(rle)
    return rle


def read_targets(targets: Sequence[Target], size: Size) -> Mask:
    """Read the union of the masks of a referral's targets, see `read_each_target`.

    Args:
        targets: see `vlt.types.Referral`.
        size: (height, width) of the image in pixels; the size of the mask where there is no target.

    Returns:
        (H, W) bool, of the masks' own size; all False without targets.
    """
    return unite(read_each_target(targets), size)


def read_each_target(targets: Sequence[Target]) -> list[Mask]:
    """Read the masks of a referral's targets.

    Returns:
        (H, W) bool for each target, all of one size.

    Raises:
        DataError: a PNG that is missing or cannot be read, damaged run lengths, or masks of different sizes; a target
            that is known by its box alone.
    """
    masks = [read_target(target) for target in targets]
    if len({mask.shape for mask in masks}) > 1:
        raise DataError(f"its targets have masks of different sizes, {', '.join(str(mask.shape) for mask in masks)}.")
    return masks


def unite(masks: Sequence[Mask], size: Size) -> Mask:
    """Return the union of masks, (H, W) bool each; all False, of `size`, for none."""
    if not masks:
        return np.zeros(size, dtype=bool)
    return masks[0] if len(masks) == 1 else np.logical_or.reduce(masks)


def read_target(target: Target) -> Mask:
    """Read the mask of one target from run lengths, a PNG or an array.

    Returns:
        (H, W) bool.

    Raises:
        DataError: a PNG that is missing or cannot be read, or damaged run lengths; a target that is known by its box
            alone.
    """
    if isinstance(target, dict):
        return decode_rle(target)
    if isinstance(target, tuple):
        raise DataError("its target is known by its box alone, but a mask is needed here; take a data set with masks.")
    if not isinstance(target, Path):
        return target
    try:
        with PILImage.open(target) as image:
            return np.asarray(image.convert("L")) > 0
    except FileNotFoundError:
        raise DataError(f"There is no mask {target}; run `vlt prepare` again.") from None
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise DataError(f"The mask {target} cannot be read ({error}); run `vlt prepare` again.") from None


def decode_counts(rle: RLE) -> npt.NDArray[np.int64]:
    """Decode and check the counts of run lengths.

    Each character carries five bits of a number, lowest first, and whether more follow; from the fourth run on,
    numbers are differences to the run before the last. pycocotools reads the same format without checking it.

    Returns:
        (R,) int64, the lengths of the runs in pixels, which alternate and begin outside the object.

    Raises:
        DataError: they are damaged, or do not add up to the size.
    """
    damaged = DataError(f"Run lengths of size {rle['size']} are damaged; run `vlt prepare` again.")
    codes = np.frombuffer(rle["counts"].encode(), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise damaged
    starts = np.flatnonzero(np.append(True, codes[:-1] & 32 == 0))
    lengths = np.diff(np.append(starts, len(codes)))
    digits = np.arange(len(codes)) - np.repeat(starts, lengths)
    if digits.max() > 9:  # longer than any image needs, and int64 would overflow soon
        raise damaged
    numbers = np.add.reduceat((codes & 31) << (5 * digits), starts)
    numbers -= np.where(codes[starts + lengths - 1] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    if numbers.min() < 0:
        raise damaged
    height, width = rle["size"]
    if numbers.sum() != height * width:
        raise DataError(f"Run lengths add up to {numbers.sum()} pixels, but the image has {height} x {width}.")
    return numbers


def _are_pairs(points: object) -> bool:
    """Whether something is a list of lists of two."""
    return isinstance(points, list) and all(isinstance(point, list | tuple) and len(point) == 2 for point in points)


def _from_coco(rle: dict[str, Any]) -> RLE:
    """Convert what pycocotools returns: text in place of bytes, so that JSON can hold it."""
    return RLE(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))
