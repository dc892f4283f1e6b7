"""Preparing REFER data sets: from their folder to annotations and masks, with a report of what was found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vlt.data.prepared import annotation_folder
from vlt.errors import DataError
from vlt.prepare.folder import refuse_other, write_data_set
from vlt.prepare.refer_set import photo_folder, read_refer
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
        dataset: refcoco, refcoco+, refcocog, refclef or grefcoco.
        split: its way of splitting, named after its authors: unc, umd, google or berkeley.
        generate_mask: write the masks as PNGs, as the original's script does.
        images: the folder of the images; None: as REFER's authors lay it out under `data_root`.

    Raises:
        DataError: a file that is missing, malformed or refused; no ref that can be used; a folder or file that cannot
            be written; a folder that holds the same data set with another way of splitting; `images` is no folder.
    """
    folder = annotation_folder(Path(output_dir), folder_name(dataset, split))
    source = {"dataset": dataset, "split": split}
    photos = photo_folder(Path(data_root), dataset) if images is None else Path(images)
    if images is not None and not photos.is_dir():
        raise DataError(f"There is no folder of images {photos}; name the one that holds them.")
    refuse_other(folder, source)
    found = read_refer(Path(data_root), dataset, split, photos)
    if not found.splits:
        raise DataError(f"No ref of {dataset}, split by {split}, can be used: {found.defects.summary()}.")
    return write_data_set(
        Path(output_dir),
        folder.name,
        found.splits,
        source=source,
        images=photos,
        defects=found.defects,
        categories=found.categories,
        generate_mask=generate_mask,
        expected=EXPECTED.get((dataset, split)),
        notes=found.notes,
    )
