"""The mirrored photo as a second opinion: what it is asked, and what its answers say of the photo as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from vlt.data.collate import pad_words
from vlt.data.expressions import swap_left_right

if TYPE_CHECKING:
    from vlt.data.text import TextReader


class MirroredWords(NamedTuple):
    """What is asked of mirrored photos.

    Attributes:
        words: as in `vlt.types.Batch`.
        word_mask: as in `vlt.types.Batch`.
        is_known: (B,) bool, whether an expression can be said of the mirrored photo; where not, its words stay.
    """

    words: Tensor
    word_mask: Tensor
    is_known: Tensor


def mirror_words(expressions: Sequence[str], text: TextReader, length: int | None) -> MirroredWords:
    """Expressions with left and right swapped.

    Args:
        expressions: B of them, as said of the photo.
        text: reads words the way the model was trained on.
        length: what they are padded to, see `vlt.data.collate.pad_to`.
    """
    swapped = [swap_left_right(expression) for expression in expressions]
    read = [text(said if other is None else other).values for said, other in zip(expressions, swapped, strict=True)]
    return MirroredWords(*pad_words(read, length), torch.tensor([other is not None for other in swapped]))


def second_opinion(logits: Tensor, mirrored: Tensor, is_known: Tensor) -> Tensor:
    """What is answered about photos and about mirrored ones, as one.

    The mean of both probabilities. Where that finds nothing, which is to say that it is nowhere above one half, though
    one of the two does, or where only one does, the surer one alone.

    Args:
        logits: (B, 1, h, w), about the photos.
        mirrored: (B, 1, h, w), about the mirrored ones.
        is_known: (B,) bool, where a mirrored one could be asked; elsewhere the logits stay as they are.

    Returns:
        (B, 1, h, w) logits.
    """
    logits, mirrored = logits.float(), mirrored.float().flip(-1)
    mean = torch.logit((logits.sigmoid() + mirrored.sigmoid()) / 2, eps=1e-6)
    peak, other_peak, mean_peak = (each.amax(dim=(1, 2, 3), keepdim=True) for each in (logits, mirrored, mean))
    agree = ((peak > 0) == (other_peak > 0)) & ((peak > 0) == (mean_peak > 0))
    both = torch.where(agree, mean, torch.where(peak >= other_peak, logits, mirrored))
    return torch.where(is_known.to(logits.device)[:, None, None, None], both, logits)
