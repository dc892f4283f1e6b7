"""Pictures: an image with the mask of each object in it, and random crops of one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image as PILImage

from vlt.data.masks import mask_box
from vlt.types import Box, Image, Mask, Size

MIN_PRESENT = 0.02
"""Smallest visible fraction of an object that counts as present in a picture."""

LONGEST = 480
"""The longer side of a random crop after resizing, in pixels."""
CROP_SHARE = (0.4, 0.9)
"""Share of the image's sides that a crop around an object has."""
CROP_ASPECT = (0.85, 1.18)
"""Factor by which the aspect ratio of a crop differs from that of the image."""
WHOLE_IMAGE = 0.4
"""Probability that a background is the whole image."""
BACKGROUND_SHARE = (0.55, 0.95)
"""Share of the image's sides that a background has if it is a crop."""
BACKGROUND_CROPS = 3
"""Number of random crops drawn for a background; the one with the fewest object pixels is used."""
FLIP = 0.5
"""Probability of a horizontal flip. Expressions are made afterwards, so none needs left and right swapped."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One object of a picture.

    Attributes:
        noun: name of the object in expressions.
        category: contiguous index of its category, -1 for none.
        mask: (H, W) bool, its visible pixels.
        full_area: its area in pixels if nothing occluded it and the image border did not cut it off.
        crowd: whether the mask covers several objects, or is unknown.
        distinguishable: False where the image has too many objects of the category to refer to a single one.
        garments: masks of what a person wears and carries by noun, (H, W) bool; empty where not annotated.
    """

    noun: str
    category: int
    mask: Mask
    full_area: float
    crowd: bool = False
    distinguishable: bool = True
    garments: Mapping[str, Mask] = field(default_factory=dict)

    @property
    def visible_fraction(self) -> float:
        """Visible pixels as a fraction of the full area, in [0, 1]."""
        return float(np.count_nonzero(self.mask)) / self.full_area


@dataclass(frozen=True, slots=True)
class Picture:
    """An image and the objects in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        layers: the objects, each with visible pixels; masks overlap only where annotations do.
    """

    image: Image
    layers: tuple[Layer, ...]

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        height, width = self.image.shape[:2]
        return height, width

    def view(self, box: Box, longest: int) -> Picture:
        """Crop the picture and resize the crop.

        Args:
            box: xyxy in whole pixels, the crop.
            longest: its longer side after resizing, in pixels.

        Returns:
            The crop with the objects that are visible in it; their full areas refer to the uncropped picture.
        """
        x0, y0, x1, y1 = map(int, box)
        factor = longest / max(x1 - x0, y1 - y0)
        size = max(round((y1 - y0) * factor), 1), max(round((x1 - x0) * factor), 1)
        layers = []
        for layer in self.layers:
            mask = resized_mask(layer.mask[y0:y1, x0:x1], size)
            garments = {noun: resized_mask(worn[y0:y1, x0:x1], size) for noun, worn in layer.garments.items()}
            layers.append(replace(layer, mask=mask, full_area=layer.full_area * factor**2, garments=garments))
        crop = PILImage.fromarray(self.image[y0:y1, x0:x1]).resize(size[::-1], PILImage.Resampling.BICUBIC)
        return Picture(np.array(crop), visible_layers(layers))

    def flipped(self) -> Picture:
        """Flip the picture horizontally."""
        layers = []
        for layer in self.layers:
            garments = {noun: worn[:, ::-1] for noun, worn in layer.garments.items()}
            layers.append(replace(layer, mask=layer.mask[:, ::-1], garments=garments))
        return Picture(self.image[:, ::-1].copy(), tuple(layers))


def visible_layers(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Select the layers with a visible fraction of at least `MIN_PRESENT`."""
    return tuple(layer for layer in layers if layer.mask.any() and layer.visible_fraction >= MIN_PRESENT)


def resized_mask(mask: Mask, size: Size) -> Mask:
    """Resize a mask; a pixel belongs to the result where the mask covers at least half of it.

    Args:
        mask: (H, W) bool.
        size: (height, width) of the result in pixels.
    """
    if not mask.any():
        return np.zeros(size, bool)
    height, width = size
    grey = PILImage.fromarray(mask.astype(np.uint8) * 255).resize((width, height), PILImage.Resampling.BILINEAR)
    return np.asarray(grey) >= 128


def random_crop(picture: Picture, rng: random.Random) -> Picture:
    """Crop a picture around one of its objects, which enlarges small ones; anywhere if it has no object.

    Args:
        picture: to be cropped.
        rng: draws the object, the size and place of the crop, and the horizontal flip.

    Returns:
        The crop, its longer side `LONGEST` pixels.
    """
    height, width = picture.size
    share, aspect = rng.uniform(*CROP_SHARE), rng.uniform(*CROP_ASPECT)
    crop_height = round(min(share / aspect**0.5, 1) * height)
    crop_width = round(min(share * aspect**0.5, 1) * width)
    boxes = [box for layer in picture.layers if not layer.crowd and (box := mask_box(layer.mask))]
    x0, y0, x1, y1 = rng.choice(boxes) if boxes else (0, 0, width, height)
    x = round((x0 + x1) / 2 - crop_width * rng.uniform(0.3, 0.7))
    y = round((y0 + y1) / 2 - crop_height * rng.uniform(0.3, 0.7))
    x, y = min(max(x, 0), width - crop_width), min(max(y, 0), height - crop_height)
    crop = picture.view((x, y, x + crop_width, y + crop_height), LONGEST)
    return crop.flipped() if rng.random() < FLIP else crop


def random_background(picture: Picture, rng: random.Random) -> Picture:
    """Make a background image of a picture: all of it, or a crop with few object pixels.

    Args:
        picture: where the background comes from.
        rng: draws the crop and the horizontal flip.

    Returns:
        The background, its longer side `LONGEST` pixels.
    """
    height, width = picture.size
    box = 0, 0, width, height
    if rng.random() >= WHOLE_IMAGE:
        boxes, coverages = [], []
        for _ in range(BACKGROUND_CROPS):
            crop_height, crop_width = (round(side * rng.uniform(*BACKGROUND_SHARE)) for side in picture.size)
            x, y = rng.randint(0, width - crop_width), rng.randint(0, height - crop_height)
            boxes.append((x, y, x + crop_width, y + crop_height))
            window = np.s_[y : y + crop_height, x : x + crop_width]
            coverages.append(sum(float(layer.mask[window].mean()) for layer in picture.layers))
        box = boxes[int(np.argmin(coverages))]
    background = picture.view(box, LONGEST)
    return background.flipped() if rng.random() < FLIP else background
