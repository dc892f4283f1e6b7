"""COCO-style instance files: their schema, and checks of their images, which may be missing, copied or rotated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

from pydantic import Field, FiniteFloat, TypeAdapter

from vlt.data.image import read_orientation
from vlt.errors import DataError, InputError
from vlt.files import JsonObject, file_digest, read_json
from vlt.prepare.report import DefectKind
from vlt.types import Size

Id: TypeAlias = int | str
XYWH: TypeAlias = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
"""A box as COCO writes it: (x, y, width, height) in pixels."""

UNREADABLE_PHOTO = "unreadable photo"
TURNED_PHOTO = "photo that EXIF rotates or mirrors"
OTHER_SIZE = "photo of another size than stated"
OUTCOME = "left out"


class Photo(JsonObject):
    """An image: its name in the folder of images, and its size in pixels."""

    id: Id
    file_name: Annotated[str, Field(min_length=1)]
    height: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.height, self.width


class Annotation(JsonObject):
    """An object: its image, its box as (x, y, width, height) in pixels, and its outline in COCO's formats."""

    id: Id
    image_id: Id | None = None
    bbox: XYWH
    segmentation: Any = None
    iscrowd: int = 0


class Category(JsonObject):
    """A category of objects and its name."""

    id: int
    name: str | None = None


class InstanceFile(JsonObject):
    """An instance file of a REFER data set: images and objects; category names may be missing."""

    images: list[Photo]
    annotations: Sequence[Annotation]
    categories: Sequence[Category] = ()


class Instance(Annotation):
    """An object with an image and a category."""

    id: int
    image_id: Id
    category_id: int


class NamedCategory(Category):
    """A category with a name, as expressions need it."""

    name: Annotated[str, Field(pattern=r"\w")]


class CocoFile(InstanceFile):
    """A complete instance file, from which expressions can be made."""

    annotations: Sequence[Instance]
    categories: list[NamedCategory]


File = TypeVar("File", bound=InstanceFile)


INSTANCE_REMEDY = "an instance file of COCO's format is needed, download it again"


def read_instance_file(path: Path, schema: type[File], remedy: str = INSTANCE_REMEDY) -> File:
    """Read a COCO-style instance file.

    Args:
        path: path of the file.
        schema: `InstanceFile`, or `CocoFile` where categories and their names are needed.
        remedy: advice for a file of another format, beginning in lower case.

    Raises:
        DataError: the file is missing, cannot be read, or does not have COCO's format.
    """
    if not path.exists():
        there = sorted(other.name for other in path.parent.glob("*") if other.suffix in (".p", ".json"))
        found = f"{path.parent} holds {', '.join(there)}" if there else "check the path"
        raise DataError(f"There is no instance file {path}; {found}.")
    return read_json(path, TypeAdapter(schema), remedy)


class Missing(NamedTuple):
    """An image that is not where its `file_name` says.

    Attributes:
        reason: the likely cause and its remedy; empty where no similar file exists.
        example: the name, and the similar one.
    """

    reason: str
    example: str


def missing_images(images: Path, names: Iterable[str]) -> dict[str, Missing]:
    """Find image names for which there is no file, and the likely reason for each.

    Args:
        images: the folder of images; it is searched, with its sub-folders, only if a file is missing.
        names: as in an instance file.
    """
    missing = [name for name in dict.fromkeys(names) if not (images / name).is_file()]
    if not missing or not images.is_dir():
        return {name: Missing("", repr(name)) for name in missing}
    there = sorted(path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file())
    whole = {name.lower(): name for name in there}
    last = {name.lower().rpartition("/")[2]: name for name in there}
    found: dict[str, Missing] = {}
    for name in missing:
        plain = name.replace("\\", "/").lower()
        similar = whole.get(plain) or last.get(plain.rpartition("/")[2])
        if similar is None:
            found[name] = Missing("", repr(name))
            continue
        if "\\" in name:
            reason = "file_name has back-slashes; write slashes and a path inside the folder of images"
        elif plain in whole:
            reason = "file_name differs from the file in upper and lower case; use one spelling"
        else:
            reason = "file_name has other folders than the file; write the path inside the folder of images"
        found[name] = Missing(reason, f"{name!r}, where {similar!r} exists")
    return found


def find_copies(photos: Sequence[Photo], images: Path) -> dict[Id, Id]:
    """Find images that an instance file lists under several ids: as one file, or as files of the same content.

    Files of the same size are compared by 4 KiB from their middle, and those that agree by their digest.

    Args:
        photos: images with distinct ids; those without a file are skipped.
        images: the folder of images.

    Returns:
        The id of each image that is listed again -> the id under which it is listed first.
    """
    keys: tuple[Callable[[Path], object], ...] = (lambda path: path.stat().st_size, _read_middle, file_digest)
    paths = {photo.id: images / photo.file_name for photo in photos}
    groups = [[photo.id for photo in photos if paths[photo.id].is_file() and os.access(paths[photo.id], os.R_OK)]]
    for key in keys:
        split: dict[object, list[Id]] = {}
        for number, group in enumerate(groups):
            for each in group:
                split.setdefault((number, key(paths[each])), []).append(each)
        groups = [group for group in split.values() if len(group) > 1]
    return {each: group[0] for group in groups for each in group[1:]}


def _read_middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(4096)


def misfit(path: Path, stated: Size, of: str) -> tuple[DefectKind, str] | None:
    """Check by the header of an image whether its annotations fit the pixels that `read_image` returns.

    `read_image` rotates as EXIF says. Outlines that were drawn on the pixels as stored would then lie elsewhere; where
    rotating does not change the size, it cannot be decided on which of the two they were drawn.

    Args:
        path: path of the image.
        stated: (height, width) by the instance file.
        of: name of the ids by which the defect is reported, such as "image id".

    Returns:
        The defect for which the image is left out, and its reason; None where the annotations fit.
    """
    try:
        orientation, stored = read_orientation(path)
    except InputError:
        return DefectKind(UNREADABLE_PHOTO, of, OUTCOME), ""
    upright = stored if orientation < 5 else (stored[1], stored[0])
    if orientation > 1 and (upright == stored or stated == stored):
        remedy = "write the pixels upright without the tag, and check that the outlines fit"
        return DefectKind(TURNED_PHOTO, of, OUTCOME), f"EXIF orientation {orientation}; {remedy}"
    return None if upright == stated else (DefectKind(OTHER_SIZE, of, OUTCOME), "")
