"""Reliability: whether scores are the probabilities that masks are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vlt.evaluate.results import ExpressionResult

BINS = 10
"""Number of bins of equal width."""
RIGHT_IOU = 0.5
"""IoU above which a mask is right; of the boxes where the target's mask is not known."""


class ScoreBin(NamedTuple):
    """Masks whose scores are in an interval.

    Attributes:
        low: smallest score of the interval, in [0, 1].
        high: largest one; excluded, except in the last interval.
        count: number of masks; at least one.
        score: mean score of the masks.
        right: share of the masks whose IoU with the ground truth is above `RIGHT_IOU`, in [0, 1].
    """

    low: float
    high: float
    count: int  # type: ignore[assignment]  # hides the count() that every tuple has
    score: float
    right: float


def score_bins(results: Sequence[ExpressionResult]) -> tuple[ScoreBin, ...]:
    """Compare scores with the shares of right masks, in `BINS` intervals of the score.

    Empty masks do not count, since a score is the probability that a mask is right; a mask for an expression without
    a referent is wrong.

    Args:
        results: those without a score, as of baselines, do not count.

    Returns:
        The intervals that have any mask.
    """
    pairs = [(each.score, each.has_referent and each.overlap > RIGHT_IOU) for each in results if not each.is_empty]
    scores, right = np.array([pair for pair in pairs if pair[0] is not None], dtype=float).reshape(-1, 2).T
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    members = [(place, places == place) for place in np.unique(places).tolist()]
    return tuple(
        ScoreBin(place / BINS, (place + 1) / BINS, int(own.sum()), float(scores[own].mean()), float(right[own].mean()))
        for place, own in members
    )


def calibration_error(bins: Sequence[ScoreBin]) -> float:
    """Compute the expected calibration error: the mean over masks of |mean score - share right| of their bins.

    Args:
        bins: at least one.

    Returns:
        A share in [0, 1]; 0 is perfect (Guo et al., "On Calibration of Modern Neural Networks", 2017).
    """
    weighted = sum(each.count * abs(each.score - each.right) for each in bins)
    return weighted / sum(each.count for each in bins)
