"""Write a checkpoint in its compact form: one byte per weight of its matrices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlt.checkpoint.directory import CHECKPOINTS, is_checkpoint
from vlt.checkpoint.opened import read_meta
from vlt.checkpoint.read import Checkpoint, load_checkpoint, load_weights, read_refiner
from vlt.checkpoint.scaling import to_bytes
from vlt.checkpoint.write import write_checkpoint
from vlt.config.reading import configure
from vlt.config.run import Config
from vlt.errors import CheckpointError, ConfigError, reason
from vlt.files import read_text
from vlt.model.build import build_model
from vlt.model.pretrained import SkipInitialisation

LEAST = 1024
"""Smallest number of values of a matrix that is rounded; smaller ones, such as positional frequencies, stay exact."""
CHANGEABLE = ("model.image_size", "model.max_words")
"""Keys of `model` that can be changed without changing weights; those of `inference` and `evaluate` always can."""


def pack_checkpoint(
    source: Path | str,
    folder: Path | str,
    *,
    reports: Sequence[Path | str] = (),
    licences: Sequence[str] = (),
    refiner: Path | str | None = None,
    assignments: Sequence[str] = (),
) -> None:
    """Write a checkpoint in its compact form, a quarter of the size, which `load_checkpoint` reads like any other.

    Matrices become int8 with one scale per row; biases, norms and scales stay exact, since they are small and
    predictions depend on them strongly. Packing a packed checkpoint changes nothing.

    Args:
        source: a checkpoint or a run.
        folder: the directory to write; an empty directory or an earlier packed checkpoint there is replaced.
        reports: JSON files that `vlt test` wrote about this model, kept for `vlt info`. None: those of `source`, unless
            something is changed, since they describe the unchanged model.
        licences: licences of the parts and the data, a line each, kept for `vlt info`. None: those of `source`.
        refiner: a file of `tools/mobile_sam_from_package.py`, which refines the model's masks from then on. None: that
            of `source`, if it has one.
        assignments: `a.b=value` each, changes of the configuration that need no other weights: of `inference`, of
            `evaluate`, or of `CHANGEABLE`, such as the input's size of a network that takes any.

    Raises:
        CheckpointError: `source` cannot be loaded or has weights that are not finite; `folder` cannot be written, or
            holds exact weights; a report cannot be read; `refiner` holds no weights of one; the weights do not fit the
            changed configuration.
        ConfigError: a change that no configuration can have.
    """
    check_target(Path(folder))
    found = [_read_report(Path(report)) for report in reports]
    loaded = load_checkpoint(source)
    tensors = loaded.model.state_dict()
    config = _change_config(loaded, assignments) if assignments else loaded.config
    meta = loaded.meta | {"packed": True}
    if found or assignments or refiner is not None:  # earlier reports describe the unchanged model
        meta["reports"] = found
    if licences:
        meta["licences"] = list(licences)
    from vlt.refine.torch_segmenter import TorchSegmenter  # noqa: PLC0415 (as in read_refiner)

    used = loaded.refiner
    if refiner is not None:
        remedy = "make it again with tools/mobile_sam_from_package.py"
        used = read_refiner(Path(refiner), torch.device("cpu"), remedy)
    segmenter = None if used is None else used.segmenter
    write_checkpoint(
        folder,
        refiner=pack(segmenter.network.state_dict()) if isinstance(segmenter, TorchSegmenter) else None,
        tensors=pack(tensors),
        config=config,
        text=loaded.text,
        meta=meta,
    )


def check_target(folder: Path) -> None:
    """Check that packing into a folder replaces nothing but a packed checkpoint, whose matrices were rounded before.

    Raises:
        CheckpointError: it holds an exact checkpoint, or lies among the checkpoints of a run, which removes old ones.
    """
    if folder.resolve().parent.name == CHECKPOINTS:
        raise CheckpointError(f"{folder} lies among the checkpoints of a run; name a folder outside the run.")
    if is_checkpoint(folder) and not read_meta(folder).get("packed"):
        raise CheckpointError(
            f"{folder} holds a checkpoint that is not packed, whose exact weights would be lost; name another folder."
        )


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round the large matrices of a network to int8.

    Args:
        tensors: tensors of a network, float32, by name.

    Returns:
        Its matrices, convolutions and embeddings of `LEAST` values or more as int8, each with its float32 scales beside
        it (see `vlt.checkpoint.scaling`); the rest as it is. A matrix of one row stays exact: all its values would
        share one scale.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        is_matrix = tensor.ndim > 1 and len(tensor) > 1 and tensor.is_floating_point()
        packed |= to_bytes(name, tensor) if is_matrix and tensor.numel() >= LEAST else {name: tensor}
    return packed


def _change_config(loaded: Checkpoint, assignments: Sequence[str]) -> Config:
    """Set the assignments over a checkpoint's configuration, if the weights fit the result."""
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        if not key.startswith(("inference.", "evaluate.")) and key not in CHANGEABLE:
            raise ConfigError(
                f"{key} cannot be changed in a trained model; only inference.*, evaluate.* and "
                f"{', '.join(CHANGEABLE)} can."
            )
    config = configure(loaded.config.model_dump(mode="json"), assignments, "the changed configuration")
    with SkipInitialisation():
        network = build_model(config.model, pretrained=False)
    load_weights(network, loaded.model.state_dict(), f"in {loaded.path}", "the changed configuration")
    return config


def _read_report(path: Path) -> dict[str, Any]:
    """Read a JSON file of `vlt test`; those of version 0.1 name a `half` of their split, too."""
    try:
        report = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The report {path} cannot be read ({reason(error)}); `vlt test` writes one.") from error
    if not isinstance(report, dict) or not {"scores", "provenance"} <= report.keys():
        raise CheckpointError(f"{path} is not a report of `vlt test`: it lacks scores or provenance.")
    return report
