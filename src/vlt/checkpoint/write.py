"""Write a checkpoint so that a crash or a full disk at any moment leaves the earlier ones as they were."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vlt.checkpoint.directory import CONFIG, FORMAT, META, REFINER, WEIGHTS, sha256, whole_directory
from vlt.config.reading import dump_config
from vlt.config.run import Config
from vlt.model.pretrained import resolve_architecture
from vlt.model.vlt import VLT
from vlt.text.reader import TextReader
from vlt.version import __version__


def save_checkpoint(
    folder: Path | str, *, model: VLT, config: Config, text: TextReader, meta: Mapping[str, Any]
) -> None:
    """Write a checkpoint atomically: it appears under its name complete, or not at all.

    Args:
        folder: to be made; an empty directory or an earlier checkpoint of that name is replaced.
        model: the model whose weights are written, on any device.
        config: configuration of the run; its `model` is resolved, so that loading needs no pretrained files.
        text: the text reader of the model.
        meta: JSON values that only the caller has, such as `data_fingerprint`, the `metric`, `split` and `score` that
            selected the checkpoint, `epoch`, `step`. `version`, `command`, `commit`, `seed` and the keys of
            `write_checkpoint` are added here.

    Raises:
        CheckpointError: the folder holds something else, cannot be made, or the disk is full.
    """
    config = config.model_copy(update={"model": resolve_architecture(config.model)})
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m vlt
    origin = {
        "version": __version__,
        "command": shlex.join([name, *sys.argv[1:]]),
        "commit": source_commit(),
        "seed": config.seed,
    }
    write_checkpoint(folder, tensors=model.state_dict(), config=config, text=text, meta={**meta, **origin})


def write_checkpoint(
    folder: Path | str,
    *,
    tensors: Mapping[str, Tensor],
    config: Config,
    text: TextReader,
    meta: Mapping[str, Any],
    refiner: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint from tensors and a resolved configuration; `save_checkpoint` writes one from a model.

    Args:
        folder: to be made; an empty directory or an earlier checkpoint of that name is replaced.
        tensors: the weights, on any device.
        config: configuration of the run, its `model` resolved.
        text: the text reader of the model.
        meta: JSON values about the model; `format`, `text_fingerprint` and `sha256` (of the weight and vocabulary
            files, by name) are added here.
        refiner: the weights of a refiner; None: there is none.

    Raises:
        CheckpointError: the folder holds something else, cannot be made, or the disk is full.
    """
    with whole_directory(Path(folder)) as temporary:
        # The fingerprint is in the weight file too: a vocabulary of other weights beside it is then noticed.
        parts = {WEIGHTS: (tensors, {"text_fingerprint": text.fingerprint}), REFINER: (refiner, None)}
        for name, (weights, metadata) in parts.items():
            if weights is not None:
                # Each tensor is copied: safetensors refuses tensors that share memory, such as tied weights.
                own = {
                    key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
                    for key, tensor in weights.items()
                }
                save_file(own, temporary / name, metadata)
        text.save(temporary)
        hashes = {
            path.relative_to(temporary).as_posix(): sha256(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        (temporary / CONFIG).write_text(dump_config(config), encoding="utf-8")
        for weight_file in temporary.glob("*.safetensors"):
            shutil.copymode(temporary / CONFIG, weight_file)  # safetensors lets only the owner read
        facts = {**meta, "format": FORMAT, "text_fingerprint": text.fingerprint, "sha256": hashes}
        (temporary / META).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def source_commit() -> str | None:
    """Read the commit of the checkout this package runs from.

    Returns:
        40 hexadecimal digits, with `-dirty` appended if files were changed since; None without a checkout.
    """
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
