"""Names of colours: how much of a thing is red, white or of no colour that one would name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vlt.types import Image, Mask

NAMES = ("black", "gray", "white", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink")
"""The colours that are told apart; shades that people name differently are left unnamed."""

STEPS = 32
"""Levels per channel of the table of all colours."""

MOST_GAIN = 2.0
"""Times that the pixels of a dark photo are multiplied at the most."""

UNNAMED = len(NAMES)


def colour_shares(image: Image, mask: Mask) -> dict[str, float]:
    """How much of a thing has which colour.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.

    Returns:
        Share of the mask's pixels in [0, 1] per name of `NAMES` that occurs; the rest has no clear colour. Empty for
        an empty mask.

    Example:
        >>> colour_shares(np.array([[[200, 20, 20], [250, 250, 250]]], np.uint8), np.array([[True, False]]))
        {'red': 1.0}
    """
    red, green, blue = (image[mask] // (256 // STEPS)).astype(np.intp).T
    counts = np.bincount(_table()[red, green, blue], minlength=UNNAMED + 1)
    return {name: float(counts[i] / len(red)) for i, name in enumerate(NAMES) if counts[i]}


def brightened(image: Image) -> Image:
    """A dark photo as bright as it would be seen, so that not everything in it is called black.

    Its brightest pixels (but for one in fifty) become white; by no more than `MOST_GAIN`, so that night stays night.

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
def _table() -> npt.NDArray[np.uint8]:
    """Index into `NAMES`, or `UNNAMED`, of every colour in steps: (STEPS, STEPS, STEPS)."""
    level = (np.arange(STEPS) + 0.5) / STEPS
    hue, saturation, value = _hsv(np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1))
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


def _hsv(rgb: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Hue in degrees [0, 360), saturation and value in [0, 1] of (..., 3) RGB in [0, 1]."""
    value, least = rgb.max(axis=-1), rgb.min(axis=-1)
    chroma = np.maximum(value - least, 1e-9)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    sector = np.where(
        value == red,
        (green - blue) / chroma,
        np.where(value == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    return sector * 60 % 360, chroma / np.maximum(value, 1e-9), value
