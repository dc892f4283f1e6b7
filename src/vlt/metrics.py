"""How answers are judged: mIoU, oIoU, Pr@t, boundary F, each defined once, under a protocol that says what words mean.

The printed word "IoU" means several things in public code: other thresholds of the mask, other comparisons, other rules
for empty masks. A `Protocol` states them all, and every number here is made under one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

if TYPE_CHECKING:
    from vlt.types import Mask


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything a number of referring segmentation depends on besides the answers.

    Attributes:
        name: what it is called in reports.
        threshold: of the probability, in [0, 1]; the mask is what lies strictly above it, at the photo's own size.
        comparison: whether Pr@t counts answers above t or those at t too.
        empty_iou: IoU of two empty masks, 1 or 0. One empty mask gives 0 under any protocol.
        levels: the t of Pr@t.
        smoothing: added to intersection and union of each answer.
        source: where these choices come from.
        is_bare: whether the network is judged as it answers, without mirrored photos and refiners.
    """

    name: str
    threshold: float
    comparison: Literal[">", ">="]
    empty_iou: float
    levels: tuple[float, ...]
    smoothing: float = 0.0
    source: str = ""
    is_bare: bool = False

    def iou(self, intersection: Tensor, union: Tensor) -> Tensor:
        """Intersection over union of each answer.

        Args:
            intersection: (N,) pixels.
            union: (N,) pixels, at least the intersection.

        Returns:
            (N,) float64 in [0, 1].
        """
        ratio = (intersection.double() + self.smoothing) / (union.double() + self.smoothing)
        return torch.where(union > 0, ratio, self.empty_iou)

    def passes(self, iou: Tensor) -> Tensor:
        """(N, levels) bool: which answers count for Pr@t.

        Exact at the threshold: a quotient of whole numbers that equals t rounds to the same float64 as t.
        """
        levels = torch.tensor(self.levels, dtype=torch.float64, device=iou.device)
        return iou[:, None] > levels if self.comparison == ">" else iou[:, None] >= levels

    def __str__(self) -> str:
        """The protocol as a sentence, to stand below a table."""
        smoothing = f" ({self.smoothing:g} added above and below)" if self.smoothing else ""
        return (
            f"protocol {self.name}: mask = probability > {self.threshold:g}, at the photo's own size; "
            f"Pr@t = share with IoU {self.comparison} t; two empty masks give IoU {self.empty_iou:g}{smoothing}; "
            f"{self.source}"
        )


PROTOCOLS = {
    "vlt": Protocol(
        name="vlt",
        threshold=0.5,
        comparison=">",
        empty_iou=1.0,
        levels=(0.5, 0.6, 0.7, 0.8, 0.9),
        source="the threshold is that of the configuration",
    ),
    "original": Protocol(
        name="original",
        threshold=0.35,
        comparison=">",
        empty_iou=1.0,
        levels=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
        smoothing=1e-10,
        source="as in VLT, ICCV 2021",
        is_bare=True,
    ),
}
"""The named protocols. Under `original` the smoothing lifts an IoU exactly at t just above it, so that it counts."""


class Scores(NamedTuple):
    """What a set of answers is worth, as shares in [0, 1].

    Attributes:
        miou: mean over sentences of intersection / union (also called gIoU).
        oiou: sum of intersections / sum of unions (also called cIoU or overall IoU).
        boundary: mean over sentences of the boundary F-score, see `boundary_f`.
        precision: Pr@t for each t: the share of sentences whose IoU passes t.
        count: sentences judged.
    """

    miou: float
    oiou: float
    boundary: float
    precision: dict[float, float]
    count: int  # type: ignore[assignment]  # hides the count() that every tuple has

    def to_dict(self) -> dict[str, Any]:
        """The scores for JSON; the t of Pr@t as text."""
        return self._asdict() | {"precision": {f"{level:g}": share for level, share in self.precision.items()}}


