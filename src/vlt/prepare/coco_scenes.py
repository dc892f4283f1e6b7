"""Scenes from COCO instance files: the objects of each image, and the defects of the file."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vlt.data.image import read_image
from vlt.data.masks import decode_rle, read_segmentation, rle_area
from vlt.errors import DataError, InputError
from vlt.prepare.instances import (
    OUTCOME,
    UNREADABLE_PHOTO,
    CocoFile,
    Id,
    Instance,
    Photo,
    find_copies,
    misfit,
    missing_images,
)
from vlt.prepare.report import DefectKind, Defects
from vlt.synth.words import Scene, SceneObject
from vlt.synth.words.appearance import MANY, brightened, object_from_mask
from vlt.types import RLE, Image

MISSING_PHOTO = DefectKind("missing photo", "image id", OUTCOME)
REPEATED_IMAGE = DefectKind("repeated image id", "image id", "all but the first left out, which are equal to it")
AMBIGUOUS_IMAGE = DefectKind("image id of several photos", "image id", "all left out with their annotations")
COPIED_PHOTO = DefectKind("photo listed again", "image id", "its objects added to those of the first, equal ones once")
OTHER_COPY = DefectKind("photo listed again with another size", "image id", "all left out with their annotations")
REPEATED_ANNOTATION = DefectKind(
    "repeated annotation id", "annotation id", "given a new id, or left out where it is equal to the first"
)
NEGATIVE_ANNOTATION = DefectKind("negative annotation id", "annotation id", "given a new id")
UNKNOWN_IMAGE = DefectKind("annotation of no image", "annotation id", OUTCOME)
UNKNOWN_CATEGORY = DefectKind("unknown category", "annotation id", OUTCOME)
UNREADABLE_SEGMENTATION = DefectKind("unreadable segmentation", "annotation id", "only a distractor, by its box")
EMPTY_MASK = DefectKind("empty mask", "annotation id", "only a distractor, by its box")
DEGENERATE_POLYGON = DefectKind("degenerate polygon", "annotation id", "kept without that polygon")


class PhotoScene(NamedTuple):
    """An image and its objects.

    Attributes:
        photo: its entry in the file.
        instances: the annotations of its objects.
        scene: the same objects for the grammar, in the same order.
        rles: their masks in the same order; None where there is no usable one.
    """

    photo: Photo
    instances: Sequence[Instance]
    scene: Scene
    rles: Sequence[RLE | None]


class CocoScenes:
    """The scenes of an instance file, one image at a time.

    Iterating yields every usable image in the file's order. An image that is listed under several ids is one scene,
    with the objects of all, because "cup" would be ambiguous if the image's second cup were listed under another id.

    Args:
        instances: the file.
        images: the folder of its images.
        only: ids of the images that are read; None: all.

    Attributes:
        categories: contiguous index of each category id.
        nouns: names of the categories, by that index; in lower case.
        defects: all that were found so far.
        copies: id of an image that is listed again -> the id under which its scene is yielded.
        renumbered: (image id, annotation id) -> the id of that object in its scene, where it is another.
        free_ids: yields ids that no annotation has.
    """

    def __init__(self, instances: CocoFile, images: Path, only: Collection[Id] | None = None) -> None:
        self.defects = Defects()
        ordered = sorted(instances.categories, key=lambda category: category.id)
        self.categories = {category.id: index for index, category in enumerate(ordered)}
        self.nouns = tuple(category.name.lower().replace("_", " ").strip() for category in ordered)
        self.renumbered: dict[tuple[Id, int], int] = {}
        self.free_ids = itertools.count(1 + max([0, *(each.id for each in instances.annotations)]))
        self._images = images
        self._photos = self._usable_photos(instances.images, only)
        self._instances: dict[Id, list[Instance]] = {photo.id: [] for photo in self._photos}
        self._sort_in(instances, only)

    def __len__(self) -> int:
        return len(self._photos)

    def __iter__(self) -> Iterator[PhotoScene]:
        for photo in self._photos:
            path = self._images / photo.file_name
            if defect := misfit(path, photo.size, "image id"):
                kind, reason = defect
                self.defects.add(kind, photo.id, reason, photo.file_name)
                continue
            try:
                image = read_image(path)
            except InputError:
                self.defects.add(DefectKind(UNREADABLE_PHOTO, "image id", OUTCOME), photo.id)
                continue
            yield self._scene(photo, brightened(image))

    def _usable_photos(self, photos: Sequence[Photo], only: Collection[Id] | None) -> list[Photo]:
        """Leave out images that are missing or ambiguous, and record which are copies of others."""
        by_id: dict[Id, list[Photo]] = {}
        for photo in photos:
            by_id.setdefault(photo.id, []).append(photo)
        ambiguous = {each: group for each, group in by_id.items() if any(photo != group[0] for photo in group)}
        unique = {each: group[0] for each, group in by_id.items() if each not in ambiguous}
        self.copies = find_copies(list(unique.values()), self._images)
        wanted = set(by_id) if only is None else {self.copies.get(each, each) for each in only}
        for each, group in by_id.items():
            if self.copies.get(each, each) not in wanted:
                unique.pop(each, None)
            elif each in ambiguous:
                self.defects.add(AMBIGUOUS_IMAGE, each, example=" and ".join(photo.file_name for photo in group))
            else:
                for _ in group[1:]:
                    self.defects.add(REPEATED_IMAGE, each)
        other_size = {first for each, first in self.copies.items() if by_id[each][0].size != by_id[first][0].size}
        for first in other_size.intersection(unique):
            self.defects.add(OTHER_COPY, first)
        for each, first in self.copies.items():
            if each in unique:
                kind = OTHER_COPY if first in other_size else COPIED_PHOTO
                example = f"{unique.pop(each).file_name}, listed under the id {first} before"
                self.defects.add(kind, each, example=example)
        missing = missing_images(self._images, [photo.file_name for photo in unique.values()])
        for each, photo in unique.items():
            if photo.file_name in missing:
                reason, example = missing[photo.file_name]
                self.defects.add(MISSING_PHOTO, each, reason or "no such file in the folder of images", example)
        return [photo for each, photo in unique.items() if each not in other_size and photo.file_name not in missing]

    def _sort_in(self, instances: CocoFile, only: Collection[Id] | None) -> None:
        """Assign each annotation to the scene of its image, and make the ids unique."""
        ids = {photo.id for photo in instances.images}
        types = {str(each) for each in ids}
        seen: dict[int, list[Instance]] = {}
        for given in instances.annotations:
            before = seen.setdefault(given.id, [])
            before.append(given)
            image_id = self.copies.get(given.image_id, given.image_id)
            if given.image_id in ids and image_id not in self._instances:
                continue  # of an image that is left out, or that is not read
            if given in before[:-1]:
                self.defects.add(REPEATED_ANNOTATION, given.id)
            elif given.image_id not in ids:
                if only is None or given.image_id in only:
                    is_typed = str(given.image_id) in types
                    reason = "image_id and the id of the image are text and number; use one type" if is_typed else ""
                    self.defects.add(UNKNOWN_IMAGE, given.id, reason, f"image_id {given.image_id!r}")
            elif given.category_id not in self.categories:
                self.defects.add(UNKNOWN_CATEGORY, given.id)
            else:
                objects = self._instances[image_id]
                equal = [each for each in objects if _is_same(given, each)] if image_id != given.image_id else []
                instance = equal[0] if equal else given
                if not equal:
                    if len(before) > 1 or given.id < 0:
                        kind = REPEATED_ANNOTATION if len(before) > 1 else NEGATIVE_ANNOTATION
                        self.defects.add(kind, given.id)
                        instance = given.model_copy(update={"id": next(self.free_ids)})
                    objects.append(instance)
                if instance.id != given.id:
                    self.renumbered[given.image_id, given.id] = instance.id

    def _scene(self, photo: Photo, image: Image) -> PhotoScene:
        """Describe the objects of an image for the grammar."""
        instances = self._instances[photo.id]
        counts = Counter(instance.category_id for instance in instances)
        rles: list[RLE | None] = []
        objects: list[SceneObject] = []
        for instance in instances:
            rle = None
            try:
                outline = read_segmentation(instance.segmentation, photo.size)
            except DataError as error:
                self.defects.add(UNREADABLE_SEGMENTATION, instance.id, str(error).rstrip("."))
            else:
                for reason in outline.left_out[:1]:
                    self.defects.add(DEGENERATE_POLYGON, instance.id, reason)
                if rle_area(outline.rle):
                    rle = outline.rle
                else:
                    self.defects.add(EMPTY_MASK, instance.id)
            if rle is None:  # somewhere in its box
                x, y, width, height = instance.bbox
                box, centre = (x, y, x + width, y + height), (x + width / 2, y + height / 2)
                described = SceneObject("", box, centre, width * height, salient=False, crowd=True)
            else:
                described = object_from_mask(decode_rle(rle), image, crowd=bool(instance.iscrowd))
            is_salient = described.salient and counts[instance.category_id] <= MANY
            noun = self.nouns[self.categories[instance.category_id]]
            objects.append(replace(described, noun=noun, salient=is_salient))
            rles.append(rle)
        return PhotoScene(photo, instances, Scene(photo.size, tuple(objects)), rles)


def _is_same(instance: Instance, other: Instance) -> bool:
    """Whether two annotations of copies of an image describe one object."""
    return (instance.category_id, instance.bbox, instance.segmentation) == (
        other.category_id,
        other.bbox,
        other.segmentation,
    )
