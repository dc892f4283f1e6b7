"""Cutouts: things of photos that look well elsewhere, cut along their outline with soft edges."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFilter

from vlt.data.masks import mask_box
from vlt.data.prepare.picture import Layer, Picture, resized_mask

if TYPE_CHECKING:
    from vlt.types import Box, Image, Mask, Size

SHORTEST = 48
"""Pixels that the shorter side of its box has at least."""
FULLEST = 0.25
"""Share of its box that it fills at least."""
SHARED = 0.04
"""Share of it that may belong to other things as well, which would be pasted along."""
BITTEN = 0.06
"""Share of it that other things may have bitten out of it, by standing before it."""
CLOSED = 0.3
"""Gaps and bays of an outline up to this share of its longer side count as bitten out."""
COARSE = 48
"""Pixels of the longer side of the outline by which that is judged."""
MARGIN = 4
"""Pixels of the photo kept around it for the edge to fade in."""
BORDER = 2
"""Pixels from a border of its photo within which it counts as cut off there."""
GAIN = (0.87, 1.15)
"""Factors of brightness; small, and the same for all channels, so that colours keep their names."""
GAMMA = (0.88, 1.14)
"""Exponents of brightness, likewise."""


class Source(Protocol):
    """A photo that can be read with its things."""

    @property
    def photo(self) -> Path:
        """Its path."""

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


def find_cutouts(source: Source) -> Iterator[Cutout]:
    """The things of a photo that are large enough, whole but for one border of the photo, and nothing else's part.

    Raises:
        InputError, DataError: the photo cannot be read.
    """
    picture = source.read()
    for index, layer in enumerate(picture.layers):
        box = mask_box(layer.mask)
        if box is None or layer.crowd or not _is_well_cut(layer.mask, box):
            continue
        borders, around = _borders(box, picture.size), _widened(box, picture.size)
        others = [other.mask for other in picture.layers if other is not layer]
        if len(borders) <= 1 and not _is_shared(layer.mask, others) and not _is_bitten(layer.mask, others, around):
            yield Cutout(source, index, layer.noun, layer.category, around, picture.size, borders)


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
    picture = Picture(picture.image, (picture.layers[cutout.layer],)).view(cutout.box, longest)
    image, layer, borders = lit(picture.image, rng), picture.layers[0], cutout.borders
    opacity = _soft(layer.mask)
    if flip:
        image, opacity = image[:, ::-1], opacity[:, ::-1]
        layer = replace(layer, garments={noun: mask[:, ::-1] for noun, mask in layer.garments.items()})
        borders = frozenset({"left": "right", "right": "left"}.get(border, border) for border in borders)
    mask = opacity >= 128
    layer = replace(layer, mask=mask, whole=max(float(np.count_nonzero(mask)), 1.0))
    return Patch(image, opacity, layer, borders)


def lit(image: Image, rng: random.Random) -> Image:
    """The same in a little more or less light, (H, W, 3) uint8 RGB; hues stay."""
    gain, gamma = rng.uniform(*GAIN), rng.uniform(*GAMMA)
    levels = 255 * (np.arange(256) / 255) ** gamma * gain
    table: Image = levels.clip(0, 255).round().astype(np.uint8)
    return table[image]


def _soft(mask: Mask) -> Image:
    """Opacity of a mask a pixel smaller all around, blurred, so that nothing of its old surroundings comes along."""
    grey = PILImage.fromarray(mask.astype(np.uint8) * 255)
    if min(mask.shape) > SHORTEST:
        grey = grey.filter(ImageFilter.MinFilter(3))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(0.9)))


def _is_well_cut(mask: Mask, box: Box) -> bool:
    width, height = box[2] - box[0], box[3] - box[1]
    return min(width, height) >= SHORTEST and bool(np.count_nonzero(mask) >= FULLEST * width * height)


def _is_shared(mask: Mask, others: Iterable[Mask]) -> bool:
    most = SHARED * np.count_nonzero(mask)
    return any(np.count_nonzero(mask & other) > most for other in others)


def _is_bitten(mask: Mask, others: Iterable[Mask], around: Box) -> bool:
    """Whether other things fill much of the gaps and bays of its outline: they stand before it, and hide a part."""
    x0, y0, x1, y1 = map(int, around)
    factor = COARSE / max(x1 - x0, y1 - y0)
    size = max(round((y1 - y0) * factor), 1), max(round((x1 - x0) * factor), 1)
    coarse = resized_mask(mask[y0:y1, x0:x1], size)
    width = round(CLOSED * COARSE / 2) * 2 + 1
    padded = PILImage.fromarray(np.pad(coarse, width).astype(np.uint8) * 255)
    closed = np.asarray(padded.filter(ImageFilter.MaxFilter(width)).filter(ImageFilter.MinFilter(width))) > 0
    bays = closed[width:-width, width:-width] & ~coarse
    hiding = np.zeros(size, bool)
    for other in others:
        hiding |= resized_mask(other[y0:y1, x0:x1], size)
    return bool(np.count_nonzero(bays & hiding) > BITTEN * np.count_nonzero(coarse))


def _borders(box: Box, size: Size) -> frozenset[str]:
    height, width = size
    near = {
        "left": box[0] <= BORDER,
        "top": box[1] <= BORDER,
        "right": box[2] >= width - BORDER,
        "bottom": box[3] >= height - BORDER,
    }
    return frozenset(side for side, is_near in near.items() if is_near)


def _widened(box: Box, size: Size) -> Box:
    height, width = size
    x0, y0, x1, y1 = box
    return max(x0 - MARGIN, 0), max(y0 - MARGIN, 0), min(x1 + MARGIN, width), min(y1 + MARGIN, height)
