"""Shards: a data set in a few Parquet files, on a disk or behind a URL, with its photos; only what is needed is read.

<root>/<dataset>/shards.json                     the index: the files of each split and the names of the categories
<root>/<dataset>/train-00000-of-00008.parquet    a row per photo: its file, and the referrals to it

The index and all annotations are read when a split is opened. Photos are read later, a row group at a time: some
megabytes of neighbouring photos. `vlt prepare shards` writes them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Lock
from typing import IO, Any, Literal, NamedTuple, TypeAlias

from pydantic import NonNegativeInt, PositiveInt, ValidationError

from vlt.errors import ConfigError, DataError, VLTError
from vlt.files import LFS_POINTER, JsonObject, malformed, refuse_pointer
from vlt.types import RLE, Expression, PackedImage, Referral, Standing

ArrowTable: TypeAlias = Any
"""A `pyarrow.Table`."""
ArrowSchema: TypeAlias = Any
"""A `pyarrow.Schema`."""
ParquetFile: TypeAlias = Any
"""A `pyarrow.parquet.ParquetFile`."""

INDEX = "shards.json"
AGAIN = "write them again with `vlt prepare shards`, or copy the whole folder again"
CONNECTIONS = 8
"""Number of shards whose annotations are read at a time."""


class ShardFile(JsonObject):
    """An entry of the index.

    Attributes:
        name: name of the file, beside the index.
        photos: number of its rows.
        referrals: number of its referrals.
    """

    name: str
    photos: PositiveInt
    referrals: NonNegativeInt


class ShardIndex(JsonObject):
    """The index of a data set.

    Attributes:
        format: version of the layout.
        categories: names of the categories by `Referral.category`; empty where they are not known.
        splits: the files of each split, in order.
    """

    format: Literal[1]
    categories: tuple[str, ...]
    splits: dict[str, tuple[ShardFile, ...]]


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

    Pickled without what it holds in memory, so that each worker process reads for itself.

    Args:
        urls: paths or URLs of the shards.
        capacity: number of row groups in memory, at most.
    """

    def __init__(self, urls: Sequence[str], capacity: int) -> None:
        self.urls = list(urls)
        self.capacity = capacity
        self._held: OrderedDict[Block, Any] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[RowGroups], tuple[list[str], int]]:
        return RowGroups, (self.urls, self.capacity)

    def read(self, block: Block, row: int) -> bytes:
        """Read the file of a photo.

        Args:
            block: its row group.
            row: its place within the row group.

        Raises:
            DataError: the shard is missing, damaged, or cannot be reached.
        """
        with self._lock:
            if block not in self._held:
                if len(self._held) >= self.capacity:
                    self._held.popitem(last=False)
                self._held[block] = self._read_block(block)
            self._held.move_to_end(block)
            content: bytes = self._held[block][row].as_py()
        return content

    def _read_block(self, block: Block) -> Any:
        with opened_shard(self.urls[block.file]) as file:
            table = file.read_row_group(block.group, columns=["image.bytes"])
            return table["image"].combine_chunks().field("bytes")


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


