"""The files of a REFER folder as records, unchanged.

<data_root>/<dataset>/refs(<split_by>).p    who said what of which annotation (gRefCOCO: grefs(unc).json)
<data_root>/<dataset>/instances.json        photos, outlines and categories, as COCO writes them
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from vlt.data.prepare.plain_pickle import read_plain_pickle
from vlt.data.records import Record, malformed
from vlt.errors import DataError

Id: TypeAlias = int | str


class Sentence(Record):
    """What one person said."""

    sent_id: int
    sent: str


class Ref(Record):
    """Who said what of which annotations of a photo."""

    ref_id: int
    ann_id: Id | list[Id]
    category_id: int | list[int]
    image_id: Id
    split: str
    sentences: list[Sentence]

    @property
    def targets(self) -> list[Id]:
        """The annotations meant: one; in gRefCOCO also several, or none, which it writes as [-1]."""
        if isinstance(self.ann_id, list):
            return [] if self.ann_id == [-1] else self.ann_id
        return [self.ann_id]


class Photo(Record):
    """A photo: its name in the folder of photos, and its size in pixels."""

    id: Id
    file_name: Annotated[str, Field(min_length=1)]
    height: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]


class Annotation(Record):
    """An object: its box as (x, y, width, height) in pixels, and its outline as COCO has it."""

    id: Id
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    segmentation: Any = None
    iscrowd: int = 0


class Category(Record):
    """A kind of object, and what it is called."""

    id: int
    name: str | None = None


class Instances(Record):
    """The photos and the objects in them."""

    images: list[Photo]
    annotations: list[Annotation]
    categories: tuple[Category, ...] = ()


def read_refs(folder: Path, split_by: str) -> list[Ref]:
    """Reads what people said.

    Args:
        folder: of the data set.
        split_by: who split it.

    Raises:
        DataError: the file is missing or malformed, or a pickle that references anything but plain containers.
    """
    path = folder / (f"grefs({split_by}).json" if folder.name == "grefcoco" else f"refs({split_by}).p")
    _refuse_missing(path)
    adapter = TypeAdapter(list[Ref])
    try:
        if path.suffix == ".json":
            return adapter.validate_json(_read(path))
        return adapter.validate_python(read_plain_pickle(path))
    except ValidationError as error:
        raise malformed(path, error, "this is not REFER's format, download the file again") from None


def read_instances(path: Path) -> Instances:
    """Reads the photos and objects.

    Raises:
        DataError: the file is missing or malformed.
    """
    _refuse_missing(path)
    try:
        return Instances.model_validate_json(_read(path))
    except ValidationError as error:
        raise malformed(path, error, "this is not COCO's format, download the file again") from None


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        there = sorted(other.name for other in path.parent.glob("*") if other.suffix in (".p", ".json"))
        found = (
            f"{path.parent} holds {', '.join(there)}" if there else "see docs/data.md for how the folder is laid out"
        )
        raise DataError(f"There is no {path}; {found}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
