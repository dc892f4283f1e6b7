"""Answers that look at nothing: what a number has to be better than."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vlt.data.masks import read_target
from vlt.errors import DataError

if TYPE_CHECKING:
    from vlt.evaluate.evaluation import Answerer
    from vlt.types import Batch, Mask, Referral, Referrals, Size


def dummies(train: Referrals) -> dict[str, Answerer]:
    """The two baselines by name, to be evaluated in place of a model.

    Args:
        train: the referrals of the train split, which the size of the box is measured on.

    Raises:
        DataError: a target cannot be read.
    """
    return {"whole photo": whole_photo, "centred box": centred_box(mean_box_share(train))}


def whole_photo(batch: Batch) -> Iterator[Mask]:
    """Answers each expression with every pixel of its photo."""
    for letterbox in batch.letterboxes:
        yield np.ones(letterbox.photo_size, dtype=bool)


def centred_box(share: tuple[float, float]) -> Answerer:
    """Answers every expression with a box in the middle of the photo.

    Args:
        share: (height, width) of the box as shares of the photo's, in [0, 1]; rounded to whole pixels, at least one.
    """

    def answer(batch: Batch) -> Iterator[Mask]:
        for letterbox in batch.letterboxes:
            yield _box_mask(letterbox.photo_size, share)

    return answer


def mean_box_share(referrals: Referrals) -> tuple[float, float]:
    """The mean height and width of the boxes around the targets, each as a share of its photo's.

    Every referral counts once, however many sentences it has; empty targets have no box and do not count.

    Args:
        referrals: of the train split.

    Returns:
        (height, width), in [0, 1].

    Raises:
        DataError: a target cannot be read, or all are empty.
    """
    shares = [share for share in map(_box_share, referrals) if share is not None]
    if not shares:
        raise DataError(
            f"A mean box cannot be measured: none of the {len(referrals)} referrals has a target with a pixel."
        )
    height, width = np.mean(shares, axis=0)
    return float(height), float(width)


def _box_share(referral: Referral) -> tuple[float, float] | None:
    mask = read_target(referral.target)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return (rows[-1] + 1 - rows[0]) / mask.shape[0], (columns[-1] + 1 - columns[0]) / mask.shape[1]


def _box_mask(size: Size, share: tuple[float, float]) -> Mask:
    height, width = (max(1, round(side * part)) for side, part in zip(size, share, strict=True))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask
