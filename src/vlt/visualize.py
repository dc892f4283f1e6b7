"""Masks drawn on photos, for people: an overlay, and pictures of truth beside answer with the expression above."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from vlt.errors import VLTError

if TYPE_CHECKING:
    from vlt.types import Image, Mask, Size

Colour: TypeAlias = tuple[int, int, int]

ANSWER_COLOUR: Colour = (255, 96, 0)
"""Orange: what the model says."""
TRUTH_COLOUR: Colour = (0, 200, 120)
"""Green: what is meant. Told from the orange by lightness too."""

PANEL_SIDE = 480
"""Longest side of a photo within a picture, in pixels."""
FONT_SIZE = 16
"""Of captions, in pixels."""
MARGIN = 8
"""Around panels and captions, in pixels."""
PAPER: Colour = (255, 255, 255)
INK: Colour = (20, 20, 20)


def overlay(
    image: Image, mask: Mask, *, colour: Colour = ANSWER_COLOUR, alpha: float = 0.45, outline: int | None = None
) -> Image:
    """The photo with a mask tinted and outlined on it.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        colour: RGB in 0 ... 255.
        alpha: how much of the colour covers the object, in [0, 1].
        outline: width in pixels of the line along the inside of the mask; None: by the photo's size; 0: no line.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    width = max(1, round(min(mask.shape) / 100)) if outline is None else outline
    drawn = image.copy()
    drawn[mask] = np.rint((1 - alpha) * image[mask] + alpha * np.asarray(colour)).astype(np.uint8)
    drawn[mask & ~erode(mask, width)] = colour
    return drawn


def erode(mask: Mask, pixels: int) -> Mask:
    """The mask without its outermost `pixels`; beyond the photo's edge counts as outside.

    Args:
        mask: (H, W) bool.
        pixels: how many steps to the four neighbours inward.

    Returns:
        (H, W) bool.
    """
    inner = np.pad(mask, 1)
    for _ in range(pixels):
        core = inner[1:-1, 1:-1]
        core = core & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = np.pad(core, 1)
    return inner[1:-1, 1:-1]


def compare(image: Image, truth: Mask, answer: Mask, caption: str) -> Image:
    """A picture of one answer: the truth in green, the answer in orange beside it, the caption above.

    Args:
        image: (H, W, 3) uint8 RGB; shown at most `PANEL_SIDE` pixels long.
        truth: (H, W) bool.
        answer: (H, W) bool.
        caption: the expression, and what is to be said of the answer.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    size = _panel_size((image.shape[0], image.shape[1]))
    small = np.asarray(PILImage.fromarray(image).resize(size[::-1], PILImage.Resampling.BILINEAR))
    panels = [
        overlay(small, _resize_mask(mask, size), colour=colour)
        for mask, colour in ((truth, TRUTH_COLOUR), (answer, ANSWER_COLOUR))
    ]
    return side_by_side(panels, caption)


def side_by_side(panels: Sequence[Image], caption: str = "") -> Image:
    """Pictures in a row on white, with a caption above that breaks into lines where it must.

    Args:
        panels: at least one, each (height, width, 3) uint8 RGB, of any sizes.
        caption: a few words; a line break in it stays one.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    font = ImageFont.load_default(FONT_SIZE)
    width = max(sum(panel.shape[1] + MARGIN for panel in panels) + MARGIN, PANEL_SIDE)
    letters = (width - 2 * MARGIN) * 2 // FONT_SIZE  # a letter is about half as wide as it is high
    lines = [line for part in caption.splitlines() for line in textwrap.wrap(part, letters) or [""]]
    top = MARGIN + len(lines) * (FONT_SIZE + 4)
    height = top + max(panel.shape[0] for panel in panels) + MARGIN
    page = PILImage.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(page).multiline_text((MARGIN, MARGIN // 2), "\n".join(lines), fill=INK, font=font, spacing=4)
    left = MARGIN
    for panel in panels:
        page.paste(PILImage.fromarray(panel), (left, top))
        left += panel.shape[1] + MARGIN
    return np.array(page)


def save_picture(image: Image, path: Path) -> None:
    """Writes a picture, making the folders above it.

    Args:
        image: (H, W, 3) uint8 RGB.
        path: its ending names the format, such as .png or .jpg.

    Raises:
        VLTError: the ending names no picture format, or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(image).save(path)
    except ValueError:
        raise VLTError(f"The picture {path} has no ending that names a format; end it in .png or .jpg.") from None
    except OSError as error:
        raise VLTError(f"The picture {path} cannot be written ({error.strerror or error}); choose another.") from None


def _panel_size(size: Size) -> Size:
    """(height, width) of a photo within a picture; small photos stay as they are."""
    scale = min(1.0, PANEL_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _resize_mask(mask: Mask, size: Size) -> Mask:
    return np.asarray(PILImage.fromarray(mask).resize(size[::-1], PILImage.Resampling.NEAREST))
