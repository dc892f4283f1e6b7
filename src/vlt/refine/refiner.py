"""Refine mask outlines: prompt a segmenter with a chosen box or with the network's mask, and use its best outline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vlt.data.masks import box_overlap, mask_box
from vlt.errors import CheckpointError
from vlt.geometry import Letterbox
from vlt.types import FloatArray, Image, Mask

SIDE = 1024
"""Height and width of the segmenter's input in pixels, unless settings say otherwise."""
MASK_STRIDE = 4
"""Stride of the segmenter's masks, in pixels of its input."""
MIN_AGREEMENT = 0.2
"""`agreement` with the network's mask above which an outline replaces it. An outline in a chosen box replaces it at any
agreement."""
QUALITY_WEIGHT = 0.3
"""Weight of the segmenter's quality estimate in the choice of the outline; the agreement has weight 1."""
PEAKS = 3
"""Largest number of point prompts in addition to the box prompt."""
OWN_WEIGHT = 0.5
"""Weight of the network's logits in the sum with those of an outline without a chosen box, whose gaps they fill."""
SMOOTHING = 3
"""Side of the square over which that sum is averaged, in positions of the outline, odd; it removes speckles.

The five numbers above were chosen on the validation split val_a.
"""
QUALITY_WEIGHT_IN_BOX = 1.0
"""Weight of the segmenter's quality estimate in the choice of the outline in a chosen box."""
FIT_WEIGHT_IN_BOX = 0.25
"""Weight of the IoU of the outline's own box with the chosen box."""
AGREEMENT_WEIGHT_IN_BOX = 0.5
"""Weight of the outline's agreement with the network's probability, both inside the box.

Other values of the three numbers above gain at most 0.1 points of mIoU on the validation split val_a.
"""
LOGIT_EPSILON = 1e-4
"""The network's probabilities are clipped to this distance from 0 and 1 before they are added."""
PEAK_DISTANCE = 12
"""Smallest distance between peaks, by rows or columns, as a divisor of the image's longer side."""
MIN_PEAK = 0.15
"""Smallest probability of a peak, relative to the highest one."""


