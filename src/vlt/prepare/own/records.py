"""Records: one object of an image with its expressions, the common result of all readers of referring data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from vlt.errors import DataError, InputError
from vlt.prepare.instances import OUTCOME, Id
from vlt.prepare.report import DefectKind
from vlt.text.words import split_words
from vlt.types import Box, Size

OTHER_REGION = DefectKind("region of a kind that is not read", "region", OUTCOME)
NO_EXPRESSION = DefectKind("region without an expression", "region", OUTCOME)


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Outline as polygons or run lengths.

    Attributes:
        value: a `segmentation` in one of COCO's formats, see `vlt.data.masks.read_segmentation`.
    """

    value: object


@dataclass(frozen=True, slots=True)
class MaskFile:
    """Outline as the path of a grey PNG, the object where > 0."""

    path: Path


@dataclass(frozen=True, slots=True)
class FilledBox:
    """Box (x0, y0, x1, y1) in pixels that replaces an unknown outline."""

    box: Box


@dataclass(frozen=True, slots=True)
class AnnotationId:
    """Id of an annotation, in an instance file, that has the outline."""

    number: int


RecordOutline: TypeAlias = Segmentation | MaskFile | FilledBox | AnnotationId


@dataclass(frozen=True, slots=True)
class Record:
    """An object of an image with the expressions that refer to it, as read from a file.

    Attributes:
        where: its file and place there, such as "my.jsonl, line 3", for messages.
        images: file names of the image, below a folder of images or as paths; the first that exists is used.
        expressions: the expressions, stripped, at least one visible character each; empty only with a `fault`.
        outline: the outline; None where nothing in the image matches the expressions.
        image_id: decides the split; None: see `vlt.prepare.own.record_set.default_image_id`.
        record_id: id of the object; None where it has none.
        category: noun of its category; None where it is unknown.
        size: (height, width) of the image in pixels as stated beside the outline; None where it is not stated.
        fault: kind and reason of a defect for which the record is left out; None for a usable one.
    """

    where: str
    images: tuple[str, ...]
    expressions: tuple[str, ...]
    outline: RecordOutline | None = None
    image_id: Id | None = None
    record_id: Id | None = None
    category: str | None = None
    size: Size | None = None
    fault: tuple[DefectKind, str] | None = None


class TableLine(NamedTuple):
    """A line of the table, or an expression of an annotation.

    Attributes:
        where: its place in the file, such as "line 2", for messages.
        image_id: id of the image, as in the instance file.
        annotation_ids: ids of the targets, as in the instance file.
        text: the expression, stripped.
    """

    where: str
    image_id: Id
    annotation_ids: tuple[int, ...]
    text: str


def check_expressions(texts: Iterable[str], where: str) -> tuple[str, ...]:
    """Strip expressions and check that each has a visible character.

    Args:
        texts: the expressions.
        where: file and place, for messages.

    Raises:
        DataError: one is blank or not encodable as UTF-8.
    """
    stripped = tuple(text.strip() for text in texts)
    for number, text in enumerate(stripped, 1):
        try:
            split_words(text, f"expression {number}")
        except InputError as error:
            raise DataError(f"{where}: {error}") from None
    return stripped


def path_ends(path: str) -> list[str]:
    """List the ends of a path that may name an image below a folder of images, the longest first.

    Args:
        path: path as an annotation tool writes it, with slashes or back-slashes.

    Example:
        >>> path_ends("/upload/3/cat.jpg"), path_ends("..")
        (['upload/3/cat.jpg', '3/cat.jpg', 'cat.jpg'], [])
    """
    steps = [step for step in path.replace("\\", "/").split("/") if step not in ("", ".", "..")]
    return ["/".join(steps[start:]) for start in range(len(steps))]


def rotated_box(box: Box, degrees: float, pivot: tuple[float, float]) -> list[float]:
    """Make the polygon of a rotated box.

    Args:
        box: xyxy in pixels, before it is rotated.
        degrees: angle, clockwise.
        pivot: the point (x, y) around which it is rotated.

    Returns:
        The corners [x, y, x, y, ...] in pixels.

    Example:
        >>> [round(side) for side in rotated_box((0, 0, 4, 2), 90, (2, 1))]
        [3, -1, 3, 3, 1, 3, 1, -1]
    """
    x0, y0, x1, y1 = box
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x - pivot[0], y - pivot[1]) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return [side for x, y in corners for side in (pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine)]
