"""Loss of the choice among candidates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.losses.auxiliary import intersection_and_union

MIN_IOU = 0.5
"""IoU of a candidate's box with the target's, from which the candidate is a right choice."""
TIE = 0.1
"""Candidates whose IoU is within this of the best one's are right, too."""
KNOWN = 0.3
"""Class probability of the right candidate from which its category counts as known."""
ABSENT = 0.08
"""Class probability up to which no candidate of an image belongs to a category."""


def candidate_loss(
    logits: Tensor, boxes: Tensor, valid: Tensor, target: Tensor, presence: Tensor, smoothing: float
) -> Tensor:
    """Compute the cross-entropy of the choice with the right outcomes.

    Args:
        logits: (B, N + 2): the candidates, nothing in the image, and something that is no candidate.
        boxes: (B, N, 4), the candidates', xyxy as shares of the input.
        valid: (B, N) bool, whether there is such a candidate.
        target: (B, 4), the target's box, likewise; zeros where there is none.
        presence: (B,) bool, whether the expression refers to something in the image.
        smoothing: share of the probability that is spread evenly over all outcomes, in [0, 1].

    Returns:
        A scalar.
    """
    outcomes = F.pad(valid, (0, 2), value=True).float()
    right = right_outcomes(boxes, valid, target, presence)
    wanted = (1 - smoothing) * right + smoothing * outcomes / outcomes.sum(dim=1, keepdim=True)
    return -(wanted * logits.float().log_softmax(dim=1)).masked_fill(outcomes == 0, 0).sum(dim=1).mean()


def right_outcomes(boxes: Tensor, valid: Tensor, target: Tensor, presence: Tensor) -> Tensor:
    """Return the distribution that the choice is trained to match.

    The candidates that fit the target best share the probability. Where none fits, the target is no candidate; where
    there is no target, nothing is in the image.

    Args:
        boxes: (B, N, 4), the candidates', xyxy as shares of the input.
        valid: (B, N) bool, whether there is such a candidate.
        target: (B, 4), the target's box; zeros where there is none.
        presence: (B,) bool, whether there is a target.

    Returns:
        (B, N + 2), each row summing to one.
    """
    overlaps = candidate_ious(boxes, target) * valid
    best = overlaps.max(dim=1, keepdim=True).values
    fits = (overlaps >= MIN_IOU) & (overlaps > best - TIE)
    absent = ~presence[:, None]
    other = ~absent & ~fits.any(dim=1, keepdim=True)
    right = torch.cat([fits & ~absent, absent, other], dim=1).float()
    return right / right.sum(dim=1, keepdim=True)


def candidate_ious(boxes: Tensor, target: Tensor) -> Tensor:
    """Compute the IoU of each candidate with the box of its expression's target.

    Args:
        boxes: (B, N, 4) xyxy.
        target: (B, 4) xyxy, in the same units.

    Returns:
        (B, N) in [0, 1]; 0 where both are empty.
    """
    shared, union = intersection_and_union(boxes, target[:, None])
    return shared / union.clamp(min=torch.finfo(shared.dtype).tiny)


def foreign_images(right: Tensor, scores: Tensor, index: Tensor) -> Tensor:
    """Find images in which nothing matches an expression about another image: those without its target's category.

    The detector says which categories an image has, so that no labels are needed. Expressions whose target is no
    candidate, or one of uncertain category, have no foreign images.

    Args:
        right: (B, N + 2), see `right_outcomes`.
        scores: (U, N, K) in [0, 1], class probabilities of the candidates of each image.
        index: (B,) int64, the image of each expression.

    Returns:
        (B, U) bool.
    """
    target = torch.einsum("bn,bnk->bk", right[:, :-2], scores[index])  # class probabilities
    probability, kind = target.max(dim=1)
    highest = scores.amax(dim=1)  # (U, K)
    return (probability > KNOWN)[:, None] & (highest.T[kind] < ABSENT)
