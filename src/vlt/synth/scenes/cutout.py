"""Cutouts: objects that can be pasted into other images, selected by their masks and cut out with soft edges."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFilter

from vlt.data.image import vary_light
from vlt.data.masks import mask_box
from vlt.synth.scenes.picture import Layer, Picture, resized_mask
from vlt.types import Box, Image, Mask, Size

MIN_SIDE = 48
"""Smallest shorter side of the object's box, in pixels."""
MIN_BOX_SHARE = 0.25
"""Smallest share of its box that the object covers."""
MIN_CONTRAST = 10.0
"""Smallest standard deviation of the object's brightness, of 255; below this it is a silhouette."""
MIN_CONNECTED = 0.9
"""Smallest share of the object in its largest connected part; otherwise something in front divides it."""
MAX_SHARED = 0.04
"""Largest share of the object that also belongs to another object, which would be pasted along."""
MAX_OCCLUDED = 0.06
"""Largest area, relative to the object, of other objects in the concavities of its outline."""
CLOSING = 0.3
"""Width of the concavities that are searched for occluding objects, relative to the longer side of the box."""
COARSE = 48
"""Longer side, in pixels, of the reduced masks on which connection and occlusion are measured."""
MARGIN = 4
"""Pixels of the image kept around the object, for the soft edge."""
BORDER = 2
"""Distance in pixels from the image border within which an object counts as cut off by it."""
MIN_ERODED_SIDE = 48
"""Patches of at most this shorter side, in pixels, are too thin to be eroded."""


class Source(Protocol):
    """An annotated image that can be read as a picture."""

    def read(self) -> Picture:
        """Read the image and its objects, in the same order each time."""


class Cutout(NamedTuple):
    """An object that can be cut out.

    Attributes:
        source: the image that contains it.
        layer: its index among the layers of the picture.
        noun: name of the object in expressions.
        category: contiguous index of its category.
        box: around it with a margin, xyxy in whole pixels of the image.
        size: (height, width) of the image.
        borders: the image borders that cut it off: left, right, top, bottom.
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
    """A cutout as pixels, ready to be pasted.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        opacity: (H, W) uint8, 255 inside the object, falling to 0 across its edge.
        layer: the object; its mask is where the opacity is at least half.
        borders: as in `Cutout`, left and right swapped if the patch is flipped.
    """

    image: Image
    opacity: Image
    layer: Layer
    borders: frozenset[str]


def find_cutouts(source: Source) -> Iterator[Cutout]:
    """Select the objects of an image that can be pasted into other images.

    They are large, well lit, neither occluded nor overlapped by another object, and cut off by at most one border.

    Raises:
        InputError, DataError: the image cannot be read.
    """
    picture = source.read()
    height, width = picture.size
    for index, layer in enumerate(picture.layers):
        box = mask_box(layer.mask)
        if box is None or layer.crowd:
            continue
        x0, y0, x1, y1 = box
        is_small = min(x1 - x0, y1 - y0) < MIN_SIDE
        if is_small or np.count_nonzero(layer.mask) < MIN_BOX_SHARE * (x1 - x0) * (y1 - y0):
            continue
        is_cut_off = {
            "left": x0 <= BORDER,
            "top": y0 <= BORDER,
            "right": x1 >= width - BORDER,
            "bottom": y1 >= height - BORDER,
        }
        borders = frozenset(border for border, is_near in is_cut_off.items() if is_near)
        box = max(x0 - MARGIN, 0), max(y0 - MARGIN, 0), min(x1 + MARGIN, width), min(y1 + MARGIN, height)
        if len(borders) > 1 or picture.image[layer.mask].mean(axis=-1).std() < MIN_CONTRAST:
            continue
        if _is_whole(picture, layer, box):
            yield Cutout(source, index, layer.noun, layer.category, box, picture.size, borders)


def _is_whole(picture: Picture, layer: Layer, box: Box) -> bool:
    """Whether an object is connected, and no other object overlaps it or lies in the concavities of its outline."""
    others = [other.mask for other in picture.layers if other is not layer]
    shared = (np.count_nonzero(layer.mask & other) for other in others)
    if max(shared, default=0) > MAX_SHARED * np.count_nonzero(layer.mask):
        return False
    x0, y0, x1, y1 = map(int, box)
    factor = COARSE / max(x1 - x0, y1 - y0)
    size = max(round((y1 - y0) * factor), 1), max(round((x1 - x0) * factor), 1)
    mask, *others = (resized_mask(each[y0:y1, x0:x1], size) for each in (layer.mask, *others))
    if not mask.any() or not _is_connected(mask):
        return False
    width = round(CLOSING * COARSE / 2) * 2 + 1
    grown = _filtered(np.pad(mask, width), ImageFilter.MaxFilter(width))
    closed = _filtered(grown, ImageFilter.MinFilter(width))[width:-width, width:-width]
    occluded = sum(np.count_nonzero(closed & ~mask & other) for other in others)
    return bool(occluded <= MAX_OCCLUDED * np.count_nonzero(mask))


def _is_connected(mask: Mask) -> bool:
    """Whether the part of a mask that is connected to its thickest point is nearly all of it."""
    padded = core = inner = np.pad(mask, 1)
    while inner.any():  # erode until the next step would leave nothing
        core, inner = inner, _filtered(inner, ImageFilter.MinFilter(3))
    reached = np.zeros_like(core)
    reached.flat[np.flatnonzero(core)[0]] = True
    size = 0
    while (grown := int(np.count_nonzero(reached))) > size:
        size = grown
        reached = _filtered(reached, ImageFilter.MaxFilter(3)) & padded
    return bool(size >= MIN_CONNECTED * np.count_nonzero(mask))


def _filtered(mask: Mask, window: ImageFilter.RankFilter) -> Mask:
    """Dilate a mask with a maximum filter, or erode it with a minimum filter."""
    return np.asarray(PILImage.fromarray(mask.astype(np.uint8) * 255).filter(window)) > 0


def cut(cutout: Cutout, longest: int, *, flip: bool, rng: random.Random) -> Patch:
    """Read a cutout, resize it and change its lighting.

    The mask is eroded by a pixel and blurred, so that the patch brings no pixels of its old background along.

    Args:
        cutout: the object.
        longest: longer side of its box after resizing, in pixels.
        flip: flip it horizontally.
        rng: draws the photometric augmentation.

    Raises:
        InputError, DataError: the image cannot be read.
    """
    picture, borders = cutout.source.read(), cutout.borders
    picture = Picture(picture.image, (picture.layers[cutout.layer],)).view(cutout.box, longest)
    if flip:
        picture = picture.flipped()
        borders = frozenset({"left": "right", "right": "left"}.get(border, border) for border in borders)
    image, [layer] = vary_light(picture.image, rng), picture.layers
    grey = PILImage.fromarray(layer.mask.astype(np.uint8) * 255)
    if min(layer.mask.shape) > MIN_ERODED_SIDE:
        grey = grey.filter(ImageFilter.MinFilter(3))
    opacity = np.asarray(grey.filter(ImageFilter.GaussianBlur(0.9)))
    mask = opacity >= 128
    area = max(float(np.count_nonzero(mask)), 1.0)
    layer = replace(layer, mask=mask, full_area=area, distinguishable=True)  # the scene has few of its category
    return Patch(image, opacity, layer, borders)
