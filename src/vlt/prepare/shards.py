"""Writing of shards: the splits of a data set and their photos in a few Parquet files, see `vlt.data.shards`."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image as PILImage

from vlt.data.image import open_image
from vlt.data.masks import encode_rle, read_target
from vlt.data.referrals import image_key, portable_name
from vlt.data.shards import INDEX, require_pyarrow, shard_schema
from vlt.errors import DataError, VLTError
from vlt.files import make_folder, replacing
from vlt.types import PackedImage, Referral, Referrals, Target

GROUP_BYTES = 4 << 20
"""Bytes of photos in a row group, at least, but for the last of a shard; a row group is read at once."""


class Shards(NamedTuple):
    """The shards that were written.

    Attributes:
        folder: where they lie.
        files: by split, the numbers of photos and of referrals of each shard.
    """

    folder: Path
    files: dict[str, list[tuple[int, int]]]

    def __str__(self) -> str:
        """One line per split."""
        lines = []
        for split, files in self.files.items():
            photos, referrals = (sum(numbers) for numbers in zip(*files, strict=True))
            lines.append(f"{split}: {referrals:,} referrals to {photos:,} photos in {len(files)} shards")
        return "\n".join([*lines, f"written to {self.folder}"])


def write_shards(
    output_dir: Path,
    dataset: str,
    splits: Mapping[str, Referrals],
    *,
    shards: int,
    categories: Sequence[str] = (),
) -> Shards:
    """Write the splits of a data set, with their photos, as shards; the index is written last.

    The photos of a split are shuffled, so that each shard is a random sample of it. Photo files are written unchanged,
    photos in memory as PNG.

    Args:
        output_dir: the folder in which the folder `dataset` is made.
        dataset: name of the data set.
        splits: the referrals of each split.
        shards: number of shards per split; a split of fewer photos has one shard per photo.
        categories: names of the categories by `Referral.category`.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: there are shards of that name already; a photo or mask cannot be read; a file cannot be written. What
            was written before the error is removed.
    """
    require_pyarrow()
    folder = output_dir / dataset
    if (folder / INDEX).exists():
        raise DataError(f"{folder} holds shards already; remove the folder, or choose another name or --output-dir.")
    make_folder(folder)
    index: dict[str, Any] = {"format": 1, "categories": list(categories), "splits": {}}
    written: list[Path] = []
    try:
        for split, referrals in splits.items():
            entries = index["splits"][split] = []
            photos = group_by_photo(referrals)
            count = min(shards, len(photos))
            for number in range(count):
                part = photos[len(photos) * number // count : len(photos) * (number + 1) // count]
                written.append(folder / f"{split}-{number:05}-of-{count:05}.parquet")
                write_shard(written[-1], part)
                entries.append(
                    {"name": written[-1].name, "photos": len(part), "referrals": sum(len(each) for each in part)}
                )
        with replacing(folder / INDEX) as file:
            file.write(json.dumps(index, indent=1).encode())
    except BaseException:
        for path in written:
            with suppress(OSError):  # the last one may not have been made
                path.unlink()
        with suppress(OSError):  # other files are in it
            folder.rmdir()
        raise
    files = {
        split: [(entry["photos"], entry["referrals"]) for entry in entries]
        for split, entries in index["splits"].items()
    }
    return Shards(folder, files)


def group_by_photo(referrals: Referrals) -> list[list[Referral]]:
    """Group referrals by photo, and shuffle the groups; the order is always the same."""
    groups: dict[object, list[Referral]] = {}
    for referral in referrals:
        groups.setdefault(image_key(referral), []).append(referral)
    photos = list(groups.values())
    random.Random(0).shuffle(photos)
    return photos


def write_shard(path: Path, photos: Sequence[Sequence[Referral]]) -> None:
    """Write one shard.

    Args:
        path: path of the file.
        photos: the referrals to each photo.
    """
    import pyarrow as pa  # noqa: PLC0415 (an optional extra, and slow to import)
    import pyarrow.parquet  # noqa: PLC0415

    schema = shard_schema()
    choices: dict[str, Any] = {"use_dictionary": False, "write_statistics": False}  # of whole photos
    with replacing(path) as file, pyarrow.parquet.ParquetWriter(file, schema, **choices) as writer:
        for rows in row_groups(photos):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=len(rows))


def row_groups(photos: Sequence[Sequence[Referral]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each row group."""
    rows: list[dict[str, Any]] = []
    size = 0
    for referrals in photos:
        rows.append(make_row(referrals))
        size += len(rows[-1]["image"]["bytes"])
        if size >= GROUP_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def make_row(referrals: Sequence[Referral]) -> dict[str, Any]:
    """Make the row of a photo: its file, and all referrals to it.

    Raises:
        DataError: the photo or a mask cannot be read, with the referral.
    """
    first = referrals[0]
    try:
        content, name = read_photo(first)
        return {"image": {"bytes": content, "path": name}, "referrals": [to_json(referral) for referral in referrals]}
    except VLTError as error:
        raise DataError(f"Referral {first.ref_id}: {error}") from None


def read_photo(referral: Referral) -> tuple[bytes, str]:
    """Read the file of a referral's photo and its name, or encode the pixels of one in memory."""
    image = referral.image
    if isinstance(image, PackedImage):
        return image.read(), image.name
    if isinstance(image, Path):
        open_image(image).close()  # refuses what is no image
        return image.read_bytes(), portable_name(image)
    file = io.BytesIO()
    PILImage.fromarray(image).save(file, format="png")
    return file.getvalue(), f"{image_key(referral)}.png"


def to_json(referral: Referral) -> dict[str, Any]:
    """Convert a referral to a value of the column `referrals`."""
    standing = referral.standing
    return {
        "ref_id": referral.ref_id,
        "category": referral.category,
        "box": referral.box,
        "same": standing and standing.same,
        "rank": standing and standing.rank,
        "targets": [to_run_lengths(target) for target in referral.targets if not isinstance(target, tuple)],
        "boxes": referral.boxes,
        "expressions": [{"sent_id": each.sent_id, "text": each.text} for each in referral.expressions],
    }


def to_run_lengths(target: Target) -> dict[str, Any]:
    """Convert a mask to a value of the field `targets`."""
    rle = target if isinstance(target, dict) else encode_rle(read_target(target))
    return {"height": rle["size"][0], "width": rle["size"][1], "counts": rle["counts"]}
