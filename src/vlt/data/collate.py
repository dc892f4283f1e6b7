"""Batching: stack and pad training samples into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vlt.text.words import pad_words
from vlt.types import Batch, FloatArray, Sample


@dataclass(frozen=True)
class Collate:
    """Stack samples into a batch.

    Attributes:
        pad_to: number of words to which every expression is padded; None: that of the longest in the batch.
    """

    pad_to: int | None

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Stack and pad samples, at least one; samples that share an image array share it in the batch, too.

        Raises:
            ValueError: an expression is longer than `pad_to`.
        """
        images = {id(sample.image): sample.image for sample in samples}  # in order of first appearance
        place = {identity: index for index, identity in enumerate(images)}
        targets = [sample.target for sample in samples if sample.target is not None]
        boxes, target_mask = pad_boxes([sample.target_boxes for sample in samples])
        words, word_mask = pad_words([sample.words for sample in samples], self.pad_to)
        return Batch(
            images=torch.from_numpy(np.stack(list(images.values()))),
            image_index=torch.tensor([place[id(sample.image)] for sample in samples]),
            words=torch.from_numpy(words),
            word_mask=torch.from_numpy(word_mask),
            targets=torch.from_numpy(np.stack(targets)) if targets else None,
            target_boxes=torch.from_numpy(boxes),
            target_mask=torch.from_numpy(target_mask),
            letterboxes=[sample.letterbox for sample in samples],
            referrals=[sample.referral for sample in samples],
            expressions=[sample.expression for sample in samples],
        )


def pad_boxes(boxes: Sequence[FloatArray]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Stack the boxes of several expressions' targets.

    Args:
        boxes: (N, 4) for each of B expressions, with its own N.

    Returns:
        Boxes (B, N, 4) float32 with the largest N, padded with zeros; and (B, N) bool, True = a target.
    """
    counts = np.array([len(each) for each in boxes])
    target_mask = np.arange(counts.max()) < counts[:, None]
    padded = np.zeros((*target_mask.shape, 4), np.float32)
    padded[target_mask] = np.concatenate(boxes)
    return padded, target_mask
