"""Functions on referrals: removal of blank expressions, keys and names of images, fingerprint of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vlt.text.words import is_visible
from vlt.types import Referral


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


def fingerprint(referrals: Iterable[Referral]) -> str:
    """Compute a hash of a data set that does not depend on where it is stored.

    Returns:
        SHA-256, in hexadecimal, over the ids, image names, mask sizes and expressions.
    """
    digest = hashlib.sha256()
    for referral in referrals:
        sizes = [
            target["size"] if isinstance(target, dict) else None if isinstance(target, Path) else list(target.shape)
            for target in referral.targets
        ]
        texts = [(expression.sent_id, expression.text) for expression in referral.expressions]
        known = (referral.ref_id, image_name(referral), sizes[0] if len(sizes) == 1 else sizes, texts)
        digest.update(repr(known).encode())
    return digest.hexdigest()


def image_key(referral: Referral) -> Path | int:
    """Key of a referral's image, equal for all its referrals: the path, or the number of the drawn scene."""
    if isinstance(referral.image, Path):
        return referral.image
    return referral.ref_id if referral.scene is None else referral.scene


def image_name(referral: Referral) -> str:
    """Name of a referral's image in messages."""
    return referral.image.name if isinstance(referral.image, Path) else "in memory"
