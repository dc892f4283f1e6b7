"""Scenes composed while training, other ones in each epoch, so that none is seen twice."""

from __future__ import annotations

import random
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from vlt.data.compose.referents import TO_LEARN, numbered, refer
from vlt.data.compose.scenes import ComposedScenes
from vlt.data.compose.sources import PEOPLE, coco_photos, split_photos, street_photos
from vlt.data.lazy import LazySequence, SceneReferrals
from vlt.data.prepare.coco import VAL_SHARE
from vlt.data.prepare.coco_scenes import CocoScenes, read_instances
from vlt.errors import DataError
from vlt.types import Referral

if TYPE_CHECKING:
    from vlt.config import ComposeConfig
    from vlt.types import Referrals

ATTEMPTS = 20
"""Scenes that are tried until something in one can be worded."""
STREAM = 10**9
"""Added to the seed of scenes, so that they are others than those of a prepared set."""


@dataclass(frozen=True)
class FreshScenes:
    """Where the composed scenes of each epoch come from.

    Attributes:
        scenes: of all epochs.
        per_epoch: how many of them are for one epoch.
        referents: of each scene.
        seed: of what is said.
        first_id: of the referrals; those before are others'.
        description: of what the scenes are made of; the same wherever the photos lie.
    """

    scenes: ComposedScenes
    per_epoch: int
    referents: int
    seed: int
    first_id: int
    description: str

    def __len__(self) -> int:
        """Referrals of an epoch."""
        return self.per_epoch * self.referents

    def beside(self, others: Referrals, epoch: int) -> Referrals:
        """Other referrals, and behind them those of an epoch."""
        return _Joined(others, self.of_epoch(epoch))

    def of_epoch(self, epoch: int) -> FreshReferrals:
        """The referrals of an epoch, counted from 0."""
        return FreshReferrals(self, epoch * self.per_epoch)


class FreshReferrals(SceneReferrals):
    """Referrals to the scenes of an epoch, composed when asked for; item i is the same at any time, in any process.

    Args:
        source: of the scenes.
        first: number of the epoch's first scene.
    """

    def __init__(self, source: FreshScenes, first: int) -> None:
        super().__init__(source.per_epoch, source.referents)
        self._source = source
        self._first = first

    @property
    def photos(self) -> list[int]:
        """Which scene each referral is about, as its `Referral.scene`; composes none."""
        return [self._first + index // self._referents for index in range(len(self))]

    def _of_scene(self, scene: int) -> list[Referral]:
        """Composes a scene and words what is meant in it.

        Raises:
            DataError: no scene came about of which anything can be said.
        """
        source, number = self._source, self._first + scene
        rng = random.Random(f"{source.seed} words {number}")
        ids = count(source.first_id + number * source.referents)
        for attempt in range(ATTEMPTS):
            picture = source.scenes[(number + attempt) % len(source.scenes)]
            referrals = refer(picture, picture.image, rng, most=source.referents, wordings=TO_LEARN)
            if referrals:
                return [replace(each, scene=number) for each in numbered(referrals, ids, count())]
        raise DataError(f"Nothing in {ATTEMPTS} composed scenes could be worded; give photos with more things.")


def _number(photo: Path) -> str:
    """What a photo is called, whichever way: 000000000009 and COCO_train2014_000000000009 are the same one of COCO."""
    digits = re.search(r"\d+$", photo.stem)
    return str(int(digits[0])) if digits else photo.stem


class _Joined(LazySequence[Referral]):
    """Two sets of referrals as one."""

    noun = "referral"

    def __init__(self, first: Referrals, second: Referrals) -> None:
        self._first = first
        self._second = second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def _make(self, index: int) -> Referral:
        return self._first[index] if index < len(self._first) else self._second[index - len(self._first)]


def read_fresh_scenes(
    config: ComposeConfig, *, epochs: int, seed: int, judged: Collection[str], first_id: int
) -> FreshScenes:
    """Reads the photos that scenes are to be composed of.

    Args:
        config: which photos, how many scenes.
        epochs: of the run.
        seed: draws everything.
        judged: what photos that runs are judged by are called, as in a prepared set; none of them is cut out from or
            pasted on, whichever way its number is written.
        first_id: of the referrals.

    Raises:
        DataError: a file is missing or malformed; nothing can be cut out.
    """
    found = CocoScenes(read_instances(config.instances), config.images)
    photos, _ = split_photos(coco_photos(found, config.images), VAL_SHARE)
    people, _ = split_photos(street_photos(found, config.people), VAL_SHARE)
    in_street = {_number(Path(name)) for name in judged if Path(name).parts[0] == PEOPLE}
    others = {_number(Path(name)) for name in judged if Path(name).parts[0] != PEOPLE}
    photos = [photo for photo in photos if _number(photo.photo) not in others]
    people = [person for person in people if _number(person.photo) not in in_street]
    names = [*(photo.name for photo in photos), *(photo.name for photo in people)]
    scenes = ComposedScenes(config.scenes * epochs, photos, people, seed=STREAM + seed)
    description = f"{config.scenes} scenes of {config.referents} referents from {names}"
    return FreshScenes(scenes, config.scenes, config.referents, seed, first_id, description)
