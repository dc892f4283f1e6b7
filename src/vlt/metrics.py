"""Metrics of referring segmentation: mIoU, oIoU, Pr@t, boundary F and box accuracy, defined once, under a protocol.

Public code differs in the threshold, in the comparison with t and in the IoU of empty masks. An `EvaluationProtocol`
states these choices, and every score of this package is computed under one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from vlt.types import Mask


def inner_contour(mask: Mask) -> Mask:
    """Return the pixels of a mask that have one of their four neighbours outside it.

    Args:
        mask: (H, W) bool; beyond its border lies more of the same.
    """
    padded = np.pad(mask, 1, mode="edge")
    return mask & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def crossing_contour(mask: Mask) -> Mask:
    """Return the pixels that differ from their right, lower or lower right neighbour, as DAVIS' code does.

    On the left and upper side of an object they lie just outside it.

    Args:
        mask: (H, W) bool; beyond its border lies more of the same.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (padded[:-1, 1:] != mask) | (padded[1:, :-1] != mask) | (padded[1:, 1:] != mask)


@dataclass(frozen=True, slots=True)
class BoundaryRule:
    """Definition of a contour, and of how near contours agree, for `boundary_f`.

    Attributes:
        contour: a function from a mask (H, W) bool to the pixels of its contour; the image's border is none.
        reach: distance up to which contours agree, as a share of the image's diagonal; rounded up to whole pixels.
    """

    contour: Callable[[Mask], Mask]
    reach: float


IMAGE_BOUNDARY = BoundaryRule(inner_contour, 0.0075)
"""The rule for images."""
VIDEO_BOUNDARY = BoundaryRule(crossing_contour, 0.008)
"""The rule of the evaluation code of DAVIS, which the benchmarks of referring video segmentation share."""


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """Everything that a score of referring segmentation depends on besides the predictions.

    Attributes:
        name: name of the protocol in reports.
        threshold: probability in [0, 1] strictly above which a pixel belongs to the mask, at the image's own size.
        comparison: whether Pr@t counts predictions with IoU above t, or at t too.
        empty_iou: IoU of two empty masks, 1 or 0. One empty mask gives 0 under any protocol.
        levels: the t of Pr@t.
        precision_of: which expressions Pr@t is a share of: all, or those with a target.
        smoothing: added to intersection and union of each prediction.
        source: publication or code that the choices are taken from.
        is_bare: whether the network is evaluated without test-time augmentation and refinement.
        is_video: whether images are frames of videos: J and F are means over the frames of an expression first, then
            over expressions (`vlt.evaluate.video`), and boundary F follows `VIDEO_BOUNDARY`.
    """

    name: str
    threshold: float
    comparison: Literal[">", ">="]
    empty_iou: float
    levels: tuple[float, ...]
    precision_of: Literal["all", "targets"] = "all"
    smoothing: float = 0.0
    source: str = ""
    is_bare: bool = False
    is_video: bool = False

    @property
    def boundary(self) -> BoundaryRule:
        """Definition of the boundary F-score."""
        return VIDEO_BOUNDARY if self.is_video else IMAGE_BOUNDARY

    def iou(self, intersection: Tensor, union: Tensor) -> Tensor:
        """Compute intersection over union of each prediction.

        Args:
            intersection: (N,) pixels.
            union: (N,) pixels, at least the intersection.

        Returns:
            (N,) float64 in [0, 1].
        """
        ratio = (intersection.double() + self.smoothing) / (union.double() + self.smoothing)
        return torch.where(union > 0, ratio, self.empty_iou)

    def passes(self, iou: Tensor) -> Tensor:
        """Decide which predictions pass each level t of Pr@t, (N, levels) bool.

        Exact at the threshold: a quotient of whole numbers that equals t rounds to the same float64 as t.
        """
        levels = torch.tensor(self.levels, dtype=torch.float64, device=iou.device)
        return iou[:, None] > levels if self.comparison == ">" else iou[:, None] >= levels

    def __str__(self) -> str:
        """Description of the protocol, for the line below a table."""
        smoothing = f" ({self.smoothing:g} added above and below)" if self.smoothing else ""
        share = "share of those with a target" if self.precision_of == "targets" else "share"
        return (
            f"protocol {self.name}: mask = probability > {self.threshold:g}, at the image's own size; "
            f"Pr@t = {share} with IoU {self.comparison} t; two empty masks give IoU {self.empty_iou:g}{smoothing}; "
            f"{self.source}"
        )


