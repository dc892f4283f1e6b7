"""Features of an image, from which a predictor predicts for any number of expressions."""

from __future__ import annotations

from dataclasses import dataclass, field

from vlt.geometry import Letterbox
from vlt.infer.engine import Encoded, Engine
from vlt.refine.refiner import RefinerFeatures
from vlt.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """Features of one image, immutable and reusable for any number of expressions.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        letterbox: maps the image to the network's input and back.
        engine: the one that computed the features; no other can use them.
        encoded: features of the image and of others encoded with it.
        index: index of the image among these.
        flipped: features of the same images flipped horizontally; None without test-time augmentation.
        outlines: the refiner's features; None without a refiner.
    """

    image: Image = field(repr=False)
    letterbox: Letterbox
    engine: Engine = field(repr=False)
    encoded: Encoded = field(repr=False)
    index: int
    flipped: Encoded | None = field(repr=False)
    outlines: RefinerFeatures | None = field(repr=False)
