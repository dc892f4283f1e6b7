"""Reads the weight files that Keras writes: layers by name, each with its weights in Keras' order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import torch
from torch import Tensor

from vlt.errors import CheckpointError

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """One layer of a file, its values still on disk.

    Attributes:
        name: as in the file, such as conv2d_12.
        weights: the last part of each weight's name without the layer's, such as kernel or Wq, and its shape in Keras'
            layout; in Keras' order.
        datasets: where the values lie, readable while the file is open.
    """

    name: str
    weights: tuple[tuple[str, Shape], ...]
    datasets: tuple[h5py.Dataset, ...]

    @property
    def class_name(self) -> str:
        """The name without its number: conv2d for conv2d, conv2d_0 and conv2d_12."""
        return re.sub(r"_\d+$", "", self.name)

    @property
    def number(self) -> int:
        """The number in the name; a bare name, which newer versions of Keras give to the first layer, counts as 0."""
        match = re.search(r"_(\d+)$", self.name)
        return int(match[1]) if match else 0

    def values(self, index: int) -> Tensor:
        """The numbers of one weight, float32, in Keras' layout.

        Raises:
            CheckpointError: they cannot be read.
        """
        dataset = self.datasets[index]
        with _readable(Path(dataset.file.filename)):
            return torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))


@contextmanager
def keras_layers(path: Path) -> Iterator[list[KerasLayer]]:
    """Opens a weight file for as long as its values are needed.

    A file that holds a whole saved model has the same layout one group deeper; both are read. Layers without weights
    are left out.

    Raises:
        CheckpointError: missing, a directory, not HDF5 or truncated, damaged, or without Keras' layout.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory, not a Keras weight file; name the .h5 file inside it.")
    if not path.exists():
        raise CheckpointError(f"There is no weight file {path}; check the path.")
    with ExitStack() as stack:
        with _readable(path):
            file = stack.enter_context(h5py.File(path, "r"))
            layers = list(_layers(file, path))
        yield layers


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what goes wrong inside h5py into one sentence."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # h5py raises whatever a damaged file provokes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as HDF5: it is damaged, cut short or of "
            f"another kind ({reason}); fetch it again."
        ) from None


def _layers(file: h5py.File, path: Path) -> Iterator[KerasLayer]:
    root = file.get("model_weights", file)
    for name in _names(root, "layer_names", path):
        group = _member(root, name, path)
        names = _names(group, "weight_names", path)
        datasets = tuple(_member(group, weight, path) for weight in names)
        if datasets:
            leaves = (_leaf(weight) for weight in names)
            shapes = (tuple(int(side) for side in dataset.shape) for dataset in datasets)
            yield KerasLayer(name, tuple(zip(leaves, shapes, strict=True)), datasets)


def _leaf(weight_name: str) -> str:
    """bidirectional_1/forward_gru_1/kernel:0 to kernel; the original's own layers repeat their name: to Wq, b1."""
    last = weight_name.rsplit("/", 1)[-1].split(":")[0]
    return re.sub(r"^.*_(?=[Wb][qkvo12]$)", "", last)


def _names(group: Any, attribute: str, path: Path) -> list[str]:
    """A list of names, which Keras splits into attribute0, attribute1, ... where it is longer than HDF5 allows."""
    chunks = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(chunks)}" in group.attrs:
        chunks.append(group.attrs[f"{attribute}{len(chunks)}"])
    if not chunks:
        raise CheckpointError(f"{path} is not a Keras weight file: group {group.name} has no attribute {attribute!r}.")
    return [name.decode() if isinstance(name, bytes) else str(name) for chunk in chunks for name in chunk]


def _member(group: Any, name: str, path: Path) -> Any:
    if name not in group:
        raise CheckpointError(
            f"{path} is damaged: group {group.name} lists {name!r} but does not hold it; fetch it again."
        )
    return group[name]
