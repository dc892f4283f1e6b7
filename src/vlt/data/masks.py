"""Masks and their encodings: run lengths, polygons, grey PNGs. The only file that knows COCO's run lengths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from pycocotools import mask as coco_mask

from vlt.errors import DataError
from vlt.types import RLE

if TYPE_CHECKING:
    from vlt.types import Box, Mask, Size

FARTHEST = 100_000
"""Largest coordinate of a polygon that is believed, in pixels; drawing one costs memory per pixel of its outline."""


class Outline(NamedTuple):
    """What a segmentation encloses.

    Attributes:
        rle: the union of its parts.
        degenerate: how many polygons were left out because they have fewer than three points.
    """

    rle: RLE
    degenerate: int


def encode_rle(mask: Mask) -> RLE:
    """Mask to run lengths.

    Args:
        mask: (H, W) bool.

    Example:
        >>> encode_rle(np.array([[False, True], [False, True]]))
        {'size': [2, 2], 'counts': '22'}
    """
    return _from_coco(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode_rle(rle: RLE) -> Mask:
    """Run lengths to mask.

    Returns:
        (H, W) bool.

    Raises:
        DataError: the run lengths are damaged, or do not add up to the size.
    """
    height, width = rle["size"]
    runs = _run_lengths(rle)
    values = np.arange(len(runs)) % 2 == 1  # runs alternate, beginning outside the object
    return np.repeat(values, runs).reshape(width, height).T


def rle_area(rle: RLE) -> int:
    """How many pixels the object covers.

    Raises:
        DataError: see `decode_rle`.
    """
    return int(_run_lengths(rle)[1::2].sum())


def rle_box(rle: RLE) -> Box | None:
    """The smallest box around the object; see `mask_box`.

    Raises:
        DataError: see `decode_rle`.
    """
    return mask_box(decode_rle(rle))


def mask_box(mask: Mask) -> Box | None:
    """The smallest box around the object, xyxy in pixels, x1 and y1 just outside; None for an empty mask.

    Args:
        mask: (H, W) bool.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def read_segmentation(segmentation: object, size: Size) -> Outline:
    """Any `segmentation` of a COCO-style annotation to run lengths.

    Args:
        segmentation: a list of polygons [x0, y0, x1, y1, ...] in pixels, run lengths (their counts compressed or
            a list of numbers), or a list with run lengths in it as refclef has. Several parts are united. None
            and an empty list are an empty mask.
        size: (height, width) of the photo in pixels.

    Raises:
        DataError: it is none of these, its run lengths are for another size or damaged, or a coordinate is no
            sensible number.
    """
    parts = [segmentation] if isinstance(segmentation, dict) else [] if segmentation is None else segmentation
    if not isinstance(parts, list):
        raise DataError(f"A segmentation is {type(parts).__name__}, neither polygons nor run lengths.")
    shapes = [part for part in parts if not _is_degenerate(part)]
    rles = [_run_lengths_of(part, size) if isinstance(part, dict) else _draw(part, size) for part in shapes]
    return Outline(_union(rles, size), len(parts) - len(shapes))


def segmentation_mask(segmentation: object, size: Size) -> Mask:
    """Any `segmentation` of a COCO-style annotation to a mask, degenerate polygons left out.

    Args:
        segmentation: see `read_segmentation`, which also counts what was left out.
        size: (height, width) of the photo in pixels.

    Returns:
        (H, W) bool.

    Raises:
        DataError: see `read_segmentation`.
    """
    return decode_rle(read_segmentation(segmentation, size).rle)


def read_target(target: RLE | Path | Mask) -> Mask:
    """The target of a referral as a mask, wherever it lies.

    Returns:
        (H, W) bool.

    Raises:
        DataError: a PNG that is missing or cannot be read, or damaged run lengths.
    """
    if isinstance(target, Path):
        return _read_png(target)
    return decode_rle(target) if isinstance(target, dict) else target


def _read_png(path: Path) -> Mask:
    try:
        with PILImage.open(path) as image:
            return np.asarray(image.convert("L")) > 0
    except FileNotFoundError:
        raise DataError(f"There is no mask {path}; run `vlt prepare` again.") from None
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise DataError(f"The mask {path} cannot be read ({error}); run `vlt prepare` again.") from None


def _is_degenerate(part: object) -> bool:
    """Whether a part is a polygon of fewer than three points, or of half a point."""
    return isinstance(part, list) and (len(part) < 6 or len(part) % 2 == 1)


def _draw(polygon: object, size: Size) -> RLE:
    """One polygon to run lengths."""
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("A polygon holds something that is no number.") from None
    if points.ndim != 1 or not np.all(np.abs(points) <= FARTHEST):  # `not all`, so that NaN is refused too
        raise DataError(f"A polygon is not a flat list of coordinates between -{FARTHEST} and {FARTHEST}.")
    return _from_coco(coco_mask.frPyObjects([points.tolist()], *size)[0])


def _run_lengths_of(part: dict[str, Any], size: Size) -> RLE:
    """Run lengths as annotations have them, checked against the photo's size, to our own form."""
    found, counts = part.get("size"), part.get("counts")
    if found != list(size):
        raise DataError(f"Run lengths are for the size {found}, but the photo has {list(size)}.")
    if isinstance(counts, list):
        return _compress(counts, size)
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if not isinstance(counts, str):
        raise DataError(f"The counts of run lengths are {type(counts).__name__}, neither text nor a list.")
    rle = RLE(size=list(size), counts=counts)
    _run_lengths(rle)
    return rle


def _compress(counts: list[Any], size: Size) -> RLE:
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise DataError("The counts of run lengths hold something that is no whole number of at least 0.")
    _refuse_sum(sum(counts), size)
    return _from_coco(coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size))


def _union(rles: list[RLE], size: Size) -> RLE:
    if not rles:
        return _compress([size[0] * size[1]], size)
    return rles[0] if len(rles) == 1 else _from_coco(coco_mask.merge(rles))


def _from_coco(rle: dict[str, Any]) -> RLE:
    """What pycocotools returns, with text in place of bytes so that JSON can hold it."""
    return RLE(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))


def _run_lengths(rle: RLE) -> npt.NDArray[np.int64]:
    """The lengths of the runs that `counts` spells, checked.

    Each character carries five bits of a number, lowest first, and whether more follow; from the fourth run on,
    numbers are differences to the run before the last. pycocotools reads the same, but trusts what it reads.
    """
    codes = np.frombuffer(rle["counts"].encode(), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise DataError(f"Run lengths of size {rle['size']} are damaged; run `vlt prepare` again.")
    starts = np.flatnonzero(np.append(True, codes[:-1] & 32 == 0))
    lengths = np.diff(np.append(starts, len(codes)))
    digits = np.arange(len(codes)) - np.repeat(starts, lengths)
    if digits.max() > 9:  # beyond any photo, and int64 would overflow soon
        raise DataError(f"Run lengths of size {rle['size']} are damaged; run `vlt prepare` again.")
    numbers = np.add.reduceat((codes & 31) << (5 * digits), starts)
    numbers -= np.where(codes[starts + lengths - 1] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    if numbers.min() < 0:
        raise DataError(f"Run lengths of size {rle['size']} are damaged; run `vlt prepare` again.")
    _refuse_sum(int(numbers.sum()), (rle["size"][0], rle["size"][1]))
    return numbers


def _refuse_sum(total: int, size: Size) -> None:
    if total != size[0] * size[1]:
        raise DataError(f"Run lengths add up to {total} pixels, but the photo has {size[0]} x {size[1]}.")
