"""Matrices as bytes: each row shares one scale, so that a value costs one byte and is off by half a step at most."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlt.errors import CheckpointError

SCALE = ".scale"
"""What the name of a matrix's scales ends in, beside the matrix itself."""

STEPS = 127
"""From zero to the largest absolute value of a row."""


def to_bytes(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Rounds a matrix to 255 levels per row, symmetric about zero.

    Args:
        name: of the matrix.
        tensor: (R, ...) float, finite; a row is all that shares its first index: an output channel, a word.

    Returns:
        The int8 values (R, ...) under `name`, and the float32 scales (R,) under `name` with `SCALE` behind it.

    Example:
        >>> {name: tensor.tolist() for name, tensor in to_bytes("w", torch.tensor([[1.0, -127.0], [0.0, 0.0]])).items()}
        {'w': [[1, -127], [0, 0]], 'w.scale': [1.0, 1.0]}
    """
    largest = tensor.float().abs().flatten(1).amax(1)
    scale = torch.where(largest > 0, largest / STEPS, torch.ones_like(largest))
    return {name: (tensor / _along(scale, tensor)).round().to(torch.int8), name + SCALE: scale}


def from_bytes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes back `to_bytes` for every matrix that came through it; other tensors stay as they are.

    Raises:
        CheckpointError: int8 values without scales, or with scales of another number of rows.
    """
    packed = {name for name, tensor in tensors.items() if tensor.dtype == torch.int8}
    scales = {name + SCALE for name in packed}
    whole = {name: tensor for name, tensor in tensors.items() if name not in packed | scales}
    return whole | {name: _restored(name, tensors[name], tensors.get(name + SCALE)) for name in packed}


def _restored(name: str, values: Tensor, scale: Tensor | None) -> Tensor:
    if scale is None or not values.ndim or scale.shape != values.shape[:1]:
        found = "none" if scale is None else f"scales {tuple(scale.shape)}"
        raise CheckpointError(f"{name} {tuple(values.shape)} needs a scale per row, but has {found}")
    return values.float() * _along(scale, values)


def _along(scale: Tensor, tensor: Tensor) -> Tensor:
    """The scales (R,), shaped so that each meets its row of `tensor` (R, ...)."""
    return scale.view(-1, *[1] * (tensor.ndim - 1))
