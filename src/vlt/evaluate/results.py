"""The result of one expression, and results in groups: by the words of the expression and by the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vlt.text.cues import CUES, cues
from vlt.types import Mask, Referral, Standing

LENGTHS = {
    "1-2 words": range(1, 3),
    "3-5 words": range(3, 6),
    "6-10 words": range(6, 11),
    "11+ words": range(11, 10**6),
}
"""Groups of expressions by the number of words between white space."""

SIZES = ("target < 2 %", "target 2-10 %", "target > 10 %")
"""Groups of targets by their share of the image."""

STANDINGS = ("only one of its category", "largest of its category", "not the largest")
"""Groups of targets by the other objects of their category."""

PRESENCE = ("with a referent", "without a referent")
"""Groups by whether anything in the image matches; shown where an expression has no referent."""


@dataclass(frozen=True, slots=True)
class ExpressionResult:
    """The numbers of one prediction compared with its ground truth.

    Where targets are known by their boxes alone, the numbers of masks are None.

    Attributes:
        ref_id: id of the referral.
        sent_id: id of the expression, equal in all frames of a video.
        expression: its text.
        iou: of the masks, in [0, 1], under the report's protocol.
        intersection: pixels of the image in both masks.
        union: pixels of the image in either.
        boundary: boundary F-score in [0, 1], see `vlt.metrics.boundary_f`.
        box: IoU of the boxes around both masks, in [0, 1]; 1 if both masks are empty.
        target: pixels of the ground truth, or of its box; 0 where nothing in the image matches the expression.
        photo: number of pixels of the image.
        predicted: pixels of the predicted mask.
        standing: rank of the target among the objects of its category, where it is known.
        score: `Prediction.score`, in [0, 1]; None for a baseline.
        video: name of the folder of its image, the video of a frame; None unless the protocol is one of videos.
    """

    ref_id: int
    sent_id: int
    expression: str
    iou: float | None
    intersection: int | None
    union: int | None
    boundary: float | None
    box: float
    target: int
    photo: int
    predicted: int
    standing: Standing | None = None
    score: float | None = None
    video: str | None = None

    @property
    def has_referent(self) -> bool:
        """Whether the expression refers to something in the image."""
        return self.target > 0

    @property
    def has_distractor(self) -> bool:
        """Whether the image is known to have another object of the target's category."""
        return self.standing is not None and self.standing.same > 1

    @property
    def is_empty(self) -> bool:
        """Whether the predicted mask is empty."""
        return self.predicted == 0

    @property
    def is_of_boxes(self) -> bool:
        """Whether targets of the data set are known by their boxes alone, so that only boxes are compared."""
        return self.iou is None

    @property
    def overlap(self) -> float:
        """IoU of the masks, or of the boxes where only these are compared; in [0, 1]."""
        return self.box if self.iou is None else self.iou

    @property
    def share(self) -> float:
        """The target's share of the image, in [0, 1]."""
        return self.target / self.photo


def overlap_text(result: ExpressionResult) -> str:
    """Write the overlap of a prediction for the caption of a picture, such as "IoU 0.750"."""
    return f"{'IoU of the boxes' if result.is_of_boxes else 'IoU'} {result.overlap:.3f}"


class Outcome(NamedTuple):
    """A prediction with its ground truth, for pictures.

    Attributes:
        result: its numbers.
        referral: the referral of the expression.
        mask: (H, W) bool, predicted.
        ground_truth: (H, W) bool; where the target is known by its box alone, the pixels in the box.
    """

    result: ExpressionResult
    referral: Referral
    mask: Mask
    ground_truth: Mask


class Presence(NamedTuple):
    """Accuracy of empty and non-empty masks, as in gRefCOCO's protocol; shares in [0, 1].

    Attributes:
        n_acc: share of the expressions without a referent whose predicted mask is empty.
        t_acc: share of those with a referent whose predicted mask is not empty; None where there are none.
        absent: number of expressions without a referent.
    """

    n_acc: float
    t_acc: float | None
    absent: int

    @classmethod
    def of(cls, results: Sequence[ExpressionResult]) -> Presence | None:
        """Compute both shares; None where every expression has a referent."""
        absent = [result.is_empty for result in results if not result.has_referent]
        present = [not result.is_empty for result in results if result.has_referent]
        if not absent:
            return None
        return cls(sum(absent) / len(absent), sum(present) / len(present) if present else None, len(absent))

    def __str__(self) -> str:
        """Both in percent, for the lines below a table."""
        others = "" if self.t_acc is None else f"; with one: {100 * self.t_acc:.2f} % non-empty masks (T-acc)"
        return f"{self.absent} without a referent: {100 * self.n_acc:.2f} % empty masks (N-acc){others}"


def group_by_length(result: ExpressionResult) -> Iterable[str]:
    """The group of an expression by its number of words."""
    words = len(result.expression.split())
    return [next(name for name, lengths in LENGTHS.items() if words in lengths)]


def group_by_standing(result: ExpressionResult) -> Iterable[str]:
    """The group of a target by its rank among the objects of its category; none where that is not known."""
    if result.standing is None:
        return []
    return [STANDINGS[0 if result.standing.same == 1 else 1 if result.standing.rank == 1 else 2]]


def group_by_size(result: ExpressionResult) -> Iterable[str]:
    """The group of a target by its share of the image; none without a target."""
    return [SIZES[(result.share >= 0.02) + (result.share > 0.1)]] if result.has_referent else []


GROUPINGS: Mapping[str, tuple[Sequence[str], Callable[[ExpressionResult], Iterable[str]]]] = {
    "length": (tuple(LENGTHS), group_by_length),
    "cue": (CUES, lambda result: cues(result.expression)),
    "standing": (STANDINGS, group_by_standing),
    "size": (SIZES, group_by_size),
    "referent": (PRESENCE, lambda result: [PRESENCE[not result.has_referent]]),
}
"""Each grouping's names of groups in the order in which they are shown, and the groups of a result."""


def group_results(results: Sequence[ExpressionResult]) -> dict[str, dict[str, list[ExpressionResult]]]:
    """Group results in every way of `GROUPINGS`.

    Returns:
        Per grouping the results of each group that has any; "referent" only where an expression has none.
    """
    grouped: dict[str, dict[str, list[ExpressionResult]]] = {}
    for name, (names, groups_of) in GROUPINGS.items():
        if name == "referent" and all(result.has_referent for result in results):
            continue
        groups: dict[str, list[ExpressionResult]] = {each: [] for each in names}
        for result in results:
            for each in groups_of(result):
                groups[each].append(result)
        grouped[name] = {each: members for each, members in groups.items() if members}
    return grouped
