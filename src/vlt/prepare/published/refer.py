"""Preparing REFER data sets: from their folder to annotations and masks, with a report of what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from vlt.data.prepared import annotation_folder
from vlt.errors import DataError
from vlt.prepare.folder import refuse_other, write_data_set
from vlt.prepare.published.arefcoco import arefcoco_file, read_arefcoco
from vlt.prepare.published.refer_set import ReferSet, photo_folder, read_refer
from vlt.prepare.report import Counts, PrepareReport

__all__ = ["EXPECTED", "PrepareReport", "folder_name", "prepare_refer"]

EXPECTED: Mapping[tuple[str, str], Mapping[str, Counts]] = {
    ("refcoco", "unc"): {
        "train": Counts(42404, 16994, 120624),
        "val": Counts(3811, 1500, 10834),
        "testA": Counts(1975, 750, 5657),
        "testB": Counts(1810, 750, 5095),
    },
    ("refcoco+", "unc"): {
        "train": Counts(42278, 16992, 120191),
        "val": Counts(3805, 1500, 10758),
        "testA": Counts(1975, 750, 5726),
        "testB": Counts(1798, 750, 4889),
    },
    ("refcocog", "umd"): {
        "train": Counts(42226, 21899, 80512),
        "val": Counts(2573, 1300, 4896),
        "test": Counts(5023, 2600, 9602),
    },
    ("refcocog", "google"): {
        "train": Counts(44822, 24698, 85474),
        "val": Counts(5000, 4650, 9536),
    },
    ("refcoco", "google"): {
        "train": Counts(40000, 19213, None),
        "val": Counts(5000, 4559, None),
        "test": Counts(5000, 4527, None),
    },
    ("arefcoco", "unc"): {
        "train": Counts(41417, 18496, 110818),
        "test": Counts(4112, 2213, 7050),
    },
}
"""(dataset, way of splitting) -> split -> published counts, which complete files give."""


def folder_name(dataset: str, split: str) -> str:
    """Name the folder of a prepared set as the original does; with its way of splitting where two would collide.

    Example:
        >>> folder_name("refcoco", "unc"), folder_name("refcoco", "google"), folder_name("refcocog", "umd")
        ('refcoco', 'refcoco_google', 'refcocog_umd')
    """
    return f"{dataset}_{split}" if dataset == "refcocog" or (dataset, split) == ("refcoco", "google") else dataset


def prepare_refer(
    data_root: Path | str,
    output_dir: Path | str,
    dataset: str,
    split: str,
    *,
    generate_mask: bool,
    images: Path | str | None = None,
) -> PrepareReport:
    """Prepare one data set of a REFER folder: annotations, masks, and `prepare.json` with the report.

    Args:
        data_root: the folder with a folder per data set.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        dataset: refcoco, refcoco+, refcocog, refclef, grefcoco, ref-zom or arefcoco.
        split: its way of splitting, named after its authors: unc, umd, google or berkeley; of ref-zom, final.
        generate_mask: write the masks as PNGs, as the original's script does.
        images: the folder of the images; None: as REFER's authors lay it out under `data_root`.

    Raises:
        DataError: a file that is missing, malformed or refused; no ref that can be used; a folder or file that cannot
            be written; a folder that holds the same data set with another way of splitting; `images` is no folder.
    """
    photos = photo_folder(Path(data_root), dataset) if images is None else Path(images)
    if images is not None:
        check_images(photos)
    return prepare_refer_set(
        lambda: read_folder(Path(data_root), dataset, split, photos)._replace(
            expected=EXPECTED.get((dataset, split), {})
        ),
        Path(output_dir),
        folder_name(dataset, split),
        source={"dataset": dataset, "split": split},
        images=photos,
        of=f"{dataset}, split by {split},",
        generate_mask=generate_mask,
    )


def read_folder(data_root: Path, dataset: str, split: str, images: Path) -> ReferSet:
    """Read one data set of a REFER folder, see `read_refer`; aRefCOCO also from its own file, see `read_arefcoco`.

    Args:
        data_root: the folder with a folder per data set.
        dataset: its name.
        split: its way of splitting.
        images: the folder of the images.

    Raises:
        DataError: see `read_refer` and `read_arefcoco`.
    """
    own = arefcoco_file(data_root)
    if (dataset, split) == ("arefcoco", "unc") and own.is_file() and not own.with_name("refs(unc).p").is_file():
        return read_arefcoco(data_root, images)
    return read_refer(data_root, dataset, split, images)


def check_images(images: Path) -> None:
    """Check that there is a folder of images.

    Raises:
        DataError: there is none.
    """
    if not images.is_dir():
        raise DataError(f"There is no folder of images {images}; name the one that holds them.")


def prepare_refer_set(
    read: Callable[[], ReferSet],
    output_dir: Path,
    name: str,
    *,
    source: Mapping[str, Any],
    images: Path,
    of: str,
    generate_mask: bool,
    replaced: Collection[str] = (),
) -> PrepareReport:
    """Read a set of refs and write its annotations, masks, and `prepare.json` with the report.

    Args:
        read: reads the set; it is called after the folder of that name was found to hold no other.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        source: source of the data set, see `refuse_other`.
        images: the folder of the images.
        of: files or names of the set, for the message that nothing of it can be used.
        generate_mask: write the masks as PNGs.
        replaced: names of splits of an earlier run that are removed if the set no longer has them.

    Raises:
        DataError: from `read`; no ref that can be used; a folder or file that cannot be written; the folder of that
            name holds a data set that was made in another way.
    """
    refuse_other(annotation_folder(output_dir, name), source)
    found = read()
    if not found.splits:
        raise DataError(f"No ref of {of} can be used: {found.defects.summary()}.")
    return write_data_set(
        output_dir,
        name,
        found.splits,
        source=source,
        images=images,
        defects=found.defects,
        categories=found.categories,
        generate_mask=generate_mask,
        expected=found.expected,
        notes=found.notes,
        replaced=replaced,
    )
