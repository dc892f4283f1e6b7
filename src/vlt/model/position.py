"""Where things are: sinusoids over sequences and maps, and plain coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoid(length: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Positions of a sequence.

    Channel 2i holds sin(p / 10000^(2i/dim)), channel 2i+1 the cosine (source: Vaswani et al. 2017, 3.5).

    Args:
        length: number of positions, p = 0, 1, ...
        dim: channels, even.
        device: where to make it.

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
    """Positions of a map: the first half of the channels tells the row, the second the column.

    Args:
        height: rows.
        width: columns.
        dim: channels, a multiple of 4.
        device: where to make it.

    Returns:
        (height * width, dim) float32 in [-1, 1], row by row.
    """
    rows = sinusoid(height, dim // 2, device)[:, None].expand(height, width, dim // 2)
    columns = sinusoid(width, dim // 2, device)[None].expand(height, width, dim // 2)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def coordinates(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """X and y of every position from -1 to 1, both ends included; 0 along a side of one.

    Args:
        height: rows.
        width: columns.
        device: where to make it.

    Returns:
        (2, height, width) float32: x (growing to the right), then y (growing downwards).
    """
    x, y = (
        torch.linspace(-1, 1, side, device=device) if side > 1 else torch.zeros(1, device=device)
        for side in (width, height)
    )
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
