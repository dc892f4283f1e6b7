"""Composed scenes: cutouts pasted on background images, so that expressions must distinguish similar objects."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
from PIL import Image as PILImage

from vlt.data.lazy import JoinedReferrals, LazySequence, SceneReferrals
from vlt.errors import DataError
from vlt.synth.scenes.cutout import Cutout, Patch, Source, cut, find_cutouts
from vlt.synth.scenes.picture import LONGEST, MIN_PRESENT, Picture, random_background, visible_layers
from vlt.synth.scenes.referents import NONE, TRAIN_EXPRESSIONS, Shares, refer, with_ids
from vlt.types import Mask, Referral, Referrals

HORIZON = (0.3, 0.5)
"""Height at which infinitely distant objects would stand, as a share of the image height from the top."""
FARTHEST = 0.35
"""Size of the most distant objects relative to their size in the foreground."""
JITTER = (0.85, 1.15)
"""Random factor of the size of a pasted object."""
MAX_HIDDEN = 0.35
"""Largest fraction of an object that pasting may hide; an object of the background may also vanish completely."""
MAX_ENLARGED = 2.0
"""Largest factor by which a cutout is enlarged."""
SMALLEST = 44
"""Smallest longer side of a pasted object, in pixels."""
POSITIONS = 12
"""Largest number of random positions tried for a cutout."""
FLYING = frozenset({"airplane", "bird", "clock", "frisbee", "kite", "sports ball", "traffic light"})
"""Categories that need not stand on the ground."""
SHARES = {"same": 0.5, "people": 0.25, "mixed": 0.25}
"""Relative frequency of the kinds of scene: objects of one category; street-fashion people; any objects."""
ATTEMPTS = 20
"""Largest number of scenes tried until two cutouts fit, or until an expression can be made."""


class Canvas:
    """A background image on which cutouts are pasted.

    Args:
        background: the image and its objects; it is not changed.
        rng: draws the size, position and flip of each cutout.
    """

    def __init__(self, background: Picture, rng: random.Random) -> None:
        self._rng = rng
        self._height, self._width = background.size
        self._image = PILImage.fromarray(background.image)
        self._layers = [replace(layer, mask=layer.mask.copy()) for layer in background.layers]
        self._in_background = len(self._layers)
        self._horizon = rng.uniform(*HORIZON) * self._height

    @property
    def pasted(self) -> int:
        """Number of cutouts pasted so far."""
        return len(self._layers) - self._in_background

    def paste(self, cutout: Cutout, longest: float, depth: float) -> None:
        """Paste a cutout at a random position where it hides little; skip it if no such position is found.

        A cutout that a border of its own image cut off is placed at the same border here.

        Args:
            cutout: the object; it is flipped horizontally with probability 0.5.
            longest: its longer side in the foreground, in pixels.
            depth: from 0, most distant, to 1, nearest; nearer objects are larger and lower in the image.

        Raises:
            InputError, DataError: the image of the cutout cannot be read.
        """
        size = longest * (FARTHEST + (1 - FARTHEST) * depth) * self._rng.uniform(*JITTER)
        size = max(min(size, MAX_ENLARGED * cutout.longest), SMALLEST)
        width, height = cutout.box[2] - cutout.box[0], cutout.box[3] - cutout.box[1]
        fitting = cutout.longest * min(self._width / width, self._height / height)
        patch = cut(cutout, int(min(size, fitting)), flip=self._rng.random() < 0.5, rng=self._rng)
        mask = patch.layer.mask
        for _ in range(POSITIONS):
            x, y = self._position(patch, depth)
            window = np.s_[y : y + mask.shape[0], x : x + mask.shape[1]]
            if self._hides_too_much(window, mask):
                continue
            self._image.paste(PILImage.fromarray(patch.image), (x, y), PILImage.fromarray(patch.opacity))
            for layer in self._layers:
                layer.mask[window] &= ~mask
            around = (y, self._height - y - mask.shape[0]), (x, self._width - x - mask.shape[1])
            garments = {noun: np.pad(worn, around) for noun, worn in patch.layer.garments.items()}
            self._layers.append(replace(patch.layer, mask=np.pad(mask, around), garments=garments))
            return

    def picture(self) -> Picture:
        """Return the composed picture, without the objects that are no longer visible."""
        return Picture(np.array(self._image), visible_layers(self._layers))

    def _position(self, patch: Patch, depth: float) -> tuple[int, int]:
        """Draw a position: x and y of the patch's upper left corner."""
        height, width = patch.layer.mask.shape
        right, bottom = self._width - width, self._height - height
        x = {"left": 0, "right": right}.get(next(iter(patch.borders), ""), self._rng.randint(0, right))
        if patch.borders & {"top", "bottom"}:
            return x, bottom if "bottom" in patch.borders else 0
        if patch.layer.noun in FLYING:
            return x, self._rng.randint(0, round(0.7 * bottom))
        foot = self._horizon + (self._height - self._horizon) * (0.15 + 0.85 * depth) * self._rng.uniform(0.92, 1.0)
        return x, min(max(round(foot) - height, 0), bottom)

    def _hides_too_much(self, window: tuple[slice, slice], mask: Mask) -> bool:
        """Whether a mask would hide more than `MAX_HIDDEN` of an object; those of the background may vanish whole."""
        for index, layer in enumerate(self._layers):
            hidden = np.count_nonzero(layer.mask[window] & mask)
            visible = layer.visible_fraction - hidden / layer.full_area
            may_vanish = index < self._in_background and visible <= MIN_PRESENT
            if hidden and visible < 1 - MAX_HIDDEN and not may_vanish:
                return True
        return False


