"""Composed scenes: cutouts pasted on photos, so that several of a kind are in one picture and the words must decide."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vlt.data.compose.canvas import Canvas
from vlt.data.compose.crop import LONGEST, background
from vlt.data.compose.cutout import Cutout, Source
from vlt.data.compose.eligible import find_cutouts
from vlt.data.compose.picture import Picture
from vlt.data.lazy import LazySequence
from vlt.errors import DataError

SHARES = {"same": 0.5, "people": 0.25, "mixed": 0.25}
"""The kinds of scenes: several of one category; fashion people side by side; anything."""
ATTEMPTS = 20
"""Scenes that are tried until one has two things pasted."""


class _Plan(NamedTuple):
    """What is to be pasted on which photo: cutouts, the longer side of each in front in pixels, the least depth."""

    photo: Source
    cutouts: list[Cutout]
    longest: list[float]
    farthest: float


class ComposedScenes(LazySequence[Picture]):
    """Scenes that are composed when asked for; item i is a pure function of the photos, the seed and i.

    Only what is given is cut out from and pasted on: give no photo that anything is judged by.

    Args:
        count: how many scenes.
        photos: to cut out from and to paste on.
        people: a person each, with garments; only cut out from. May be empty.
        seed: of all scenes.

    Raises:
        DataError: the photos have nothing to be cut out.
        InputError: a photo cannot be read.
    """

    noun = "scene"

    def __init__(self, count: int, photos: Sequence[Source], people: Sequence[Source], *, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._photos = [(source, {layer.category for layer in source.read().layers}) for source in photos]
        self._people = _all_cutouts(people)
        by_category: dict[int, list[Cutout]] = {}
        for cutout in _all_cutouts(photos):
            by_category.setdefault(cutout.category, []).append(cutout)
        self._pools = [pool for pool in (*by_category.values(), self._people) if pool]
        if count and not (photos and self._pools):
            raise DataError("No photo has a thing that is large and whole enough to be cut out; give more photos.")

    def __len__(self) -> int:
        return self._count

    def _make(self, index: int) -> Picture:
        """Composes a scene.

        Raises:
            DataError: no scene came about, because too few cutouts fit on the photos.
        """
        return self._composed(random.Random(f"{self._seed} {index}"))

    def _composed(self, rng: random.Random) -> Picture:
        for _ in range(ATTEMPTS):
            plan = self._plan(rng)
            if plan is None:
                continue
            canvas = Canvas(background(plan.photo.read(), rng), rng)
            depths = sorted(rng.uniform(plan.farthest, 1) for _ in plan.cutouts)  # what is near hides what is far
            for cutout, longest, depth in zip(plan.cutouts, plan.longest, depths, strict=True):
                canvas.paste(cutout, longest, depth)
            if canvas.pasted > 1:
                return canvas.picture()
        raise DataError(f"In {ATTEMPTS} attempts no two cutouts fitted on a photo; give more photos.")

    def _plan(self, rng: random.Random) -> _Plan | None:
        [kind] = rng.choices(list(SHARES), weights=list(SHARES.values()))
        if kind == "mixed":
            return self._mixed(rng)
        if kind == "people":
            return self._alike(rng, self._people, (0.65, 0.95), (2, 5), 0.6)
        return self._alike(rng, self._pool(rng), (0.3, 0.7), (2, 6), 0.0)

    def _alike(
        self,
        rng: random.Random,
        pool: Sequence[Cutout],
        shares: tuple[float, float],
        numbers: tuple[int, int],
        farthest: float,
    ) -> _Plan | None:
        """Several of one category, of a size but for their distance, on a photo that has none of it."""
        empty = [source for source, there in self._photos if not pool or pool[0].category not in there]
        if not (pool and empty):
            return None
        number = rng.randint(*numbers)
        chosen = rng.sample(pool, min(number, len(pool)))
        chosen += rng.choices(pool, k=number - len(chosen))
        longest = rng.uniform(*shares) * LONGEST
        return _Plan(rng.choice(empty), chosen, [longest] * number, farthest)

    def _mixed(self, rng: random.Random) -> _Plan:
        """Anything, each about as large as in its own photo."""
        photo, _ = rng.choice(self._photos)
        cutouts = [rng.choice(self._pool(rng)) for _ in range(rng.randint(2, 6))]
        longest = [rng.uniform(0.8, 1.5) * LONGEST * cutout.longest / max(cutout.size) for cutout in cutouts]
        return _Plan(photo, cutouts, longest, 0.0)

    def _pool(self, rng: random.Random) -> list[Cutout]:
        """The cutouts of a category, a little more often of one that has many; the fashion people count as one."""
        return rng.choices(self._pools, weights=[math.sqrt(len(pool)) for pool in self._pools])[0]


def _all_cutouts(sources: Iterable[Source]) -> list[Cutout]:
    return [cutout for source in sources for cutout in find_cutouts(source)]
