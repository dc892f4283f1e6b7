"""Matrices as int8 with one scale per row: one byte per value, off by at most half a step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlt.checkpoint.opened import SCALE
from vlt.errors import CheckpointError

STEPS = 127
"""Steps from zero to the largest absolute value of a row."""


def to_bytes(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Round a matrix to 255 levels per row, symmetric about zero.

    Args:
        name: name of the matrix.
        tensor: (R, ...) float, finite; a row is all that shares its first index: an output channel, a word.

    Returns:
        The int8 values (R, ...) under `name`, and the float32 scales (R,) under `name` with `SCALE` appended.

    Example:
        >>> {name: tensor.tolist() for name, tensor in to_bytes("w", torch.tensor([[1.0, -127.0], [0.0, 0.0]])).items()}
        {'w': [[1, -127], [0, 0]], 'w.scale': [1.0, 1.0]}
    """
    largest = tensor.float().abs().flatten(1).amax(1)
    scale = torch.where(largest > 0, largest / STEPS, torch.ones_like(largest))
    per_row = scale.view(-1, *[1] * (tensor.ndim - 1))
    return {name: (tensor / per_row).round().to(torch.int8), name + SCALE: scale}


def from_bytes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Restore every matrix that `to_bytes` rounded, as float32; other tensors stay as they are.

    Raises:
        CheckpointError: int8 values without scales, or with scales for another number of rows.
    """
    packed = {name for name, tensor in tensors.items() if tensor.dtype == torch.int8}
    scales = {name + SCALE for name in packed}
    restored = {name: tensor for name, tensor in tensors.items() if name not in packed | scales}
    for name in packed:
        values, scale = tensors[name], tensors.get(name + SCALE)
        if scale is None or not values.ndim or scale.shape != values.shape[:1]:
            found = "none" if scale is None else f"scales {tuple(scale.shape)}"
            raise CheckpointError(f"{name} {tuple(values.shape)} needs a scale per row, but has {found}")
        restored[name] = values.float() * scale.view(-1, *[1] * (values.ndim - 1))
    return restored
