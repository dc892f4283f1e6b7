"""Photos inside shards: files on a disk or behind a URL, of which one row group is read at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple, TypeAlias

from filelock import FileLock

from vlt.config.section import as_url
from vlt.errors import ConfigError, DataError, VLTError, reason
from vlt.files import LFS_POINTER, refuse_pointer, replacing
from vlt.types import PackedImage

ArrowTable: TypeAlias = Any
"""A `pyarrow.Table`."""
ParquetFile: TypeAlias = Any
"""A `pyarrow.parquet.ParquetFile`."""

AGAIN = "write them again with `vlt prepare shards`, or copy the whole folder again"


class Block(NamedTuple):
    """A row group of a shard: photos that are read together.

    Attributes:
        file: number of the shard within its split.
        group: number of the row group within the shard.
    """

    file: int
    group: int


class RowGroups:
    """The photos of a split, read a row group at a time; those that were used last stay in memory.

    Row groups from a URL are also kept in a temporary folder, so that the processes that load data for one process of
    a training run fetch each once. It holds twice as many as the memory and is removed together with this object.

    Args:
        urls: paths or URLs of the shards.
        capacity: number of row groups in memory, at most.
        folder: folder for row groups from a URL; None: make one where the shards are behind URLs.
    """

    def __init__(self, urls: Sequence[str], capacity: int, folder: Path | None = None) -> None:
        self.urls = list(urls)
        self.capacity = capacity
        self.folder = folder
        if folder is None and any(map(as_url, urls)):
            self.folder = Path(tempfile.mkdtemp(prefix="vlt-shards-"))
            weakref.finalize(self, remove_folder, self.folder, os.getpid())
        self._held: OrderedDict[Block, Any] = OrderedDict()
        self._footers: dict[int, Any] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[RowGroups], tuple[list[str], int, Path | None]]:
        """Pickle without the photos in memory: a process that loads data reads its own."""
        return RowGroups, (self.urls, self.capacity, self.folder)

    def read(self, block: Block, row: int) -> bytes:
        """Read the file of a photo.

        Args:
            block: its row group.
            row: its place within the row group.

        Raises:
            DataError: the shard is missing, damaged, or cannot be reached; the temporary folder is full.
        """
        with self._lock:
            if block not in self._held:
                if len(self._held) >= self.capacity:
                    self._held.popitem(last=False)
                self._held[block] = self._fetch(block) if self.folder is None else self._keep(block, self.folder)
            self._held.move_to_end(block)
            content: bytes = self._held[block][row].as_py()
        return content

    def _fetch(self, block: Block) -> Any:
        """Read a row group from its shard: an array of files."""
        with opened_shard(self.urls[block.file], self._footers.get(block.file)) as file:
            self._footers[block.file] = file.metadata
            return file.read_row_group(block.group, columns=["image.bytes"])["image"].combine_chunks().field("bytes")

    def _keep(self, block: Block, folder: Path) -> Any:
        """Read a row group from the temporary folder; one that is not there is fetched first, by one process."""
        import pyarrow as pa  # noqa: PLC0415 (an optional extra, and slow to import)

        path = folder / f"{block.file}-{block.group}.arrow"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                table = pa.table({"bytes": self._fetch(block)})
                with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)
                kept = sorted(folder.glob("*.arrow"), key=lambda each: each.stat().st_mtime_ns)
                for old in kept[: -2 * self.capacity]:
                    old.unlink(missing_ok=True)
            with pa.memory_map(str(path)) as mapped:  # stays valid when the file is removed
                return pa.ipc.open_file(mapped).read_all()["bytes"].combine_chunks()


def remove_folder(folder: Path, process: int) -> None:
    """Remove a folder, unless another process made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class ShardImage(PackedImage):
    """A photo inside a shard.

    Attributes:
        name: its path as it was prepared: the name of its folder and its own.
        block: its row group.
        row: its place within the row group.
        groups: reads it.
    """

    name: str
    block: Block
    row: int
    groups: RowGroups = field(compare=False, repr=False)

    def read(self) -> bytes:
        """Read the file of the photo; see `RowGroups.read`."""
        return self.groups.read(self.block, self.row)


@contextmanager
def opened_url(url: str) -> Iterator[IO[bytes]]:
    """Open a file on a disk or behind a URL for reading.

    Args:
        url: a path, or a URL that `fsspec` knows.

    Raises:
        DataError: the file is missing, a pointer of Git LFS, cannot be reached or cannot be read.
        ConfigError: a package that the URL needs is not installed.
    """
    import fsspec  # noqa: PLC0415 (an optional extra)

    try:
        with fsspec.open(url, "rb", cache_type="none") as file:  # nothing is read in advance
            try:
                yield file
            except Exception:
                with suppress(OSError, ValueError):
                    file.seek(0)
                    refuse_pointer(url, file.read(len(LFS_POINTER)))
                raise
    except VLTError:
        raise
    except FileNotFoundError as error:
        if unreachable := connection_error(error):
            raise DataError(f"{url} cannot be reached ({unreachable}); check address and connection.") from None
        raise DataError(f"There is no {url}; check the path, or {AGAIN}.") from None
    except ImportError as error:
        raise ConfigError(f"{url} needs a package that is not installed: {reason(error)}.") from None
    except Exception as error:  # file systems behind URLs raise errors of many kinds
        if "range requests" in str(error):  # fsspec has no class of its own for this
            raise DataError(
                f"The server of {url} does not send parts of a file (HTTP range requests), which shards need; use "
                "another server, or download the folder."
            ) from None
        raise DataError(f"{url} cannot be read ({reason(error)}); check path and connection, or {AGAIN}.") from None


def connection_error(error: FileNotFoundError) -> str:
    """Return why a server did not answer, where fsspec reports a missing file; empty: the file is missing."""
    cause = error.__cause__
    if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == HTTPStatus.NOT_FOUND:
        return ""
    return reason(cause)


@contextmanager
def opened_shard(url: str, footer: Any = None) -> Iterator[ParquetFile]:
    """Open a Parquet file on a disk or behind a URL; see `opened_url`.

    Args:
        url: a path, or a URL that `fsspec` knows.
        footer: the file's `metadata`, where it was read before; None: read it.
    """
    import pyarrow.parquet  # noqa: PLC0415 (an optional extra, and slow to import)

    with opened_url(url) as file, pyarrow.parquet.ParquetFile(file, metadata=footer, pre_buffer=True) as shard:
        yield shard
