"""Which things of a photo look well elsewhere: large, whole, lit, with nothing before them and nothing on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFilter

from vlt.data.compose.cutout import Cutout, Source
from vlt.data.compose.picture import Layer, Picture, resized_mask
from vlt.data.masks import mask_box

if TYPE_CHECKING:
    from vlt.types import Box, Image, Mask, Size

SHORTEST = 48
"""Pixels that the shorter side of its box has at least."""
FULLEST = 0.25
"""Share of its box that it fills at least."""
FLATTEST = 10.0
"""Standard deviation of its brightness, of 255, at least: below, it is a silhouette."""
CONNECTED = 0.9
"""Share of it that its main part has at least; the rest is cut off from that by what stands before it."""
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


def find_cutouts(source: Source) -> Iterator[Cutout]:
    """The things of a photo that look well elsewhere; of the photo's borders they touch one at the most.

    Raises:
        InputError, DataError: the photo cannot be read.
    """
    picture = source.read()
    for index, layer in enumerate(picture.layers):
        box = mask_box(layer.mask)
        if box is None or layer.crowd or not _is_large(layer.mask, box):
            continue
        borders, around = _borders(box, picture.size), _widened(box, picture.size)
        if len(borders) <= 1 and _is_whole(picture, layer, around) and not _is_flat(layer.mask, picture.image):
            yield Cutout(source, index, layer.noun, layer.category, around, picture.size, borders)


def _is_large(mask: Mask, box: Box) -> bool:
    width, height = box[2] - box[0], box[3] - box[1]
    return min(width, height) >= SHORTEST and bool(np.count_nonzero(mask) >= FULLEST * width * height)


def _is_flat(mask: Mask, image: Image) -> bool:
    return bool(image[mask].mean(axis=-1).std() < FLATTEST)


def _is_whole(picture: Picture, layer: Layer, around: Box) -> bool:
    """Whether it is in one piece, and no other thing is on it or before it."""
    others = [other.mask for other in picture.layers if other is not layer]
    most = SHARED * np.count_nonzero(layer.mask)
    if any(np.count_nonzero(layer.mask & other) > most for other in others):
        return False
    x0, y0, x1, y1 = map(int, around)
    factor = COARSE / max(x1 - x0, y1 - y0)
    size = max(round((y1 - y0) * factor), 1), max(round((x1 - x0) * factor), 1)
    coarse, *hiding = (resized_mask(mask[y0:y1, x0:x1], size) for mask in (layer.mask, *others))
    return _is_connected(coarse) and not _is_bitten(coarse, hiding)


def _is_bitten(mask: Mask, others: Iterable[Mask]) -> bool:
    """Whether other things fill much of the gaps and bays of its outline: they stand before it, and hide a part."""
    width = round(CLOSED * COARSE / 2) * 2 + 1
    closed = _shrunk(_grown(np.pad(mask, width), width), width)[width:-width, width:-width]
    bays = closed & ~mask
    return bool(sum(np.count_nonzero(bays & other) for other in others) > BITTEN * np.count_nonzero(mask))


def _is_connected(mask: Mask) -> bool:
    """Whether what can be reached within it from where it is thickest is nearly all of it."""
    core = inner = np.pad(mask, 1)
    while inner.any():
        core, inner = inner, _shrunk(inner, 3)
    reached = np.zeros_like(core)
    reached.flat[np.flatnonzero(core)[0]] = True
    while np.count_nonzero(more := _grown(reached, 3) & np.pad(mask, 1)) > np.count_nonzero(reached):
        reached = more
    return bool(np.count_nonzero(reached) >= CONNECTED * np.count_nonzero(mask))


def _grown(mask: Mask, width: int) -> Mask:
    """True where anything in a window of `width` x `width` pixels is."""
    return _filtered(mask, ImageFilter.MaxFilter(width))


def _shrunk(mask: Mask, width: int) -> Mask:
    """True where everything in a window of `width` x `width` pixels is."""
    return _filtered(mask, ImageFilter.MinFilter(width))


def _filtered(mask: Mask, window: ImageFilter.RankFilter) -> Mask:
    return np.asarray(PILImage.fromarray(mask.astype(np.uint8) * 255).filter(window)) > 0


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
