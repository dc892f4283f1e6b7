"""What guides training on the way to the mask: a coarse one, the choice among a photo's things, and their boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.config import LossConfig
from vlt.losses.mask import bce_loss, dice_loss, resize_targets

OVERLAP = 0.3
"""Share of the smaller of two targets from which on they are no rivals: the same thing, or a part of it."""
COVERED = 0.5
"""Share of a position that a thing must cover for the position to tell the thing's box."""
ABSENT = 1e-4
"""Share of the input below which a target is taken for nothing."""


def guidance_loss(
    responses: Tensor, boxes: Tensor | None, targets: Tensor, image_index: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """The guiding losses of a batch whose weight is above zero.

    Args:
        responses: (B, Q, h, w), the map each weighed answer paints; their mean makes the logits of a coarse mask.
        boxes: (B, 4, h', w') of the photo of each expression, xyxy in shares of the input; None where none are told.
        targets: (B, 1, H, W) float in [0, 1].
        image_index: (B,) int64, the photo of each expression.
        config: the weight of each part.

    Returns:
        Scalars: "total", and unweighted "coarse", "choice" and "box" where their weight is above zero.
    """
    logits, targets = responses.float().mean(dim=1, keepdim=True), targets.float()
    parts: dict[str, Tensor] = {}
    if config.coarse:
        parts["coarse"] = coarse_loss(logits, targets, config)
    if config.choice:
        parts["choice"] = choice_loss(logits, targets, image_index)
    if config.box and boxes is not None:
        parts["box"] = box_loss(boxes.float(), targets, image_index)
    total = sum((getattr(config, name) * part for name, part in parts.items()), logits.new_zeros(()))
    return {"total": total, **parts}


def coarse_loss(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Cross-entropy and Dice, weighed as those of the mask itself, on a coarse grid.

    Args:
        logits: (B, 1, h, w).
        targets: (B, 1, H, W) in [0, 1].
        config: the weights of both.
    """
    small = resize_targets(targets, (logits.shape[-2], logits.shape[-1]), "mean")
    return config.bce * bce_loss(logits, small, "mean") + config.dice * dice_loss(logits, small)


def choice_loss(logits: Tensor, targets: Tensor, image_index: Tensor) -> Tensor:
    """Cross-entropy of choosing an expression's target among all targets of its photo in the batch.

    A thing's score is the mean of the expression's logits on it. Unlike losses over pixels this one does not care how
    large things are or where exactly they end: it is about which one is meant. Targets that overlap, such as other
    expressions' same one, or a person and the dress, are no rivals.

    Args:
        logits: (B, 1, h, w).
        targets: (B, 1, H, W) in [0, 1].
        image_index: (B,), the photo of each expression.

    Returns:
        A scalar, the mean over expressions that have a rival; 0 where none has.
    """
    there = resize_targets(targets, (logits.shape[-2], logits.shape[-1]), "mean").flatten(1)  # (B, h * w)
    areas = there.sum(dim=1)
    scores = logits.flatten(1) @ there.T / areas.clamp(min=1e-6)  # (B expressions, B things)
    is_there = targets.mean(dim=(1, 2, 3)) > ABSENT
    overlap = (there @ there.T) / torch.minimum(areas[:, None], areas).clamp(min=1e-6)
    rivals = (image_index[:, None] == image_index) & (overlap < OVERLAP) & is_there & is_there[:, None]
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    asked = rivals.any(dim=1)
    if not asked.any():
        return scores.sum() * 0
    # Rivals that several expressions mean count as often, which weighs what is often asked about.
    scores = scores.masked_fill(~(rivals | own), -torch.inf)[asked]
    return F.cross_entropy(scores, own.nonzero()[asked, 1])


def box_loss(boxes: Tensor, targets: Tensor, image_index: Tensor) -> Tensor:
    """How far the boxes told at the positions of things are from the things' own.

    L1 plus one minus the generalised IoU (source: Rezatofighi et al. 2019), averaged over the positions of each thing,
    then over things. Where targets of a photo overlap, such as a person and the dress, the larger one counts.

    Args:
        boxes: (B, 4, h, w), xyxy in shares of the input, those of the photo of each expression.
        targets: (B, 1, H, W) in [0, 1].
        image_index: (B,), the photo of each expression.

    Returns:
        A scalar; 0 where no position lies on a thing.
    """
    inside = _tellers(resize_targets(targets, (boxes.shape[-2], boxes.shape[-1]), "mean").flatten(1), image_index)
    told = boxes.flatten(2).transpose(1, 2)  # (B, h * w, 4)
    true = target_boxes(targets)[:, None].expand_as(told)
    expressions = inside.nonzero()[:, 0]
    if not len(expressions):
        return boxes.sum() * 0
    told, true = told[inside], true[inside]
    apart = (told - true).abs().mean(dim=-1) + 1 - generalised_iou(told, true)
    weights = 1 / inside.sum(dim=1)[expressions]
    return (apart * weights).sum() / weights.sum()


def _tellers(there: Tensor, image_index: Tensor) -> Tensor:
    """Which positions (B, N) tell the box of which target, from the share (B, N) of each that it covers."""
    covered, areas = there > COVERED, there.sum(dim=1)
    larger = (image_index[:, None] == image_index) & (areas > areas[:, None])  # (B, B): the second is the larger
    hidden = (larger.float() @ covered.float()) > 0
    return covered & ~hidden


def target_boxes(targets: Tensor) -> Tensor:
    """Boxes around what is above one half in targets (B, 1, H, W): (B, 4) xyxy in shares; zeros around nothing."""
    solid = targets[:, 0] > 0.5
    sides = []
    for dim in (1, 2):  # columns, then rows
        line = solid.any(dim=dim)  # (B, W), then (B, H)
        count = line.shape[1]
        first = line.int().argmax(dim=1)
        last = count - line.flip(1).int().argmax(dim=1)
        empty = ~line.any(dim=1)
        sides.append(torch.stack([first, last], dim=1).masked_fill(empty[:, None], 0) / count)
    (x, y) = sides
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)


def generalised_iou(one: Tensor, other: Tensor) -> Tensor:
    """IoU less the share of the hull that neither covers: in (-1, 1], 1 where they are equal.

    Args:
        one: (N, 4) boxes, xyxy, each with a width and a height above zero.
        other: (N, 4), likewise.
    """
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(dim=1) for box in (one, other)]
    union = areas[0] + areas[1] - overlap
    hull = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(dim=1)
    return overlap / union - (hull - union) / hull
