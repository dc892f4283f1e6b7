"""Prepare a training set with copy-paste augmentation: images, crops of them and scenes composed of their objects."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image as PILImage
from tqdm import tqdm

from vlt.data.prepared import annotation_folder
from vlt.errors import DataError
from vlt.files import file_digest, make_folder, replacing
from vlt.prepare.coco_scenes import CocoScenes
from vlt.prepare.fashion import FashionPhoto
from vlt.prepare.folder import refuse_other, write_data_set
from vlt.prepare.instances import CocoFile, read_instance_file
from vlt.prepare.report import PrepareReport
from vlt.prepare.shares import check_shares, named_shares
from vlt.prepare.sources import PEOPLE, CocoPhoto, coco_photos, split_photos, street_photos
from vlt.prepare.splits import VAL_SHARE, check_name, check_share, with_halves
from vlt.synth.scenes.compose import ComposedScenes
from vlt.synth.scenes.picture import Picture, random_crop
from vlt.synth.scenes.referents import (
    EXPRESSIONS,
    NONE,
    TRAIN_EXPRESSIONS,
    Shares,
    refer,
    refer_to_garments,
    refer_to_nothing,
    with_ids,
)
from vlt.types import Referral

SCENES = 3000
"""Default number of composed scenes."""
CROPS = 2
"""Default number of crops per image."""
MAX_REFERENTS = 6
"""Largest number of objects of a training image that are referred to."""
NO_TARGET = 0.22
"""Probability of a referral without target for each fully annotated training image; about 4 % of all referrals."""
QUALITY = 90
"""Quality of the written JPEGs, of 100."""


def prepare_scenes(
    instances: Path | str,
    images: Path | str,
    output_dir: Path | str,
    *,
    name: str,
    people: Path | str | None = None,
    scenes: int = SCENES,
    crops: int = CROPS,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    several: float = 0.0,
    absent: float = 0.0,
) -> PrepareReport:
    """Prepare a training set of images, crops and composed scenes, and write its images to `images/NAME/`.

    Validation images are not trained on, cropped, cut out or pasted on. They are the split `val`, those of the
    street-fashion data set `people_val`; each is also written as two halves, such as `val_a` and `val_b`.

    Args:
        instances: a file of COCO's format.
        images: the folder with its images.
        output_dir: the folder that holds, or will hold, `anns/`, `masks/` and `images/`.
        name: name of the data set, the folder under all three.
        people: a street-fashion data set, see `vlt.prepare.fashion`.
        scenes: number of composed scenes.
        crops: number of crops of each image of the instance file.
        seed: seed of every random choice; the same seed, files and images give the same data set.
        val_share: share of the images for validation, in [0, 1], see `is_validation`.
        several: share in [0, 1] of the referrals to objects of fully annotated images that are to all objects of a kind
            instead, where there are at least two, see `vlt.synth.scenes.referents.vary`.
        absent: share in [0, 1] of these referrals that nothing in the image matches, in addition to those that every
            training set has (`NO_TARGET`).

    Raises:
        ConfigError: a share is outside [0, 1], or `several` and `absent` together are above 1; the name is a path.
        DataError: a file is missing or malformed; no expression can be made, or no object cut out; a folder or file
            cannot be made; the folder of that name holds another data set.
    """
    folder, shares = annotation_folder(Path(output_dir), check_name(name)), check_shares(several, absent)
    if not Path(images).is_dir():
        raise DataError(f"There is no folder of images {images}; name the one that holds them.")
    found = CocoScenes(read_instance_file(Path(instances), CocoFile), Path(images))
    street = street_photos(found, None if people is None else Path(people))
    source = {
        "instances": str(instances),
        "sha256": file_digest(Path(instances)),
        "people": None if people is None else str(people),
        "scenes": scenes,
        "crops": crops,
        "seed": seed,
        "val_share": check_share(val_share),
        **named_shares(shares),
    }
    refuse_other(folder, source)
    photos, val_photos = split_photos(coco_photos(found, Path(images)), val_share)
    persons, val_persons = split_photos(street, val_share)
    composed = ComposedScenes(scenes, photos, persons, seed=seed)
    categories = {noun: index for index, noun in enumerate(found.nouns)}
    maker = ReferralMaker(Path(output_dir) / "images" / name, categories, seed, shares)
    total = len(photos) * (1 + crops) + len(persons) + scenes
    train = maker.refer_to_all(_training_images(photos, persons, crops, composed, seed), total, training=True)
    val = maker.refer_to_all(_originals("photos", val_photos), len(val_photos), training=False)
    people_val = maker.refer_to_all(_originals(PEOPLE, val_persons), len(val_persons), training=False)
    if not train:
        raise DataError(
            f"No unambiguous expression was found for the training images of {instances}; add images, or choose a "
            "smaller val_share."
        )
    splits = {"train": train, "val": val, "people_val": people_val}
    splits = with_halves({split: referrals for split, referrals in splits.items() if referrals})
    return write_data_set(
        Path(output_dir),
        name,
        splits,
        source=source,
        images=maker.folder,
        defects=found.defects,
        categories=found.nouns,
    )


class SetImage(NamedTuple):
    """An image of the prepared set.

    Attributes:
        name: name of its file, relative to the set's folder of images.
        picture: the pixels and objects.
        original: an existing file with the same pixels; None where the image has to be encoded.
        is_complete: whether all objects are annotated, so that any other noun refers to nothing in the image.
    """

    name: str
    picture: Picture
    original: Path | None = None
    is_complete: bool = True


def _originals(kind: str, sources: Iterable[CocoPhoto | FashionPhoto]) -> Iterator[SetImage]:
    """Read images as they are; `kind` is their folder. In street-fashion images, only the person is annotated."""
    for source in sources:
        yield SetImage(f"{kind}/{source.name}", source.read(), source.photo, is_complete=kind != PEOPLE)


def _training_images(
    photos: Sequence[CocoPhoto], people: Sequence[FashionPhoto], crops: int, composed: ComposedScenes, seed: int
) -> Iterator[SetImage]:
    """Make all images for training: the originals, `crops` crops of each photo, and the composed scenes."""
    yield from _originals("photos", photos)
    yield from _originals(PEOPLE, people)
    for photo, number in itertools.product(photos, range(crops)):
        crop = random_crop(photo.read(), random.Random(f"{seed} {photo.name} {number}"))
        yield SetImage(f"crops/{Path(photo.name).with_suffix('').as_posix()}_{number}.jpg", crop)
    for number, picture in enumerate(composed):
        yield SetImage(f"scenes/{number:06}.jpg", picture)


class ReferralMaker:
    """Writes the images of a data set and makes the referrals to them, with ids that are unique in the set.

    Args:
        folder: the set's folder of images.
        categories: contiguous index by noun.
        seed: draws referents and expressions.
        shares: of referrals to several objects and to none.
    """

    def __init__(self, folder: Path, categories: Mapping[str, int], seed: int, shares: Shares) -> None:
        self.folder = folder
        self._categories = categories
        self._seed = seed
        self._shares = shares
        self._ref_ids, self._sent_ids = itertools.count(), itertools.count()

    def refer_to_all(self, images: Iterable[SetImage], total: int, *, training: bool) -> list[Referral]:
        """Write the images of a split and make the referrals to them.

        Args:
            images: images of the split.
            total: their number, for the progress bar.
            training: choose at most `MAX_REFERENTS` referents per image, preferring those with distractors, with more
                expressions each, and add referrals without target.

        Raises:
            DataError: a folder or file cannot be made.
        """
        referrals: list[Referral] = []
        most, expressions = (MAX_REFERENTS, TRAIN_EXPRESSIONS) if training else (None, EXPRESSIONS)
        for image in tqdm(images, total=total, desc="train" if training else "val", unit="image", disable=None):
            path = self.folder / image.name
            make_folder(path.parent)
            with replacing(path) as file:
                if image.original:
                    file.write(image.original.read_bytes())
                else:
                    PILImage.fromarray(image.picture.image).save(file, format="jpeg", quality=QUALITY)
            rng = random.Random(f"{self._seed} {image.name}")
            shares = self._shares if image.is_complete else NONE
            found = refer(image.picture, path, rng, most=most, expressions=expressions, shares=shares)
            found += refer_to_garments(image.picture, path, self._categories, rng, expressions=expressions)
            if training and image.is_complete and rng.random() < NO_TARGET:
                found += refer_to_nothing(image.picture, path, rng)
            referrals += with_ids(found, self._ref_ids, self._sent_ids)
        return referrals
