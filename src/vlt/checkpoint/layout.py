"""What lies where in a checkpoint and in a run, and the few steps on the disk that keep both whole.

<run>/checkpoints/<name>/  config.yaml  meta.json  weights.safetensors  and what the text reader saved;
                           refiner.safetensors where outlines are to be sharpened
<run>/best, <run>/last     small files that hold the name of a checkpoint
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

FORMAT = 2
"""Of a checkpoint; raised when an older `vlt` could no longer read what this one writes. 2: weights may be bytes."""

WEIGHTS, REFINER, CONFIG, META = "weights.safetensors", "refiner.safetensors", "config.yaml", "meta.json"
CHECKPOINTS = "checkpoints"

Pointer: TypeAlias = Literal["best", "last"]
POINTERS: tuple[Pointer, ...] = ("best", "last")


def is_checkpoint(folder: Path) -> bool:
    """Whether a directory is one, whole or damaged: others hold no meta.json."""
    return (folder / META).is_file()


def partial(path: Path) -> Path:
    """Where a file or a directory is written before it takes the name `path`."""
    return path.with_name(f".{path.name}.part")


def aside(folder: Path) -> Path:
    """Where an earlier checkpoint lies while a new one takes its name."""
    return folder.with_name(f".{folder.name}.old")


def sync(path: Path) -> None:
    """Waits until a file, or the entries of a directory, lie on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: BaseException) -> str:
    """What a foreign error says, on one line and without its full stop."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
