"""Photos whose things are outlined to a training set that makes a network listen: photos, crops, composed scenes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image as PILImage
from tqdm import tqdm

from vlt.data.compose.crop import crop
from vlt.data.compose.fashion import FashionPhoto
from vlt.data.compose.picture import Picture
from vlt.data.compose.referents import (
    PER_TARGET,
    TO_LEARN,
    numbered,
    refer,
    refer_to_garments,
    refer_to_nothing,
)
from vlt.data.compose.scenes import ComposedScenes
from vlt.data.compose.sources import PEOPLE, CocoPhoto, coco_photos, split_photos, street_photos
from vlt.data.prepare.coco import VAL_SHARE
from vlt.data.prepare.coco_scenes import CocoScenes, read_instances
from vlt.data.prepare.report import PrepareReport, count, file_digest, refuse_other
from vlt.data.prepared import annotation_folder, write_prepared
from vlt.errors import DataError
from vlt.files import make_folder, replacing
from vlt.types import Referral

SCENES = 3000
"""Composed scenes."""
CROPS = 2
"""Crops of each photo."""
MOST = 6
"""Referents of a picture for training."""
NOTHING = 0.22
"""Referrals to nothing for each picture whose things are known; about 4 % of all."""
QUALITY = 90
"""Of the JPEGs, of 100."""


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
) -> PrepareReport:
    """Makes a training set of photos, crops of them and scenes composed of them, with its photos under `images/`.

    Photos for validation are in no part of it: not trained on, not cut out from, not pasted on. They are the splits
    `val` and, for the street-fashion set, `people_val`.

    Args:
        instances: a file of COCO's format.
        images: the folder with its photos.
        output_dir: the folder that holds, or will hold, `anns/`, `masks/` and `images/`.
        name: of the data set, the folder under all three.
        people: a street-fashion set, see `vlt.data.compose.fashion`.
        scenes: how many scenes are composed.
        crops: how many crops are made of each photo of the instance file.
        seed: draws everything; the same seed, files and photos give the same data set.
        val_share: share of the photos for validation, in [0, 1], see `is_validation`.

    Raises:
        DataError: a file is missing or malformed; nothing can be worded or cut out; a folder or file cannot be made;
            the folder of that name holds another data set.
    """
    if not Path(images).is_dir():
        raise DataError(f"There is no folder of photos {images}; name the one that holds them.")
    found = CocoScenes(read_instances(Path(instances)), Path(images))
    indices = {noun: index for index, noun in enumerate(found.nouns)}
    fashion = street_photos(found, None if people is None else Path(people))
    folder = annotation_folder(Path(output_dir), name)
    source = {
        "instances": str(instances),
        "sha256": file_digest(Path(instances)),
        "people": None if people is None else str(people),
        "scenes": scenes,
        "crops": crops,
        "seed": seed,
        "val_share": val_share,
    }
    refuse_other(folder, source)
    kept, judged = split_photos(coco_photos(found, Path(images)), val_share)
    dressed, undressed = split_photos(fashion, val_share)
    composed = ComposedScenes(scenes, kept, dressed, seed=seed)
    maker = _Maker(Path(output_dir) / "images" / name, indices, seed)
    train = itertools.chain(
        _as_they_are("photos", kept), _as_they_are(PEOPLE, dressed), _crops(kept, crops, seed), _composed(composed)
    )
    total = len(kept) * (1 + crops) + len(dressed) + scenes
    splits = {
        "train": maker.referrals(train, total, to_learn=True),
        "val": maker.referrals(_as_they_are("photos", judged), len(judged), to_learn=False),
        "people_val": maker.referrals(_as_they_are(PEOPLE, undressed), len(undressed), to_learn=False),
    }
    splits = {split: referrals for split, referrals in splits.items() if referrals}
    if "train" not in splits:
        raise DataError(f"Nothing in {instances} can be worded for training; give more photos, or a smaller val_share.")
    write_prepared(Path(output_dir), name, splits, generate_mask=False, images=maker.folder)
    report = PrepareReport(
        dataset=name,
        source=source,
        folder=folder,
        counts={split: count(referrals) for split, referrals in splits.items()},
        defects=found.defects,
        categories=found.nouns,
    )
    report.write()
    return report


class _Shot(NamedTuple):
    """A picture of the set to be.

    Attributes:
        name: of its file there.
        picture: the pixels and things.
        original: the file that has the same pixels, if there is one.
        is_known: whether its things are all that is there, so that others can be said not to be.
    """

    name: str
    picture: Picture
    original: Path | None = None
    is_known: bool = True


def _as_they_are(kind: str, sources: Iterable[CocoPhoto | FashionPhoto]) -> Iterator[_Shot]:
    for source in sources:
        yield _Shot(f"{kind}/{source.name}", source.read(), source.photo, is_known=kind == "photos")


def _crops(photos: Iterable[CocoPhoto], times: int, seed: int) -> Iterator[_Shot]:
    for source, i in itertools.product(photos, range(times)):
        rng = random.Random(f"{seed} {source.name} {i}")
        yield _Shot(f"crops/{Path(source.name).with_suffix('').as_posix()}_{i}.jpg", crop(source.read(), rng))


def _composed(scenes: ComposedScenes) -> Iterator[_Shot]:
    for index in range(len(scenes)):
        yield _Shot(f"scenes/{index:06}.jpg", scenes[index])


class _Maker:
    """Writes the photos of a data set, and says what is meant in each.

    Args:
        folder: gets the photos.
        categories: contiguous index by noun.
        seed: draws what is said.
    """

    def __init__(self, folder: Path, categories: Mapping[str, int], seed: int) -> None:
        self.folder = folder
        self._categories = categories
        self._seed = seed
        self._ref_ids, self._sent_ids = itertools.count(), itertools.count()

    def referrals(self, shots: Iterable[_Shot], total: int, *, to_learn: bool) -> list[Referral]:
        """The referrals of a split; for training, those that teach most."""
        referrals = []
        for shot in tqdm(shots, total=total, desc="train" if to_learn else "val", unit="photo", disable=None):
            self._write(shot)
            referrals += numbered(self._meant(shot, to_learn), self._ref_ids, self._sent_ids)
        return referrals

    def _meant(self, shot: _Shot, to_learn: bool) -> list[Referral]:
        photo, rng = self.folder / shot.name, random.Random(f"{self._seed} {shot.name}")
        wordings = TO_LEARN if to_learn else PER_TARGET
        things = refer(shot.picture, photo, rng, most=MOST if to_learn else None, wordings=wordings)
        garments = refer_to_garments(shot.picture, photo, self._categories, rng, wordings=wordings)
        is_asked = to_learn and shot.is_known and rng.random() < NOTHING
        return [*things, *garments, *(refer_to_nothing(shot.picture, photo, rng) if is_asked else ())]

    def _write(self, shot: _Shot) -> None:
        path = self.folder / shot.name
        make_folder(path.parent)
        with replacing(path) as file:
            if shot.original:
                file.write(shot.original.read_bytes())
            else:
                PILImage.fromarray(shot.picture.image).save(file, format="jpeg", quality=QUALITY)
