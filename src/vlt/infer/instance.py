"""Instances: the single objects of a prediction, one for each candidate taken or each connected part of its mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vlt.data.masks import encode_rle, label_parts, mask_box
from vlt.geometry import Letterbox
from vlt.types import RLE, Box, FloatArray, Image, Mask

SAME_OBJECT = 0.5
"""IoU of the masks of two candidates, from which both are the same object."""
SPECK = 0.01
"""Share of a mask below which a connected part of it is no instance."""


class Segment:
    """A mask on an image, and what follows from it: box, run lengths, cutout."""

    __slots__ = ()
    mask: Mask
    image: Image

    @property
    def box(self) -> Box | None:
        """The smallest box around the mask, xyxy in pixels, x1 and y1 just outside; None for an empty mask."""
        return mask_box(self.mask)

    @property
    def rle(self) -> RLE:
        """The mask as COCO's compressed run lengths."""
        return encode_rle(self.mask)

    def cutout(self) -> Image:
        """Cut the mask out of the image: (H, W, 4) uint8 RGBA, transparent outside the mask."""
        return np.dstack([self.image, self.mask.astype(np.uint8) * 255])


@dataclass(frozen=True, slots=True, eq=False)
class Instance(Segment):
    """One object of a prediction.

    Attributes:
        mask: (H, W) bool, at the image's size, not empty.
        score: in [0, 1]. Of a candidate its probability, with those of other candidates that are the same object. Of a
            connected part of a mask the mean probability inside it, of the network's own mask.
        image: (H, W, 3) uint8 RGB, the image.
    """

    mask: Mask = field(repr=False)
    score: float
    image: Image = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the instance as JSON values: score, box and run lengths."""
        return {"score": round(self.score, 4), "box": self.box, "rle": self.rle}


def distinct_instances(image: Image, found: Iterable[tuple[Mask, float]]) -> tuple[Instance, ...]:
    """Make the instances of masks with scores, each object once.

    Args:
        image: (H, W, 3) uint8 RGB.
        found: masks (H, W) bool with the probability of each, the most probable first. Empty ones are left out, and
            one that is the same object as an earlier one (`SAME_OBJECT`) adds its probability to that.
    """
    masks: list[Mask] = []
    scores: list[float] = []
    for mask, score in found:
        if not mask.any():
            continue
        same = [mask_overlap(mask, other) >= SAME_OBJECT for other in masks]
        if any(same):
            scores[same.index(True)] += score
        else:
            masks.append(mask)
            scores.append(score)
    return tuple(Instance(mask, min(1.0, score), image) for mask, score in zip(masks, scores, strict=True))


def mask_overlap(one: Mask, other: Mask) -> float:
    """Compute the IoU of two masks, (H, W) bool each, not both empty."""
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def part_instances(image: Image, mask: Mask, logits: FloatArray, letterbox: Letterbox) -> tuple[Instance, ...]:
    """Make an instance of each connected part of a mask, the largest first; specks are left out (`SPECK`).

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        logits: (1, h, w) of the network, in the input of `letterbox`; they give the scores.
        letterbox: maps the image to the network's input.
    """
    labels, count = label_parts(mask)
    areas, sums, row = np.zeros(count + 1), np.zeros(count + 1), 0
    for strip in letterbox.strips(logits):
        numbers = labels[row : row + len(strip)].ravel()
        areas += np.bincount(numbers, minlength=count + 1)
        sums += np.bincount(numbers, strip.ravel(), minlength=count + 1)
        row += len(strip)
    kept = [number for number in range(1, count + 1) if areas[number] >= SPECK * areas[1:].sum()]
    return tuple(Instance(labels == number, float(sums[number] / areas[number]), image) for number in kept)


def masks_in_boxes(mask: Mask, boxes: Sequence[FloatArray], letterbox: Letterbox) -> list[Mask]:
    """Cut a mask into its parts inside boxes, which may overlap.

    Args:
        mask: (H, W) bool.
        boxes: (4,) xyxy each, as shares of the input of `letterbox`.
        letterbox: maps the image to the network's input.

    Returns:
        (H, W) bool for each box; empty where the box lies outside the image.
    """
    height, width = mask.shape
    parts = [np.zeros_like(mask) for _ in boxes]
    for part, box in zip(parts, boxes, strict=True):
        if (area := letterbox.image_area(box)) is not None:
            (x0, y0), (x1, y1) = np.floor(area[:2] * (width, height)), np.ceil(area[2:] * (width, height))
            inside = slice(int(y0), int(y1)), slice(int(x0), int(x1))
            part[inside] = mask[inside]
    return parts
