"""COCO instance files to scenes: what lies in each photo, and what is wrong with the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from vlt.data.expressions import Scene, Thing
from vlt.data.masks import decode_rle, read_segmentation, rle_area
from vlt.data.photo import read_image
from vlt.data.prepare.colour import brightened, colour_shares
from vlt.data.prepare.refer_files import Annotation, Category, Id, Photo
from vlt.data.prepare.report import DefectKind, Defects
from vlt.data.records import Record, malformed
from vlt.errors import DataError, InputError
from vlt.types import RLE

if TYPE_CHECKING:
    from vlt.types import Image, Mask

SMALLEST = 0.0025
"""Share of the photo from which on an object is noticed: 21 x 21 pixels of 420 x 420."""
MANY = 12
"""Of more of a kind in a photo none is told apart: COCO outlines about a dozen of a kind and leaves it at that."""

MISSING_PHOTO = DefectKind("missing photo", "image id", "left out")
UNREADABLE_PHOTO = DefectKind("unreadable photo", "image id", "left out")
OTHER_SIZE = DefectKind("photo of another size than stated", "image id", "left out")
REPEATED_IMAGE = DefectKind("repeated image id", "image id", "all but the first left out")
REPEATED_ANNOTATION = DefectKind("repeated annotation id", "annotation id", "all but the first left out")
UNKNOWN_IMAGE = DefectKind("annotation of no image", "annotation id", "left out")
UNKNOWN_CATEGORY = DefectKind("unknown category", "annotation id", "left out")
UNREADABLE_SEGMENTATION = DefectKind(
    "unreadable segmentation", "annotation id", "never meant, but told apart by its box"
)
EMPTY_MASK = DefectKind("empty mask", "annotation id", "never meant, but told apart by its box")
DEGENERATE_POLYGON = DefectKind("degenerate polygon", "annotation id", "kept without that polygon")


class Instance(Annotation):
    """An object of a photo."""

    id: int
    image_id: Id
    category_id: int


class NamedCategory(Category):
    """A kind of object that has a name, as expressions need it."""

    name: Annotated[str, Field(pattern=r"\w")]


class Instances(Record):
    """The photos, and the objects in them."""

    images: list[Photo]
    annotations: list[Instance]
    categories: list[NamedCategory]


_Listed = TypeVar("_Listed", Photo, Instance)


class PhotoScene(NamedTuple):
    """A photo and what lies in it.

    Attributes:
        photo: as it stands in the file.
        instances: what lies in it.
        scene: the same as the grammar sees it, in the same order.
        rles: the masks in the same order; None where there is no usable one.
    """

    photo: Photo
    instances: Sequence[Instance]
    scene: Scene
    rles: Sequence[RLE | None]


def read_instances(path: Path) -> Instances:
    """Reads an instance file.

    Raises:
        DataError: it is missing, a directory, no JSON, or not of COCO's format.
    """
    try:
        return Instances.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no instance file {path}; check the path.") from None
    except OSError as error:
        raise DataError(f"The instance file {path} cannot be read: {error.strerror or error}.") from None
    except ValidationError as error:
        raise malformed(path, error, "an instance file of COCO's format is needed") from None


class CocoScenes:
    """The scenes of an instance file, one photo at a time.

    Attributes:
        categories: contiguous index of each category id.
        nouns: what each category is called, by that index; in lower case.
        defects: all that were met so far.
    """

    def __init__(self, instances: Instances, images: Path) -> None:
        self.defects = Defects()
        ordered = sorted(instances.categories, key=lambda category: category.id)
        self.categories = {category.id: index for index, category in enumerate(ordered)}
        self.nouns = tuple(category.name.lower().replace("_", " ").strip() for category in ordered)
        self._images = images
        self._photos = self._unique(instances.images, REPEATED_IMAGE)
        self._instances: dict[Id, list[Instance]] = {photo.id: [] for photo in self._photos}
        for instance in self._unique(instances.annotations, REPEATED_ANNOTATION):
            if self._is_usable(instance):
                self._instances[instance.image_id].append(instance)

    def __len__(self) -> int:
        return len(self._photos)

    def __iter__(self) -> Iterator[PhotoScene]:
        """Every usable photo, in the file's order."""
        for photo in self._photos:
            image = self._read(photo)
            if image is not None:
                yield self._scene(photo, brightened(image))

    def _unique(self, listed: Sequence[_Listed], kind: DefectKind) -> list[_Listed]:
        seen: dict[Id, _Listed] = {}
        for each in listed:
            if each.id in seen:
                self.defects.add(kind, each.id)
            seen.setdefault(each.id, each)
        return list(seen.values())

    def _is_usable(self, instance: Instance) -> bool:
        if instance.image_id not in self._instances:
            self.defects.add(UNKNOWN_IMAGE, instance.id)
        elif instance.category_id not in self.categories:
            self.defects.add(UNKNOWN_CATEGORY, instance.id)
        else:
            return True
        return False

    def _read(self, photo: Photo) -> Image | None:
        """The photo's pixels; None, and a defect noted, where they cannot be used."""
        path = self._images / photo.file_name
        if not path.is_file():
            self.defects.add(MISSING_PHOTO, photo.id)
            return None
        try:
            image = read_image(path)
        except InputError:
            self.defects.add(UNREADABLE_PHOTO, photo.id)
            return None
        if image.shape[:2] != (photo.height, photo.width):
            self.defects.add(OTHER_SIZE, photo.id)
            return None
        return image

    def _scene(self, photo: Photo, image: Image) -> PhotoScene:
        instances = self._instances[photo.id]
        counts = Counter(instance.category_id for instance in instances)
        rles: list[RLE | None] = []
        things: list[Thing] = []
        for instance in instances:
            rle = self._outline(instance, photo)
            is_crowd = bool(instance.iscrowd)
            thing = _boxed(instance) if rle is None else thing_in(decode_rle(rle), image, crowd=is_crowd)
            is_noticed = thing.noticed and counts[instance.category_id] <= MANY
            noun = self.nouns[self.categories[instance.category_id]]
            things.append(replace(thing, noun=noun, noticed=is_noticed))
            rles.append(rle)
        return PhotoScene(photo, instances, Scene((photo.height, photo.width), tuple(things)), rles)

    def _outline(self, instance: Instance, photo: Photo) -> RLE | None:
        """The mask's run lengths; None, and a defect noted, where there are none."""
        try:
            outline = read_segmentation(instance.segmentation, (photo.height, photo.width))
        except DataError:
            self.defects.add(UNREADABLE_SEGMENTATION, instance.id)
            return None
        if outline.degenerate:
            self.defects.add(DEGENERATE_POLYGON, instance.id)
        if not rle_area(outline.rle):
            self.defects.add(EMPTY_MASK, instance.id)
            return None
        return outline.rle


