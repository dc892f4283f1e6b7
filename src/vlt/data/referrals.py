"""Functions on referrals: blank expressions, kinds of targets, keys and names of images, fingerprint of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vlt.errors import DataError
from vlt.text.words import is_visible
from vlt.types import PackedImage, Referral, Referrals, Target


def without_blanks(referrals: Iterable[Referral]) -> tuple[list[Referral], int]:
    """Remove expressions that are blank or have only invisible characters, and referrals that have no other.

    Returns:
        The referrals that are left, and the number of blank expressions.
    """
    kept, blank = [], 0
    for referral in referrals:
        filled = tuple(expression for expression in referral.expressions if is_visible(expression.text))
        blank += len(referral.expressions) - len(filled)
        if filled:
            kept.append(referral if len(filled) == len(referral.expressions) else replace(referral, expressions=filled))
    return kept, blank


def check_one_kind(referrals: Referrals) -> bool:
    """Check that all targets of a data set are masks, or all boxes; their scores cannot be joined.

    Returns:
        Whether they are boxes.

    Raises:
        DataError: some are masks and some boxes.
    """
    kinds = [bool(referral.boxes) for referral in referrals if referral.targets]
    if len(set(kinds)) > 1:
        raise DataError(
            f"Of the {len(kinds)} referrals with a target {sum(kinds)} {'is' if sum(kinds) == 1 else 'are'} known by "
            "boxes alone and the others by masks, whose scores cannot be joined; prepare them as two data sets."
        )
    return any(kinds)


def fingerprint(referrals: Iterable[Referral]) -> str:
    """Compute a hash of a data set that does not depend on where it is stored.

    Returns:
        SHA-256, in hexadecimal, over the ids, image names, mask sizes (of targets without a mask the boxes) and
        expressions.
    """
    digest = hashlib.sha256()
    for referral in referrals:
        sizes = [target_size(target) for target in referral.targets]
        texts = [(expression.sent_id, expression.text) for expression in referral.expressions]
        known = (referral.ref_id, image_name(referral), sizes[0] if len(sizes) == 1 else sizes, texts)
        digest.update(repr(known).encode())
    return digest.hexdigest()


def target_size(target: Target) -> Sequence[float] | None:
    """Return the size of a target's mask as far as it is known without reading it, or its box where it has none."""
    if isinstance(target, dict):
        return target["size"]
    if isinstance(target, tuple):
        return target
    return None if isinstance(target, Path) else list(target.shape)


def image_key(referral: Referral) -> Path | PackedImage | int:
    """Key of a referral's image, equal for all its referrals: the file, or the number of the drawn scene."""
    if isinstance(referral.image, Path | PackedImage):
        return referral.image
    return referral.ref_id if referral.scene is None else referral.scene


def image_name(referral: Referral) -> str:
    """Name of a referral's image in messages."""
    if isinstance(referral.image, PackedImage):
        return PurePosixPath(referral.image.name).name
    return referral.image.name if isinstance(referral.image, Path) else "in memory"


def video_name(referral: Referral) -> str | None:
    """Name of the video whose frame a referral is about, which is that of the frame's folder; None in memory."""
    image = referral.image
    return PurePosixPath(portable_name(image)).parent.name if isinstance(image, Path | PackedImage) else None


def portable_name(image: Path | PackedImage) -> str:
    """Name of an image file that does not depend on where the data are stored: that of its folder and its own.

    Example:
        >>> portable_name(Path("data/train2014/7.jpg"))
        'train2014/7.jpg'
    """
    return image.name if isinstance(image, PackedImage) else "/".join(image.parts[-2:])
