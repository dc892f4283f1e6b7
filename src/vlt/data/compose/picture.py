"""Pictures: a photo, or part of one, or several in one, with the mask of each thing in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PILImage

from vlt.data.expressions import Scene, Thing
from vlt.data.expressions.lexicon import CARRIED
from vlt.data.masks import decode_rle
from vlt.data.photo import read_image
from vlt.data.prepare.coco_scenes import MANY, PhotoScene, thing_in
from vlt.data.prepare.colour import brightened

if TYPE_CHECKING:
    from vlt.types import Box, Image, Mask, Size

SEEN = 0.55
"""Share of a thing that must be seen for it to be meant: of one that is hidden or cut off by more, nobody speaks."""
WORN = 0.015
"""Share of a person's pixels from which on a garment is said to be worn."""
GONE = 0.02
"""Share of a thing below which nothing of it is said to be there."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A thing of a picture.

    Attributes:
        noun: what it is called.
        category: contiguous index of its category, -1 for none.
        mask: (H, W) bool, what is seen of it.
        whole: pixels that would be seen of it if nothing hid it or cut it off.
        crowd: it is several of a kind, or nobody knows its outline.
        single: False where there are too many of its kind for it to be told from them.
        garments: masks of what a person wears and carries, by noun, (H, W) bool; empty where nothing is known.
    """

    noun: str
    category: int
    mask: Mask
    whole: float
    crowd: bool = False
    single: bool = True
    garments: Mapping[str, Mask] = field(default_factory=dict)

    @property
    def seen(self) -> float:
        """Share of it that is seen, in [0, 1]."""
        return float(np.count_nonzero(self.mask)) / self.whole

    def thing(self, image: Image) -> Thing:
        """What the grammar sees of it; `image`: (H, W, 3) uint8 RGB, brightened."""
        thing = thing_in(self.mask, image, noun=self.noun, crowd=self.crowd)
        least = WORN * thing.area
        worn = {garment.noun: garment.colours for garment, _ in self.worn(image) if garment.area >= least}
        return replace(thing, wears=worn, noticed=thing.noticed and self.single and self.seen >= SEEN)

    def worn(self, image: Image) -> list[tuple[Thing, Mask]]:
        """What is seen of each garment, as a thing of its own, with its mask, (H, W) bool.

        Args:
            image: (H, W, 3) uint8 RGB, brightened.
        """
        seen = [(noun, mask & self.mask) for noun, mask in self.garments.items()]
        return [(thing_in(mask, image, noun=noun), mask) for noun, mask in seen if mask.any()]


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels, and the things in them.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        layers: the things, each with some of it to be seen; no two share a pixel unless their annotations do.
    """

    image: Image
    layers: tuple[Layer, ...]

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        height, width = self.image.shape[:2]
        return height, width

    def scene(self) -> Scene:
        """The same as the grammar sees it: things in the order of the layers, then what people carry."""
        image = brightened(self.image)
        carried = [thing for layer in self.layers for thing, _ in layer.worn(image) if thing.noun in CARRIED]
        return Scene(self.size, (*(layer.thing(image) for layer in self.layers), *carried))

    def view(self, box: Box, longest: int) -> Picture:
        """A part of the picture, enlarged or reduced.

        Args:
            box: xyxy in whole pixels, the part.
            longest: its longer side afterwards, in pixels.

        Returns:
            The part with what is seen in it of each thing; how much of each there was is remembered.
        """
        x0, y0, x1, y1 = map(int, box)
        factor = longest / max(x1 - x0, y1 - y0)
        size = max(round((y1 - y0) * factor), 1), max(round((x1 - x0) * factor), 1)
        layers = []
        for layer in self.layers:
            mask = resized_mask(layer.mask[y0:y1, x0:x1], size)
            garments = {noun: resized_mask(worn[y0:y1, x0:x1], size) for noun, worn in layer.garments.items()}
            layers.append(replace(layer, mask=mask, whole=layer.whole * factor**2, garments=garments))
        return Picture(resized(self.image[y0:y1, x0:x1], size), still_seen(layers))

    def mirrored(self) -> Picture:
        """The same with left and right swapped."""
        layers = (
            replace(
                layer,
                mask=layer.mask[:, ::-1],
                garments={noun: worn[:, ::-1] for noun, worn in layer.garments.items()},
            )
            for layer in self.layers
        )
        return Picture(self.image[:, ::-1].copy(), tuple(layers))


def still_seen(layers: list[Layer]) -> tuple[Layer, ...]:
    """The layers of which more is left than nobody would notice."""
    return tuple(layer for layer in layers if layer.mask.any() and layer.seen >= GONE)


def resized(image: Image, size: Size) -> Image:
    """Pixels at another size, (height, width); (H, W, 3) uint8 RGB."""
    height, width = size
    return np.array(PILImage.fromarray(image).resize((width, height), PILImage.Resampling.BICUBIC))


def resized_mask(mask: Mask, size: Size) -> Mask:
    """A mask at another size, (height, width): what it covers at least half of; (H, W) bool."""
    if not mask.any():
        return np.zeros(size, bool)
    height, width = size
    grey = PILImage.fromarray(mask.astype(np.uint8) * 255).resize((width, height), PILImage.Resampling.BILINEAR)
    return np.asarray(grey) >= 128


def read_picture(scene: PhotoScene, photo: Path, categories: Mapping[int, int]) -> Picture:
    """A photo of an instance file as a picture; a thing without a usable mask fills its box.

    Args:
        scene: what lies in it.
        photo: its path.
        categories: contiguous index of each category id.

    Raises:
        InputError: the photo cannot be read.
    """
    nouns = [thing.noun for thing in scene.scene.things]
    layers = []
    for instance, thing, rle in zip(scene.instances, scene.scene.things, scene.rles, strict=True):
        mask = _filled(thing.box, scene.scene.size) if rle is None else decode_rle(rle)
        layers.append(
            Layer(
                noun=thing.noun,
                category=categories[instance.category_id],
                mask=mask,
                whole=max(float(np.count_nonzero(mask)), 1.0),
                crowd=thing.crowd,
                single=nouns.count(thing.noun) <= MANY,
            )
        )
    return Picture(read_image(photo), still_seen(layers))


def _filled(box: Box, size: Size) -> Mask:
    mask = np.zeros(size, bool)
    x0, y0, x1, y1 = (max(side, 0.0) for side in box)
    mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = True
    return mask
