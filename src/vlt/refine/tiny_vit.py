"""TinyViT (Wu et al. 2022) at the sizes of MobileSAM (Zhang et al. 2023): the photo's half of a promptable segmenter.

Convolutions carry the batch normalisations that followed them in training, folded in; so there are none here.
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
"""Of each stage; the first is made of convolutions alone."""
MERGING_STRIDES = (2, 2, 1)
"""Behind each stage but the last, which keeps the third's grid."""
EXPANSION = 4
OUT_CHANNELS = 256


class TinyViT(nn.Module):
    """Photos to maps at stride 16."""

    stride = 16

    def __init__(self) -> None:
        super().__init__()
        half = WIDTHS[0] // 2
        self.stem = nn.Sequential(nn.Conv2d(3, half, 3, 2, 1), nn.GELU(), nn.Conv2d(half, WIDTHS[0], 3, 2, 1))
        self.stages = nn.ModuleList(_stage(level) for level in range(len(WIDTHS)))
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
        """Normalised photos (B, 3, H, W), H and W multiples of 16, to maps (B, 256, H / 16, W / 16)."""
        x = self.stem(pixels)
        for stage, merge in zip(self.stages, [*self.merges, nn.Identity()], strict=True):
            x = merge(stage(x))
        mapped: Tensor = self.neck(x)
        return mapped


def _stage(level: int) -> nn.Sequential:
    if not HEADS[level]:
        return nn.Sequential(*(InvertedBottleneck(WIDTHS[level]) for _ in range(DEPTHS[level])))
    return nn.Sequential(*(WindowBlock(WIDTHS[level], HEADS[level], WINDOWS[level]) for _ in range(DEPTHS[level])))


class InvertedBottleneck(nn.Module):
    """MobileNet's block: wide, each channel for itself, narrow again (source: Sandler et al. 2018).

    Args:
        dim: width in and out.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = EXPANSION * dim
        self.convs = nn.Sequential(
            nn.Conv2d(dim, wide, 1), nn.GELU(), _depthwise(wide), nn.GELU(), nn.Conv2d(wide, dim, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to the same."""
        return F.gelu(x + self.convs(x))


class PatchMerging(nn.Module):
    """To the next stage's width and grid.

    Args:
        dim: width of what comes in.
        out_dim: of what goes out.
        stride: of the grid.
    """

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(dim, out_dim, 1),
            nn.GELU(),
            _depthwise(out_dim, stride),
            nn.GELU(),
            nn.Conv2d(out_dim, out_dim, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to (B, out_dim, H / stride, W / stride)."""
        merged: Tensor = self.convs(x)
        return merged


class WindowBlock(nn.Module):
    """Attention within windows, a convolution over their borders, a feed-forward network.

    Args:
        dim: width in and out.
        heads: of attention.
        window: side of a window in positions.
    """

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attention = WindowAttention(dim, heads, window)
        self.local = _depthwise(dim)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, EXPANSION * dim), nn.GELU(), nn.Linear(EXPANSION * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to the same."""
        x = self.local(x + self._attended(x))
        fed: Tensor = self.feedforward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + fed

    def _attended(self, x: Tensor) -> Tensor:
        """Window by window; what fills up the last ones is seen, as it was in training."""
        (height, width), side = x.shape[-2:], self.window
        filled = F.pad(x, (0, -width % side, 0, -height % side))
        rows, columns = (length // side for length in filled.shape[-2:])
        windows = filled.unflatten(3, (columns, side)).unflatten(2, (rows, side))  # (B, C, rows, side, columns, side)
        words = windows.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)
        answered = self.attention(words).unflatten(1, (side, side)).unflatten(0, (len(x), rows, columns))
        whole = answered.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return whole[..., :height, :width]


class WindowAttention(nn.Module):
    """Self-attention with a bias for each distance in rows and columns (source: LeViT, Graham et al. 2021).

    Args:
        dim: width in and out.
        heads: of `dim / heads` each.
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
        """Windows (B, window * window, dim) to the same."""
        each = self.joint(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, 3 * dim / heads)
        query, key, value = each.chunk(3, dim=-1)
        bias = self.biases[:, self.distances].to(query.dtype)
        answered = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        out: Tensor = self.out(answered.transpose(1, 2).flatten(2))
        return out


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels)


def fold(weight: Tensor, statistics: Sequence[Tensor], eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """A convolution without a bias, and the batch normalisation behind it, as one with a bias.

    Args:
        weight: (O, I, k, k).
        statistics: the normalisation's weight, bias, running mean and running variance, (O,) each.
        eps: of the normalisation.

    Returns:
        Weight (O, I, k, k) and bias (O,).
    """
    gain, bias, mean, variance = statistics
    scale = gain / (variance + eps).sqrt()
    return weight * scale[:, None, None, None], bias - mean * scale
