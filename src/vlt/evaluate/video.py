"""Scores of videos: region similarity J and contour accuracy F, as means over the frames of each expression first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from vlt.evaluate.results import ExpressionResult


class VideoScores(NamedTuple):
    """Scores of expressions about videos, as shares in [0, 1].

    Attributes:
        region: region similarity J: the IoU, averaged over the frames of an expression, then over expressions.
        contour: contour accuracy F: the boundary F-score, averaged in the same way.
        expressions: number of expressions.
        frames: number of pairs of a frame and an expression.
    """

    region: float
    contour: float
    expressions: int
    frames: int

    @property
    def mean(self) -> float:
        """J&F, the mean of both."""
        return (self.region + self.contour) / 2

    @classmethod
    def of(cls, results: Iterable[ExpressionResult]) -> VideoScores:
        """Score results; at least one. Those of one `sent_id` are about the frames of one expression."""
        frames: dict[int, list[tuple[float, float]]] = {}
        for result in results:
            assert result.iou is not None, "`evaluate` refuses targets that are boxes"
            assert result.boundary is not None
            frames.setdefault(result.sent_id, []).append((result.iou, result.boundary))
        region, contour = np.mean([np.mean(pairs, axis=0) for pairs in frames.values()], axis=0)
        return cls(float(region), float(contour), len(frames), sum(map(len, frames.values())))

    def __str__(self) -> str:
        """J&F, J and F in percent, for the lines below a table."""
        shares = f"J&F {100 * self.mean:.2f}, J {100 * self.region:.2f}, F {100 * self.contour:.2f}"
        return f"{shares} over {self.expressions:,} expressions, averaged over the frames of each first"

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        return {**self._asdict(), "mean": self.mean}


def score_videos(results: Iterable[ExpressionResult]) -> dict[str, VideoScores]:
    """Score each video on its own, in the order of the data set.

    Args:
        results: results that state their video; others are left out.
    """
    videos: dict[str, list[ExpressionResult]] = {}
    for result in results:
        if result.video is not None:
            videos.setdefault(result.video, []).append(result)
    return {video: VideoScores.of(own) for video, own in videos.items()}
