"""Layers that several boxes of the figure share: convolutions, positional encodings, and modules that can be frozen."""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Self = TypeVar("Self", bound="Freezable")
Module = TypeVar("Module", bound=nn.Module)


def copy_sharing_weights(module: Module) -> Module:
    """Copy a module; parameters and buffers are shared, not copied."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)


class Freezable(nn.Module):
    """A module whose first blocks can be frozen.

    A frozen block has no gradients and stays in eval mode: its batch normalisation collects no statistics and its
    dropout drops nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    def blocks(self) -> list[nn.Module]:
        """List the parts with pretrained parameters, from the input onwards: the blocks that `train_last` counts."""
        raise NotImplementedError

    def train_last(self, count: int | None) -> None:
        """Freeze all but the last blocks.

        Args:
            count: how many blocks train; None: all of them.
        """
        blocks = self.blocks()
        self.freeze([] if count is None else blocks[: max(0, len(blocks) - count)])

    def freeze(self, blocks: list[nn.Module]) -> None:
        """Freeze these blocks, which stay so."""
        self._frozen = blocks
        for block in self._frozen:
            block.requires_grad_(False).eval()

    def train(self: Self, mode: bool = True) -> Self:
        """Set the mode of everything that is not frozen."""
        super().train(mode)
        for block in self._frozen:
            block.eval()
        return self


class SharedDropout(nn.Module):
    """Dropout of whole channels: one mask per entry of the batch, shared by all positions in between.

    Drawing a random number per element would take longer than the products around it.

    Args:
        share: share of the channels dropped while training.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Tensor (B, ..., C) to the same shape."""
        if not self.training or not self.share:
            return x
        kept = x.new_ones(len(x), *(1,) * (x.ndim - 2), x.shape[-1])
        return x * F.dropout(kept, self.share)


# ---------------------------------------------------------------- convolutions


class BatchConv(nn.Sequential):
    """Convolution without bias, batch normalisation, LeakyReLU(0.1): the unit of Darknet and of the original network.

    Maps (B, in_channels, H, W) to (B, out_channels, H, W). Keras' momentum 0.99 is 0.01 in PyTorch's convention
    (source: docs/model.md, "The reference network").

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the square kernel; the padding keeps the size.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        self.act = nn.LeakyReLU(0.1, inplace=True)


class DownConv(nn.Module):
    """Halve a feature map as Darknet does: pad a zero row on top and a zero column on the left, then stride 2.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((1, 0, 1, 0))
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        self.act = nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W), H and W even, to (B, out_channels, H / 2, W / 2)."""
        return self.act(self.norm(self.conv(self.pad(x))))


def fold_norms(network: nn.Module) -> None:
    """Fold the batch normalisation of each `BatchConv` and `DownConv` into its convolution; for prediction only.

    Args:
        network: in eval mode; changed in place.
    """
    for module in network.modules():
        if isinstance(module, BatchConv | DownConv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()


class GroupConv(nn.Sequential):
    """Convolution, group normalisation, GELU: the unit of the improved network.

    Maps (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)). Group statistics do not depend
    on the rest of the batch, so training works with small batches and on several devices.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the square kernel; the padding keeps the size at stride 1.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(math.gcd(out_channels, 8), out_channels)  # at most 8 groups
        self.act = nn.GELU()


# ---------------------------------------------------------------- positions


def sinusoid(length: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Positional encoding of a sequence.

    Channel 2i holds sin(p / 10000^(2i/dim)), channel 2i+1 the cosine (source: Vaswani et al. 2017, 3.5).

    Args:
        length: number of positions, p = 0, 1, ...
        dim: channels, even.
        device: device of the result.

    Returns:
        (length, dim) float32 in [-1, 1].

    Example:
        >>> sinusoid(2, 4)[0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    rates = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10000.0) / dim))
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def map_sinusoid(height: int, width: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Positional encoding of a feature map: the first half of the channels encodes the row, the second the column.

    Args:
        height: rows.
        width: columns.
        dim: channels, a multiple of 4.
        device: device of the result.

    Returns:
        (height * width, dim) float32 in [-1, 1], row by row.
    """
    rows = sinusoid(height, dim // 2, device)[:, None].expand(height, width, dim // 2)
    columns = sinusoid(width, dim // 2, device)[None].expand(height, width, dim // 2)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def coordinates(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """X and y of every position of a feature map, from -1 to 1 with both ends included; 0 along a side of length one.

    Args:
        height: rows.
        width: columns.
        device: device of the result.

    Returns:
        (2, height, width) float32: x (growing to the right), then y (growing downwards).
    """
    x, y = (
        torch.linspace(-1, 1, side, device=device) if side > 1 else torch.zeros(1, device=device)
        for side in (width, height)
    )
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


# ---------------------------------------------------------------- boxes

BOX_OCTAVES = 4
"""Number of sine frequencies in the encoding of a box, so that similar boxes differ clearly."""
BOX_CHANNELS = 8 * (1 + BOX_OCTAVES)
"""Channels of the encoding of a box: four sides, centre and size, each as a number and as a sine per frequency."""


def box_encoding(boxes: Tensor) -> Tensor:
    """Encode boxes (..., 4) xyxy, as shares of the input, to (..., BOX_CHANNELS) of about unit scale."""
    upper, lower = boxes[..., :2], boxes[..., 2:]
    numbers = torch.cat([boxes, (upper + lower) / 2, lower - upper], dim=-1) * 2 - 1
    waves = [torch.sin(numbers * (torch.pi * 2**octave)) for octave in range(BOX_OCTAVES)]
    return torch.cat([numbers, *waves], dim=-1)


def shared_area(boxes: Tensor) -> Tensor:
    """Compute the area that each pair of boxes of an image shares, (U, N, 4) xyxy to (U, N, N)."""
    upper = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    lower = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    return (lower - upper).clamp(min=0).prod(dim=3)
