"""Colours of objects: shares of pixels per colour name, and scene objects from masks."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vlt.synth.words.scene import SceneObject
from vlt.types import Image, Mask

NAMES = ("black", "gray", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink")
"""The colours that are distinguished; pixels of ambiguous shades have no colour name."""

SMALLEST = 0.0025
"""Smallest share of the image that a salient object covers: 21 x 21 pixels of 420 x 420."""
MANY = 12
"""Largest number of salient objects of one category: of more, COCO outlines about a dozen and omits the rest."""

STEPS = 32
"""Levels per channel of the table of all colours."""
MOST_GAIN = 2.0
"""Largest factor by which the pixels of a dark image are multiplied."""
UNNAMED = len(NAMES)


def colour_shares(image: Image, mask: Mask) -> dict[str, float]:
    """Measure the share of each colour in an object.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.

    Returns:
        Share of the mask's pixels in [0, 1] per name of `NAMES` that occurs; pixels without a clear colour are left
        out. Empty for an empty mask.

    Example:
        >>> colour_shares(np.array([[[200, 20, 20], [250, 250, 250]]], np.uint8), np.array([[True, False]]))
        {'red': 1.0}
    """
    red, green, blue = (image[mask] // (256 // STEPS)).astype(np.intp).T
    counts = np.bincount(colour_table()[red, green, blue], minlength=UNNAMED + 1)
    return {name: float(counts[i] / len(red)) for i, name in enumerate(NAMES) if counts[i]}


def brightened(image: Image) -> Image:
    """Brighten a dark image, so that not everything in it is called black.

    The brightest pixels (but for one in fifty) become white. The factor is at most `MOST_GAIN`, so that images
    taken at night stay dark.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    bright = np.quantile(image[::4, ::4].max(axis=-1), 0.98)
    gain = min(255 / max(float(bright), 1.0), MOST_GAIN)
    levels: npt.NDArray[np.uint8] = np.minimum(np.arange(256) * gain, 255).astype(np.uint8)
    return levels[image]


@lru_cache(maxsize=1)
def colour_table() -> npt.NDArray[np.uint8]:
    """Compute the colour name of every RGB value, in steps of 256 / `STEPS` per channel.

    Returns:
        (STEPS, STEPS, STEPS) uint8 by red, green and blue: index into `NAMES`, or `UNNAMED`.
    """
    level = (np.arange(STEPS) + 0.5) / STEPS
    red, green, blue = np.meshgrid(level, level, level, indexing="ij")
    value = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    spread = np.maximum(value - least, 1e-9)
    sector = np.where(
        value == red,
        (green - blue) / spread,
        np.where(value == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    hue = sector * 60 % 360  # degrees
    saturation = spread / np.maximum(value, 1e-9)
    chroma = saturation * value
    vivid = (saturation >= 0.4) & (value >= 0.35)
    rules = {
        "black": (value < 0.2) | ((value < 0.3) & (chroma < 0.06)),
        "white": (value >= 0.8) & (saturation < 0.12),
        "gray": (value >= 0.35) & (value < 0.72) & (saturation < 0.12),
        "red": vivid & ((hue >= 345) | (hue < 12)) & (saturation >= 0.6),
        "orange": (hue >= 15) & (hue < 40) & (saturation >= 0.7) & (value >= 0.75),
        "brown": (hue >= 10) & (hue < 45) & (saturation >= 0.35) & (value >= 0.22) & (value < 0.6),
        "yellow": (hue >= 45) & (hue < 66) & (saturation >= 0.5) & (value >= 0.6),
        "green": (hue >= 75) & (hue < 165) & (saturation >= 0.25) & (value >= 0.25),
        "blue": (hue >= 195) & (hue < 250) & (saturation >= 0.3) & (value >= 0.25),
        "purple": (hue >= 262) & (hue < 305) & (saturation >= 0.25) & (value >= 0.25),
        "pink": (hue >= 315) & (hue < 360) & (saturation >= 0.2) & (saturation < 0.75) & (value >= 0.7),
    }
    table = np.full((STEPS,) * 3, UNNAMED, np.uint8)
    for name, holds in rules.items():
        table[holds & (table == UNNAMED)] = NAMES.index(name)
    return table


def object_from_mask(mask: Mask, image: Image, *, noun: str = "", crowd: bool = False) -> SceneObject:
    """Measure an object's box, centre, area and colours from its mask.

    Args:
        mask: (H, W) bool, not empty.
        image: (H, W, 3) uint8 RGB, brightened, see `brightened`.
        noun: the name of its category.
        crowd: whether the mask covers several objects of one category.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    inside = mask[y0:y1, x0:x1]
    area = int(inside.sum())
    # Pixel i reaches from i to i + 1.
    centre_x = x0 + float(np.average(np.arange(x1 - x0) + 0.5, weights=inside.sum(axis=0)))
    centre_y = y0 + float(np.average(np.arange(y1 - y0) + 0.5, weights=inside.sum(axis=1)))
    return SceneObject(
        noun=noun,
        box=(x0, y0, x1, y1),
        centre=(centre_x, centre_y),
        area=area,
        colours=colour_shares(image[y0:y1, x0:x1], inside),
        salient=area >= SMALLEST * mask.size,
        crowd=crowd,
    )
