"""Referrals, images and masks in memory."""

import numpy as np

from vlt.types import Expression, Referral


def photo(number: int = 0, *, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def mask(height: int = 20, width: int = 30) -> np.ndarray:
    target = np.zeros((height, width), bool)
    target[5:15, 2:10] = True
    return target


def referral(ref_id: int, *texts: str, image=None, targets=None) -> Referral:
    expressions = tuple(Expression(100 * ref_id + number, text) for number, text in enumerate(texts or ("left dog",)))
    return Referral(
        ref_id,
        photo(ref_id) if image is None else image,
        (mask(),) if targets is None else targets,
        expressions,
    )
