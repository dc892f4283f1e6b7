"""Cutouts: things of photos that look well elsewhere, cut along their outline with soft edges."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFilter

from vlt.data.compose.picture import Layer, Picture
from vlt.data.photo import lit

if TYPE_CHECKING:
    from vlt.types import Box, Image, Mask, Size

THIN = 48
"""Pixels below which a patch is too thin for its edge to be taken away."""


class Source(Protocol):
    """A photo that can be read with its things."""

    def read(self) -> Picture:
        """The pixels and the things, in the same order each time."""


class Cutout(NamedTuple):
    """A thing that can be cut out.

    Attributes:
        source: the photo it is in.
        layer: its index among the photo's layers.
        noun: what it is called.
        category: contiguous index of its category.
        box: around it and a margin, xyxy in whole pixels of the photo.
        size: (height, width) of the photo.
        borders: of the photo that it touches, and is cut off by: left, right, top, bottom.
    """

    source: Source
    layer: int
    noun: str
    category: int
    box: Box
    size: Size
    borders: frozenset[str]

    @property
    def longest(self) -> float:
        """The longer side of its box in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


class Patch(NamedTuple):
    """A cutout, read and prepared for pasting.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        opacity: (H, W) uint8, 255 inside the thing, falling to 0 over its edge.
        layer: the thing; its mask is where it covers at least half.
        borders: as of its cutout, left and right as the patch lies.
    """

    image: Image
    opacity: Image
    layer: Layer
    borders: frozenset[str]


def cut(cutout: Cutout, longest: int, *, flip: bool, rng: random.Random) -> Patch:
    """Reads a cutout and brings it to its size, in a light of its own.

    Args:
        cutout: what is cut out.
        longest: its longer side afterwards, in pixels.
        flip: mirror it.
        rng: draws the light.

    Raises:
        InputError, DataError: the photo cannot be read.
    """
    picture = cutout.source.read()
    picture, borders = Picture(picture.image, (picture.layers[cutout.layer],)).view(cutout.box, longest), cutout.borders
    if flip:
        picture = picture.mirrored()
        borders = frozenset({"left": "right", "right": "left"}.get(border, border) for border in borders)
    image, [layer] = lit(picture.image, rng), picture.layers
    opacity = _soft(layer.mask)
    mask = opacity >= 128
    whole = max(float(np.count_nonzero(mask)), 1.0)
    layer = replace(layer, mask=mask, whole=whole, single=True)  # elsewhere it is not one of so many
    return Patch(image, opacity, layer, borders)


def _soft(mask: Mask) -> Image:
    """Opacity of a mask a pixel smaller all around, blurred, so that nothing of its old surroundings comes along."""
    grey = PILImage.fromarray(mask.astype(np.uint8) * 255)
    if min(mask.shape) > THIN:
        grey = grey.filter(ImageFilter.MinFilter(3))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(0.9)))
