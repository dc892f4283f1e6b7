"""Annotated images that scenes are composed of, without those used for validation."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from vlt.config.data import ComposeConfig
from vlt.data.image import read_image
from vlt.data.masks import decode_rle, fill_box
from vlt.errors import DataError
from vlt.prepare.coco_scenes import CocoScenes, PhotoScene
from vlt.prepare.fashion import FashionPhoto, read_fashion
from vlt.prepare.instances import CocoFile, Id, read_instance_file
from vlt.prepare.splits import VAL_SHARE, is_validation
from vlt.synth.scenes.compose import ComposedScenes, FreshScenes
from vlt.synth.scenes.picture import Layer, Picture, visible_layers
from vlt.synth.scenes.referents import NONE, Shares
from vlt.synth.words.appearance import MANY

STREAM = 10**9
"""Offset of the seed of scenes composed during training, so that they differ from those of a prepared set."""
PERSON = "person"
"""Category of the people of a street-fashion data set."""
PEOPLE = "people"
"""Folder of the street-fashion images in a prepared set."""


@dataclass(frozen=True, slots=True)
class CocoPhoto:
    """An image of an instance file.

    Attributes:
        scene: the image's annotations.
        photo: path of the image.
        categories: contiguous index of each category id.
    """

    scene: PhotoScene
    photo: Path
    categories: Mapping[int, int]

    @property
    def id(self) -> Id:
        """Image id in the instance file."""
        return self.scene.photo.id

    @property
    def name(self) -> str:
        """File name of the image in the instance file."""
        return self.scene.photo.file_name

    def read(self) -> Picture:
        """Read the image with its objects; the mask of an object without a usable one is its box.

        Raises:
            InputError: the image cannot be read.
        """
        objects = self.scene.scene.objects
        nouns = [each.noun for each in objects]
        layers = []
        for instance, described, rle in zip(self.scene.instances, objects, self.scene.rles, strict=True):
            mask = fill_box(described.box, self.scene.scene.size) if rle is None else decode_rle(rle)
            layers.append(
                Layer(
                    noun=described.noun,
                    category=self.categories[instance.category_id],
                    mask=mask,
                    full_area=max(float(np.count_nonzero(mask)), 1.0),
                    crowd=described.crowd,
                    distinguishable=nouns.count(described.noun) <= MANY,
                )
            )
        return Picture(read_image(self.photo), visible_layers(layers))


def coco_photos(found: CocoScenes, images: Path) -> list[CocoPhoto]:
    """List the usable images of an instance file.

    Args:
        found: the content of the instance file.
        images: the folder with its images.

    Raises:
        DataError: no image can be used.
    """
    scenes = tqdm(found, desc="reading", unit="image", disable=None)
    photos = [CocoPhoto(scene, images / scene.photo.file_name, found.categories) for scene in scenes]
    if not photos:
        reasons = found.defects.summary() or "the instance file lists none"
        raise DataError(f"No image of the instance file can be used with the folder {images}: {reasons}.")
    return photos


def street_photos(found: CocoScenes, people: Path | None) -> Sequence[FashionPhoto]:
    """List the images of a street-fashion data set; their people get the category "person" of an instance file.

    Args:
        found: the content of the instance file.
        people: the folder of the street-fashion data set; None: there is none.

    Raises:
        DataError: see `read_fashion`.
    """
    category = found.nouns.index(PERSON) if PERSON in found.nouns else -1
    return [] if people is None else read_fashion(people, category)


Photo = TypeVar("Photo", CocoPhoto, FashionPhoto)


def split_photos(photos: Sequence[Photo], share: float) -> tuple[list[Photo], list[Photo]]:
    """Split images by their ids.

    Args:
        photos: images of one data set.
        share: share of the images for validation, in [0, 1], see `is_validation`.

    Returns:
        Images for training, and for validation.
    """
    train: list[Photo] = []
    val: list[Photo] = []
    for photo in photos:
        (val if is_validation(photo.id, share) else train).append(photo)
    return train, val


def read_fresh_scenes(
    config: ComposeConfig, *, epochs: int, seed: int, excluded: Collection[str], first_id: int
) -> FreshScenes:
    """Read the images from which a run composes new scenes in each epoch.

    Args:
        config: the images, and the number of scenes.
        epochs: number of epochs of the run.
        seed: draws the scenes and the expressions.
        excluded: file names of validation and test images as in a prepared set; none of them is a background or
            gives cutouts, nor is an image whose file name ends in the same number.
        first_id: smallest id of the referrals.

    Raises:
        DataError: a file is missing or malformed; no object can be cut out.
    """
    excluded_people = {file_number(Path(name)) for name in excluded if Path(name).parts[0] == PEOPLE}
    excluded_photos = {file_number(Path(name)) for name in excluded if Path(name).parts[0] != PEOPLE}
    found = CocoScenes(read_instance_file(config.instances, CocoFile), config.images)
    photos, _ = split_photos(coco_photos(found, config.images), VAL_SHARE)
    people, _ = split_photos(street_photos(found, config.people), VAL_SHARE)
    photos = [photo for photo in photos if file_number(photo.photo) not in excluded_photos]
    people = [person for person in people if file_number(person.photo) not in excluded_people]
    names = [*(photo.name for photo in photos), *(person.name for person in people)]
    scenes = ComposedScenes(config.scenes * epochs, photos, people, seed=STREAM + seed)
    shares = Shares(config.several, config.absent)
    varied = "" if shares == NONE else f", {shares.several} to several and {shares.absent} to none,"
    description = f"{config.scenes} scenes of {config.referents} referents{varied} from {names}"
    return FreshScenes(scenes, config.scenes, config.referents, seed, first_id, description, shares)


def file_number(path: Path) -> str:
    """Identify an image by the number at the end of its file name, or by the stem if there is none.

    Example:
        >>> file_number(Path("COCO_train2014_000000000009.jpg")), file_number(Path("000000000009.jpg"))
        ('9', '9')
    """
    digits = re.search(r"\d+$", path.stem)
    return str(int(digits[0])) if digits else path.stem
