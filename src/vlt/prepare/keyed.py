"""Reader of COCO instance files whose annotations have expressions under a key that the user names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from vlt.errors import DataError
from vlt.prepare.instances import CocoFile, Id, Instance, read_instance_file
from vlt.prepare.own.captioned import CaptionSentence
from vlt.prepare.own.records import TableLine, check_expressions


class KeyedInstance(Instance):
    """An object with its expressions: a text, a list of texts, or a list of objects with a text under `sent`."""

    expressions: str | list[str | CaptionSentence] | None = None

    def texts(self) -> list[str]:
        """List the expressions; empty ones are left out."""
        given = self.expressions or []
        texts = [given] if isinstance(given, str) else [each if isinstance(each, str) else each.sent for each in given]
        return [text for text in texts if text]


class KeyedFile(CocoFile):
    """An instance file whose annotations may have expressions."""

    annotations: Sequence[KeyedInstance]


def read_keyed(path: Path, key: str) -> KeyedFile:
    """Read an instance file with the expressions of its annotations.

    Args:
        path: path of the instance file.
        key: key of the annotations that may have expressions.

    Raises:
        DataError: the file is missing or not of COCO's format; the key has anything but texts.
    """
    own: Any = {"expressions": (KeyedInstance.model_fields["expressions"].annotation, Field(default=None, alias=key))}
    instance = create_model("KeyedInstance", __base__=KeyedInstance, **own)
    file = create_model("KeyedFile", __base__=KeyedFile, annotations=(list[instance], ...))
    remedy = f"an instance file of COCO's format is needed, with a text or a list of texts under {key!r}"
    return read_instance_file(path, file, remedy)


def keyed_lines(path: Path, key: str, annotations: Iterable[KeyedInstance]) -> list[TableLine]:
    """List the expressions of annotations in the form of a table's lines, in the order of the file.

    Args:
        path: path of the instance file, for messages.
        key: key of the annotations that has the expressions, for messages.
        annotations: all annotations of the file.

    Raises:
        DataError: no annotation has an expression; one is blank; an annotation with expressions shares its id with
            another one of its image.
    """
    groups: dict[tuple[Id, int], list[KeyedInstance]] = {}
    for each in annotations:
        group = groups.setdefault((each.image_id, each.id), [])
        if each not in group:
            group.append(each)
    lines = []
    for (image_id, number), group in groups.items():
        texts = [text for each in group for text in each.texts()]
        if texts and len(group) > 1:
            raise DataError(
                f"{path}: image {image_id} has {len(group)} annotations {number}; give each an id of its own."
            )
        for text in check_expressions(texts, f"{path}, annotation {number}"):
            lines.append(TableLine(f"annotation {number}", image_id, (number,), text))
    if not lines:
        raise DataError(
            f"No annotation of {path} has an expression under {key!r}; name the key that has them with "
            "--expressions-key."
        )
    return lines
