"""A canvas: a photo that cutouts are pasted on where they may stand, and what is then still seen of everything."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PILImage

from vlt.data.compose.cutout import Cutout, Patch, cut
from vlt.data.compose.picture import GONE, Picture, still_seen

if TYPE_CHECKING:
    from vlt.types import Mask

HORIZON = (0.3, 0.5)
"""Where things infinitely far away would stand, as a share of the height; the nearest stand at the bottom."""
FARTHEST = 0.35
"""Size of what stands farthest away, as a share of its size in front."""
JITTER = (0.85, 1.15)
"""Factor of size that distance does not explain."""
COVERED = 0.35
"""Share of a thing that may be hidden once others are pasted; of what was in the photo, also all."""
LARGEST = 2.0
"""Times that a cutout is enlarged at the most."""
SMALLEST = 44
"""Pixels of the longer side of what is pasted, at least."""
SPOTS = 12
"""Places that are tried for a cutout."""
FLYING = frozenset({"airplane", "bird", "clock", "frisbee", "kite", "sports ball", "traffic light"})
"""What need not stand on the ground."""


class Canvas:
    """A photo to paste on.

    Args:
        background: the photo and its things; it stays as it is.
        rng: draws where things stand.

    """

    def __init__(self, background: Picture, rng: random.Random) -> None:
        self._rng = rng
        self._height, self._width = background.size
        self._image = PILImage.fromarray(background.image)
        self._layers = [replace(layer, mask=layer.mask.copy()) for layer in background.layers]
        self._own = len(self._layers)
        self._horizon = rng.uniform(*HORIZON) * self._height

    @property
    def pasted(self) -> int:
        """How many cutouts were pasted."""
        return len(self._layers) - self._own

    def paste(self, cutout: Cutout, longest: float, depth: float) -> None:
        """Pastes a cutout over what is there, at a place that hides little; not at all where there is none.

        What its photo cut off at a border is cut off at the same border here.

        Args:
            cutout: what is pasted; now and then mirrored.
            longest: its longer side in front, in pixels.
            depth: how near it is, from 0, farthest, to 1; the nearer, the larger and the lower.

        Raises:
            InputError, DataError: its photo cannot be read.
        """
        size = longest * (FARTHEST + (1 - FARTHEST) * depth) * self._rng.uniform(*JITTER)
        size = max(min(size, LARGEST * cutout.longest), SMALLEST)
        width, height = cutout.box[2] - cutout.box[0], cutout.box[3] - cutout.box[1]
        most = cutout.longest * min(self._width / width, self._height / height)
        patch = cut(cutout, int(min(size, most)), flip=self._rng.random() < 0.5, rng=self._rng)
        for _ in range(SPOTS):
            x, y = self._spot(patch, depth)
            if self._may_cover(x, y, patch.layer.mask):
                self._lay(x, y, patch)
                return

    def picture(self) -> Picture:
        """What has come about; things of which next to nothing is left are no longer in it."""
        return Picture(np.array(self._image), still_seen(self._layers))

    def _spot(self, patch: Patch, depth: float) -> tuple[int, int]:
        """A place to try: x and y of the patch's upper left corner."""
        height, width = patch.layer.mask.shape
        right, down = self._width - width, self._height - height
        x = {"left": 0, "right": right}.get(next(iter(patch.borders), ""), self._rng.randint(0, right))
        if patch.borders & {"top", "bottom"}:
            return x, down if "bottom" in patch.borders else 0
        if patch.layer.noun in FLYING:
            return x, self._rng.randint(0, round(0.7 * down))
        foot = self._horizon + (self._height - self._horizon) * (0.15 + 0.85 * depth) * self._rng.uniform(0.92, 1.0)
        return x, min(max(round(foot) - height, 0), down)

    def _may_cover(self, x: int, y: int, mask: Mask) -> bool:
        """Whether enough is left of each thing that `mask` would hide part of, or nothing of one of the photo's own."""
        window = _window(x, y, mask)
        for index, layer in enumerate(self._layers):
            hidden = np.count_nonzero(layer.mask[window] & mask)
            left = layer.seen - hidden / layer.whole
            if hidden and left < 1 - COVERED and (left > GONE or index >= self._own):
                return False
        return True

    def _lay(self, x: int, y: int, patch: Patch) -> None:
        self._image.paste(PILImage.fromarray(patch.image), (x, y), PILImage.fromarray(patch.opacity))
        window = _window(x, y, patch.layer.mask)
        for layer in self._layers:
            layer.mask[window] &= ~patch.layer.mask
        garments = {noun: self._widened(x, y, mask) for noun, mask in patch.layer.garments.items()}
        self._layers.append(replace(patch.layer, mask=self._widened(x, y, patch.layer.mask), garments=garments))

    def _widened(self, x: int, y: int, mask: Mask) -> Mask:
        """A patch's mask as one of the canvas."""
        whole = np.zeros((self._height, self._width), bool)
        whole[_window(x, y, mask)] = mask
        return whole


def _window(x: int, y: int, mask: Mask) -> tuple[slice, slice]:
    height, width = mask.shape
    return slice(y, y + height), slice(x, x + width)
