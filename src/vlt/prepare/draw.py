"""Masks of records: outlines of every form drawn at the size of the image, and the defects of those that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vlt.data.image import read_orientation
from vlt.data.masks import decode_rle, encode_rle, fill_box, mask_box, read_segmentation, read_target
from vlt.errors import DataError, InputError
from vlt.prepare.instances import OUTCOME, UNREADABLE_PHOTO, misfit
from vlt.prepare.own.annotated import AnnotatedObject, AnnotatedObjects
from vlt.prepare.own.locate import Located
from vlt.prepare.own.records import AnnotationId, FilledBox, MaskFile, Segmentation
from vlt.prepare.report import DefectKind, Defects
from vlt.types import RLE, Box, Mask, Size

BROKEN_PHOTO = DefectKind(UNREADABLE_PHOTO, "record", OUTCOME)
UNREADABLE_OUTLINE = DefectKind("unreadable outline", "record", OUTCOME)
EMPTY_OUTLINE = DefectKind("empty outline", "record", OUTCOME)
OUTSIDE = DefectKind("outline outside the image", "record", OUTCOME)
DEGENERATE_POLYGON = DefectKind("degenerate polygon", "record", "kept without that polygon")

OVERHANG = 2.0
"""Pixels by which corners of boxes and polygons may lie outside the image, where they are cut off."""


class Drawn(NamedTuple):
    """The mask of a record.

    Attributes:
        rle: the mask.
        box: around the mask, xyxy in pixels.
        annotated: the annotation that has the outline; None where the record has its own.
    """

    rle: RLE
    box: Box
    annotated: AnnotatedObject | None


class Drawer:
    """Draws the outlines of records, and reports those that do not fit their image.

    Args:
        objects: the instance files.
        defects: receives those that are found.
    """

    def __init__(self, objects: AnnotatedObjects, defects: Defects) -> None:
        self._objects = objects
        self._defects = defects
        self._sizes: dict[Path, Size | None] = {}

    def stored_size(self, located: Located) -> Size | None:
        """Read the size of an image as stored, (height, width); None, and a defect, where it cannot be read."""
        if located.path not in self._sizes:
            try:
                self._sizes[located.path] = read_orientation(located.path)[1]
            except InputError:
                self._sizes[located.path] = None
        size = self._sizes[located.path]
        if size is None:
            self._defects.add(BROKEN_PHOTO, located.record.where, example=located.path.name)
        return size

    def draw(self, located: Located) -> Drawn | None:
        """Draw the outline of a record that has one; None, and a defect, where that is not possible.

        Raises:
            DataError: its annotation does not exist.
        """
        record, stored = located.record, self.stored_size(located)
        outline, annotated, mask = record.outline, None, None
        if stored is None:
            return None
        if isinstance(outline, AnnotationId):
            try:
                annotated = self._objects.find(located.image_id, outline.number)
            except DataError as error:
                raise DataError(f"{record.where}: {error}") from None
            outline = Segmentation(annotated.instance.segmentation)
        try:
            if isinstance(outline, MaskFile):
                mask = read_target(outline.path)
            size = record.size or stated_size(outline, annotated, mask) or stored
            if defect := misfit(located.path, size, "record"):
                kind, reason = defect
                numbers = " and ".join(f"{height} x {width}" for height, width in (size, stored))
                example = f"{located.path.name}, {numbers} pixels stated and found"
                self._defects.add(kind, record.where, reason, example)
                return None
            rle = self._rle(outline, mask, size, record.where)
        except DataError as error:
            reason = str(error).partition("; run")[0].rstrip(".")
            self._defects.add(UNREADABLE_OUTLINE, record.where, reason)
            return None
        box = None if rle is None else mask_box(decode_rle(rle))
        if rle is None or box is None:
            if rle is not None:
                self._defects.add(EMPTY_OUTLINE, record.where)
            return None
        return Drawn(rle, box, annotated)

    def _rle(self, outline: object, mask: Mask | None, size: Size, where: str) -> RLE | None:
        """Draw an outline; None, and a defect, where it lies outside the image."""
        if mask is not None:
            if mask.shape != size:
                raise DataError(f"the mask has {mask.shape} pixels, but the image has {size}")
            return encode_rle(mask)
        parts = outline.value if isinstance(outline, Segmentation) else []
        if isinstance(outline, FilledBox):
            x0, y0, x1, y1 = outline.box
            if x1 <= x0 or y1 <= y0:
                self._defects.add(EMPTY_OUTLINE, where, "a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
                return None
            rle, parts = encode_rle(fill_box(outline.box, size)), [list(outline.box)]
        else:
            drawn = read_segmentation(parts, size)
            for reason in drawn.left_out[:1]:
                self._defects.add(DEGENERATE_POLYGON, where, reason)
            rle = drawn.rle
        beyond = overhang(parts, size)
        if beyond > OVERHANG:
            reason = f"it ends more than {OVERHANG:g} pixels outside; is it drawn on an image of another size?"
            self._defects.add(OUTSIDE, where, reason, f"{where}, {beyond:.0f} pixels outside {size[0]} x {size[1]}")
            return None
        return rle


def stated_size(outline: object, annotated: AnnotatedObject | None, mask: Mask | None) -> Size | None:
    """Find the (height, width) for which an outline was drawn; None where it does not say."""
    if mask is not None:
        return mask.shape[0], mask.shape[1]
    if annotated is not None:
        return annotated.photo.size
    if isinstance(outline, Segmentation) and isinstance(outline.value, dict):
        height, width = outline.value["size"]
        return height, width
    return None


def overhang(segmentation: object, size: Size) -> float:
    """Compute by how many pixels polygons end outside an image, at most; 0 for run lengths.

    Args:
        segmentation: as `read_segmentation` accepts it.
        size: (height, width) of the image in pixels.

    Example:
        >>> overhang([[0, 0, 13, 0, 13, 5]], (10, 10)), overhang([[-1, 0], [5, 0], [5, 5]], (10, 10))
        (3.0, 1.0)
    """
    worst = 0.0
    for part in segmentation if isinstance(segmentation, list) else []:
        corners = np.asarray([] if isinstance(part, dict) else part, dtype=float).reshape(-1)
        if len(corners) and len(corners) % 2 == 0:
            points = corners.reshape(-1, 2)
            worst = max(worst, float(-points.min()), float((points - (size[1], size[0])).max()))
    return worst
