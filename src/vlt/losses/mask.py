"""What training minimises: binary cross-entropy and Dice on the mask, and the original's penalty on convolutions."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.config import LossConfig

DICE_SMOOTHING = 1e-4
"""Added above and below in `dice_loss`, as a share of the map: one pixel of 100 x 100."""


def segmentation_loss(
    logits: Tensor, targets: Tensor, config: LossConfig, convolution_kernels: Iterable[Tensor] = ()
) -> dict[str, Tensor]:
    """The loss of a batch, with the parts it is made of.

    The target comes down to the logits' size in the way of `config.reduction`: `mean` averages the area under each
    pixel, so that the loss hardly depends on the mask's resolution; `sum` picks the nearest, which together with the
    sum over pixels is the original's loss (source: docs of the original network, "Training").

    Args:
        logits: (B, 1, h, w), before the sigmoid; any float dtype, computed in float32.
        targets: (B, 1, H, W) float in [0, 1], any size.
        config: the weight of each part, and the reduction over pixels.
        convolution_kernels: the weights that `config.conv_l2` penalises.

    Returns:
        Scalars: "total", and unweighted those of "bce", "dice" and "conv_l2" whose weight is above zero.
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
    """Targets at the size of the logits.

    Args:
        targets: (B, 1, H, W) float in [0, 1].
        size: (h, w) in pixels.
        reduction: "mean" averages areas, keeping the mean of the target; "sum" picks the nearest pixel above and left,
            as OpenCV's INTER_NEAREST does.

    Returns:
        (B, 1, h, w) float in [0, 1].
    """
    return F.interpolate(targets, size, mode="area" if reduction == "mean" else "nearest")


def bce_loss(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Binary cross-entropy, from logits for the sake of large ones.

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
    """One minus the soft Dice coefficient of each sample, averaged over the batch.

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
