"""Folder of a prepared data set: refused if it holds another one, owned by one command, written as a whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vlt.data.prepared import annotation_folder, write_prepared
from vlt.errors import DataError
from vlt.files import make_folder, read_bytes, take_lock
from vlt.prepare.report import Counts, Defects, PrepareReport, count
from vlt.types import Referral

SPLITS = ("train", "val", "val_a", "val_b")
"""Splits of `vlt.prepare.splits.split_by_image`."""


def write_data_set(
    output_dir: Path,
    name: str,
    splits: Mapping[str, list[Referral]],
    *,
    source: Mapping[str, Any],
    images: Path,
    defects: Defects,
    categories: Sequence[str],
    generate_mask: bool = False,
    expected: Mapping[str, Counts] | None = None,
    notes: Sequence[str] = (),
    replaced: Collection[str] = (),
) -> PrepareReport:
    """Write annotations, masks and `prepare.json` of a data set.

    Args:
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        splits: referrals by the name of their split.
        source: source of the data set, see `refuse_other`.
        images: the folder of the images.
        defects: all defects found.
        categories: names by `Referral.category`.
        generate_mask: write the masks as PNGs.
        expected: published counts by split; None: there are none.
        notes: sentences of the report.
        replaced: names of splits whose files of an earlier run are removed if they are not among `splits`, since their
            images may now be in another split.

    Raises:
        DataError: a folder or file cannot be written; see `owning`.
    """
    folder = annotation_folder(output_dir, name)
    with owning(folder, source):
        for split in set(replaced) - set(splits):
            (folder / f"{split}.json").unlink(missing_ok=True)
        write_prepared(output_dir, name, splits, generate_mask=generate_mask, images=images)
        report = PrepareReport(
            dataset=name,
            source=source,
            folder=folder,
            counts={split: count(referrals) for split, referrals in splits.items()},
            expected=expected or {},
            defects=defects,
            notes=notes,
            categories=categories,
        )
        report.write()
    return report


def refuse_other(folder: Path, source: Mapping[str, Any]) -> None:
    """Refuse to replace a data set that was prepared in another way; its test images could become training images.

    Args:
        folder: folder of the annotations to be written.
        source: source of the data set to be written, as in `PrepareReport`. The path of an instance file may differ,
            since its content is identified by "sha256".

    Raises:
        DataError: the folder's `prepare.json` names another source.
    """
    try:
        before = json.loads(read_bytes(folder / "prepare.json"))["source"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # nothing was prepared here, or not by this package
    ignored = {"instances"} if "sha256" in source else set()
    differing = before
    if isinstance(before, dict):
        keys = [key for key in {**before, **source} if before.get(key) != source.get(key) and key not in ignored]
        if not keys:
            return
        values = [(key, *(source_text(each.get(key)) for each in (before, source))) for key in keys]
        differing = " and ".join(f"{key} {old}, not {new}" for key, old, new in values)
    raise DataError(
        f"{folder} holds another data set, made from {differing}; take another name or another output folder, or "
        "remove that folder first."
    )


def source_text(value: object) -> str:
    """Write a value of a report's `source` for an error; an empty list selects all."""
    return "all" if value == [] or value == () else repr(value)


@contextmanager
def owning(folder: Path, source: Mapping[str, Any]) -> Iterator[None]:
    """Own the folder of a data set while its files are written, so that two commands cannot mix theirs.

    Args:
        folder: folder of the annotations, created if necessary.
        source: source of the data set, see `refuse_other`, which is called again: another command may have ended since.

    Raises:
        DataError: another command is writing to the folder, or has written another data set.
    """
    make_folder(folder)
    busy = DataError(f"{folder} is being written by another command; wait for its end, or take another name.")
    lock = take_lock(folder / ".lock", busy)
    try:
        refuse_other(folder, source)
        yield
    finally:
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink()