PROTOCOLS = {
    "vlt": EvaluationProtocol(
        name="vlt",
        threshold=0.5,
        comparison=">",
        empty_iou=1.0,
        levels=(0.5, 0.6, 0.7, 0.8, 0.9),
        source="the threshold is that of the checkpoint",
    ),
    "original": EvaluationProtocol(
        name="original",
        threshold=0.35,
        comparison=">",
        empty_iou=1.0,
        levels=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
        smoothing=1e-10,
        source="as in VLT, ICCV 2021",
        is_bare=True,
    ),
    "grefcoco": EvaluationProtocol(
        name="grefcoco",
        threshold=0.5,
        comparison=">=",
        empty_iou=1.0,
        levels=(0.7, 0.8, 0.9),
        precision_of="targets",
        source="as in gRefCOCO's benchmark (Liu et al. 2023): mIoU is its gIoU, oIoU its cIoU",
    ),
    "video": EvaluationProtocol(
        name="video",
        threshold=0.5,
        comparison=">",
        empty_iou=1.0,
        levels=(0.5, 0.6, 0.7, 0.8, 0.9),
        source="J and F as in DAVIS (Perazzi et al. 2016), contours within 0.8 % of the diagonal",
        is_video=True,
    ),
}
"""The named protocols. Under `original` the smoothing lifts an IoU exactly at t just above it, so that it counts."""


BOX_IOU = 0.5
"""IoU of two boxes from which they count as the same object."""

BOX_LEVELS = tuple(level / 100 for level in range(50, 100, 5))
"""The t of Acc@t, over which mAcc is the mean: 0.5, 0.55, ..., 0.95."""


