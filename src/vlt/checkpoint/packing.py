"""The compact form of a checkpoint: a byte for each weight of its matrices; one reader for both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlt.checkpoint.layout import reason
from vlt.checkpoint.read import Checkpoint, load_checkpoint, load_weights, read_refiner
from vlt.checkpoint.scaling import to_bytes
from vlt.checkpoint.write import write_checkpoint
from vlt.config import Config, override, parse_config
from vlt.errors import CheckpointError, ConfigError
from vlt.model.build import build_model
from vlt.model.initialisation import SkipInitialisation

LEAST = 1024
"""Values of a matrix that is worth rounding; small ones, such as frequencies of positions, stay exact."""
CHANGEABLE = ("model.image_size", "model.max_words")
"""Keys of a network that need no other weights, beside how answers are found and judged."""


def pack_checkpoint(
    source: Path | str,
    folder: Path | str,
    *,
    reports: Sequence[Path | str] = (),
    licences: Sequence[str] = (),
    refiner: Path | str | None = None,
    assignments: Sequence[str] = (),
) -> None:
    """Writes a checkpoint in its compact form, a quarter of the size, that `load_checkpoint` reads like any other.

    Matrices are kept as int8 with one scale per row; biases, norms and scales stay exact, since they are small and much
    hangs on them. Packing what is packed changes nothing.

    Args:
        source: a checkpoint or a run.
        folder: to be made; an empty directory or an earlier checkpoint of that name is replaced.
        reports: JSON files that `vlt test` wrote about this model; they travel along for `vlt info`. None: those
            that `source` has already, unless something is changed: they would be of another model.
        licences: of the parts and the data, a line each; they travel along too, as above.
        refiner: a file of `tools/mobile_sam_from_package.py`, which sharpens the model's answers from then on. None:
            that of `source`, where it has one.
        assignments: `a.b=value` each, changes of the configuration that need no other weights: of `evaluate`, or of
            `CHANGEABLE`, such as the input's size of a network that takes any.

    Raises:
        CheckpointError: `source` cannot be loaded or has weights that are no numbers; `folder` cannot be written; a
            report cannot be read; `refiner` holds no weights of one; the weights do not fit the changed configuration.
        ConfigError: a change that no configuration can have.
    """
    found = [_read_report(Path(report)) for report in reports]
    loaded = load_checkpoint(source)
    tensors = loaded.model.state_dict()
    _refuse_infinite(tensors, loaded.path)
    config = _changed(loaded, assignments) if assignments else loaded.config
    meta = loaded.meta | {"packed": True}
    if found or assignments or refiner is not None:  # earlier reports are of another model
        meta["reports"] = found
    if licences:
        meta["licences"] = list(licences)
    sharpens = _refiner_weights(loaded, refiner)
    write_checkpoint(
        folder,
        refiner=sharpens and pack(sharpens),
        tensors=pack(tensors),
        config=config,
        text=loaded.text,
        meta=meta,
    )


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Makes tensors smaller.

    Args:
        tensors: of a network, float32, by name.

    Returns:
        Its matrices, convolutions and embeddings of `LEAST` values or more as int8, each with its float32 scales beside
        it (see `vlt.checkpoint.scaling`); the rest as it is.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        packed |= to_bytes(name, tensor) if _is_worth_it(tensor) else {name: tensor}
    return packed


def _is_worth_it(tensor: Tensor) -> bool:
    return tensor.ndim > 1 and len(tensor) > 1 and tensor.is_floating_point() and tensor.numel() >= LEAST


def _refiner_weights(loaded: Checkpoint, path: Path | str | None) -> dict[str, Tensor] | None:
    if path is None:
        return None if loaded.refiner is None else loaded.refiner.segmenter.state_dict()
    refiner = read_refiner(Path(path), torch.device("cpu"), "make it again with tools/mobile_sam_from_package.py")
    tensors = refiner.segmenter.state_dict()
    _refuse_infinite(tensors, Path(path))
    return tensors


def _changed(loaded: Checkpoint, assignments: Sequence[str]) -> Config:
    """The configuration with the changes, provided the weights fit what it describes."""
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        if not key.startswith("evaluate.") and key not in CHANGEABLE:
            raise ConfigError(
                f"{key} cannot be changed in a trained model; what can are evaluate.* and {', '.join(CHANGEABLE)}."
            )
    config = parse_config(override(loaded.config.model_dump(mode="json"), assignments), "the changed configuration")
    with SkipInitialisation():
        network = build_model(config.model, pretrained=False)
    load_weights(network, loaded.model.state_dict(), f"in {loaded.path}", "the changed configuration")
    return config


def _refuse_infinite(tensors: Mapping[str, Tensor], folder: Path) -> None:
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"The weights in {folder} are not all finite ({', '.join(broken)}), so there is nothing worth packing; "
            "take an earlier checkpoint."
        )


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The report {path} cannot be read ({reason(error)}); `vlt test` writes one.") from error
    if not isinstance(report, dict) or not {"scores", "provenance"} <= report.keys():
        raise CheckpointError(f"{path} is no report of `vlt test`: it has no scores or no provenance.")
    return report