class ReferringMetrics(Metric):
    """All scores from the intersections, unions and boundary F-scores of answers.

    Its states are sums, so shards may be merged or synchronised in any order. Sums of shares are kept in float64.

    Args:
        protocol: what counts as what.

    Example:
        >>> metrics = ReferringMetrics(PROTOCOLS["vlt"])
        >>> metrics.update(torch.tensor([3, 0]), torch.tensor([4, 4]), torch.tensor([1.0, 0.0]))
        >>> scores = metrics.compute()
        >>> scores.miou, scores.oiou, scores.precision[0.7]
        (0.375, 0.375, 0.5)
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    count: Tensor
    iou: Tensor
    intersection: Tensor
    union: Tensor
    boundary: Tensor
    passed: Tensor

    def __init__(self, protocol: Protocol, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.protocol = protocol
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("iou", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("intersection", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("union", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("boundary", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("passed", torch.zeros(len(protocol.levels), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, intersection: Tensor, union: Tensor, boundary: Tensor) -> None:
        """Takes in some answers.

        Args:
            intersection: (N,) int64, pixels in both the mask and the target.
            union: (N,) int64, pixels in either.
            boundary: (N,) float in [0, 1], see `boundary_f`.
        """
        iou = self.protocol.iou(intersection, union)
        self.count += len(iou)
        self.iou += iou.sum()
        self.intersection += intersection.sum()
        self.union += union.sum()
        self.boundary += boundary.double().sum()
        self.passed += self.protocol.passes(iou).sum(0)

    def compute(self) -> Scores:
        """The scores of everything taken in so far; NaN where there was nothing."""
        shares = (self.passed / self.count).tolist()
        overall = self.intersection.double() / self.union if self.union > 0 else self.protocol.empty_iou
        return Scores(
            miou=float(self.iou / self.count),
            oiou=float(overall),
            boundary=float(self.boundary / self.count),
            precision=dict(zip(self.protocol.levels, shares, strict=True)),
            count=int(self.count),
        )


def overlap(mask: Mask, target: Mask) -> tuple[int, int]:
    """Intersection and union of two masks.

    Args:
        mask: (H, W) bool, the answer.
        target: (H, W) bool, the truth.

    Returns:
        Pixels in both, pixels in either.
    """
    return int(np.count_nonzero(mask & target)), int(np.count_nonzero(mask | target))


BOUNDARY_REACH = 0.0075
"""How far apart contours may be and still agree, as a share of the photo's diagonal; rounded up to whole pixels."""


def boundary_f(mask: Mask, target: Mask) -> float:
    """How well the outline of an answer follows the true one: the contour accuracy F of DAVIS (Perazzi et al., 2016).

    The contour of a mask is its pixels with one of their four neighbours outside it; the photo's frame is no contour.
    Precision is the share of the answer's contour that lies within d of the target's, recall the share of the target's
    that lies within d of the answer's, F = 2 P R / (P + R), 0 where both are 0. d is `BOUNDARY_REACH` of the photo's
    diagonal, between the centres of pixels. Where one of the masks has no contour, being empty or the whole photo,
    F is 1 if the masks are equal and 0 otherwise.

    Args:
        mask: (H, W) bool, the answer.
        target: (H, W) bool, the truth.

    Returns:
        F in [0, 1].

    Example:
        >>> square = np.pad(np.ones((4, 4), bool), 10)
        >>> [boundary_f(np.roll(square, by, axis=1), square) for by in (0, 1, 9)]
        [1.0, 1.0, 0.0]
    """
    part = _rows_of(mask | target), _rows_of((mask | target).T)  # the rest of the photo has no contour
    answered, true = _contour(mask[part]), _contour(target[part])
    if not (answered.any() and true.any()):
        return float(np.array_equal(mask, target))
    reach = math.ceil(BOUNDARY_REACH * math.hypot(*mask.shape))
    precision, recall = _share_near(answered, true, reach), _share_near(true, answered, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _rows_of(mask: Mask) -> slice:
    """From the row before the mask to the one after it, within the photo."""
    found = np.flatnonzero(mask.any(axis=1))
    return slice(max(found[0] - 1, 0), found[-1] + 2) if len(found) else slice(1)


def _contour(mask: Mask) -> Mask:
    """The pixels of a mask that have a neighbour outside it."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _share_near(contour: Mask, other: Mask, reach: int) -> float:
    """The share of a contour's pixels that lie within `reach` pixels of another contour.

    In each row of the photo the nearest pixel of `other` is known; a pixel then has to look at 2 x reach + 1 rows.
    """
    gaps = np.pad(_gaps(other), ((reach, reach), (0, 0)), constant_values=reach + 1)
    rows, columns = np.nonzero(contour)
    near = np.zeros(len(rows), dtype=bool)
    for step in range(-reach, reach + 1):
        near |= gaps[rows + reach + step, columns] <= math.isqrt(reach**2 - step**2)
    return float(near.mean())


def _gaps(contour: Mask) -> npt.NDArray[np.int32]:
    """(H, W): how many columns the nearest contour pixel of the same row is away; more than W where there is none."""
    width = contour.shape[1]
    columns = np.arange(width, dtype=np.int32)
    before = np.maximum.accumulate(np.where(contour, columns, -2 * width), axis=1)
    after = np.minimum.accumulate(np.where(contour, columns, 3 * width)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(columns - before, after - columns)
