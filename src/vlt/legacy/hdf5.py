"""Read the weight files that Keras writes: layers by name, each with its weights in Keras' order."""

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
    """One layer of a file; its values stay on disk until they are read.

    Attributes:
        name: as in the file, such as conv2d_12.
        weights: name and shape of each weight, in Keras' order: the last part of its name without the layer's, such as
            kernel or Wq, and its shape in Keras' layout.
        datasets: HDF5 data set of each weight, readable while the file is open.
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
        """Read one weight: float32, in the shape and layout that `weights` states.

        Args:
            index: index of the weight in `weights`.

        Raises:
            CheckpointError: the values cannot be read.
        """
        dataset = self.datasets[index]
        with _readable(Path(dataset.file.filename)):
            return torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))


@contextmanager
def keras_layers(path: Path) -> Iterator[list[KerasLayer]]:
    """Open a weight file and list its layers; a context manager.

    A file that holds a whole saved model has the same layout one group deeper; both are read.

    Args:
        path: path of an HDF5 file.

    Yields:
        The layers that have weights, in the file's order.

    Raises:
        CheckpointError: missing, a directory, not HDF5 or truncated, damaged, or without Keras' layout.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory, not a Keras weight file; name the .h5 file inside it.")
    if not path.exists():
        raise CheckpointError(f"There is no weight file {path}; check the path.")
    with ExitStack() as stack:
        layers = []
        with _readable(path):
            file = stack.enter_context(h5py.File(path, "r"))
            for name, group in _members(file.get("model_weights", file), "layer_names", path).items():
                datasets = _members(group, "weight_names", path)
                # bidirectional_1/forward_gru_1/kernel:0 becomes kernel; the original's own layers repeat their name in
                # front of Wq, b1 and the like, which is left out too.
                leaves = [
                    re.sub(r"^.*_(?=[Wb][qkvo12]$)", "", weight.rsplit("/", 1)[-1].split(":")[0]) for weight in datasets
                ]
                shapes = [tuple(int(side) for side in dataset.shape) for dataset in datasets.values()]
                if datasets:
                    weights = tuple(zip(leaves, shapes, strict=True))
                    layers.append(KerasLayer(name, weights, tuple(datasets.values())))
        yield layers


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Replace any error of h5py in the block by a `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # its class depends on the damage
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as HDF5: it is damaged, cut short or of "
            f"another kind ({reason}); fetch it again."
        ) from None


def _members(group: Any, attribute: str, path: Path) -> dict[str, Any]:
    """Read the members that an attribute of a group lists.

    Keras splits a list that is longer than HDF5 allows into attribute0, attribute1, ...
    """
    chunks = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(chunks)}" in group.attrs:
        chunks.append(group.attrs[f"{attribute}{len(chunks)}"])
    if not chunks:
        raise CheckpointError(f"{path} is not a Keras weight file: group {group.name} has no attribute {attribute!r}.")
    names = [name.decode() if isinstance(name, bytes) else str(name) for chunk in chunks for name in chunk]
    missing = [name for name in names if name not in group]
    if missing:
        raise CheckpointError(
            f"{path} is damaged: group {group.name} lists {missing[0]!r} but does not hold it; fetch it again."
        )
    return {name: group[name] for name in names}
