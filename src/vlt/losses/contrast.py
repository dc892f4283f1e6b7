"""Masked contrastive learning: pull expressions of one object together and push those of different objects apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast_loss(features: Tensor, object_ids: Tensor, temperature: float, image_ids: Tensor | None = None) -> Tensor:
    """Compute InfoNCE between expressions, each against all others of the batch or of its image.

    For expression i with positives P(i), the other expressions of its object: the mean over p in P(i) of
    -log(exp(s_ip / t) / sum over a != i of exp(s_ia / t)), where s is the cosine similarity (source: the outline of
    the 2022 extension; with several positives, Khosla et al. 2020, equation 2). With `image_ids`, a is in P(i) or
    refers to another object of the same image, so that telling images apart does not lower the loss.

    Args:
        features: (B, C) float, one vector per expression; any scale.
        object_ids: (B,) int64, equal for expressions of one object.
        temperature: t, above zero.
        image_ids: (B,) int64, equal for expressions about one image; None: negatives come from the whole batch.

    Returns:
        A scalar, the mean over expressions whose object has another expression in the batch; 0 where there is none.
    """
    directions = F.normalize(features.float(), dim=1)
    itself = torch.eye(len(object_ids), dtype=torch.bool, device=object_ids.device)
    positives = (object_ids[:, None] == object_ids) & ~itself
    compared = ~itself if image_ids is None else positives | ((image_ids[:, None] == image_ids) & ~itself)
    cosines = (directions @ directions.T / temperature).masked_fill(~compared, -torch.inf)
    counted = positives.any(dim=1)
    if not counted.any():
        return features.sum() * 0  # zero that still has a gradient
    log_shares = cosines.log_softmax(dim=1).masked_fill(~positives, 0.0)[counted]
    return -(log_shares.sum(dim=1) / positives[counted].sum(dim=1)).mean()
