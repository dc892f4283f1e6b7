"""Test-time augmentation: merge the outputs for images with those for the horizontally flipped images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vlt.geometry import sigmoid
from vlt.infer.choice import Distribution, View
from vlt.types import FloatArray

SAME_BOX = 0.6
"""IoU of a box with one of the flipped image, from which both are the same object."""


def merge_views(plain: View, flipped: View, has_flipped: npt.NDArray[np.bool_]) -> View:
    """Merge the output for images with the output for the horizontally flipped images.

    Args:
        plain: for B expressions about the images.
        flipped: for the same expressions, with left and right swapped, about the flipped images; not flipped back.
        has_flipped: (B,) bool, False where an expression has no form for the flipped image ("number 12"): its output
            for the image stays as it is.
    """
    masks = merge_masks(plain.masks, flipped.masks, has_flipped)
    if plain.choice is None or flipped.choice is None:
        return View(masks)
    return View(masks, merge_choices(plain.choice, flipped.choice, has_flipped))


def merge_choices(plain: Distribution, flipped: Distribution, has_flipped: npt.NDArray[np.bool_]) -> Distribution:
    """Merge the distributions for images with those for the horizontally flipped images.

    A candidate has the mean of its probability and that of the candidate of the other image that overlaps it most, if
    that is the same object, and the mean of both boxes; so no side is preferred. Where each overlaps the other most,
    the second has probability 0, so that the object is in the result once; the probabilities of all outcomes may still
    add up to more than one, where a candidate is the same object as two of the other image.

    Args:
        plain: for B expressions, N candidates each.
        flipped: of the flipped images, not flipped back.
        has_flipped: (B,) bool, as for `merge_views`.

    Returns:
        2 N candidates per expression.
    """
    x0, y0, x1, y1 = np.moveaxis(flipped.boxes, -1, 0)
    back = Distribution(flipped.probability, np.stack([1 - x1, y0, 1 - x0, y1], axis=-1))
    overlaps = box_overlaps(plain.boxes, back.boxes)
    partner, partner_back = overlaps.argmax(axis=2), overlaps.argmax(axis=1)  # (B, N) of `back`, (B, M) of `plain`
    is_same, is_same_back = overlaps.max(axis=2) >= SAME_BOX, overlaps.max(axis=1) >= SAME_BOX
    probability, boxes = merge_candidates(plain, back, partner, is_same)
    probability_back, boxes_back = merge_candidates(back, plain, partner_back, is_same_back)
    is_mutual = np.take_along_axis(partner, partner_back, axis=1) == np.arange(partner_back.shape[1])
    others = (plain.probability[:, -2:] + back.probability[:, -2:]) / 2  # nothing, and what is no candidate
    merged = np.concatenate([probability, probability_back * ~(is_same_back & is_mutual), others], axis=1)
    alone = np.insert(plain.probability, [plain.boxes.shape[1]] * back.boxes.shape[1], 0, axis=1)
    both = has_flipped[:, None, None]
    return Distribution(
        np.where(both[:, 0], merged, alone),
        np.concatenate([np.where(both, boxes, plain.boxes), np.where(both, boxes_back, back.boxes)], axis=1),
    )


def merge_candidates(
    own: Distribution, other: Distribution, partner: npt.NDArray[np.int64], is_same: npt.NDArray[Any]
) -> tuple[FloatArray, FloatArray]:
    """Merge the candidates of one image with those of the other.

    Args:
        own: of the image whose N candidates are returned.
        other: of the other image, M candidates, mirrored to the same side.
        partner: (B, N) in [0, M), the candidate of `other` that overlaps each most.
        is_same: (B, N), whether both are the same object.

    Returns:
        Probabilities (B, N) and boxes (B, N, 4).
    """
    theirs = np.take_along_axis(other.probability[:, :-2], partner, axis=1)
    boxes = np.take_along_axis(other.boxes, partner[..., None], axis=1)
    probability: FloatArray = (own.probability[:, :-2] + theirs * is_same) / 2
    return probability, np.where(is_same[..., None], (own.boxes + boxes) / 2, own.boxes)


def box_overlaps(one: FloatArray, other: FloatArray) -> FloatArray:
    """Compute the IoU of each box with each of another image's: (B, N, 4) and (B, M, 4) xyxy to (B, N, M)."""
    corner = np.minimum(one[:, :, None, 2:], other[:, None, :, 2:])
    sides = (corner - np.maximum(one[:, :, None, :2], other[:, None, :, :2])).clip(0)
    shared = sides.prod(axis=-1)
    area, other_area = ((each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (one, other))
    union = area[:, :, None] + other_area[:, None] - shared
    overlaps: FloatArray = shared / union.clip(np.finfo(np.float32).tiny)
    return overlaps


def merge_masks(logits: FloatArray, flipped: FloatArray, has_flipped: npt.NDArray[np.bool_]) -> FloatArray:
    """Merge the logits of masks with those for the flipped images.

    The result is the mean of both probabilities. If only one of the two exceeds one half anywhere, or the mean exceeds
    it nowhere although one of them does, the one with the higher peak is used alone.

    Args:
        logits: (B, 1, h, w), of the images.
        flipped: (B, 1, h, w), of the flipped images, not flipped back.
        has_flipped: (B,) bool, as for `merge_views`.

    Returns:
        (B, 1, h, w) float32.
    """
    back = flipped[..., ::-1]
    mean = (sigmoid(logits) + sigmoid(back)) / 2
    mean = mean.clip(1e-6, 1 - 1e-6)
    mean = np.log(mean / (1 - mean))
    peak, back_peak, mean_peak = (each.max(axis=(1, 2, 3), keepdims=True) for each in (logits, back, mean))
    agree = ((peak > 0) == (back_peak > 0)) & ((peak > 0) == (mean_peak > 0))
    merged = np.where(agree, mean, np.where(peak >= back_peak, logits, back))
    return np.where(has_flipped[:, None, None, None], merged, logits).astype(np.float32)