def thing_in(mask: Mask, image: Image, *, noun: str = "", crowd: bool = False) -> Thing:
    """A thing as its mask shows it.

    Args:
        mask: (H, W) bool, not empty.
        image: (H, W, 3) uint8 RGB, as bright as its colours are to be judged, see `vlt.data.prepare.colour.brightened`.
        noun: what it is called.
        crowd: it is several of a kind.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    inside = mask[y0:y1, x0:x1]
    area = int(inside.sum())
    return Thing(
        noun=noun,
        box=(x0, y0, x1, y1),
        centre=(x0 + _mean_index(inside.sum(axis=0)), y0 + _mean_index(inside.sum(axis=1))),
        area=area,
        colours=colour_shares(image[y0:y1, x0:x1], inside),
        noticed=area >= SMALLEST * mask.size,
        crowd=crowd,
    )


def _mean_index(counts: npt.NDArray[np.int64]) -> float:
    """Where the middle of the counted pixels is along an axis, pixel i reaching from i to i + 1."""
    return float(np.average(np.arange(len(counts)) + 0.5, weights=counts))


def _boxed(instance: Instance) -> Thing:
    """An instance without a mask: somewhere in its box."""
    x, y, width, height = instance.bbox
    return Thing(
        "", (x, y, x + width, y + height), (x + width / 2, y + height / 2), width * height, noticed=False, crowd=True
    )
