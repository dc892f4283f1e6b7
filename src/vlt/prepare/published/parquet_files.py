"""Parquet files of a data set: found in folders, checked before anything is written, and read batch by batch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlt.errors import DataError, reason
from vlt.files import LFS_POINTER, refuse_pointer
from vlt.prepare.splits import REFER_SPLITS

ENDING = ".parquet"
MAGIC = b"PAR1"
"""First and last bytes of a Parquet file."""
BATCH_ROWS = 32
"""Rows in memory at once; each may hold a picture."""
READ_BYTES = 1 << 20
"""Bytes that are read from a column at once."""

PARTS = re.compile(r"(?P<name>.+?)-(?P<part>\d{5})-of-(?P<parts>\d{5})(-[0-9a-f]+)?")
"""Stem of a file that is one of several parts, such as val-00000-of-00004."""
PARTIAL = "partial-"
"""Beginning of the name of a folder of the hub's converted files, where a split was too large to be converted whole."""
SPLIT = re.compile(
    rf"(?!{PARTIAL})(?:(?P<dataset>.*)[_-])?(?P<split>train|val|validation|test|test_?[abc])", re.IGNORECASE
)
"""Name of a split, which may follow that of its data set, as in refcoco_unc_val."""


class SetFile(NamedTuple):
    """A Parquet file and the split that it belongs to.

    Attributes:
        path: path of the file.
        dataset: data set by the file's name, such as "refcoco_unc"; empty where the name has only the split.
        split: name of the split: train, val, test, testA, testB or testC.
        part: number of the part, from 0.
        parts: number of parts of the split.
    """

    path: Path
    dataset: str
    split: str
    part: int
    parts: int


def find_files(data: Sequence[Path]) -> list[SetFile]:
    """Find the Parquet files of folders and the splits that their names state; files are given as themselves.

    Args:
        data: folders, which are searched with their sub-folders, and files.

    Returns:
        The files in the order of their paths, each once.

    Raises:
        DataError: a path does not exist; a folder holds no Parquet file; a file is none, or is truncated; a name
            states no split.
    """
    paths: dict[Path, Path] = {}
    for place in data:
        if not place.exists():
            raise DataError(f"There is no file or folder {place}; check the path.")
        found = sorted(place.rglob(f"*{ENDING}")) if place.is_dir() else [place]
        if not found:
            raise DataError(
                f"{place} holds no file *{ENDING}; download the data set's folder data/, and name that folder."
            )
        for path in found:
            check_bytes(path)
            paths.setdefault(path.resolve(), path)
    return [parse_name(path) for path in sorted(paths.values())]


def check_bytes(path: Path) -> None:
    """Check the first and last bytes of a Parquet file.

    Raises:
        DataError: it is a pointer of Git LFS, no Parquet file, truncated, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
            file.seek(max(path.stat().st_size - len(MAGIC), 0))
            end = file.read()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    refuse_pointer(path, start)
    if not start.startswith(MAGIC):
        raise DataError(f"{path} is no Parquet file, since it does not begin with {MAGIC.decode()}; download it again.")
    if end != MAGIC:
        raise DataError(f"{path} is truncated, since it does not end with {MAGIC.decode()}; download it again.")


def parse_name(path: Path) -> SetFile:
    """Parse the name of a Parquet file; where that is only a number, the name of its folder.

    Raises:
        DataError: the name states no split.

    Example:
        >>> parse_name(Path("data/validation-00001-of-00003.parquet"))[1:]
        ('', 'val', 1, 3)
        >>> parse_name(Path("refcoco_unc_testA-00000-of-00001-23c691a8.parquet"))[1:]
        ('refcoco_unc', 'testA', 0, 1)
        >>> parse_name(Path("ref-l4-val.parquet"))[1:]
        ('ref-l4', 'val', 0, 1)
    """
    stem = path.parent.name if path.stem.isdecimal() else path.stem
    several = PARTS.fullmatch(stem)
    known = SPLIT.fullmatch(several["name"] if several else stem)
    if known is None:
        raise DataError(
            f"{path}: the name states no split; rename it as the split, such as val{ENDING}, testA{ENDING} or "
            f"train-00000-of-00002{ENDING}."
        )
    part, parts = (int(several["part"]), int(several["parts"])) if several else (0, 1)
    return SetFile(path, known["dataset"] or "", normalise_split(known["split"]), part, parts)


def normalise_split(name: str) -> str:
    """Write the name of a split as REFER does.

    Example:
        >>> normalise_split("validation"), normalise_split("testa"), normalise_split("test_B"), normalise_split("train")
        ('val', 'testA', 'testB', 'train')
    """
    plain = name.lower().replace("_", "")
    if plain == "validation":
        return "val"
    return f"test{plain[4:].upper()}" if plain.startswith("test") else plain


def split_names(files: Iterable[SetFile]) -> list[str]:
    """List the splits of files in the order of `REFER_SPLITS`."""
    return sorted({file.split for file in files}, key=REFER_SPLITS.index)


def select_splits(files: Sequence[SetFile], splits: Sequence[str]) -> list[SetFile]:
    """Select the files of some splits; all for none.

    Raises:
        DataError: there is no file of one of them.
    """
    for split in splits:
        if split not in split_names(files):
            raise DataError(f"The files have no split {split!r}; they have {', '.join(split_names(files))}.")
    return [file for file in files if not splits or file.split in splits]


def missing_parts(files: Iterable[SetFile]) -> dict[str, list[int]]:
    """Find, per split, the numbers of the parts for which there is no file; splits without any are left out."""
    absent: dict[str, set[int]] = {}
    for file in files:
        absent.setdefault(file.split, set(range(file.parts))).discard(file.part)
    return {split: sorted(numbers) for split, numbers in absent.items() if numbers}


def read_columns(path: Path) -> list[str]:
    """Read the names of the columns of a Parquet file.

    Raises:
        DataError: the file is damaged.
    """
    import pyarrow  # noqa: PLC0415 - an optional extra, and slow to import
    import pyarrow.parquet  # noqa: PLC0415

    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None


def read_rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the rows of a Parquet file, `BATCH_ROWS` at a time, so that the whole file is never in memory.

    Args:
        path: path of the file.
        columns: names of the columns to read; those that the file lacks are skipped.

    Yields:
        The number of a row, from 1, and its values by column.

    Raises:
        DataError: the file is damaged.
    """
    import pyarrow  # noqa: PLC0415 - an optional extra, and slow to import
    import pyarrow.parquet  # noqa: PLC0415

    number = 0
    try:
        # Without these two settings, whole groups of rows, with their pictures, are read in advance.
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
            there = [name for name in file.schema_arrow.names if name in columns]
            for batch in file.iter_batches(BATCH_ROWS, columns=there, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> DataError:
    """Make the error for a file that pyarrow cannot read."""
    return DataError(f"{path} is a damaged Parquet file ({reason(error)}); download it again.")
