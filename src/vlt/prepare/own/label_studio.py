"""Reader of Label Studio's JSON export: rectangles, polygons and brush masks with a text or a label per region.

Boxes and polygons are in percent of the image. The results of one region have one id: its outline, its labels, and the
texts of a `TextArea` with perRegion="true", which are its expressions; a region without a text is referred to by its
labels. A `TextArea` named "absent" that belongs to no region has expressions that nothing in the image matches.
Source: https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError

from vlt.data.masks import encode_rle
from vlt.errors import DataError
from vlt.files import JsonObject, read_json
from vlt.prepare.own.brush import decode_brush
from vlt.prepare.own.records import (
    NO_EXPRESSION,
    OTHER_REGION,
    FilledBox,
    Record,
    RecordOutline,
    Segmentation,
    check_expressions,
    path_ends,
    rotated_box,
)
from vlt.types import Size

ABSENT = "absent"
"""Name of a `TextArea` whose expressions match nothing in the image."""


class Result(JsonObject):
    """A part of a region: its outline, its labels or its texts."""

    id: str | int | None = None
    type: str = ""
    from_name: str = ""
    value: dict[str, Any] = Field(default_factory=dict)
    original_width: PositiveInt | None = None
    original_height: PositiveInt | None = None
    image_rotation: float = 0

    @property
    def kind(self) -> str:
        """Kind of the result without the ending of its type, such as "rectangle"; empty for bare labels."""
        return self.type.removesuffix("labels")


class TaskAnnotation(JsonObject):
    """The results of one annotator for a task."""

    result: list[Result] = Field(default_factory=list)
    was_cancelled: bool | None = None


class Task(JsonObject):
    """An image and its annotations."""

    id: int | str | None = None
    data: dict[str, Any]
    annotations: list[TaskAnnotation]


class Rectangle(JsonObject):
    """A box in percent of the image, rotated clockwise around its upper left corner by degrees."""

    x: FiniteFloat
    y: FiniteFloat
    width: FiniteFloat
    height: FiniteFloat
    rotation: FiniteFloat = 0


class Polygon(JsonObject):
    """Corners in percent of the image."""

    points: list[tuple[FiniteFloat, FiniteFloat]]


class Brush(JsonObject):
    """A mask in the packed run lengths of `vlt.prepare.own.brush`."""

    rle: list[int]


def read_label_studio(path: Path) -> list[Record]:
    """Read a JSON export of Label Studio; cancelled annotations are skipped.

    Args:
        path: path of the export.

    Returns:
        The records in the order of the export. Regions of other kinds, and those without text and label, have a fault.

    Raises:
        DataError: the file is missing or not of the format; a task without `data.image`; a region that is incomplete or
            rotated with its image; a blank text; no region at all.
    """
    remedy = "export the project from Label Studio as JSON (not JSON-MIN)"
    tasks = read_json(path, TypeAdapter(list[Task]), remedy)
    records = [
        record
        for number, task in enumerate(tasks, 1)
        for annotation in task.annotations
        if not annotation.was_cancelled
        for record in read_annotation(annotation, task, f"{path}, task {number if task.id is None else task.id}")
    ]
    if not records:
        raise DataError(f"{path} has no region in any of its {len(tasks)} tasks; annotate some and export again.")
    return records


def read_annotation(annotation: TaskAnnotation, task: Task, where: str) -> list[Record]:
    """Convert the regions of one annotation to records, and the expressions that match nothing.

    Args:
        annotation: the results.
        task: the task with the image.
        where: file and task, for messages.

    Raises:
        DataError: see `read_label_studio`.
    """
    image = task.data.get("image")
    if not isinstance(image, str) or not image:
        raise DataError(f"{where}: there is no text data.image that names the image; name the image's variable so.")
    regions: dict[object, list[Result]] = {}
    for number, result in enumerate(annotation.result):
        regions.setdefault(number if result.id is None else str(result.id), []).append(result)
    records = []
    for key, results in regions.items():
        texts = [text for result in results if result.kind == "textarea" for text in listed(result.value, "text")]
        shapes = [result for result in results if result.kind not in ("", "textarea", "choices", "rating", "relation")]
        place = f"{where}, region {key}"
        if shapes:
            records.append(read_region(shapes[0], results, texts, image_names(image), place))
        elif texts and results[0].from_name == ABSENT:
            records.append(Record(place, image_names(image), check_expressions(texts, place)))
    return records


def read_region(
    shape: Result, results: Sequence[Result], texts: Sequence[str], images: tuple[str, ...], where: str
) -> Record:
    """Make the record of one region.

    Args:
        shape: the result with the outline.
        results: all results of the region.
        texts: its texts.
        images: names of the image.
        where: file, task and region, for messages.

    Raises:
        DataError: the image was rotated in Label Studio; an outline without its numbers; damaged run lengths; a blank
            text.
    """
    if shape.image_rotation % 360:
        raise DataError(
            f"{where}: the image is rotated by {shape.image_rotation:g} degrees in Label Studio, which is not "
            "supported; rotate the image file itself and annotate it again."
        )
    labels = [
        text
        for result in results
        for key in (result.type, "labels")
        if key.endswith("labels")
        for text in listed(result.value, key)
    ]
    labels = list(dict.fromkeys(label for label in labels if label.strip()))
    fault = None
    outline: RecordOutline | None = None
    size = None
    if shape.kind not in ("rectangle", "polygon", "brush"):
        fault = OTHER_REGION, f"{shape.type}; draw a rectangle, a polygon or a brush mask"
    elif not texts and not labels:
        fault = NO_EXPRESSION, "give it a text or a label"
    else:
        if shape.original_width is None or shape.original_height is None:
            raise DataError(f"{where}: original_width or original_height is missing; export the project again.")
        size = shape.original_height, shape.original_width
        outline = read_outline(shape, size, where)
    return Record(
        where=where,
        images=images,
        expressions=() if fault else check_expressions(texts or labels, where),
        outline=outline,
        category=labels[0] if labels else None,
        size=size,
        fault=fault,
    )


def read_outline(shape: Result, size: Size, where: str) -> RecordOutline:
    """Convert the outline of a region from percent, or from packed run lengths.

    Args:
        shape: the result with the outline.
        size: (height, width) of the image in pixels.
        where: file, task and region, for messages.

    Raises:
        DataError: numbers are missing, or the run lengths are damaged.
    """
    height, width = size
    try:
        if shape.kind == "brush":
            mask = decode_brush(Brush.model_validate(shape.value).rle, size)
            return Segmentation(dict(encode_rle(mask)))
        if shape.kind == "polygon":
            points = Polygon.model_validate(shape.value, strict=False).points
            return Segmentation([[side for x, y in points for side in (x * width / 100, y * height / 100)]])
        given = Rectangle.model_validate(shape.value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        raise DataError(f"{where}: value.{key}: {first['msg']}; export the project again as JSON.") from None
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    x, y = given.x * width / 100, given.y * height / 100
    along, down = given.width * width / 100, given.height * height / 100
    if not given.rotation % 360:
        return FilledBox((x, y, x + along, y + down))
    return Segmentation([rotated_box((x, y, x + along, y + down), given.rotation, (x, y))])


def listed(value: Mapping[str, Any], key: str) -> list[str]:
    """List the texts under a key, which may be one text or a list of them; none for anything else."""
    found = value.get(key)
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)]


def image_names(url: str) -> tuple[str, ...]:
    """List the file names that an image of a task may have on the local disk, the longest first.

    Label Studio writes paths of its own: uploads get a prefix of eight hexadecimal digits, local files stand in the
    query of a URL.

    Args:
        url: `data.image` of a task.

    Example:
        >>> image_names("/upload/3/0a1b2c3d-cat.jpg")
        ('upload/3/0a1b2c3d-cat.jpg', '3/0a1b2c3d-cat.jpg', '0a1b2c3d-cat.jpg', 'cat.jpg')
        >>> image_names("/data/local-files/?d=pets/my%20cat.jpg")
        ('pets/my cat.jpg', 'my cat.jpg')
    """
    parts = urlsplit(url)
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    names = path_ends(path) or [url]
    return tuple(dict.fromkeys([*names, re.sub(r"^[0-9a-f]{8}-(?=.)", "", names[-1])]))
