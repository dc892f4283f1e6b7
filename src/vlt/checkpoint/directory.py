"""Layout of a checkpoint and of a run on disk, the pointers `best` and `last`, and finding a checkpoint by a path.

<run>/checkpoints/<name>/  config.yaml  meta.json  weights.safetensors  and the files of the text reader;
                           refiner.safetensors if mask outlines are refined;
                           *.onnx if it was exported, graphs that read their weights from the files above
<run>/best, <run>/last     small files that hold the name of a checkpoint
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

from safetensors import SafetensorError

from vlt.config.section import as_url, expand_home
from vlt.errors import CheckpointError, reason
from vlt.files import read_text
from vlt.hub import HUB_SCHEME

FORMAT = 2
"""Version of the checkpoint format; raised when an older `vlt` can no longer read it. 2: weights may be int8."""

WEIGHTS, REFINER, CONFIG, META = "weights.safetensors", "refiner.safetensors", "config.yaml", "meta.json"
IMAGE_GRAPH, EXPRESSION_GRAPH = "image.onnx", "expression.onnx"
OUTLINE_IMAGE_GRAPH, OUTLINE_GRAPH = "outline_image.onnx", "outline.onnx"
REFINER_FILES = (REFINER, OUTLINE_IMAGE_GRAPH, OUTLINE_GRAPH)
CHECKPOINTS = "checkpoints"
NOTICES = ("NOTICE*", "LICENSE*", "LICENCE*")
"""Patterns of files about licences that belong to a checkpoint, too; a folder LICENSES is taken with its files."""

Pointer: TypeAlias = Literal["best", "last"]
POINTERS: tuple[Pointer, ...] = ("best", "last")

SHIPPED = Path(str(resources.files("vlt"))) / "weights"
"""The model in the package: a checkpoint, put there by `vlt pack RUN src/vlt/weights` before the package is built."""


def find_checkpoint(path: Path | str | None) -> Path:
    """Find the checkpoint directory that a path refers to: itself, or the best or last one of a run.

    Args:
        path: a checkpoint; a run (its best checkpoint is taken); a run's pointer file `best` or `last`; None, the
            model in the package; or `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, which is downloaded from the
            Hugging Face hub. A leading `~` is the home folder.

    Raises:
        CheckpointError: there is none, `path` is not a path, or the download fails (`vlt.checkpoint.hub`).
    """
    if path is None:
        if not is_checkpoint(SHIPPED):
            raise CheckpointError(
                "No trained model comes with this copy of vlt; name one (--checkpoint RUN, or vlt.load(RUN)), such as "
                "runs/tiny, which `vlt train configs/tiny.yaml` makes in a few minutes."
            )
        return SHIPPED
    if not isinstance(path, str | Path):
        raise CheckpointError(f"A checkpoint is named by its path, not by {path!r} ({type(path).__name__}).")
    if url := as_url(path):
        if url.startswith(HUB_SCHEME):
            from vlt.checkpoint.hub import download_checkpoint  # noqa: PLC0415 (it imports this module)

            return download_checkpoint(url)
        raise CheckpointError(f"{url} is a URL, which is not supported; download the checkpoint and give its folder.")
    path = expand_home(Path(path))
    run_dir: Path | None = None
    if path.is_file():
        run_dir, pointer = path.parent, next((name for name in POINTERS if name == path.name), None)
        if pointer is None:
            files = f"{META}, {CONFIG} and {WEIGHTS}"
            raise CheckpointError(
                f"{path} is a file, but a checkpoint is a directory with {files}; name the directory."
            )
    elif (path / CHECKPOINTS).is_dir():
        run_dir, pointer = path, "best"
    if run_dir is not None:
        name = read_pointer(run_dir, pointer or "best")
        if name is None:
            raise CheckpointError(
                f"The run {run_dir} has no {pointer} checkpoint yet; let `vlt train` finish an epoch."
            )
        path = run_dir / CHECKPOINTS / name
    if not path.exists() and not aside(path).is_dir():
        raise CheckpointError(f"There is no checkpoint {path}; `vlt train` and `vlt convert` write one.")
    folder = path if path.exists() else aside(path)  # a crash hit between the two renames of a replacement
    if not is_checkpoint(folder):
        if (folder / "resume").is_dir() or not any(folder.iterdir()):
            raise CheckpointError(
                f"{path} has no checkpoint yet: no epoch of a run in it was finished; run its `vlt train` command "
                "again, or name another folder."
            )
        raise CheckpointError(f"{path} is no checkpoint: it has no {META}.")
    return folder


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_checkpoint(folder: Path) -> bool:
    """Whether a directory is a checkpoint, whole or damaged: no other directory has a meta.json."""
    return (folder / META).is_file()


def set_pointer(run_dir: Path | str, pointer: Pointer, name: str) -> None:
    """Set `best` or `last` of a run to the checkpoint `<run_dir>/checkpoints/<name>`, in one atomic step.

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
    """Read the name of the checkpoint that `best` or `last` of a run points to; None if it is not set yet."""
    try:
        return read_text(Path(run_dir) / pointer).strip() or None
    except FileNotFoundError:
        return None


def prune_checkpoints(run_dir: Path | str) -> list[str]:
    """Remove the checkpoints of a run that neither pointer names, and files that a crash left incomplete.

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


def partial(path: Path) -> Path:
    """Path under which a file or a directory is written before it takes the name `path`."""
    return path.with_name(f".{path.name}.part")


def aside(folder: Path) -> Path:
    """Path to which the earlier checkpoint is moved while a new one takes its name."""
    return folder.with_name(f".{folder.name}.old")


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_directory(folder: Path) -> Iterator[Path]:
    """Yield a directory to fill; it takes the name `folder` once all of it is on the disk, and is removed on any error.

    A crash between the two renames leaves an earlier checkpoint at `aside(folder)`.
    """
    temporary = partial(folder)
    try:
        if folder.exists() and not (folder.is_dir() and (is_checkpoint(folder) or not any(folder.iterdir()))):
            raise CheckpointError(f"{folder} exists and is no checkpoint; name a folder that does not exist yet.")
        shutil.rmtree(temporary, ignore_errors=True)  # of an earlier crash
        temporary.mkdir(parents=True)
        yield temporary
        for path in [*temporary.rglob("*"), temporary]:
            sync(path)
        if is_checkpoint(folder):
            shutil.rmtree(aside(folder), ignore_errors=True)
            os.rename(folder, aside(folder))
        os.rename(temporary, folder)
        sync(folder.parent)
        shutil.rmtree(aside(folder), ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The checkpoint {folder} could not be written ({reason(error)}); what was there before is untouched."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
