"""The protocol between the predictor and whatever runs a network: numpy arrays in, numpy arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from vlt.errors import CheckpointError
from vlt.text.words import WordArray
from vlt.types import FloatArray

Encoded: TypeAlias = Any
"""Features of U images as an engine keeps them; opaque to everything else, and never changed."""


class Logits(NamedTuple):
    """Output of a network for B expressions; only a network that chooses among candidates has more than masks.

    Attributes:
        masks: (B, 1, h, w) float32, before the sigmoid, at any stride of the input.
        outcomes: (B, N + 2) float32, before the softmax: the candidates, nothing in the image, and something that is no
            candidate; minus infinity for a candidate that does not exist. None without a choice.
        boxes: (B, N, 4) float32 xyxy as shares of the input, of the candidates; None without a choice.
    """

    masks: FloatArray
    outcomes: FloatArray | None = None
    boxes: FloatArray | None = None


class Detected(NamedTuple):
    """Boxes and class probabilities that the detector of a network found in an image.

    Attributes:
        boxes: (N, 4) float32 xyxy as shares of the input.
        scores: (N, 80) float32 in [0, 1], class probabilities in the order of `vlt.categories.COCO_CATEGORIES`.
    """

    boxes: FloatArray
    scores: FloatArray


class Engine(Protocol):
    """Runs a network. Keeps nothing between calls, so that threads may share one."""

    @property
    def hardware(self) -> str:
        """Name of the device, such as "x86_64 CPU, 2 cores"."""
        ...

    def encode(self, images: FloatArray) -> Encoded:
        """Compute what depends on the images alone, once for any number of expressions.

        Args:
            images: (U, 3, H, W) float32 in [0, 1], letterboxed RGB.
        """
        ...

    def segment(
        self,
        encoded: Encoded,
        image_index: npt.NDArray[np.int64],
        words: WordArray,
        word_mask: npt.NDArray[np.bool_],
    ) -> Logits:
        """Segment what each expression refers to.

        Args:
            encoded: what `encode` returned for U images.
            image_index: (B,) int64 in [0, U), the image of each expression.
            words: (B, T) int64 token ids or (B, T, D) float32 vectors, padded with zeros.
            word_mask: (B, T) bool, True = a word; words come first.
        """
        ...

    def detected(self, encoded: Encoded, index: int) -> Detected:
        """Return what was detected in one of the images that `encode` was given; the network has candidates."""
        ...


def check_finite(output: Logits, texts: Sequence[str]) -> None:
    """Check the output of an engine for some expressions.

    Raises:
        CheckpointError: NaN or infinite numbers; of candidates that do not exist, minus infinity is allowed.
    """
    outcomes = None if output.outcomes is None else np.where(np.isneginf(output.outcomes), 0, output.outcomes)
    for part in (output.masks, outcomes, output.boxes):
        if part is not None and not np.isfinite(part).all():
            bad = int(np.isfinite(part).reshape(len(part), -1).all(axis=1).argmin())
            raise CheckpointError(
                f"The network's output for {texts[bad]!r} is not finite (NaN or infinite): its weights are damaged or "
                "training diverged; use another checkpoint."
            )
