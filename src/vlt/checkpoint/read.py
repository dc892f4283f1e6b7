"""Read a checkpoint, offline and strictly: everything must fit, or an error names what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vlt.checkpoint.directory import CONFIG, REFINER, WEIGHTS
from vlt.checkpoint.opened import OpenedCheckpoint, listed, open_checkpoint, verify_files
from vlt.checkpoint.scaling import from_bytes
from vlt.config.run import Config
from vlt.errors import CheckpointError, ConfigError, reason
from vlt.model.build import build_model
from vlt.model.pretrained import SkipInitialisation
from vlt.model.vlt import VLT
from vlt.refine.refiner import Refiner
from vlt.text.reader import TextReader

LONGEST_REASON = 120
"""Largest number of characters quoted from the message of a library."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything needed to predict, rebuilt from one directory.

    Attributes:
        path: the directory it was read from.
        config: configuration of the run that made it, with the architecture of pretrained parts filled in.
        text: the text reader with the vocabulary of the weights.
        model: in eval mode, on the chosen device.
        meta: the content of meta.json; see `save_checkpoint`.
        refiner: refines mask outlines, on the same device; None: the checkpoint has none, or it was not loaded.
    """

    path: Path
    config: Config
    text: TextReader
    model: VLT
    meta: dict[str, Any]
    refiner: Refiner | None = None


def load_checkpoint(
    path: Path | str | None = None, device: torch.device | str | None = "cpu", *, refine: bool = True
) -> Checkpoint:
    """Rebuild the model of a checkpoint.

    Args:
        path: a checkpoint, a run (its best is taken), or a run's pointer file `best` or `last`; None: the model in the
            package.
        device: where the model goes; None: a GPU if there is one.
        refine: load the refiner too, if the checkpoint has one.

    Raises:
        CheckpointError: missing, a file, no checkpoint, from a newer format, damaged; weights that are not finite; a
            vocabulary that belongs to other weights; weights that do not fit, with the missing, unexpected and
            misshapen names.
        ConfigError: a device that this machine does not have.
    """
    return load_opened(open_checkpoint(path, refine=refine), device, refine=refine)


def load_opened(
    opened: OpenedCheckpoint, device: torch.device | str | None = "cpu", *, refine: bool = True
) -> Checkpoint:
    """Rebuild the model of a checkpoint that was opened.

    Args:
        opened: the checkpoint; its configuration may have been changed in what the weights do not depend on.
        device: see `load_checkpoint`.
        refine: see `load_checkpoint`.

    Raises:
        CheckpointError: see `load_checkpoint`.
        ConfigError: see `load_checkpoint`.
    """
    chosen = usable_device(device)
    folder, config, text = opened.path, opened.config, opened.text
    try:
        with SkipInitialisation():
            model = build_model(config.model, pretrained=False)
    except ConfigError as error:
        raise CheckpointError(f"The checkpoint {folder} is damaged, or of a newer vlt: {error}") from error
    tensors, metadata = read_tensors(folder / WEIGHTS)
    trained_with = metadata.get("text_fingerprint")
    if trained_with != text.fingerprint:
        raise CheckpointError(
            f"The vocabulary in {folder} (fingerprint {text.fingerprint[:12]}) does not belong to its weights, "
            f"trained with {str(trained_with)[:12]}; copy the whole directory of one checkpoint."
        )
    load_weights(model, tensors, f"in {folder}", f"its {CONFIG}")
    verify_files(folder, opened.hashes)
    refiner = read_refiner(folder / REFINER, chosen) if refine and (folder / REFINER).exists() else None
    return Checkpoint(folder, config, text, model.to(chosen).eval(), opened.meta, refiner)


def usable_device(device: torch.device | str | None) -> torch.device:
    """Find a device by its name; None: a GPU if there is one.

    Raises:
        ConfigError: this machine does not have it.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device in (None, "") else device
    try:
        if not isinstance(name, str | torch.device):
            raise TypeError(f"{type(name).__name__} is no name of a device")
        if torch.device(name).type == "meta":
            raise RuntimeError("it has no memory")
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        first = reason(error).split(". ")[0]  # what follows is a list of every backend
        short = first if len(first) <= LONGEST_REASON else f"{first[: LONGEST_REASON - 1]}…"
        raise ConfigError(f"The device {str(name)!r} cannot be used here ({short}); take 'cpu'.") from error


def read_tensors(path: Path, remedy: str = "copy the checkpoint again") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a weight file.

    Args:
        path: path of the file.
        remedy: what to do if it is damaged, for the error.

    Returns:
        The tensors by name, int8 matrices restored to float32; and the metadata of the file.

    Raises:
        CheckpointError: it is missing or damaged, or a tensor is not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({reason(error)}); {remedy}.") from error
    # Before int8 is restored: it is finite, so that of a packed file only the scales and the exact weights are checked.
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    broken = [name for name, tensor in floats.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"The weights in {path} are not all finite ({listed(broken)}), so its predictions would be meaningless; "
            "take an earlier checkpoint."
        )
    try:
        return from_bytes(tensors), metadata
    except CheckpointError as error:
        raise CheckpointError(f"{path} is damaged: {error}; {remedy}.") from None


def read_refiner(path: Path, device: torch.device, remedy: str = "pack it again") -> Refiner:
    """Rebuild a refiner from the file of its weights.

    Args:
        path: path of the file.
        device: where it goes.
        remedy: what to do if the file is damaged, for the error.

    Raises:
        CheckpointError: it is missing or damaged, or holds something else.
    """
    from vlt.refine.torch_segmenter import build_refiner  # noqa: PLC0415 (most checkpoints have none, and it takes a while)

    tensors, _ = read_tensors(path, remedy)
    try:
        with SkipInitialisation():
            return build_refiner(tensors, device)
    except RuntimeError as error:
        raise CheckpointError(f"{path} holds no weights of a refiner ({reason(error)}); {remedy}.") from None


def load_weights(model: VLT, tensors: Mapping[str, Tensor], where: str, described_by: str) -> None:
    """Load weights into a model; if any does not fit, load none and name those that do not.

    Args:
        model: the model to load into.
        tensors: by the model's own names.
        where: where they come from, for the error.
        described_by: what the model was built from, for the error.

    Raises:
        CheckpointError: with the first missing, unexpected and wrong-shape names and the number of others.
    """
    own = model.state_dict()
    problems = {
        "missing": sorted(own.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - own.keys()),
        "wrong shape": [
            f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
            for key in sorted(own.keys() & tensors.keys())
            if tensors[key].shape != own[key].shape
        ],
    }
    if any(problems.values()):
        kinds = "; ".join(f"{what}: {listed(keys)}" for what, keys in problems.items() if keys)
        raise CheckpointError(f"The weights {where} do not fit the network of {described_by} ({kinds}).")
    model.load_state_dict(tensors)
