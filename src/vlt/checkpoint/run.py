"""A run's checkpoints and the two pointers, `best` and `last`, that name one each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vlt.checkpoint.layout import (
    CHECKPOINTS,
    CONFIG,
    META,
    POINTERS,
    WEIGHTS,
    Pointer,
    aside,
    is_checkpoint,
    partial,
    reason,
    sync,
)
from vlt.checkpoint.shipped import shipped_checkpoint
from vlt.errors import CheckpointError


def set_pointer(run_dir: Path | str, pointer: Pointer, name: str) -> None:
    """Lets `best` or `last` of a run name the checkpoint `<run_dir>/checkpoints/<name>`, in one atomic step.

    Raises:
        CheckpointError: there is no such checkpoint, or the pointer cannot be written.
    """
    run_dir = Path(run_dir)
    path, checkpoint = run_dir / pointer, run_dir / CHECKPOINTS / name
    if not is_checkpoint(checkpoint):
        raise CheckpointError(f"{path} cannot point to {name!r}: there is no checkpoint {checkpoint}.")
    try:
        partial(path).write_text(f"{name}\n", encoding="utf-8")
        sync(partial(path))
        os.replace(partial(path), path)
        sync(run_dir)
    except OSError as error:
        raise CheckpointError(f"The pointer {path} could not be written: {reason(error)}.") from error


def read_pointer(run_dir: Path | str, pointer: Pointer) -> str | None:
    """The name of the checkpoint that `best` or `last` of a run points to; None where nothing was chosen yet."""
    try:
        return (Path(run_dir) / pointer).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def find_checkpoint(path: Path | str | None) -> Path:
    """The checkpoint directory that `path` means: itself, the best of a run, or what a run's pointer file names.

    None means the model that comes with the package.

    Raises:
        CheckpointError: there is none.
    """
    if path is None:
        return shipped_checkpoint()
    path = Path(path)
    if path.is_file():
        pointer = next((name for name in POINTERS if name == path.name), None)
        if pointer is None:
            files = f"{META}, {CONFIG} and {WEIGHTS}"
            raise CheckpointError(
                f"{path} is a file, but a checkpoint is a directory with {files}; name the directory."
            )
        return _pointed(path.parent, pointer)
    if (path / CHECKPOINTS).is_dir():
        return _pointed(path, "best")
    if not path.exists() and not aside(path).is_dir():
        raise CheckpointError(f"There is no checkpoint {path}; `vlt train` and `vlt convert` write one.")
    folder = path if path.exists() else aside(path)  # a crash hit between the two renames of a replacement
    if not is_checkpoint(folder):
        raise CheckpointError(f"{path} is no checkpoint: it has no {META}.")
    return folder


def prune_checkpoints(run_dir: Path | str) -> list[str]:
    """Removes the checkpoints of a run that neither pointer names, and what a crash left half-written.

    Call it once both pointers are set. A run without pointers is left as it is.

    Returns:
        The names removed.
    """
    folder = Path(run_dir) / CHECKPOINTS
    kept = {name for pointer in POINTERS if (name := read_pointer(run_dir, pointer))}
    if not kept:
        return []
    kept |= {aside(folder / name).name for name in kept if not (folder / name).exists()}
    removed = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in kept]
    for path in removed:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in removed]


def _pointed(run_dir: Path, pointer: Pointer) -> Path:
    name = read_pointer(run_dir, pointer)
    if name is None:
        raise CheckpointError(f"The run {run_dir} has no {pointer} checkpoint yet; let `vlt train` finish an epoch.")
    return find_checkpoint(run_dir / CHECKPOINTS / name)
