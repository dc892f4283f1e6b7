"""Writes a checkpoint so that a crash or a full disk at any moment leaves the earlier ones as they were."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vlt.checkpoint.layout import CONFIG, FORMAT, META, REFINER, WEIGHTS, aside, is_checkpoint, partial, reason, sync
from vlt.config import Config, dump_config
from vlt.data.text import TextReader
from vlt.errors import CheckpointError
from vlt.model.build import resolve
from vlt.model.vlt import VLT
from vlt.version import __version__


def save_checkpoint(
    folder: Path | str, *, model: VLT, config: Config, text: TextReader, meta: Mapping[str, Any]
) -> None:
    """Writes a checkpoint that appears under its name complete, or not at all.

    Args:
        folder: to be made; an empty directory or an earlier checkpoint of that name is replaced.
        model: whose weights to keep, on any device.
        config: of the run; its `model` is resolved, so that loading needs no pretrained files.
        text: what the model's words were read with.
        meta: what only the caller knows, as JSON values: such as `data_fingerprint`, the `metric`, `split` and `score`
            that the checkpoint was chosen by, `epoch`, `step`. `version`, `command`, `commit`, `seed` and what
            `write_checkpoint` adds are added here.

    Raises:
        CheckpointError: the folder holds something else, cannot be made, or the disk is full.
    """
    config = config.model_copy(update={"model": resolve(config.model)})
    origin = {"version": __version__, "command": _command(), "commit": source_commit(), "seed": config.seed}
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
    """Writes the parts of a checkpoint as they are; otherwise as `save_checkpoint`, for those who have a model.

    Args:
        folder: to be made; an empty directory or an earlier checkpoint of that name is replaced.
        tensors: the weights, on any device.
        config: of the run, its `model` resolved.
        text: what the model's words were read with.
        meta: all that is to be told of the model, as JSON values; `format` and `text_fingerprint` are added here.
        refiner: the weights of one; None: there is none.

    Raises:
        CheckpointError: the folder holds something else, cannot be made, or the disk is full.
    """
    facts = {**meta, "format": FORMAT, "text_fingerprint": text.fingerprint}
    with _whole_directory(Path(folder)) as temporary:
        # The fingerprint travels inside the weight file too: that is how a foreign vocabulary beside it is noticed.
        save_file(_separate(tensors), temporary / WEIGHTS, {"text_fingerprint": text.fingerprint})
        if refiner is not None:
            save_file(_separate(refiner), temporary / REFINER)
        (temporary / CONFIG).write_text(dump_config(config), encoding="utf-8")
        for weights in temporary.glob("*.safetensors"):
            shutil.copymode(temporary / CONFIG, weights)  # safetensors lets only the owner read
        text.save(temporary)
        (temporary / META).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def source_commit() -> str | None:
    """The commit of the checkout this package runs from, with `-dirty` after local changes; None without a checkout."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _command() -> str:
    """The command line that this process was started with, without the folder of the program."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m vlt
    return shlex.join([name, *sys.argv[1:]])


@contextmanager
def _whole_directory(folder: Path) -> Iterator[Path]:
    """A directory to fill; it takes the name `folder` once all of it lies on the disk, and is removed on any error."""
    temporary = partial(folder)
    try:
        _refuse_foreign(folder)
        shutil.rmtree(temporary, ignore_errors=True)  # of an earlier crash
        temporary.mkdir(parents=True)
        yield temporary
        for path in [*temporary.rglob("*"), temporary]:
            sync(path)
        _take_name(temporary, folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The checkpoint {folder} could not be written ({reason(error)}); what was there before is untouched."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_foreign(folder: Path) -> None:
    """Nothing but a checkpoint or an empty directory may be replaced."""
    if folder.is_dir() and (is_checkpoint(folder) or not any(folder.iterdir())):
        return
    if folder.exists():
        raise CheckpointError(f"{folder} exists and is no checkpoint; name a folder that does not exist yet.")


def _take_name(temporary: Path, folder: Path) -> None:
    """Renames the finished directory; a crash between the two renames leaves the earlier one where `aside` says."""
    if is_checkpoint(folder):
        shutil.rmtree(aside(folder), ignore_errors=True)
        os.rename(folder, aside(folder))
    os.rename(temporary, folder)
    sync(folder.parent)
    shutil.rmtree(aside(folder), ignore_errors=True)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor on its own memory: safetensors refuses tensors that share it, as tied weights do."""
    return {key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()}
