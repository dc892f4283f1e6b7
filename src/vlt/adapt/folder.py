"""Folder of an adaptation's result: made beside its final place, and moved there as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlt.errors import ConfigError, DataError
from vlt.files import make_folder, take_lock


def refuse_target(out: Path) -> None:
    """Check that a result can be moved to a folder: it does not exist, or is empty.

    Raises:
        ConfigError: it is a file, holds something, or cannot be replaced.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a folder that does not exist yet.")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out} exists and is not empty; name a folder that does not exist yet.")
    if out.is_dir() and (out.is_mount() or out.resolve() == Path.cwd()):
        raise ConfigError(f"{out} cannot be replaced as a whole; name a folder inside it.")


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Make a hidden folder beside `out` for everything that is temporary; it is removed at the end, also of a failure.

    A killed process leaves it there; the next one with the same `out` removes it.

    Args:
        out: final folder of the result.

    Raises:
        ConfigError: another process is working for the same folder.
        DataError: it cannot be made.
    """
    place = out.absolute()
    work = place.with_name(f".{place.name}.adapt")
    make_folder(work)
    busy = ConfigError(f"Another `vlt adapt` is writing {out}; wait for its end, or name another.")
    lock = take_lock(work / "lock", busy)
    try:
        for entry in work.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
        yield work
    finally:
        lock.release()
        shutil.rmtree(work, ignore_errors=True)


def move(result: Path, out: Path) -> None:
    """Move a folder to its final place in one step.

    Args:
        result: a complete folder in the `workspace` of `out`.
        out: its final place; an empty folder there is replaced.

    Raises:
        DataError: it cannot be moved, or something was put there meanwhile.
    """
    try:
        if out.is_dir():
            out.rmdir()
        os.rename(result, out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from None
