"""Masked contrastive learning: different words for one thing should be understood alike, words for others not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast_loss(features: Tensor, things: Tensor, temperature: float, photos: Tensor | None = None) -> Tensor:
    """InfoNCE between readings of things, each against all others of the batch or of its photo.

    For reading i with positives P(i), the others of its thing: the mean over p in P(i) of
    -log(exp(s_ip / t) / sum over a != i of exp(s_ia / t)), where s is the cosine (source: the 2022 extension in
    outline; with several positives, Khosla et al. 2020, equation 2). With `photos`, a is in P(i) or another thing of
    the same photo, so that nothing is learnt by telling photos apart.

    Args:
        features: (B, C), one per expression; any scale.
        things: (B,) int64, equal for expressions of one thing.
        temperature: t, above zero.
        photos: (B,) int64, equal for expressions about one photo; None: all are one another's negatives.

    Returns:
        A scalar, the mean over expressions whose thing has another one; 0 where none has.
    """
    directions = F.normalize(features.float(), dim=1)
    itself = torch.eye(len(things), dtype=torch.bool, device=things.device)
    positives = (things[:, None] == things) & ~itself
    compared = ~itself if photos is None else positives | ((photos[:, None] == photos) & ~itself)
    cosines = (directions @ directions.T / temperature).masked_fill(~compared, -torch.inf)
    counted = positives.any(dim=1)
    if not counted.any():
        return features.sum() * 0
    shares = cosines.log_softmax(dim=1).masked_fill(~positives, 0.0)[counted]
    return -(shares.sum(dim=1) / positives[counted].sum(dim=1)).mean()
