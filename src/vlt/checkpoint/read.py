"""Reads a checkpoint back, offline and strictly: all of it fits, or one sentence says what does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vlt.checkpoint.layout import CONFIG, FORMAT, META, REFINER, WEIGHTS, reason
from vlt.checkpoint.run import find_checkpoint
from vlt.checkpoint.scaling import from_bytes
from vlt.config import Config, load_config
from vlt.data.text import TextReader, load_text
from vlt.errors import CheckpointError, ConfigError
from vlt.model.build import build_model
from vlt.model.initialisation import SkipInitialisation
from vlt.model.vlt import VLT
from vlt.version import __version__

if TYPE_CHECKING:
    from vlt.refine import Refiner


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything needed to answer, rebuilt from one directory.

    Attributes:
        path: the directory it was read from.
        config: of the run that made it, with the architecture of pretrained parts filled in.
        text: turns expressions into the words that the weights know.
        model: in eval mode, on the device asked for.
        meta: what meta.json says; see `save_checkpoint`.
        refiner: sharpens the model's answers, on the same device; None: it has none, or it was not asked for.
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
    """Rebuilds the model of a checkpoint.

    Args:
        path: a checkpoint, a run (its best is taken), or a run's pointer file `best` or `last`; None: the model that
            comes with the package.
        device: where the model goes; None: a GPU where there is one.
        refine: load the refiner, too, where the checkpoint has one.

    Raises:
        CheckpointError: missing, a file, no checkpoint, from a newer format, damaged; a vocabulary that does not belong
            to the weights; weights that do not fit, with every missing, unexpected and wrong-shape key.
        ConfigError: a device that this machine does not have.
    """
    chosen = usable_device(device)
    folder = find_checkpoint(path)
    meta = _read_meta(folder)
    config, text, model = _rebuild(folder)
    load_weights(model, _read_weights(folder, text.fingerprint), f"in {folder}", f"its {CONFIG}")
    refiner = read_refiner(folder / REFINER, chosen) if refine and (folder / REFINER).exists() else None
    return Checkpoint(path=folder, config=config, text=text, model=model.to(chosen).eval(), meta=meta, refiner=refiner)


def usable_device(device: torch.device | str | None) -> torch.device:
    """The device of that name; None: a GPU where there is one.

    Raises:
        ConfigError: this machine does not have it.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"The device {str(name)!r} cannot be used here ({reason(error)}); take 'cpu'.") from error


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / META
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({reason(error)}); the checkpoint is damaged.") from error
    version = meta.get("format") if isinstance(meta, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path} states no format number; the checkpoint is damaged.")
    if version > FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {version}, but vlt {__version__} reads up to format {FORMAT}; upgrade vlt."
        )
    return dict(meta)


def _rebuild(folder: Path) -> tuple[Config, TextReader, VLT]:
    """The configuration, the text reader, and the network, its weights yet to be loaded."""
    try:
        config = load_config(folder / CONFIG)
        text = load_text(config.model, folder)
        with SkipInitialisation():
            return config, text, build_model(config.model, pretrained=False)
    except ConfigError as error:
        raise CheckpointError(f"The checkpoint {folder} is damaged, or of a newer vlt: {error}") from error


def _read_weights(folder: Path, text_fingerprint: str) -> dict[str, Tensor]:
    """The tensors of the weight file, provided they were trained with the vocabulary of that fingerprint."""
    tensors, told = read_tensors(folder / WEIGHTS)
    trained_with = told.get("text_fingerprint")
    if trained_with != text_fingerprint:
        raise CheckpointError(
            f"The vocabulary in {folder} (fingerprint {text_fingerprint[:12]}) does not belong to its weights, "
            f"trained with {str(trained_with)[:12]}; copy the whole directory of one checkpoint."
        )
    return tensors


def read_tensors(path: Path, remedy: str = "copy the checkpoint again") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a weight file, bytes taken back to numbers, and what is told beside them.

    Args:
        path: of the file.
        remedy: what to do where it is damaged.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({reason(error)}); {remedy}.") from error
    try:
        return from_bytes(tensors), told
    except CheckpointError as error:
        raise CheckpointError(f"{path} is damaged: {error}; {remedy}.") from None


def read_refiner(path: Path, device: torch.device, remedy: str = "pack it again") -> Refiner:
    """Rebuilds a refiner from the file of its weights.

    Args:
        path: of the file.
        device: to put it on.
        remedy: what to do where it is none.

    Raises:
        CheckpointError: it is missing or damaged, or holds something else.
    """
    from vlt.refine import build_refiner  # noqa: PLC0415 (most checkpoints have none, and it takes a while)

    tensors, _ = read_tensors(path, remedy)
    try:
        with SkipInitialisation():
            refiner = build_refiner(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} holds no weights of a refiner ({reason(error)}); {remedy}.") from None
    refiner.segmenter.to(device)
    return refiner


def load_weights(model: VLT, tensors: Mapping[str, Tensor], where: str, described_by: str) -> None:
    """Loads all, or nothing and says what does not fit.

    Args:
        model: gets the weights.
        tensors: by the model's own names.
        where: they lie, for the message.
        described_by: what the model was built from, for the message.

    Raises:
        CheckpointError: with every missing, unexpected and wrong-shape key.
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
        listed = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in problems.items() if keys)
        raise CheckpointError(f"The weights {where} do not fit the network of {described_by} ({listed}).")
    model.load_state_dict(tensors)
