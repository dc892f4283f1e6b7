"""Auxiliary losses on intermediate outputs: a coarse mask, target discrimination, and boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.config.run import LossConfig
from vlt.losses.mask import bce_loss, dice_loss, resize_targets

MAX_OVERLAP = 0.3
"""Two targets that overlap by at least this share of the smaller one do not compete: same object, or part and whole."""
MIN_COVERAGE = 0.5
"""Share of a grid position that a target must cover for the position to be trained on the target's box."""
MIN_AREA = 1e-4
"""Share of the input below which a target counts as empty."""


def auxiliary_loss(
    response_maps: Tensor,
    boxes: Tensor | None,
    targets: Tensor,
    target_mask: Tensor,
    image_index: Tensor,
    config: LossConfig,
) -> dict[str, Tensor]:
    """Compute the auxiliary losses whose weight is above zero.

    Args:
        response_maps: (B, Q, h, w), one map per query; their mean is taken as the logits of a coarse mask.
        boxes: (B, 4, h', w'), the boxes predicted at each position of the image of each expression, xyxy as shares of
            the input's width and height; None: the model predicts none.
        targets: (B, 1, H, W) float in [0, 1], the union of each expression's targets.
        target_mask: (B, T) bool, True = a target; boxes are trained on expressions with exactly one.
        image_index: (B,) int64, the image of each expression.
        config: weight of each loss.

    Returns:
        Scalars: "total", and unweighted "coarse", "choice" and "box" where their weight is above zero.
    """
    logits, targets = response_maps.float().mean(dim=1, keepdim=True), targets.float()
    parts: dict[str, Tensor] = {}
    if config.coarse:
        parts["coarse"] = coarse_mask_loss(logits, targets, config)
    if config.choice:
        parts["choice"] = discrimination_loss(logits, targets, image_index)
    if config.box and boxes is not None:
        is_one = target_mask.sum(dim=1) == 1
        parts["box"] = box_loss(boxes[is_one].float(), targets[is_one], image_index[is_one])
    total = sum((getattr(config, name) * part for name, part in parts.items()), logits.new_zeros(()))
    return {"total": total, **parts}


def coarse_mask_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Compute cross-entropy plus Dice on a coarse grid, with the same weights as for the final mask.

    Args:
        logits: (B, 1, h, w).
        targets: (B, 1, H, W) in [0, 1].
        config: weights of both parts.
    """
    small = resize_targets(targets, (logits.shape[-2], logits.shape[-1]), "mean")
    return config.bce * bce_loss(logits, small, "mean") + config.dice * dice_loss(logits, small)


def discrimination_loss(logits: Tensor, targets: Tensor, image_index: Tensor) -> Tensor:
    """Compute the cross-entropy of selecting an expression's target among all targets of its image in the batch.

    The score of a target is the mean of the expression's logits on it. Unlike losses over pixels, this one depends
    neither on the size of objects nor on their outlines, only on which object is selected. Overlapping targets, such
    as the same object in two expressions, or a person and their dress, do not compete.

    Args:
        logits: (B, 1, h, w).
        targets: (B, 1, H, W) in [0, 1].
        image_index: (B,) int64, the image of each expression.

    Returns:
        A scalar, the mean over expressions whose target has a competitor; 0 where none has.
    """
    coverage = resize_targets(targets, (logits.shape[-2], logits.shape[-1]), "mean").flatten(1)  # (B, h * w)
    areas = coverage.sum(dim=1)
    scores = logits.flatten(1) @ coverage.T / areas.clamp(min=1e-6)  # (B expressions, B targets)
    present = targets.mean(dim=(1, 2, 3)) > MIN_AREA
    overlap = (coverage @ coverage.T) / torch.minimum(areas[:, None], areas).clamp(min=1e-6)
    same_image = image_index[:, None] == image_index
    competitors = same_image & (overlap < MAX_OVERLAP) & present & present[:, None]
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    counted = competitors.any(dim=1)
    if not counted.any():
        return scores.sum() * 0  # zero that still has a gradient
    # A competitor counts once per expression that refers to it, so objects with many expressions weigh more.
    scores = scores.masked_fill(~(competitors | own), -torch.inf)[counted]
    return F.cross_entropy(scores, own.nonzero()[counted, 1])


def box_loss(boxes: Tensor, targets: Tensor, image_index: Tensor) -> Tensor:
    """Compute L1 plus one minus the generalised IoU between predicted and true boxes.

    Source of the generalised IoU: Rezatofighi et al. 2019. The loss is averaged over the positions that each target
    covers, then over targets. Where targets of an image overlap, such as a person and their dress, the position is
    trained on the larger one.

    Args:
        boxes: (B, 4, h, w), predicted at each position of the image of each expression, xyxy as shares of the input.
        targets: (B, 1, H, W) in [0, 1].
        image_index: (B,) int64, the image of each expression.

    Returns:
        A scalar; 0 where no position lies on a target.
    """
    coverage = resize_targets(targets, (boxes.shape[-2], boxes.shape[-1]), "mean").flatten(1)  # (B, h * w)
    covered, areas = coverage > MIN_COVERAGE, coverage.sum(dim=1)
    is_larger = (image_index[:, None] == image_index) & (areas > areas[:, None])  # (B, B): the second is the larger
    inside = covered & ~((is_larger.float() @ covered.float()) > 0)
    predicted = boxes.flatten(2).transpose(1, 2)  # (B, h * w, 4)
    true = target_boxes(targets)[:, None].expand_as(predicted)
    expressions = inside.nonzero()[:, 0]
    if not len(expressions):
        return boxes.sum() * 0  # zero that still has a gradient
    predicted, true = predicted[inside], true[inside]
    distance = (predicted - true).abs().mean(dim=-1) + 1 - generalised_iou(predicted, true)
    weights = 1 / inside.sum(dim=1)[expressions]
    return (distance * weights).sum() / weights.sum()


def target_boxes(targets: Tensor) -> Tensor:
    """Find the boxes around the pixels above one half.

    Args:
        targets: (B, 1, H, W) in [0, 1].

    Returns:
        (B, 4) float, xyxy as shares of width and height; zeros for an empty target.
    """
    solid = targets[:, 0] > 0.5
    sides = []
    for dim in (1, 2):  # columns, then rows
        line = solid.any(dim=dim)  # (B, W), then (B, H)
        count = line.shape[1]
        first = line.int().argmax(dim=1)
        last = count - line.flip(1).int().argmax(dim=1)
        empty = ~line.any(dim=1)
        sides.append(torch.stack([first, last], dim=1).masked_fill(empty[:, None], 0) / count)
    x, y = sides
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)


def generalised_iou(one: Tensor, other: Tensor) -> Tensor:
    """Compute IoU minus the share of the enclosing box that neither box covers.

    Args:
        one: (N, 4) boxes, xyxy, each with a width and a height above zero.
        other: (N, 4), likewise.

    Returns:
        (N,) float in (-1, 1]; 1 where the boxes are equal.
    """
    overlap, union = intersection_and_union(one, other)
    hull = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(dim=1)
    return overlap / union - (hull - union) / hull


def intersection_and_union(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the areas that two boxes share and that they cover together.

    Args:
        one: (..., 4) boxes, xyxy.
        other: (..., 4), likewise; the leading dimensions are broadcast.

    Returns:
        Intersection and union, (...) each; 0 where both boxes are empty.
    """
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(dim=-1) for box in (one, other)]
    return shared, areas[0] + areas[1] - shared
