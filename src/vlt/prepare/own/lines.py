"""Reader of referring data as JSON lines: one object of an image with its expressions per line.

{"image": "7.jpg", "expressions": ["left cup", "the cup with tea"], "polygon": [[10, 10, 60, 10, 60, 50]]}
{"image": "7.jpg", "expression": "red plate", "box": [80, 20, 120, 50]}
{"image": "7.jpg", "expression": "a spoon", "absent": true}
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from vlt.errors import DataError
from vlt.files import JsonObject, read_bytes
from vlt.prepare.instances import Id
from vlt.prepare.own.records import (
    AnnotationId,
    FilledBox,
    MaskFile,
    Record,
    RecordOutline,
    Segmentation,
    check_expressions,
)

OUTLINES = ("rle", "polygon", "mask", "box", "annotation", "absent")
"""Keys of a line of which it has exactly one."""


class LineRunLengths(JsonObject):
    """Run lengths of COCO's format, compressed or not."""

    model_config = ConfigDict(extra="forbid")

    size: tuple[PositiveInt, PositiveInt]
    counts: str | list[int]


class Line(JsonObject):
    """Keys of a line; unknown ones are refused. `source` is free text, which is not used."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[str, Field(min_length=1)]
    expressions: Annotated[list[str], Field(min_length=1)] | None = None
    expression: str | None = None
    rle: LineRunLengths | None = None
    polygon: list[Any] | None = None
    mask: Annotated[str, Field(min_length=1)] | None = None
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    annotation: int | None = None
    absent: Literal[True] | None = None
    image_id: Id | None = None
    id: NonNegativeInt | str | None = None
    category: Annotated[str, Field(pattern=r"\w")] | None = None
    size: tuple[PositiveInt, PositiveInt] | None = None
    source: str | None = None

    def outline(self, folder: Path) -> RecordOutline | None:
        """Make the outline of the line; None for `absent`.

        Args:
            folder: folder of the file, to which the path of a mask is relative.
        """
        if self.rle is not None:
            return Segmentation({"size": list(self.rle.size), "counts": self.rle.counts})
        if self.polygon is not None:
            return Segmentation(self.polygon)
        if self.mask is not None:
            return MaskFile(folder / self.mask)
        if self.box is not None:
            return FilledBox(self.box)
        return None if self.annotation is None else AnnotationId(self.annotation)


def read_lines(path: Path) -> list[Record]:
    """Read a file of JSON lines; blank lines are skipped.

    Args:
        path: path of the file, in UTF-8.

    Raises:
        DataError: the file is missing, cannot be read, or holds no line; a line that is not JSON, or has missing or
            unknown keys, values of another type, no or several outlines, or no or blank expressions. It names the line.
    """
    try:
        content = read_bytes(path).decode()
    except FileNotFoundError:
        raise DataError(f"There is no file of JSON lines {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    lines = enumerate(content.split("\n"), 1)  # not splitlines, which also splits at characters that JSON may contain
    records = [parse_line(text, f"{path}, line {number}", path.parent) for number, text in lines if text.strip()]
    if not records:
        raise DataError(f"{path} holds no line; write one JSON object of image, expressions and outline per line.")
    return records


def parse_line(text: str, where: str, folder: Path) -> Record:
    """Parse one line.

    Args:
        text: the line.
        where: file and number of the line, for messages.
        folder: folder of the file, to which the path of a mask is relative.

    Raises:
        DataError: see `read_lines`.
    """
    try:
        line = Line.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{where}: {explain(error)}.") from None
    given = [key for key in OUTLINES if getattr(line, key) is not None]
    if len(given) != 1:
        found = f"there are {len(given)} outlines, {' and '.join(given)}" if given else "there is no outline"
        raise DataError(f"{where}: {found}; give exactly one of {', '.join(OUTLINES)}.")
    if (line.expressions is None) == (line.expression is None):
        found = "no expression" if line.expressions is None else "both expressions and expression"
        raise DataError(f"{where}: there is {found}; give one of the two keys, expressions for a list.")
    return Record(
        where=where,
        images=(line.image, str((folder / line.image).absolute())),  # below a folder of images, or beside the file
        expressions=check_expressions(line.expressions or [line.expression or ""], where),
        outline=line.outline(folder),
        image_id=line.image_id,
        record_id=line.id,
        category=line.category,
        size=line.size,
    )


def explain(error: ValidationError) -> str:
    """Describe the first error of a line in a clause, with the key that was probably intended."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"this is not JSON ({first['ctx']['error']}); write one object per line"
    if not first["loc"]:
        return "this is no JSON object; write one in braces per line"
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        near = difflib.get_close_matches(key, Line.model_fields, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(Line.model_fields)}"
        return f"unknown key {key!r} ({hint})"
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"the key {key!r} is missing"
    return f"{key!r} cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}"
