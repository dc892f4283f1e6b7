"""Samples to a batch: words padded and masked, each photo once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlt.config import ReferenceConfig
from vlt.types import Batch

if TYPE_CHECKING:
    from vlt.config import ModelConfig
    from vlt.types import Sample


@dataclass(frozen=True)
class Collate:
    """Makes a batch of samples.

    Attributes:
        pad_to: how many words every expression is padded to; None: as many as the longest of the batch has.
    """

    pad_to: int | None

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Stacks, pads and masks. Samples that share an image tensor share it in the batch.

        Args:
            samples: at least one; all with a target, or none.
        """
        images = {id(sample.image): sample.image for sample in samples}  # in order of first appearance
        place = {identity: index for index, identity in enumerate(images)}
        words, word_mask = pad_words([sample.words for sample in samples], self.pad_to)
        targets = [sample.target for sample in samples if sample.target is not None]
        return Batch(
            images=torch.stack(list(images.values())),
            image_index=torch.tensor([place[id(sample.image)] for sample in samples]),
            words=words,
            word_mask=word_mask,
            targets=torch.stack(targets) if targets else None,
            letterboxes=[sample.letterbox for sample in samples],
            referrals=[sample.referral for sample in samples],
            expressions=[sample.expression for sample in samples],
        )


def pad_words(words: Sequence[Tensor], pad_to: int | None) -> tuple[Tensor, Tensor]:
    """Stacks the words of several expressions, zeros behind the shorter ones.

    Args:
        words: (T_i,) int64 ids or (T_i, D) float32 vectors of each expression; at least one.
        pad_to: T, at least the largest T_i; None: the largest T_i.

    Returns:
        The words, (B, T) or (B, T, D), and the mask (B, T) bool, True where there is a word.
    """
    lengths = torch.tensor([len(expression) for expression in words])
    length = int(lengths.max()) if pad_to is None else pad_to
    padded = words[0].new_zeros(len(words), length, *words[0].shape[1:])
    for row, expression in zip(padded, words, strict=True):
        row[: len(expression)] = expression
    return padded, torch.arange(length) < lengths[:, None]


def pad_to(config: ModelConfig) -> int | None:
    """What a network wants expressions padded to: `max_words` where it sees the padding, else None.

    A network that sees padding would otherwise answer differently depending on its batch companions.
    """
    sees_padding = isinstance(config, ReferenceConfig) or not config.mask_padding
    return config.max_words if sees_padding else None
