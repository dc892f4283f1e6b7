"""Reader of COCO instance files whose annotations have expressions of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlt.errors import DataError
from vlt.files import JsonObject
from vlt.prepare.instances import Id, Instance, InstanceFile, NamedCategory, Photo, read_instance_file
from vlt.prepare.own.records import Record, Segmentation, check_expressions

KEYS = ("expressions", "expression", "sentences", "caption")
"""Keys of an annotation that may have expressions."""


class CaptionSentence(JsonObject):
    """An expression in REFER's form."""

    sent: str


class CaptionedInstance(Instance):
    """An object with its expressions, under any of `KEYS`."""

    expressions: Sequence[str] = ()
    expression: str = ""
    sentences: Sequence[str | CaptionSentence] = ()
    caption: str = ""

    def texts(self) -> list[str]:
        """List the expressions under all keys; empty ones are left out."""
        sentences = [each if isinstance(each, str) else each.sent for each in self.sentences]
        return [text for text in (*self.expressions, self.expression, *sentences, self.caption) if text]


class CaptionedFile(InstanceFile):
    """An instance file whose annotations may have expressions."""

    annotations: list[CaptionedInstance]
    categories: list[NamedCategory]


def read_captioned(path: Path) -> list[Record]:
    """Read the annotations of a COCO instance file that have expressions.

    Args:
        path: path of the instance file.

    Raises:
        DataError: the file is missing or not of COCO's format; an image or annotation id of several entries; an
            annotation of no image; a blank expression; no annotation has an expression.
    """
    found = read_instance_file(path, CaptionedFile)
    photos: dict[Id, Photo] = {}
    for photo in found.images:
        if photos.setdefault(photo.id, photo) != photo:
            raise DataError(f"{path}: two images have the id {photo.id!r}; give each an id of its own.")
    nouns = {category.id: category.name for category in found.categories}
    records: dict[int, Record] = {}
    for each in found.annotations:
        texts = each.texts()
        where = f"{path}, annotation {each.id}"
        if not texts:
            continue
        if each.image_id not in photos:
            raise DataError(f"{where}: there is no image {each.image_id!r}; correct image_id.")
        if each.id in records:
            raise DataError(f"{where}: another annotation with expressions has the same id; give each its own.")
        photo = photos[each.image_id]
        records[each.id] = Record(
            where=where,
            images=(photo.file_name,),
            expressions=check_expressions(texts, where),
            outline=Segmentation(each.segmentation),
            image_id=photo.id,
            record_id=each.id,
            category=nouns.get(each.category_id),
            size=photo.size,
        )
    if not records:
        raise DataError(f"No annotation of {path} has an expression; write them under one of {', '.join(KEYS)}.")
    return list(records.values())