def require_pyarrow() -> None:
    """Check that Parquet files can be read and written.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError('Parquet files need pyarrow, which is not installed; `pip install "vlt[parquet]"` adds it.')


def shard_schema() -> ArrowSchema:
    """Return the columns of a shard; a photo is stored as the package `datasets` stores its `Image`."""
    import pyarrow as pa  # noqa: PLC0415 (an optional extra, and slow to import)

    run_lengths = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("counts", pa.string())])
    referral = pa.struct(
        [
            ("ref_id", pa.int64()),
            ("category", pa.int32()),
            ("box", pa.list_(pa.float64(), 4)),
            ("same", pa.int32()),
            ("rank", pa.int32()),
            ("targets", pa.list_(run_lengths)),
            ("expressions", pa.list_(pa.struct([("sent_id", pa.int64()), ("text", pa.string())]))),
        ]
    )
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema([("image", image), ("referrals", pa.list_(referral))])


def shard_url(root: str, *parts: str) -> str:
    """Join a folder or URL and the names below it.

    Example:
        >>> shard_url("https://example.org/sets/", "refcoco", "shards.json")
        'https://example.org/sets/refcoco/shards.json'
    """
    return "/".join([root.rstrip("/"), *parts])


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
        with fsspec.open(url, "rb") as file:
            try:
                yield file
            except Exception:
                with suppress(OSError, ValueError):
                    file.seek(0)
                    refuse_pointer(url, file.read(len(LFS_POINTER)))
                raise
    except VLTError:
        raise
    except FileNotFoundError:
        raise DataError(f"There is no {url}; check the path, or {AGAIN}.") from None
    except ImportError as error:
        raise ConfigError(f"{url} needs a package that is not installed: {str(error).rstrip('.')}.") from None
    except Exception as error:  # file systems behind URLs raise errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{url} cannot be read ({reason}); check path and connection, or {AGAIN}.") from None


@contextmanager
def opened_shard(url: str) -> Iterator[ParquetFile]:
    """Open a Parquet file on a disk or behind a URL; see `opened_url`."""
    import pyarrow.parquet  # noqa: PLC0415 (an optional extra, and slow to import)

    with opened_url(url) as file, pyarrow.parquet.ParquetFile(file) as shard:
        yield shard


def read_index(root: str, dataset: str) -> ShardIndex:
    """Read the index of a data set in shards.

    Args:
        root: a folder, or a URL of any file system that `fsspec` knows: https, hf (the Hugging Face hub), s3, ...
        dataset: name of the folder below it.

    Raises:
        DataError: there is none, it is damaged, or cannot be reached.
        ConfigError: a package that the URL needs is not installed.
    """
    url = shard_url(root, dataset, INDEX)
    with opened_url(url) as file:
        content = file.read()
    refuse_pointer(url, content)
    try:
        return ShardIndex.model_validate_json(content)
    except ValidationError as error:
        raise malformed(url, error, AGAIN) from None


def read_shards(root: str, dataset: str, split: str, *, capacity: int) -> list[Referral]:
    """Read the annotations of a split in shards.

    Args:
        root: see `read_index`.
        dataset: name of the folder below it.
        split: such as "train".
        capacity: number of row groups whose photos are in memory, at most.

    Returns:
        The referrals, those of a photo next to each other; their photos are read when they are used.

    Raises:
        DataError: no such data set or split; a shard that is missing, damaged, of another layout, or cannot be reached;
            a ref_id that is there twice.
        ConfigError: a package that is needed is not installed.
    """
    require_pyarrow()
    index = read_index(root, dataset)
    if split not in index.splits:
        raise DataError(
            f"{shard_url(root, dataset, INDEX)} has no split {split!r}; the splits there are {', '.join(index.splits)}."
        )
    files = index.splits[split]
    urls = [shard_url(root, dataset, file.name) for file in files]
    groups = RowGroups(urls, capacity)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        tables = pool.map(read_annotations, urls)
        referrals = [
            referral
            for number, (file, (table, lengths)) in enumerate(zip(files, tables, strict=True))
            for referral in read_shard(urls[number], file, table, lengths, number, groups)
        ]
    seen: set[int] = set()
    for referral in referrals:
        if referral.ref_id in seen:
            raise DataError(f"{shard_url(root, dataset)} holds ref_id {referral.ref_id} of {split} twice; {AGAIN}.")
        seen.add(referral.ref_id)
    return referrals


def read_annotations(url: str) -> tuple[ArrowTable, list[int]]:
    """Read all of a shard but its photos: the table, and the number of rows of each row group."""
    with opened_shard(url) as file:
        if not file.schema_arrow.equals(shard_schema()):
            raise DataError(f"{url} is no shard, since it has other columns; {AGAIN}.")
        lengths = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        return file.read(columns=["image.path", "referrals"]), lengths


def read_shard(
    url: str, entry: ShardFile, table: ArrowTable, lengths: Sequence[int], number: int, groups: RowGroups
) -> Iterator[Referral]:
    """Convert the rows of a shard to referrals.

    Args:
        url: path or URL of the shard.
        entry: what the index says of it.
        table: see `read_annotations`.
        lengths: number of rows of each row group.
        number: number of the shard within its split.
        groups: reads its photos.

    Raises:
        DataError: the shard is not the one that the index lists.
    """
    rows = table.to_pylist()
    found = len(rows), sum(len(row["referrals"]) for row in rows)
    if found != (entry.photos, entry.referrals):
        raise DataError(
            f"{url} has {found[0]} photos and {found[1]} referrals, but {INDEX} lists {entry.photos} and "
            f"{entry.referrals}; {AGAIN}."
        )
    places = ((Block(number, group), row) for group, length in enumerate(lengths) for row in range(length))
    for row, (block, place) in zip(rows, places, strict=True):
        image = ShardImage(row["image"]["path"], block, place, groups)
        for each in row["referrals"]:
            yield Referral(
                ref_id=each["ref_id"],
                image=image,
                targets=tuple(RLE(size=[one["height"], one["width"]], counts=one["counts"]) for one in each["targets"]),
                expressions=tuple(Expression(one["sent_id"], one["text"]) for one in each["expressions"]),
                category=each["category"],
                box=None if each["box"] is None else tuple(each["box"]),
                standing=None if each["same"] is None else Standing(each["same"], each["rank"]),
            )