class Scores(NamedTuple):
    """Scores of a set of predictions, as shares in [0, 1].

    Where targets are known by their boxes alone, there are no scores of masks: `miou`, `oiou` and `boundary` are NaN,
    `precision` is empty, and `to_dict` leaves them out.

    Attributes:
        miou: mean over expressions of intersection / union (also called gIoU).
        oiou: sum of intersections / sum of unions (also called cIoU or overall IoU).
        boundary: mean over expressions of the boundary F-score, see `boundary_f`.
        box: box accuracy, as of referring comprehension: the share of expressions whose mask's box has an IoU of at
            least `BOX_IOU` with the box of the ground truth; two empty masks count.
        precision: Pr@t for each t: the share of expressions (of those with a target, under some protocols) whose IoU
            passes t; NaN where there are none.
        count: number of expressions.
        accuracy: where targets are known by their boxes alone, Acc@t for each t of `BOX_LEVELS`: the box accuracy with
            an IoU of at least t; else None.
    """

    miou: float
    oiou: float
    boundary: float
    box: float
    precision: dict[float, float]
    count: int  # type: ignore[assignment]  # hides the count() that every tuple has
    accuracy: dict[float, float] | None = None

    @classmethod
    def of_boxes(cls, overlaps: Tensor) -> Scores:
        """Compute the scores of predictions for targets that are known by their boxes alone.

        Args:
            overlaps: (N,) float in [0, 1], at least one: IoU of the box of each predicted mask and of the target's; 1
                if the mask is empty and nothing matches, 0 if one of both.
        """
        accuracy = {level: float((overlaps >= level).double().mean()) for level in BOX_LEVELS}
        return cls(math.nan, math.nan, math.nan, accuracy[BOX_IOU], {}, len(overlaps), accuracy)

    @property
    def macc(self) -> float | None:
        """The mean of Acc@t over `BOX_LEVELS`, as of Ref-L4; None where targets have masks."""
        return None if self.accuracy is None else sum(self.accuracy.values()) / len(self.accuracy)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON values; the t of Pr@t and Acc@t as text, None for NaN."""
        if self.accuracy is not None:
            levels = {f"{level:g}": share for level, share in self.accuracy.items()}
            return {"box": self.box, "accuracy": levels, "macc": self.macc, "count": self.count}
        shares = {f"{level:g}": None if math.isnan(share) else share for level, share in self.precision.items()}
        values = self._asdict() | {"precision": shares}
        del values["accuracy"]
        return values


class ReferringMetrics(Metric):
    """Accumulates all scores from intersections, unions, boundary F-scores and overlaps of boxes.

    Its states are sums, so shards may be merged or synchronised in any order. Sums of shares are kept in float64.

    Args:
        protocol: definition of the scores.

    Example:
        >>> metrics = ReferringMetrics(PROTOCOLS["vlt"])
        >>> pixels, shares = torch.tensor([[3, 0], [4, 4]]), torch.tensor([[1.0, 0.0], [0.8, 0.0]])
        >>> metrics.update(*pixels, *shares, target=torch.tensor([4, 2]))
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
    boxes: Tensor
    rated: Tensor
    passed: Tensor

    def __init__(self, protocol: EvaluationProtocol, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.protocol = protocol
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("iou", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("intersection", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("union", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("boundary", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("boxes", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("rated", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("passed", torch.zeros(len(protocol.levels), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, intersection: Tensor, union: Tensor, boundary: Tensor, box: Tensor, target: Tensor) -> None:
        """Add some predictions.

        Args:
            intersection: (N,) int64, pixels in both masks.
            union: (N,) int64, pixels in either.
            boundary: (N,) float in [0, 1], see `boundary_f`.
            box: (N,) float in [0, 1], IoU of the boxes of both masks; 1 if both are empty, 0 if one is.
            target: (N,) int64, pixels of the ground truth; 0 where nothing matches.
        """
        iou = self.protocol.iou(intersection, union)
        rated = target > 0 if self.protocol.precision_of == "targets" else torch.ones_like(target, dtype=torch.bool)
        self.count += len(iou)
        self.iou += iou.sum()
        self.intersection += intersection.sum()
        self.union += union.sum()
        self.boundary += boundary.double().sum()
        self.boxes += (box >= BOX_IOU).sum()
        self.rated += rated.sum()
        self.passed += self.protocol.passes(iou)[rated].sum(0)

    def compute(self) -> Scores:
        """Compute the scores of everything added so far; NaN where there was nothing."""
        shares = (self.passed / self.rated).tolist()
        overall = self.intersection.double() / self.union if self.union > 0 else self.protocol.empty_iou
        return Scores(
            miou=float(self.iou / self.count),
            oiou=float(overall),
            boundary=float(self.boundary / self.count),
            box=float(self.boxes / self.count),
            precision=dict(zip(self.protocol.levels, shares, strict=True)),
            count=int(self.count),
        )


def overlap(mask: Mask, target: Mask) -> tuple[int, int]:
    """Count the pixels of the intersection and the union of two masks.

    Args:
        mask: (H, W) bool, predicted.
        target: (H, W) bool, ground truth.

    Returns:
        Pixels in both, pixels in either.
    """
    return int(np.count_nonzero(mask & target)), int(np.count_nonzero(mask | target))


def boundary_f(mask: Mask, target: Mask, rule: BoundaryRule = IMAGE_BOUNDARY) -> float:
    """Compute the contour accuracy F of DAVIS: how well the predicted outline follows the true one.

    Precision is the share of the predicted contour that lies within d of the true one, recall the share of the true
    one that lies within d of the predicted one, F = 2 P R / (P + R), 0 where both are 0. d is the reach of the rule
    times the image's diagonal, between the centres of pixels. The image's border is no contour. Where one of the masks
    has no contour, being empty or the whole image, F is 1 if the masks are equal and 0 otherwise (source: Perazzi et
    al., 2016).

    Args:
        mask: (H, W) bool, predicted.
        target: (H, W) bool, ground truth.
        rule: definition of the contour, and the reach.

    Returns:
        F in [0, 1].

    Example:
        >>> square = np.pad(np.ones((4, 4), bool), 10)
        >>> [boundary_f(np.roll(square, by, axis=1), square) for by in (0, 1, 9)]
        [1.0, 1.0, 0.0]
    """
    found = np.nonzero(mask | target)
    # Both contours lie in this window; the rest of the image need not be searched.
    window = tuple(slice(max(side.min() - 1, 0), side.max() + 2) if len(side) else slice(1) for side in found)
    predicted, true = rule.contour(mask[window]), rule.contour(target[window])
    if not (predicted.any() and true.any()):
        return float(np.array_equal(mask, target))
    reach = math.ceil(rule.reach * math.hypot(*mask.shape))
    precision, recall = share_near(predicted, true, reach), share_near(true, predicted, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def share_near(contour: Mask, other: Mask, reach: int) -> float:
    """Compute the share of a contour's pixels that lie within `reach` pixels of another contour.

    The distance along the row to the nearest pixel of `other` is computed once for all pixels; a pixel then looks at
    2 x reach + 1 rows.

    Args:
        contour: (H, W) bool, not empty.
        other: (H, W) bool.
        reach: largest distance, between the centres of pixels.

    Returns:
        In [0, 1].
    """
    width = other.shape[1]
    columns = np.arange(width, dtype=np.int32)
    before = np.maximum.accumulate(np.where(other, columns, -1 - reach), axis=1)
    after = np.minimum.accumulate(np.where(other, columns, width + reach)[:, ::-1], axis=1)[:, ::-1]
    gaps = np.pad(np.minimum(columns - before, after - columns), ((reach, reach), (0, 0)), constant_values=reach + 1)
    rows, positions = np.nonzero(contour)
    near = np.zeros(len(rows), dtype=bool)
    for step in range(-reach, reach + 1):
        near |= gaps[rows + reach + step, positions] <= math.isqrt(reach**2 - step**2)
    return float(near.mean())