class Segmenter(Protocol):
    """A promptable segmenter, numpy in and out; keeps nothing between calls."""

    def encode(self, image: FloatArray) -> Any:
        """Encode an image (3, H, W) float32 in [0, 1]; returns opaque features."""
        ...

    def segment(self, encoded: Any, boxes: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Segment what is in each box, then what is at each point.

        Args:
            encoded: features of `encode`.
            boxes: (B, 4) float32 xyxy in pixels of the input, at least one.
            points: (P, 2) float32 xy in pixels of the input.

        Returns:
            Logits (B + P, R, H / MASK_STRIDE, W / MASK_STRIDE) of R masks for each prompt, and the estimated IoU
            (B + P, R) of each.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RefinerFeatures:
    """Features of one image for the refiner, reusable for any number of predictions.

    Attributes:
        letterbox: maps the image to the segmenter's input and back.
        encoded: the segmenter's features.
    """

    letterbox: Letterbox
    encoded: Any = field(repr=False)


class Outline(NamedTuple):
    """A refined mask.

    Attributes:
        logits: (1, h, w) float32 in the input of `RefinerFeatures.letterbox`; probabilities are above the threshold
            inside the mask.
        agreement: soft IoU of the mask with the network's probabilities, in [0, 1].
    """

    logits: FloatArray
    agreement: float


class Refiner:
    """Replaces the outline of a predicted mask by one of a promptable segmenter.

    Where the network chose a candidate, its box is the only prompt. Otherwise the prompts are the box around the
    network's mask and the peaks of its probabilities: where a mask covers only a part, or leaks into a neighbour, the
    box misleads but a point does not. The refiner does not read the expression, so it cannot correct a prediction of
    the wrong object.

    Args:
        segmenter: see `Segmenter`.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter

    def encode(self, image: Image, side: int = SIDE) -> RefinerFeatures:
        """Encode an image once, for any number of predictions.

        Args:
            image: (H, W, 3) uint8 RGB.
            side: height and width of the segmenter's input in pixels, a multiple of 16.
        """
        letterbox = Letterbox((image.shape[0], image.shape[1]), (side, side))
        return RefinerFeatures(letterbox, self.segmenter.encode(letterbox.image(image)))

    def refine(
        self,
        features: RefinerFeatures,
        logits: FloatArray,
        letterbox: Letterbox,
        threshold: float,
        box: FloatArray | None = None,
    ) -> Outline | None:
        """Draw the outline of what is in a box, or of the network's mask.

        Args:
            features: features of the image.
            logits: (1, h, w) of the network, in the input of `letterbox`.
            letterbox: maps the same image to the network's input.
            threshold: probability in [0, 1] above which a pixel belongs to the network's mask.
            box: (4,) xyxy as shares of the network's input, the candidate that the network chose; None: it chose none.
                A box that lies outside the image counts as none.

        Returns:
            None where no outline overlaps the chosen box; and without a box, where the network's mask is empty or no
            outline agrees with it.

        Raises:
            CheckpointError: the segmenter's output is not finite.
        """
        height, width = features.letterbox.input_size
        grid = Letterbox(letterbox.image_size, (height // MASK_STRIDE, width // MASK_STRIDE))
        probability = replace(letterbox, image_size=grid.inner_size).probability(logits)
        area = None if box is None else letterbox.image_area(box)
        if area is None:
            refined = self.outline_of_mask(features, probability, grid, threshold)
        else:
            refined = self.outline_in_box(features, probability, grid, area)
        if refined is None:
            return None
        mask = refined[inside(grid)] > 0
        odds = min(max(threshold, LOGIT_EPSILON), 1 - LOGIT_EPSILON)
        logits = (refined[None] + math.log(odds / (1 - odds))).astype(np.float32)
        return Outline(logits, float(agreement(mask[None], probability)[0]))

    def outline_of_mask(
        self, features: RefinerFeatures, probability: FloatArray, grid: Letterbox, threshold: float
    ) -> FloatArray | None:
        """Prompt with the box around the network's mask and the peaks; the outline that agrees best with the network.

        The network's logits are added to those of the outline.

        Args:
            features: as for `refine`.
            probability: (height, width) of the network, at the positions of `grid` that the image covers.
            grid: maps the image to the positions of the segmenter's masks.
            threshold: as for `refine`.

        Returns:
            Logits (h, w); None where the network's mask is empty or no outline agrees with it.
        """
        box = mask_box(probability > threshold)
        if box is None:
            return None
        corner = np.array(grid.offset[::-1], np.float32)
        boxes = (np.array([box], np.float32) + np.tile(corner, 2)) * MASK_STRIDE
        points = (find_peaks(probability) + 0.5 + corner) * MASK_STRIDE
        outlines, masks, quality = self.draw(features, boxes, points.astype(np.float32), grid)
        agrees = agreement(masks, probability)
        best = int((agrees + QUALITY_WEIGHT * quality).argmax())
        if agrees[best] <= MIN_AGREEMENT:
            return None
        clipped = probability.clip(LOGIT_EPSILON, 1 - LOGIT_EPSILON)
        refined = outlines[best].copy()
        inner = refined[inside(grid)]
        inner[:] = smooth(inner + OWN_WEIGHT * np.log(clipped / (1 - clipped)))
        return refined

    def outline_in_box(
        self, features: RefinerFeatures, probability: FloatArray, grid: Letterbox, area: FloatArray
    ) -> FloatArray | None:
        """Prompt with the chosen box alone; the outline of the best sum of quality, fit of its box and agreement.

        Args:
            features: as for `refine`.
            probability: as for `outline_of_mask`.
            grid: as for `outline_of_mask`.
            area: (4,) xyxy as shares of the image, the chosen box.

        Returns:
            Logits (h, w); None where no outline overlaps the box.
        """
        place = features.letterbox.box(area * np.tile(grid.image_size[::-1], 2))
        prompt = place * np.tile(features.letterbox.input_size[::-1], 2).astype(np.float32)
        outlines, masks, quality = self.draw(features, prompt[None], np.zeros((0, 2), np.float32), grid)
        box = area * np.tile(grid.inner_size[::-1], 2)  # in positions of the grid
        (x0, y0), (x1, y1) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        agrees = agreement(masks[:, y0:y1, x0:x1], probability[y0:y1, x0:x1])
        fits = np.array([box_overlap(mask_box(mask), tuple(box)) for mask in masks])
        rated = QUALITY_WEIGHT_IN_BOX * quality + FIT_WEIGHT_IN_BOX * fits + AGREEMENT_WEIGHT_IN_BOX * agrees
        best = int(np.where(fits > 0, rated, -np.inf).argmax())
        return outlines[best] if fits[best] > 0 else None

    def draw(
        self, features: RefinerFeatures, boxes: FloatArray, points: FloatArray, grid: Letterbox
    ) -> tuple[FloatArray, Mask, FloatArray]:
        """Draw every outline for some prompts.

        Args:
            features: as for `refine`.
            boxes: as for `Segmenter.segment`.
            points: as for `Segmenter.segment`.
            grid: as for `outline_of_mask`.

        Returns:
            Logits (N, h, w) of all masks of all prompts, their masks (N, height, width) bool in the part of `grid`
            that the image covers, and their estimated IoU (N,).

        Raises:
            CheckpointError: the segmenter's output is not finite.
        """
        drawn, quality = self.segmenter.segment(features.encoded, boxes, points)
        if not (np.isfinite(drawn).all() and np.isfinite(quality).all()):
            raise CheckpointError("The refiner's output is not finite (NaN or infinite): its weights are damaged.")
        outlines = drawn.reshape(-1, *drawn.shape[2:])
        return outlines, outlines[(slice(None), *inside(grid))] > 0, quality.reshape(-1)


def prompts(boxes: FloatArray, points: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Describe boxes and points as prompts of two places each, which is what the segmenter's network reads.

    Args:
        boxes: (B, 4) xyxy.
        points: (P, 2) xy.

    Returns:
        Places (B + P, 2, 2) xy, and what each place is, (B + P, 2): 0 none, 1 a point of the object, 2 and 3 the upper
        left and lower right corner of the box around it.
    """
    places = np.zeros((len(boxes) + len(points), 2, 2), np.float32)
    places[: len(boxes)] = boxes.reshape(-1, 2, 2)
    places[len(boxes) :, 0] = points
    return places, np.array([[2, 3]] * len(boxes) + [[1, 0]] * len(points), np.int64).reshape(-1, 2)


def inside(grid: Letterbox) -> tuple[slice, slice]:
    """Return the rows and columns of a grid that the image covers."""
    (top, left), (height, width) = grid.offset, grid.inner_size
    return slice(top, top + height), slice(left, left + width)


def find_peaks(probability: FloatArray) -> npt.NDArray[np.int64]:
    """Find the peaks of a probability map: the highest values, at a distance of each other.

    Args:
        probability: (H, W).

    Returns:
        (P, 2) int64 xy, highest first, at most `PEAKS`.
    """
    left, radius = probability.copy(), max(probability.shape) // PEAK_DISTANCE
    peaks: list[tuple[int, int]] = []
    for _ in range(PEAKS):
        y, x = divmod(int(left.argmax()), left.shape[1])
        if peaks and left[y, x] < MIN_PEAK * probability.max():
            break
        peaks.append((x, y))
        left[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = 0
    return np.array(peaks)


def smooth(logits: FloatArray) -> FloatArray:
    """Average logits (H, W) with their neighbours in a square of `SMOOTHING`; at the border with those that exist."""
    reach = SMOOTHING // 2
    padded, counted = np.pad(logits, reach), np.pad(np.ones_like(logits), reach)
    height, width = logits.shape
    windows = [(slice(y, y + height), slice(x, x + width)) for y in range(SMOOTHING) for x in range(SMOOTHING)]
    sums, counts = (np.sum([grid[window] for window in windows], axis=0) for grid in (padded, counted))
    means: FloatArray = sums / counts
    return means


def agreement(masks: Mask, probability: FloatArray) -> FloatArray:
    """Compute the soft IoU of masks with probabilities.

    Args:
        masks: (N, H, W) bool.
        probability: (H, W).

    Returns:
        (N,) in [0, 1].
    """
    overlap = (masks * probability).sum(axis=(1, 2))
    union = masks.sum(axis=(1, 2)) + probability.sum() - overlap
    result: FloatArray = overlap / np.maximum(union, np.finfo(np.float32).tiny)
    return result
