"""Shards: a data set in a few Parquet files, on a disk or behind a URL, with its photos; only what is needed is read.

<root>/<dataset>/shards.json                     the index: the files of each split and the names of the categories
<root>/<dataset>/train-00000-of-00008.parquet    a row per photo: its file, and the referrals to it

The index and all annotations are read when a split is opened. Photos are read later, a row group at a time: some
megabytes of neighbouring photos. `vlt prepare shards` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PositiveInt, ValidationError

from vlt.data.row_groups import AGAIN, ArrowTable, Block, RowGroups, ShardImage, opened_shard, opened_url
from vlt.errors import ConfigError, DataError
from vlt.files import JsonObject, malformed, refuse_pointer
from vlt.types import RLE, Expression, Referral, Standing

ArrowSchema: TypeAlias = Any
"""A `pyarrow.Schema`."""

INDEX = "shards.json"
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
    referrals: PositiveInt


class ShardIndex(JsonObject):
    """The index of a data set.

    Attributes:
        format: version of the layout.
        categories: names of the categories by `Referral.category`; empty where they are not known.
        splits: the files of each split, in order.
    """

    format: Literal[1]
    categories: tuple[str, ...]
    splits: dict[str, Annotated[tuple[ShardFile, ...], Field(min_length=1)]]


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
            ("boxes", pa.list_(pa.list_(pa.float64(), 4))),
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
                targets=(*map(read_run_lengths, each["targets"]), *map(tuple, each["boxes"])),
                expressions=tuple(Expression(one["sent_id"], one["text"]) for one in each["expressions"]),
                category=each["category"],
                box=None if each["box"] is None else tuple(each["box"]),
                standing=None if each["same"] is None else Standing(each["same"], each["rank"]),
            )


def read_run_lengths(value: dict[str, Any]) -> RLE:
    """Convert a value of the field `targets`."""
    return RLE(size=[value["height"], value["width"]], counts=value["counts"])
