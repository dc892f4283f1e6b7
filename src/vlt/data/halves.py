"""Two halves of a split: on one of them choices are made, on the other they are reported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from vlt.config import Half
from vlt.errors import ConfigError, DataError

if TYPE_CHECKING:
    from vlt.types import Referral, Referrals


def half_of(photo: Path) -> Half:
    """Which half a photo belongs to: by a hash of its name, so that it is so in every data set and for ever.

    Args:
        photo: its path; folders and ending do not count.
    """
    return "ab"[hashlib.sha256(photo.stem.encode()).digest()[-1] % 2]  # type: ignore[return-value]


def take_half(referrals: Referrals, half: Half | None) -> Referrals:
    """The referrals whose photos belong to a half, in their order.

    Args:
        referrals: of a split.
        half: "a" or "b"; both together are the split, and no photo is in both. None: all of them.

    Raises:
        ConfigError: photos that were drawn in memory, which have no names.
        DataError: nothing is in that half.
    """
    if half is None:
        return referrals
    kept = [referral for referral in referrals if half_of(_name(referral)) == half]
    if not kept:
        raise DataError(f"There is no photo in half {half!r} of the split; take the other half, or the whole.")
    return kept


def _name(referral: Referral) -> Path:
    if not isinstance(referral.image, Path):
        raise ConfigError("Scenes drawn in memory have no names to halve them by; take all of them, or another seed.")
    return referral.image
