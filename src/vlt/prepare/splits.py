"""Assignment of images to splits: validation by image id, halves a and b by file name; names and files of splits."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

from vlt.errors import ConfigError, DataError
from vlt.types import Referral

VAL_SHARE = 0.15
"""Default share of the images that is used for validation."""

REFER_SPLITS = ("train", "val", "test", "testA", "testB", "testC")
"""Names that REFER gives to splits, in the order in which they are reported."""

LONGEST_NAME = 200
"""Bytes of the name of a data set; common file systems allow 255, of which temporary names need some."""


def check_share(share: float) -> float:
    """Check that a share of images lies in [0, 1]; return the same.

    Raises:
        ConfigError: it does not, or is no number.
    """
    if not 0 <= share <= 1:  # NaN is refused too
        raise ConfigError(f"val_share is {share}, but a share lies between 0 and 1.")
    return share


def is_validation(image_id: int | str, share: float = VAL_SHARE) -> bool:
    """Decide by a hash of its id whether an image belongs to the validation split.

    The decision does not depend on the other images, so it is the same in every selection of a data set.

    Args:
        image_id: as in the instance file.
        share: share of the images used for validation, in [0, 1]; images chosen at one share are chosen at each larger
            one.
    """
    return image_hash(image_id) < share * 2**64


def image_hash(image_id: int | str) -> int:
    """Compute the hash of an image id that decides its split, 64 bits."""
    return int.from_bytes(hashlib.sha256(str(image_id).encode()).digest()[:8], "big")


def hold_out(image_ids: Iterable[int | str], share: float) -> set[int | str]:
    """Select the images to hold out of a small data set: those of the smallest hashes, as `is_validation` does.

    Their number is the share, rounded; at least one is held out and at least one is left, where there are two.

    Args:
        image_ids: ids of the images; repeated ones count once.
        share: share of the images to hold out, in [0, 1].
    """
    ranked = sorted(set(image_ids), key=lambda each: (image_hash(each), str(each)))
    return set(ranked[: min(max(round(share * len(ranked)), 1), len(ranked) - 1)]) if ranked else set()


def validation_half(image: Path) -> Literal["a", "b"]:
    """Decide by a hash of its file name which half of a validation split an image belongs to.

    Choices (best epoch, threshold) are made on half a and results are reported on half b.

    Args:
        image: its path; folders and suffix do not count, so the half is the same in every data set.
    """
    return "b" if hashlib.sha256(image.stem.encode()).digest()[-1] % 2 else "a"


def split_by_image(
    referrals: Iterable[tuple[int | str, Iterable[Referral]]], share: float
) -> dict[str, list[Referral]]:
    """Split referrals by image into train, val, and the halves val_a and val_b; empty splits are left out.

    Args:
        referrals: id of an image, and referrals about it; an id may come several times.
        share: share of the images for validation, see `is_validation`.

    Raises:
        DataError: see `with_halves`.
    """
    splits: dict[str, list[Referral]] = {"train": [], "val": []}
    for image_id, some in referrals:
        splits["val" if is_validation(image_id, share) else "train"] += some
    return with_halves({split: members for split, members in splits.items() if members})


def with_halves(splits: Mapping[str, list[Referral]]) -> dict[str, list[Referral]]:
    """Add the halves `NAME_a` and `NAME_b` of each split whose name ends in "val".

    Args:
        splits: referrals by the name of their split; those of a validation split have an image file.

    Returns:
        All given splits in their order, each followed by its halves where both halves hold a referral.

    Raises:
        DataError: a referral of a validation split has its image in memory, which has no name to decide by.
    """
    result: dict[str, list[Referral]] = {}
    for name, referrals in splits.items():
        result[name] = referrals
        if not name.endswith("val"):
            continue
        halves: dict[str, list[Referral]] = {"a": [], "b": []}
        for referral in referrals:
            if not isinstance(referral.image, Path):
                raise DataError(
                    f"Referral {referral.ref_id} of {name} has an image in memory; only image files can be halved."
                )
            halves[validation_half(referral.image)].append(referral)
        if all(halves.values()):
            result |= {f"{name}_{half}": members for half, members in halves.items()}
    return result


def choose_files(files: Mapping[str, Path], splits: Collection[str], of: str) -> dict[str, Path]:
    """Choose the files of a published set with one file per split.

    Args:
        files: split -> path, in one folder, of all splits of the set.
        splits: splits that are needed; empty: all whose file exists.
        of: name of the set, for messages.

    Returns:
        The files that exist, in the order of `files`.

    Raises:
        DataError: there is no such split; a file that is needed is missing, or all are.
    """
    for split in splits:
        if split not in files:
            raise DataError(f"{of} has no split {split!r}; it has {', '.join(files)}.")
    wanted = {split: path for split, path in files.items() if split in splits or not splits}
    missing = [path for path in wanted.values() if not path.is_file()]
    if (splits and missing) or len(missing) == len(wanted):
        folder = missing[0].parent
        there = sorted(path.name for path in folder.glob("*.json"))
        found = f"{folder} holds {', '.join(there)}" if there else f"name the folder with {of}'s files"
        raise DataError(f"There is no {missing[0]}; {found}.")
    return {split: path for split, path in wanted.items() if path not in missing}


def check_name(name: str) -> str:
    """Check that the name of a data set or split names a folder or file and not a path.

    Args:
        name: as given by a user.

    Returns:
        The same name.

    Raises:
        ConfigError: it is empty or blank, contains a path separator, a drive or an invisible character, is "." or "..",
            or is longer than a folder's name can be.
    """
    if not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        raise ConfigError(
            f"{name[:40]!r} cannot be the name of a data set: it has invisible characters or more than "
            f"{LONGEST_NAME} bytes."
        )
    if not name.strip() or name in (".", "..") or any(sign in name for sign in "/\\:"):
        raise ConfigError(
            f"{name!r} cannot be the name of a data set, because it would be a path outside the output folder; "
            "use a plain name without slashes, such as coco."
        )
    return name


def check_split(path: Path, split: str) -> None:
    """Check that the name of a split can be that of a file beside `prepare.json`.

    Args:
        path: path of the file that names the split, for messages.
        split: the name.

    Raises:
        DataError: it cannot.
    """
    refusal = DataError(
        f"{path} has a split {split[:40]!r}, which cannot be the name of a file beside prepare.json; rename it."
    )
    try:
        check_name(split)
    except ConfigError:
        raise refusal from None
    if split.lower() == "prepare":
        raise refusal
