"""Test-time augmentation: merge the outputs for images with those for the horizontally flipped images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlt.geometry import sigmoid
from vlt.infer.engine import Logits
from vlt.types import FloatArray


def merge_flipped(plain: Logits, flipped: Logits, has_flipped: npt.NDArray[np.bool_]) -> Logits:
    """Merge the output for images with the output for the horizontally flipped images.

    Masks as `merge_masks` does. The presence is the mean of both; certainty and box are those of the pass with the
    higher certainty, so that no side is preferred.

    Args:
        plain: for B expressions about the images.
        flipped: for the same expressions, with left and right swapped, about the flipped images; not flipped back.
        has_flipped: (B,) bool, False where an expression has no form for the flipped image ("number 12"): its output
            for the image stays as it is.
    """
    masks = merge_masks(plain.masks, flipped.masks, has_flipped)
    if plain.presence is None or plain.certainty is None or plain.boxes is None:
        return Logits(masks)
    assert flipped.presence is not None  # the same network made both outputs
    assert flipped.certainty is not None
    assert flipped.boxes is not None
    presence = np.where(has_flipped, (plain.presence + flipped.presence) / 2, plain.presence)
    other = has_flipped & (flipped.certainty > plain.certainty)
    x0, y0, x1, y1 = flipped.boxes.T
    boxes = np.where(other[:, None], np.stack([1 - x1, y0, 1 - x0, y1], axis=1), plain.boxes)
    return Logits(masks, presence, np.where(other, flipped.certainty, plain.certainty), boxes)


def merge_masks(logits: FloatArray, flipped: FloatArray, has_flipped: npt.NDArray[np.bool_]) -> FloatArray:
    """Merge the logits of masks with those for the flipped images.

    The result is the mean of both probabilities. If only one of the two exceeds one half anywhere, or the mean exceeds
    it nowhere although one of them does, the one with the higher peak is used alone.

    Args:
        logits: (B, 1, h, w), of the images.
        flipped: (B, 1, h, w), of the flipped images, not flipped back.
        has_flipped: (B,) bool, as for `merge_flipped`.

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
