"""Compare graphs with the network that they were traced from, at many sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from vlt.errors import CheckpointError
from vlt.export.parts import Inputs, Part
from vlt.infer.onnx_session import open_session

TOLERANCE = 1e-2
"""Largest difference that is accepted, in standard deviations of the output."""


def compare(part: Part, folder: Path, weights: str) -> float:
    """Run a graph and the part of the network that it was traced from on random inputs of many sizes.

    Args:
        part: the part.
        folder: has the graph and the weight file.
        weights: SHA-256 of the weight file.

    Returns:
        The largest absolute difference of an output, in standard deviations of the network's output.

    Raises:
        CheckpointError: the graph cannot be loaded, or differs by more than `TOLERANCE`.
    """
    session = open_session(folder / part.graph, weights)
    known = {each.name for each in session.get_inputs()}
    largest = 0.0
    for size in part.sizes:
        inputs = part.inputs(*size)
        expected = part.run(inputs)
        feed = {name: x.numpy() for name, x in flat(inputs).items() if name in known}
        for found, wanted in zip(session.run(list(expected), feed), expected.values(), strict=True):
            largest = max(largest, distance(found, wanted.numpy()))
    if not largest <= TOLERANCE:
        raise CheckpointError(
            f"The graph {part.graph} differs from the network by {largest:.1e} standard deviations, more than "
            f"{TOLERANCE:g}; another version of torch or onnxruntime may be at fault."
        )
    return largest


def flat(inputs: Inputs) -> dict[str, Tensor]:
    """Return the tensors of inputs by name, those in dicts among them."""
    tensors: dict[str, Tensor] = {}
    for name, x in inputs.items():
        tensors |= x if isinstance(x, dict) else {name: x}
    return tensors


def distance(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    """Compute the largest absolute difference in standard deviations of `wanted`; infinity where one is not finite."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return np.inf
    if wanted.dtype.kind != "f":
        return 0.0 if (found == wanted).all() else np.inf
    finite = np.isfinite(wanted)
    if (np.isfinite(found) != finite).any():
        return np.inf
    scale = max(float(wanted[finite].std()), float(np.finfo(np.float32).tiny))
    return float(np.abs(found[finite] - wanted[finite]).max()) / scale
