"""Photos whose things are outlined, and which of them may be learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from vlt.data.compose.fashion import FashionPhoto, read_fashion
from vlt.data.compose.picture import Picture, read_picture
from vlt.data.prepare.coco import is_validation
from vlt.data.prepare.coco_scenes import CocoScenes, PhotoScene
from vlt.data.prepare.refer_files import Id

PERSON = "person"
"""The category that people of a street-fashion set are of."""
PEOPLE = "people"
"""The folder of their photos in a prepared set."""


@dataclass(frozen=True, slots=True)
class CocoPhoto:
    """A photo of an instance file, to be read with its things.

    Attributes:
        scene: what lies in it.
        photo: its path.
        categories: contiguous index of each category id.
    """

    scene: PhotoScene
    photo: Path
    categories: Mapping[int, int]

    @property
    def id(self) -> Id:
        """As in the instance file."""
        return self.scene.photo.id

    @property
    def name(self) -> str:
        """Of the photo's file, as in the instance file."""
        return self.scene.photo.file_name

    def read(self) -> Picture:
        """The pixels and the things."""
        return read_picture(self.scene, self.photo, self.categories)


def coco_photos(found: CocoScenes, images: Path) -> list[CocoPhoto]:
    """Every usable photo of an instance file, whose photos lie in `images`."""
    shown = tqdm(found, desc="reading", unit="photo", disable=None)
    return [CocoPhoto(scene, images / scene.photo.file_name, found.categories) for scene in shown]


def street_photos(found: CocoScenes, people: Path | None) -> Sequence[FashionPhoto]:
    """Those of a street-fashion set, whose people are of the instance file's category "person"; none without a set."""
    category = found.nouns.index(PERSON) if PERSON in found.nouns else -1
    return [] if people is None else read_fashion(people, category)


_Photo = TypeVar("_Photo", CocoPhoto, FashionPhoto)


def split_photos(photos: Sequence[_Photo], share: float) -> tuple[list[_Photo], list[_Photo]]:
    """Photos for training and for validation.

    Args:
        photos: of one set.
        share: of them for validation, in [0, 1], see `is_validation`.
    """
    judged = [is_validation(photo.id, share) for photo in photos]
    return (
        [photo for photo, is_judged in zip(photos, judged, strict=True) if not is_judged],
        [photo for photo, is_judged in zip(photos, judged, strict=True) if is_judged],
    )
