"""Objects of COCO instance files by image and annotation id, and their standings."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vlt.data.masks import box_overlap, read_segmentation, rle_area
from vlt.errors import DataError
from vlt.prepare.instances import CocoFile, Id, Instance, Photo, read_instance_file
from vlt.synth.words import Scene, SceneObject, standings
from vlt.synth.words.lexicon import same_kind
from vlt.types import Box, Standing

SAME_OBJECT = 0.5
"""Smallest overlap (IoU) of its box with that of an annotation at which an outline shows the annotated object."""


class AnnotatedObject(NamedTuple):
    """An annotation of an instance file.

    Attributes:
        instance: the annotation.
        noun: name of its category, see `plain_noun`.
        photo: its image.
    """

    instance: Instance
    noun: str
    photo: Photo

    @property
    def box(self) -> Box:
        """Its box, xyxy in pixels."""
        x, y, width, height = self.instance.bbox
        return x, y, x + width, y + height

    def described(self) -> SceneObject:
        """Describe it by box and area, for its standing; the area is that of the box where there is no outline."""
        x0, y0, x1, y1 = self.box
        area = 0
        with suppress(DataError):
            area = rle_area(read_segmentation(self.instance.segmentation, self.photo.size).rle)
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        crowd = bool(self.instance.iscrowd)
        return SceneObject(self.noun, self.box, centre, area or (x1 - x0) * (y1 - y0), crowd=crowd)


class AnnotatedObjects:
    """All objects of some instance files; an annotation id needs to be unique within its image only.

    Args:
        files: instance files of COCO's format; an object that two of them list equally is one.

    Raises:
        DataError: a file is missing or not of the format; one image id stands for images of two names.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._photos: dict[Id, Photo] = {}
        self._ids: dict[str, set[Id]] = {}
        self._by_number: dict[tuple[Id, int], list[AnnotatedObject]] = {}
        self._by_image: dict[Id, list[AnnotatedObject]] = {}
        for file in files:
            self._add(file)

    def _add(self, file: Path) -> None:
        found = read_instance_file(file, CocoFile)
        for photo in found.images:
            before = self._photos.setdefault(photo.id, photo)
            if Path(before.file_name).name != Path(photo.file_name).name:
                raise DataError(
                    f"{file}: image id {photo.id!r} is {photo.file_name} here and {before.file_name} before; "
                    "give each image an id of its own."
                )
            self._ids.setdefault(Path(photo.file_name).name, set()).add(photo.id)
        nouns = {category.id: plain_noun(category.name) for category in found.categories}
        for instance in found.annotations:
            if instance.image_id not in self._photos or instance.category_id not in nouns:
                continue  # neither a target nor a distractor can be made of it
            one = AnnotatedObject(instance, nouns[instance.category_id], self._photos[instance.image_id])
            others = self._by_image.setdefault(instance.image_id, [])
            equal = [other for other in others if (other.noun, other.box) == (one.noun, one.box)]
            if not equal:
                others.append(one)
            numbered = self._by_number.setdefault((instance.image_id, instance.id), [])
            numbered += [each for each in (equal or [one])[:1] if each not in numbered]

    def image_id(self, name: str) -> Id | None:
        """Look up the id of the image of a file name, without its folders; None unless it is exactly one."""
        ids = self._ids.get(name, set())
        return next(iter(ids)) if len(ids) == 1 else None

    def find(self, image_id: Id, number: int) -> AnnotatedObject:
        """Find an annotation of an image.

        Raises:
            DataError: the image has no or several such annotations.
        """
        found = self._by_number.get((image_id, number), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"image {image_id} has {len(found)} annotations {number}; give each an id of its own.")
        if not self._photos:
            raise DataError(f"there is no instance file with annotation {number}; name it with --instances.")
        if image_id not in self._photos:
            raise DataError(f"the instance files list no image {image_id}; name the one that does.")
        raise DataError(f"image {image_id} has no annotation {number} in the instance files; correct the id.")

    def standing(self, image_id: Id, noun: str, box: Box, target: AnnotatedObject | None = None) -> Standing | None:
        """Rank an object among the annotated ones of its category in its image.

        Args:
            image_id: its image.
            noun: name of its category.
            box: its box, xyxy in pixels.
            target: its annotation; None: the annotation of its category whose box overlaps most with `box`.

        Returns:
            None where no annotation shows the object, so that nothing is known of its category in the image.
        """
        others = [other for other in self._by_image.get(image_id, []) if same_kind(other.noun, noun)]
        if target is None:
            target = max(others, key=lambda other: box_overlap(other.box, box), default=None)
            if target is None or box_overlap(target.box, box) < SAME_OBJECT:
                return None
        scene = Scene(target.photo.size, tuple(other.described() for other in others))
        return standings(scene)[others.index(target)]


def plain_noun(name: str) -> str:
    """Write the name of a category as a noun: lower case, spaces in place of underscores.

    Example:
        >>> plain_noun("Fire_Hydrant ")
        'fire hydrant'
    """
    return " ".join(name.lower().replace("_", " ").split())
