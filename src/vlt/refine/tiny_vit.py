"""TinyViT (Wu et al. 2022) at the sizes of MobileSAM (Zhang et al. 2023): image encoder of the promptable segmenter.

The batch normalisations of training are folded into the convolutions before them; so there are none here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (0, 4, 5, 10)
WINDOWS = (0, 7, 14, 7)
"""Width, number of blocks, attention heads and side of a window of each stage; the first has convolutions only."""
MERGING_STRIDES = (2, 2, 1)
"""Stride of the patch merging after each stage but the last; 1 keeps the grid."""
EXPANSION = 4
OUT_CHANNELS = 256


class TinyViT(nn.Module):
    """Image (B, 3, H, W) to feature map (B, 256, H / 16, W / 16)."""

    stride = 16

    def __init__(self) -> None:
        super().__init__()
        half = WIDTHS[0] // 2
        self.stem = nn.Sequential(nn.Conv2d(3, half, 3, 2, 1), nn.GELU(), nn.Conv2d(half, WIDTHS[0], 3, 2, 1))
        self.stages = nn.ModuleList()
        for width, depth, heads, window in zip(WIDTHS, DEPTHS, HEADS, WINDOWS, strict=True):
            blocks = (WindowBlock(width, heads, window) if heads else InvertedBottleneck(width) for _ in range(depth))
            self.stages.append(nn.Sequential(*blocks))
        self.merges = nn.ModuleList(
            PatchMerging(*pair, stride) for pair, stride in zip(pairwise(WIDTHS), MERGING_STRIDES, strict=True)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], OUT_CHANNELS, 1, bias=False),
            ChannelNorm(OUT_CHANNELS),
            nn.Conv2d(OUT_CHANNELS, OUT_CHANNELS, 3, padding=1, bias=False),
            ChannelNorm(OUT_CHANNELS),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W), H and W multiples of 16, to a feature map (B, 256, H / 16, W / 16)."""
        x = self.stem(pixels)
        for stage, merge in zip(self.stages, [*self.merges, nn.Identity()], strict=True):
            x = merge(stage(x))
        encoded: Tensor = self.neck(x)
        return encoded


class DepthwiseConv(nn.Conv2d):
    """3 x 3 convolution of each channel by itself: (B, channels, H, W) to (B, channels, H / stride, W / stride).

    Args:
        channels: in and out.
        stride: 1 or 2.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__(channels, channels, 3, stride, 1, groups=channels)


class InvertedBottleneck(nn.Module):
    """MobileNet's block: expand the channels, convolve each by itself, reduce them (source: Sandler et al. 2018).

    Args:
        dim: width in and out.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = EXPANSION * dim
        self.convs = nn.Sequential(
            nn.Conv2d(dim, wide, 1), nn.GELU(), DepthwiseConv(wide), nn.GELU(), nn.Conv2d(wide, dim, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to the same shape."""
        return F.gelu(x + self.convs(x))


class PatchMerging(nn.Module):
    """Change a map to the width and grid of the next stage.

    Args:
        dim: width of the input.
        out_dim: width of the output.
        stride: factor by which the grid shrinks.
    """

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(dim, out_dim, 1),
            nn.GELU(),
            DepthwiseConv(out_dim, stride),
            nn.GELU(),
            nn.Conv2d(out_dim, out_dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to (B, out_dim, H / stride, W / stride)."""
        merged: Tensor = self.convs(x)
        return merged


class WindowBlock(nn.Module):
    """Attention within windows, a convolution across their borders, a feed-forward network.

    Args:
        dim: width in and out.
        heads: number of attention heads.
        window: side of a window in positions.
    """

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attention = WindowAttention(dim, heads, window)
        self.local = DepthwiseConv(dim)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, EXPANSION * dim), nn.GELU(), nn.Linear(EXPANSION * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to the same shape."""
        x = self.local(x + self.attend(x))
        fed: Tensor = self.feedforward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + fed

    def attend(self, x: Tensor) -> Tensor:
        """Attend within each window of a map (B, dim, H, W), to the same shape.

        Windows at the border are padded with zeros, which are attended to, as in training.
        """
        (height, width), side = x.shape[-2:], self.window
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = (length // side for length in padded.shape[1:3])
        windows = padded.unflatten(2, (columns, side)).unflatten(1, (rows, side))  # (B, rows, side, columns, side, C)
        positions = windows.transpose(2, 3).flatten(3, 4).flatten(0, 2)  # (windows, side * side, C)
        attended = self.attention(positions).unflatten(1, (side, side)).unflatten(0, (len(x), rows, columns))
        whole = attended.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return whole[:, :height, :width].permute(0, 3, 1, 2)


class WindowAttention(nn.Module):
    """Self-attention with a bias for each distance in rows and columns (source: LeViT, Graham et al. 2021).

    Args:
        dim: width in and out.
        heads: number of heads, of width `dim / heads` each.
        window: side of the square of positions.
    """

    distances: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.joint = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window * window)
        row, column = place // window, place % window
        apart = (row[:, None] - row).abs() * window + (column[:, None] - column).abs()
        self.register_buffer("distances", apart, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B, window * window, dim) to the same shape."""
        each = self.joint(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, 3 * dim / heads)
        query, key, value = each.chunk(3, dim=-1)
        bias = self.biases[:, self.distances].to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map.

    Args:
        channels: channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def fold(weight: Tensor, statistics: Sequence[Tensor], eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Fold a batch normalisation into the convolution before it, which has no bias.

    Args:
        weight: (O, I, k, k).
        statistics: the normalisation's weight, bias, running mean and running variance, (O,) each.
        eps: epsilon of the normalisation.

    Returns:
        Weight (O, I, k, k) and bias (O,).
    """
    gain, bias, mean, variance = statistics
    scale = gain / (variance + eps).sqrt()
    return weight * scale[:, None, None, None], bias - mean * scale
