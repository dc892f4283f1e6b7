"""Read a checkpoint, offline and strictly: everything must fit, or an error names what does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vlt.checkpoint.directory import CONFIG, FORMAT, META, REFINER, WEIGHTS, find_checkpoint, reason
from vlt.checkpoint.scaling import from_bytes
from vlt.config.reading import parse_config
from vlt.config.run import Config
from vlt.config.yaml_file import read_yaml
from vlt.errors import CheckpointError, ConfigError
from vlt.files import read_text
from vlt.model.build import build_model
from vlt.model.pretrained import SkipInitialisation
from vlt.model.vlt import VLT
from vlt.refine.refiner import Refiner
from vlt.text.reader import TextReader, load_text
from vlt.version import __version__

NAMED = 5
"""Largest number of tensors named in an error; the others are counted."""
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
    chosen = usable_device(device)
    folder = find_checkpoint(path)
    meta = read_meta(folder)
    hashes = {name: digest for name, digest in meta.get("sha256", {}).items() if refine or name != REFINER}
    lacking = [name for name in [CONFIG, *hashes] if name != WEIGHTS and not (folder / name).is_file()]
    if lacking:
        raise CheckpointError(f"{folder} is damaged, since it lacks {listed(lacking)}; copy the checkpoint again.")
    try:
        config = parse_config(read_yaml(folder / CONFIG), str(folder / CONFIG))
        text = load_text(config.model, folder)
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
    verify_files(folder, hashes)
    refiner = read_refiner(folder / REFINER, chosen) if refine and (folder / REFINER).exists() else None
    return Checkpoint(path=folder, config=config, text=text, model=model.to(chosen).eval(), meta=meta, refiner=refiner)


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


def verify_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Check that the files of a checkpoint are unchanged since they were written.

    Args:
        folder: the checkpoint.
        hashes: SHA-256 in hexadecimal, by name relative to the folder; empty for checkpoints of version 0.1.

    Raises:
        CheckpointError: a file is missing or was changed.
    """
    for name, expected in hashes.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(
                f"{folder / name} is missing or damaged ({reason(error)}); copy the checkpoint again."
            ) from error
        if found != expected:
            raise CheckpointError(
                f"{folder / name} is damaged or was changed: its SHA-256 is {found[:12]}…, but {META} states "
                f"{str(expected)[:12]}…; copy the checkpoint again."
            )


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


def listed(names: list[str]) -> str:
    """List the first names in a message, and count the others.

    Example:
        >>> listed(["a", "b"]), listed(list("abcdefgh"))
        ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def read_meta(folder: Path) -> dict[str, Any]:
    """Read the meta.json of a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged, or the checkpoint is of a newer format.
    """
    path = folder / META
    try:
        meta = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({reason(error)}); the checkpoint is damaged.") from error
    version = meta.get("format") if isinstance(meta, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path} states no format number; the checkpoint is damaged.")
    if version > FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {version}, but vlt {__version__} reads up to format {FORMAT}; upgrade vlt."
        )
    if not isinstance(meta.get("sha256", {}), dict):
        raise CheckpointError(f"{path} states no SHA-256 by file under `sha256`; the checkpoint is damaged.")
    return dict(meta)
