"""Atomic writing of files, and reading of text and JSON without byte-order marks and against a schema."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from filelock import BaseFileLock, FileLock, Timeout
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vlt.errors import CheckpointError, DataError, VLTError

Parsed = TypeVar("Parsed")


class JsonObject(BaseModel):
    """Base of the schemas of JSON objects: types are strict, unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for writing that replaces `path` when the block ends without an error.

    Args:
        path: the final file; an older file stays in place until the new one is complete and on the disk.

    Raises:
        DataError: the file cannot be written, for example without permission or on a full disk.
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
        with suppress(OSError):  # it was renamed above, or never made
            partial.unlink()


def take_lock(path: Path, refusal: VLTError) -> BaseFileLock:
    """Take a lock file, so that two processes cannot do the same; without effect where the file system has no locks.

    Args:
        path: the lock file, in a folder that exists.
        refusal: raised where another process holds the lock.

    Returns:
        The lock, to be released by the caller.
    """
    lock = FileLock(path, timeout=0)
    with suppress(NotImplementedError, OSError):  # a file system without locks, or none that can be written to
        try:
            lock.acquire()
        except Timeout:
            raise refusal from None
    return lock


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they do not exist.

    Raises:
        DataError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder {path} cannot be made: {error.strerror or error}.") from None


def read_bytes(path: Path) -> bytes:
    """Read a UTF-8 file (JSON, XML, a table) without the byte-order mark that Windows programs write first.

    Raises:
        OSError: the file is missing or cannot be read.
        DataError: it is a pointer of Git LFS.
    """
    content = path.read_bytes()
    refuse_pointer(path, content)
    return content.removeprefix(codecs.BOM_UTF8)


LFS_POINTER = b"version https://git-lfs"
"""Beginning of the small text file that stands for a large one in a repository cloned without Git LFS."""


def refuse_pointer(path: Path | str, content: bytes) -> None:
    """Check that a file of a data set is the file itself and not a pointer of Git LFS.

    Args:
        path: path or URL of the file.
        content: its content, or the beginning of it.

    Raises:
        DataError: it is a pointer.
    """
    if content.startswith(LFS_POINTER):
        raise DataError(
            f"{path} is a pointer of Git LFS and not the file itself; run `git lfs pull` in its repository, or "
            "download the file."
        )


def read_text(path: Path) -> str:
    """Read a UTF-8 text file without a byte-order mark; line ends become a newline character.

    Raises:
        OSError: the file is missing or cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")


def read_json(path: Path, schema: TypeAdapter[Parsed], remedy: str) -> Parsed:
    """Read a JSON file and check it against a schema.

    Args:
        path: path of the file.
        schema: the type that its content must have.
        remedy: advice for a file of another format, beginning in lower case.

    Raises:
        DataError: the file is missing, cannot be read, or does not have the format.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is text in UTF-16; save it as UTF-8.")
    try:
        return schema.validate_json(content)
    except ValidationError as error:
        raise malformed(path, error, remedy) from None


def malformed(path: Path | str, error: ValidationError, remedy: str) -> DataError:
    """Make a `DataError` from the first error that validation found.

    Args:
        path: path of the file, or a description of the place in it.
        error: raised by pydantic.
        remedy: advice, beginning in lower case.

    Returns:
        The error, to be raised.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ""
    for step in first["loc"]:
        if isinstance(step, int):
            where += f", entry {step}"
        elif step not in ("int", "str", "[key]") and not step.startswith(("list[", "<")):  # types that were tried
            where += f", key {step!r}"
    return DataError(f"{path}{where}: {first['msg']}; {remedy}.")


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, which identifies it under any name.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


HUB_PREFIX = "hf:"
"""Marks the name of a model on the Hugging Face hub; a name without it is a local folder and is never sent anywhere."""


def resolve_source(name: str) -> str:
    """Resolve the source of a pretrained network or tokenizer to what `from_pretrained` of `transformers` takes.

    A name such as parts/minilm has the form OWNER/NAME of a hub, where a stranger could own it. Only names that are
    marked are therefore looked up on a hub.

    Args:
        name: a folder, where `~` is the home directory; or `hf:OWNER/NAME` or `hf:NAME` for a model of the hub.

    Returns:
        The path of a folder that exists, or the name on the hub without its prefix.

    Raises:
        CheckpointError: the folder does not exist.
    """
    if name.startswith(HUB_PREFIX):
        return name.removeprefix(HUB_PREFIX)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise CheckpointError(
            f"There is no folder {name}; tools/README.md shows how to make the pretrained parts, and a model of the "
            f"hub is named {HUB_PREFIX}OWNER/NAME."
        )
    return str(folder)
