"""Pictures of masks: overlays with a legend, and ground truth beside prediction."""

from __future__ import annotations

import colorsys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from vlt.errors import InputError, VLTError
from vlt.types import Image, Mask

Colour: TypeAlias = tuple[int, int, int]
"""A colour as RGB in 0..255."""

PREDICTION_COLOUR: Colour = (255, 96, 0)
"""Orange, for predicted masks."""
TRUTH_COLOUR: Colour = (0, 200, 120)
"""Green, for ground truth; it differs from the orange in lightness too, for readers with colour blindness."""

PALETTE: dict[str, Colour] = {
    "orange": PREDICTION_COLOUR,
    "blue": (0, 114, 255),
    "yellow": (240, 228, 66),
    "pink": (255, 80, 180),
    "green": TRUTH_COLOUR,
    "white": (255, 255, 255),
    "purple": (136, 46, 200),
    "cyan": (60, 225, 240),
    "brown": (140, 86, 50),
    "red": (215, 25, 40),
    "lime": (160, 235, 40),
    "navy": (20, 40, 130),
}
"""Colours of the masks in one overlay, by name, in the order of the expressions; see `palette_colour`."""

PANEL_SIDE = 480
"""Longest side of an image within a picture of several panels, in pixels."""
FONT_SIZE = 16
"""Height of the font of captions and legends, in pixels."""
MARGIN = 8
"""Margin around panels and captions, in pixels."""
PAPER: Colour = (255, 255, 255)
INK: Colour = (20, 20, 20)


def palette_colour(index: int) -> tuple[str, Colour]:
    """Return the name and the colour of mask number `index`, counted from 0; the first 300 colours all differ.

    Beyond `PALETTE` the hue moves on by the golden ratio, and the name is the colour in hexadecimal.

    Example:
        >>> palette_colour(1), palette_colour(12)
        (('blue', (0, 114, 255)), ('#00ff7f', (0, 255, 127)))
    """
    if index < len(PALETTE):
        return list(PALETTE.items())[index]
    hue = index * 0.6180339887498949 % 1
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1.0, 1.0))
    return f"#{red:02x}{green:02x}{blue:02x}", (red, green, blue)


def overlay(
    image: Image, mask: Mask, *, colour: Colour = PREDICTION_COLOUR, alpha: float = 0.45, outline: int | None = None
) -> Image:
    """Tint and outline a mask on an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        colour: colour of the tint and the outline.
        alpha: opacity of the tint, in [0, 1].
        outline: width in pixels of the line along the inside of the mask; None: by the image's size; 0: no line.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        InputError: `colour` or `alpha` is out of range or of another type.
    """
    channels = list(colour) if isinstance(colour, tuple | list | np.ndarray) else []
    if len(channels) != 3 or not all(isinstance(each, int | np.integer) and 0 <= each <= 255 for each in channels):
        raise InputError(f"The colour is {colour!r}, not three whole numbers (red, green, blue) from 0 to 255.")
    if not isinstance(alpha, int | float | np.number) or not 0 <= alpha <= 1:
        raise InputError(f"The opacity alpha is {alpha!r}, not a number from 0 to 1.")
    width = max(1, round(min(mask.shape) / 100)) if outline is None else outline
    drawn = image.copy()
    drawn[mask] = np.rint((1 - alpha) * image[mask] + alpha * np.asarray(colour)).astype(np.uint8)
    drawn[mask & ~erode(mask, width)] = colour
    return drawn


def erode(mask: Mask, pixels: int) -> Mask:
    """Remove the outermost `pixels` of a mask; beyond the image's border counts as outside.

    Args:
        mask: (H, W) bool.
        pixels: number of steps to the four neighbours inward.

    Returns:
        (H, W) bool.
    """
    inner = np.pad(mask, 1)
    for _ in range(pixels):
        core = inner[1:-1, 1:-1]
        core = core & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = np.pad(core, 1)
    return inner[1:-1, 1:-1]


def overlay_with_legend(image: Image, masks: Sequence[tuple[str, Mask]]) -> Image:
    """Draw several masks on one image, each in its own colour, with a legend below.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: text for the legend, and (H, W) bool.

    Returns:
        (H + legend, W, 3) uint8 RGB.
    """
    for index, (_, mask) in enumerate(masks):
        image = overlay(image, mask, colour=palette_colour(index)[1])
    size = max(FONT_SIZE, round(image.shape[1] / 50))
    font = ImageFont.load_default(size)
    letters = max(
        8, int((image.shape[1] - 3 * MARGIN - size) / (0.55 * size))
    )  # a letter is about half as wide as high
    entries = [(index, textwrap.wrap(text, letters) or [""]) for index, (text, _) in enumerate(masks)]
    step = round(1.35 * size)
    legend = PILImage.new("RGB", (image.shape[1], 2 * MARGIN + step * sum(len(lines) for _, lines in entries)), PAPER)
    draw, top = ImageDraw.Draw(legend), MARGIN
    for index, lines in entries:
        square = (MARGIN, top + 1, MARGIN + size - 1, top + size)
        draw.rectangle(square, fill=palette_colour(index)[1], outline=INK)
        draw.multiline_text((2 * MARGIN + size, top), "\n".join(lines), fill=INK, font=font, spacing=step - size)
        top += step * len(lines)
    return np.concatenate([image, np.asarray(legend)])


def compare(image: Image, truth: Mask, prediction: Mask, caption: str) -> Image:
    """Draw one result: ground truth in green, prediction in orange beside it, the caption above.

    Args:
        image: (H, W, 3) uint8 RGB; shown at most `PANEL_SIDE` pixels long.
        truth: (H, W) bool.
        prediction: (H, W) bool.
        caption: such as the expression and its IoU.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    scale = min(1.0, PANEL_SIDE / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))  # (width, height)
    small = np.asarray(PILImage.fromarray(image).resize(size, PILImage.Resampling.BILINEAR))
    panels = []
    for mask, colour in ((truth, TRUTH_COLOUR), (prediction, PREDICTION_COLOUR)):
        resized = np.asarray(PILImage.fromarray(mask).resize(size, PILImage.Resampling.NEAREST))
        panels.append(overlay(small, resized, colour=colour))
    return side_by_side(panels, caption)


def side_by_side(panels: Sequence[Image], caption: str = "") -> Image:
    """Draw pictures in a row on white, with a caption above that is wrapped to the width.

    Args:
        panels: at least one, each (height, width, 3) uint8 RGB, of any sizes.
        caption: line breaks in it are kept.

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


def save_picture(image: Image | Mask, path: Path) -> None:
    """Write a picture, making the folders above it.

    Args:
        image: (H, W, 3) or (H, W, 4) uint8, or a mask (H, W) bool, written as 0 and 255 without loss in PNG and WebP.
        path: its ending names the format, such as .png or .jpg.

    Raises:
        VLTError: the ending names no picture format, or the file cannot be written.
    """
    is_mask = image.dtype == np.bool_
    pixels = image.astype(np.uint8) * 255 if is_mask else image
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(pixels).save(path, lossless=is_mask)  # an option of WebP, ignored by other formats
    except ValueError:
        raise VLTError(f"The picture {path} has no ending that names a format; end it in .png or .jpg.") from None
    except OSError as error:
        raise VLTError(f"The picture {path} cannot be written ({error.strerror or error}); choose another.") from None
