"""Loss of the choice among candidates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.losses.auxiliary import intersection_and_union

MIN_IOU = 0.5
"""IoU of a candidate's box with a target's, from which the candidate is a right choice."""
TIE = 0.1
"""Candidates whose IoU is within this of the best one's are right, too."""
KNOWN = 0.3
"""Class probability of the right candidate from which its category counts as known."""
ABSENT = 0.08
"""Class probability up to which no candidate of an image belongs to a category."""


def candidate_loss(
    logits: Tensor, boxes: Tensor, valid: Tensor, targets: Tensor, target_mask: Tensor, smoothing: float
) -> Tensor:
    """Compute the cross-entropy of the choice with the right outcomes.

    Args:
        logits: (B, N + 2): the candidates, nothing in the image, and something that is no candidate.
        boxes: (B, N, 4), the candidates', xyxy as shares of the input.
        valid: (B, N) bool, whether there is such a candidate.
        targets: (B, T, 4), the boxes of the targets, likewise.
        target_mask: (B, T) bool, True = a target; an expression without any refers to nothing in the image.
        smoothing: share of the probability that is spread evenly over all outcomes, in [0, 1].

    Returns:
        A scalar.
    """
    outcomes = F.pad(valid, (0, 2), value=True).float()
    right = right_outcomes(outcomes_of_targets(boxes, valid, targets), target_mask)
    wanted = (1 - smoothing) * right + smoothing * outcomes / outcomes.sum(dim=1, keepdim=True)
    return -(wanted * logits.float().log_softmax(dim=1)).masked_fill(outcomes == 0, 0).sum(dim=1).mean()


def right_outcomes(of_targets: Tensor, target_mask: Tensor) -> Tensor:
    """Return the distribution that the choice is trained to match.

    Each target has an equal share of the probability; where there is none, nothing is in the image.

    Args:
        of_targets: (B, T, N + 2), see `outcomes_of_targets`.
        target_mask: (B, T) bool, True = a target.

    Returns:
        (B, N + 2), each row summing to one.
    """
    right = (of_targets * target_mask[..., None]).sum(dim=1)
    right[:, -2] = ~target_mask.any(dim=1)
    return right / target_mask.sum(dim=1, keepdim=True).clamp(min=1)


def outcomes_of_targets(boxes: Tensor, valid: Tensor, targets: Tensor) -> Tensor:
    """Return the distribution over the outcomes that are right for each target.

    The candidates that fit the target best share the probability. Where none fits, the target is no candidate.

    Args:
        boxes: (B, N, 4), the candidates', xyxy as shares of the input.
        valid: (B, N) bool, whether there is such a candidate.
        targets: (B, T, 4), the targets', likewise.

    Returns:
        (B, T, N + 2), each row summing to one; "nothing in the image" has none of it.
    """
    overlaps = candidate_ious(boxes, targets) * valid[:, None]
    best = overlaps.max(dim=2, keepdim=True).values
    fits = (overlaps >= MIN_IOU) & (overlaps > best - TIE)
    other = ~fits.any(dim=2, keepdim=True)
    right = torch.cat([fits, torch.zeros_like(other), other], dim=2).float()
    return right / right.sum(dim=2, keepdim=True)


def candidate_ious(boxes: Tensor, targets: Tensor) -> Tensor:
    """Compute the IoU of each candidate with the box of each target of its expression.

    Args:
        boxes: (B, N, 4) xyxy.
        targets: (B, T, 4) xyxy, in the same units.

    Returns:
        (B, T, N) in [0, 1]; 0 where both are empty.
    """
    shared, union = intersection_and_union(boxes[:, None], targets[:, :, None])
    return shared / union.clamp(min=torch.finfo(shared.dtype).tiny)


def foreign_images(of_targets: Tensor, target_mask: Tensor, scores: Tensor, index: Tensor) -> Tensor:
    """Find images in which nothing matches an expression about another image: those without its targets' categories.

    The detector says which categories an image has, so that no labels are needed. Expressions with a target that is no
    candidate, or one of uncertain category, have no foreign images, nor have those without a target.

    Args:
        of_targets: (B, T, N + 2), see `outcomes_of_targets`.
        target_mask: (B, T) bool, True = a target.
        scores: (U, N, K) in [0, 1], class probabilities of the candidates of each image.
        index: (B,) int64, the image of each expression.

    Returns:
        (B, U) bool.
    """
    kinds = torch.einsum("btn,bnk->btk", of_targets[..., :-2], scores[index])  # class probabilities
    probability, kind = kinds.max(dim=2)
    highest = scores.amax(dim=1)  # (U, K)
    lacks = (probability > KNOWN)[..., None] & (highest.T[kind] < ABSENT)  # (B, T, U)
    return (lacks | ~target_mask[..., None]).all(dim=1) & target_mask.any(dim=1, keepdim=True)
