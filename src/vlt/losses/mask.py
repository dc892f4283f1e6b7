"""Losses on the predicted mask: binary cross-entropy, Dice, and the original's L2 penalty on convolution kernels."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.config.run import LossConfig

DICE_SMOOTHING = 1e-4
"""Smoothing term of `dice_loss`, added to numerator and denominator, as a share of the map: one pixel of 100 x 100."""


def segmentation_loss(
    logits: Tensor, targets: Tensor, config: LossConfig, convolution_kernels: Iterable[Tensor] = ()
) -> dict[str, Tensor]:
    """Compute the weighted loss of a batch and its unweighted parts.

    Targets are reduced to the size of the logits according to `config.reduction`: `mean` averages the area under each
    pixel, so that the loss hardly depends on the mask's resolution; `sum` picks the nearest pixel, which together with
    the sum over pixels is the original's loss (source: docs of the original network, "Training").

    Args:
        logits: (B, 1, h, w), before the sigmoid; any float dtype, computed in float32.
        targets: (B, 1, H, W) float in [0, 1], any size.
        config: weight of each part, and the reduction over pixels.
        convolution_kernels: weights penalised by `config.conv_l2`.

    Returns:
        Scalars: "total", and unweighted "bce", "dice" and "conv_l2" where their weight is above zero.
    """
    logits = logits.float()
    targets = resize_targets(targets.float(), (logits.shape[-2], logits.shape[-1]), config.reduction)
    parts: dict[str, Tensor] = {}
    if config.bce:
        parts["bce"] = bce_loss(logits, targets, config.reduction)
    if config.dice:
        parts["dice"] = dice_loss(logits, targets)
    if config.conv_l2:
        parts["conv_l2"] = sum((kernel.float().square().sum() for kernel in convolution_kernels), logits.new_zeros(()))
    total = sum((getattr(config, name) * part for name, part in parts.items()), logits.new_zeros(()))
    return {"total": total, **parts}


def resize_targets(targets: Tensor, size: tuple[int, int], reduction: str) -> Tensor:
    """Resize targets to the size of the logits.

    Args:
        targets: (B, 1, H, W) float in [0, 1].
        size: (h, w) in pixels.
        reduction: "mean" averages areas and keeps the mean of the target; "sum" picks the nearest pixel above and left,
            like OpenCV's INTER_NEAREST.

    Returns:
        (B, 1, h, w) float in [0, 1].
    """
    return F.interpolate(targets, size, mode="area" if reduction == "mean" else "nearest")


def bce_loss(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Compute binary cross-entropy from logits, which is stable for large ones.

    Args:
        logits: (B, 1, h, w).
        targets: (B, 1, h, w) in [0, 1]; may be soft.
        reduction: "mean" over pixels and batch; "sum" over pixels, divided by the batch.

    Returns:
        A scalar, at least zero.
    """
    if reduction == "mean":
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute one minus the soft Dice coefficient of each sample, averaged over the batch.

    Dice = (2 mean(p t) + s) / (mean(p) + mean(t) + s), p = sigmoid(logits), s = `DICE_SMOOTHING` (source: Milletari et
    al. 2016, V-Net, section 3, with p and t in place of their squares). Means over the map instead of sums make
    the smoothing a share of the map, and the loss the same at every resolution. Per sample, so that small objects
    weigh as much as large ones. Two empty masks give 0.

    Args:
        logits: (B, 1, h, w).
        targets: (B, 1, h, w) in [0, 1]; may be soft.

    Returns:
        A scalar in [0, 1].
    """
    probability, targets = torch.sigmoid(logits).flatten(1), targets.flatten(1)  # (B, h * w)
    overlap = (probability * targets).mean(1)
    total = probability.mean(1) + targets.mean(1)
    dice = (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    return (1 - dice).mean()