class Plan(NamedTuple):
    """Recipe of a scene.

    Attributes:
        background: the image to paste on.
        cutouts: what to paste.
        longest: longer side of each cutout in the foreground, in pixels.
        farthest: smallest depth of a cutout, in [0, 1], see `Canvas.paste`.
    """

    background: Source
    cutouts: list[Cutout]
    longest: list[float]
    farthest: float


class ComposedScenes(LazySequence[Picture]):
    """Scenes that are composed when they are accessed; scene i depends only on the images, the seed and i.

    Pass only training images: each of them may become a background or give cutouts.

    Args:
        count: number of scenes.
        photos: annotated images, for backgrounds and cutouts.
        people: images of one person each, with garments; for cutouts only. May be empty.
        seed: seed of all scenes.

    Raises:
        DataError: no object of the images can be cut out.
        InputError: an image cannot be read.
    """

    noun = "scene"

    def __init__(self, count: int, photos: Sequence[Source], people: Sequence[Source], *, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._photos = [(source, {layer.category for layer in source.read().layers}) for source in photos]
        self._people = [cutout for source in people for cutout in find_cutouts(source)]
        by_category: dict[int, list[Cutout]] = {}
        for source in photos:
            for cutout in find_cutouts(source):
                by_category.setdefault(cutout.category, []).append(cutout)
        self._pools = [pool for pool in (*by_category.values(), self._people) if pool]
        self._weights = [math.sqrt(len(pool)) for pool in self._pools]  # so that frequent categories do not dominate
        if count and not (photos and self._pools):
            raise DataError("No object of the images is large and unoccluded enough to be cut out; pass more images.")

    def __len__(self) -> int:
        return self._count

    def make(self, index: int) -> Picture:
        """Compose a scene.

        Raises:
            DataError: no scene was found in which two cutouts fit.
        """
        rng = random.Random(f"{self._seed} {index}")
        for _ in range(ATTEMPTS):
            plan = self._plan(rng)
            if plan is None:
                continue
            canvas = Canvas(random_background(plan.background.read(), rng), rng)
            depths = sorted(rng.uniform(plan.farthest, 1) for _ in plan.cutouts)  # near objects occlude distant ones
            for cutout, longest, depth in zip(plan.cutouts, plan.longest, depths, strict=True):
                canvas.paste(cutout, longest, depth)
            if canvas.pasted > 1:
                return canvas.picture()
        raise DataError(f"In {ATTEMPTS} attempts, no two cutouts fitted on a background image; pass more images.")

    def _plan(self, rng: random.Random) -> Plan | None:
        """Draw the recipe of a scene; None where its kind of scene is not possible.

        A scene of one category has cutouts of one size but for their depth, on an image without that category; in a
        mixed scene, each cutout is about as large as in its own image.
        """
        [kind] = rng.choices(list(SHARES), weights=list(SHARES.values()))
        if kind == "mixed":
            background, _ = rng.choice(self._photos)
            number = rng.randint(2, 6)
            cutouts = [rng.choice(rng.choices(self._pools, self._weights)[0]) for _ in range(number)]
            longest = [rng.uniform(0.8, 1.5) * LONGEST * cutout.longest / max(cutout.size) for cutout in cutouts]
            return Plan(background, cutouts, longest, 0.0)
        if kind == "people":
            pool, shares, most, farthest = self._people, (0.65, 0.95), 5, 0.6
        else:
            pool, shares, most, farthest = rng.choices(self._pools, self._weights)[0], (0.3, 0.7), 6, 0.0
        without = [source for source, categories in self._photos if not pool or pool[0].category not in categories]
        if not (pool and without):
            return None
        number = rng.randint(2, most)
        cutouts = rng.sample(pool, min(number, len(pool)))
        cutouts += rng.choices(pool, k=number - len(cutouts))
        size = rng.uniform(*shares) * LONGEST
        return Plan(rng.choice(without), cutouts, [size] * number, farthest)


@dataclass(frozen=True)
class FreshScenes:
    """Composed scenes that are new in each epoch, so that no scene is trained on twice.

    Attributes:
        scenes: the scenes of all epochs.
        per_epoch: number of scenes of one epoch.
        referents: referrals per scene.
        seed: seed of the choice of referents and expressions.
        first_id: smallest id of the referrals; smaller ones belong to the prepared data set.
        description: what the scenes are made of, without folders; part of the data's fingerprint.
        shares: of referrals to several objects and to none.
    """

    scenes: ComposedScenes
    per_epoch: int
    referents: int
    seed: int
    first_id: int
    description: str
    shares: Shares = NONE

    def __len__(self) -> int:
        """Number of referrals of an epoch."""
        return self.per_epoch * self.referents

    def beside(self, others: Referrals, epoch: int) -> Referrals:
        """Append the referrals of an epoch, counted from 0, to other referrals."""
        return JoinedReferrals(others, self.of_epoch(epoch))

    def of_epoch(self, epoch: int) -> FreshReferrals:
        """Return the referrals of an epoch, counted from 0."""
        return FreshReferrals(self, epoch * self.per_epoch)


class FreshReferrals(SceneReferrals):
    """Referrals to the scenes of one epoch, composed when accessed; item i is the same at any time, in any process.

    Args:
        source: source of the scenes.
        first: number of the epoch's first scene.
    """

    def __init__(self, source: FreshScenes, first: int) -> None:
        super().__init__(source.per_epoch, source.referents)
        self._source = source
        self._first = first

    @property
    def scene_numbers(self) -> list[int]:
        """`Referral.scene` of each referral, without composing any scene."""
        return [self._first + index // self._referents for index in range(len(self))]

    def refer_to_scene(self, scene: int) -> list[Referral]:
        """Compose a scene and make the referrals to it.

        Raises:
            DataError: no scene was found to which an unambiguous expression refers.
        """
        source, number = self._source, self._first + scene
        rng = random.Random(f"{source.seed} words {number}")
        ids = count(source.first_id + number * source.referents)
        for attempt in range(ATTEMPTS):
            picture = source.scenes[(number + attempt) % len(source.scenes)]
            found = refer(
                picture,
                picture.image,
                rng,
                most=source.referents,
                expressions=TRAIN_EXPRESSIONS,
                shares=source.shares,
            )
            if found:
                return [replace(referral, scene=number) for referral in with_ids(found, ids, count())]
        raise DataError(
            f"No unambiguous expression was found for any object of {ATTEMPTS} composed scenes; pass images with more "
            "objects."
        )
