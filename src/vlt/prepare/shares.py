"""Shares of referrals to several objects and to none: their check, and their entries in `prepare.json`."""

from __future__ import annotations

from vlt.errors import ConfigError
from vlt.synth.scenes.referents import Shares


def check_shares(several: float, absent: float) -> Shares:
    """Check the shares of referrals to several objects and to none.

    Args:
        several: see `Shares`.
        absent: see `Shares`.

    Raises:
        ConfigError: one is not in [0, 1], or both together are above 1.
    """
    for name, share in (("several", several), ("absent", absent)):
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share}, but a share lies between 0 and 1.")
    if several + absent > 1:
        raise ConfigError(f"several is {several} and absent {absent}, together more than all; take at most 1.")
    return Shares(several, absent)


def named_shares(shares: Shares) -> dict[str, float]:
    """Return the shares above 0 by name, for `prepare.json`, where a data set without such referrals names none."""
    return {name: share for name, share in shares._asdict().items() if share}
