"""Parts of photos: around one of its things, so that small ones become larger, or with little in it, to paste on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from vlt.data.compose.picture import Picture
from vlt.data.masks import mask_box

if TYPE_CHECKING:
    from vlt.types import Box, Size

LONGEST = 480
"""The longer side of a part afterwards, in pixels."""
CLOSE = (0.4, 0.9)
"""Share of the photo's sides in a crop around a thing."""
ASPECT = (0.85, 1.18)
"""Factor by which a crop is wider than the photo is."""
ROOMY = (0.55, 0.95)
"""Share of each of the photo's sides in a background."""
WHOLE = 0.4
"""How often a background is the whole photo."""
PARTS = 3
"""Parts of a photo of which the emptiest becomes the background."""
MIRRORED = 0.5
"""How often a part is mirrored. It is worded afterwards, so that no left needs to become right in a sentence."""


def crop(photo: Picture, rng: random.Random) -> Picture:
    """A part of a photo around one of its things; anywhere where there is none.

    Args:
        photo: what is cropped.
        rng: draws the thing, the size, the place, and whether it is mirrored.

    Returns:
        The part, its longer side `LONGEST` pixels.
    """
    height, width = photo.size
    share, aspect = rng.uniform(*CLOSE), rng.uniform(*ASPECT)
    size = round(min(share / aspect**0.5, 1) * height), round(min(share * aspect**0.5, 1) * width)
    boxes = [box for layer in photo.layers if not layer.crowd and (box := mask_box(layer.mask))]
    x0, y0, x1, y1 = rng.choice(boxes) if boxes else (0, 0, width, height)
    x = (x0 + x1) / 2 - size[1] * rng.uniform(0.3, 0.7)
    y = (y0 + y1) / 2 - size[0] * rng.uniform(0.3, 0.7)
    return _either_way(photo.view(_box(round(x), round(y), size, photo.size), LONGEST), rng)


def background(photo: Picture, rng: random.Random) -> Picture:
    """A photo to paste on: whole, or one of its emptier parts.

    Args:
        photo: where it is taken from.
        rng: draws which part, and whether it is mirrored.

    Returns:
        The part, its longer side `LONGEST` pixels.
    """
    if rng.random() < WHOLE:
        box = _box(0, 0, photo.size, photo.size)
    else:
        box = min((_roomy(photo.size, rng) for _ in range(PARTS)), key=lambda box: _filled(photo, box))
    return _either_way(photo.view(box, LONGEST), rng)


def _either_way(part: Picture, rng: random.Random) -> Picture:
    return part.mirrored() if rng.random() < MIRRORED else part


def _roomy(photo: Size, rng: random.Random) -> Box:
    height, width = (round(side * rng.uniform(*ROOMY)) for side in photo)
    return _box(rng.randint(0, photo[1] - width), rng.randint(0, photo[0] - height), (height, width), photo)


def _box(x: int, y: int, size: Size, photo: Size) -> Box:
    """A box of a size as near to (x, y) as the photo allows."""
    x, y = min(max(x, 0), photo[1] - size[1]), min(max(y, 0), photo[0] - size[0])
    return x, y, x + size[1], y + size[0]


def _filled(photo: Picture, box: Box) -> float:
    """Share of a part that things fill; more than 1 where their outlines overlap."""
    x0, y0, x1, y1 = map(int, box)
    return sum(float(layer.mask[y0:y1, x0:x1].mean()) for layer in photo.layers)
