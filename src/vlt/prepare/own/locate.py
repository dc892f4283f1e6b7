"""Find the images of records in folders, and the ids that decide their splits."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vlt.errors import DataError
from vlt.prepare.instances import OUTCOME, Id, Photo, find_copies, missing_images
from vlt.prepare.own.annotated import AnnotatedObjects
from vlt.prepare.own.records import Record
from vlt.prepare.report import DefectKind, Defects

MISSING_PHOTO = DefectKind("missing photo", "record", OUTCOME)
COPIED_PHOTO = DefectKind("photo of several names", "photo", "kept, in the split of the first")


class Located(NamedTuple):
    """A record with its image.

    Attributes:
        record: the record.
        path: path of its image, which exists.
        image_id: id of its image.
    """

    record: Record
    path: Path
    image_id: Id


def common_folder(folders: Sequence[Path]) -> Path:
    """Return the folder that holds all folders of images: the only one itself, or the common parent of several.

    Raises:
        DataError: one of them is no folder, or there is none.
    """
    if not folders:
        raise DataError("There is no folder of images; name the one that holds them.")
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"There is no folder of images {folder}; name the one that holds them.")
    return folders[0] if len(folders) == 1 else Path(os.path.commonpath([folder.resolve() for folder in folders]))


def locate(
    records: Sequence[Record], folders: Sequence[Path], objects: AnnotatedObjects, defects: Defects
) -> list[Located]:
    """Find the image and the image id of each record; those without an image are left out as defects.

    Args:
        records: the records.
        folders: the folders of images.
        objects: instance files, whose image ids are used for images of the same file name.
        defects: receives those that are found.

    Raises:
        DataError: a folder is missing; an image name lies in two folders; an image has two ids.
    """
    root = common_folder(folders)
    places = [root] if len(folders) == 1 else sorted({folder.resolve() for folder in folders})
    missing: dict[str, list[Record]] = {}
    found: dict[tuple[str, ...], Path | None] = {}
    located = []
    for record in records:
        if record.images not in found:
            found[record.images] = find_image(record, places, root)
        path = found[record.images]
        if path is None:
            missing.setdefault(record.images[0], []).append(record)
        else:
            located.append(Located(record, path, choose_image_id(record, path, objects)))
    for name, absent in missing.items():
        similar = (missing_images(place, [name]).get(name) for place in places)
        reason, example = next((each for each in similar if each and each.reason), ("", repr(name)))
        for record in absent:
            defects.add(MISSING_PHOTO, record.where, reason or "no such file in the folders of images", example)
    first: dict[Path, Located] = {}
    for each in located:
        before = first.setdefault(each.path, each)
        if before.image_id != each.image_id:
            raise DataError(
                f"{each.record.where}: the image {each.path.name} has the id {each.image_id!r}, but "
                f"{before.image_id!r} in {before.record.where}; give it one id, because the id decides its split."
            )
    return located


def find_image(record: Record, places: Sequence[Path], root: Path) -> Path | None:
    """Find the image of a record below one of the folders, or by its whole path.

    Returns:
        The path, below `root` where the image lies there; None where no file has any of the names.

    Raises:
        DataError: two folders have a file of the name.
    """
    for name in record.images:
        # An absolute name replaces the folder.
        there = sorted({os.path.normpath(place / name) for place in places if (place / name).is_file()})
        if len(there) > 1:
            raise DataError(
                f"{record.where}: {name} lies in several folders of images, {' and '.join(there)}; leave one folder "
                "out, or write a longer path."
            )
        if there:
            path, resolved = Path(there[0]), Path(os.path.normpath(Path(there[0]).absolute()))
            if path.is_relative_to(root):
                return path
            base = Path(os.path.normpath(root.absolute()))
            return root / resolved.relative_to(base) if resolved.is_relative_to(base) else resolved
    return None


def choose_image_id(record: Record, path: Path, objects: AnnotatedObjects) -> Id:
    """Return the image id of a record: the given one, that of an instance file, or `default_image_id`."""
    if record.image_id is not None:
        return record.image_id
    listed = objects.image_id(path.name)
    return default_image_id(path) if listed is None else listed


def default_image_id(path: Path) -> Id:
    """Identify an image by its file name: the number of a COCO image, or the stem.

    Example:
        >>> default_image_id(Path("000000012345.jpg")), default_image_id(Path("COCO_train2014_000000000009.jpg"))
        (12345, 9)
        >>> default_image_id(Path("cat 7.jpg"))
        'cat 7'
    """
    number = re.fullmatch(r"(?:COCO_[a-z]+\d{4}_)?([0-9]+)", path.stem)
    return int(number[1]) if number else path.stem


def split_ids(located: Sequence[Located], defects: Defects) -> dict[Path, Id]:
    """Map each image to the id that decides its split, the same for copies of an image under several names.

    Args:
        located: the records with their images.
        defects: receives the copies.
    """
    ids = {each.path: each.image_id for each in located}
    paths = list(ids)
    photos = [Photo(id=index, file_name=str(path), height=1, width=1) for index, path in enumerate(paths)]
    for copy, first in find_copies(photos, Path()).items():
        path, before = paths[int(copy)], paths[int(first)]
        if ids[path] != ids[before]:
            defects.add(COPIED_PHOTO, path.name, example=f"{path.name}, equal to {before.name}")
            ids[path] = ids[before]
    return ids
