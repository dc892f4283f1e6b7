"""Files that appear whole or not at all, so that an interrupted run leaves nothing half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vlt.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file beside `path` for writing; it takes the place of `path` once the block has ended well.

    Args:
        path: of the file to be; what stood there stays until the new file is whole and on the disk.

    Raises:
        DataError: the file cannot be written: no permission, a full disk.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):  # it is gone already, or never was
            partial.unlink()


def make_folder(path: Path) -> None:
    """Makes a folder and those above it where they do not exist.

    Raises:
        DataError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder {path} cannot be made: {error.strerror or error}.") from None
