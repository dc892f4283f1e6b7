"""One answer as numbers: all that scores are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlt.types import Standing


@dataclass(frozen=True, slots=True)
class Record:
    """How one sentence was answered.

    Attributes:
        ref_id: of the referral.
        sent_id: of the sentence.
        expression: the sentence.
        iou: in [0, 1], under the report's protocol.
        intersection: pixels of the photo in both the mask and the target.
        union: pixels of the photo in either.
        boundary: boundary F-score in [0, 1], see `vlt.metrics.boundary_f`.
        target: pixels of the target; 0 where the sentence means nothing in the photo.
        photo: pixels of the photo.
        standing: of the referent among others of its category, where it is known.
    """

    ref_id: int
    sent_id: int
    expression: str
    iou: float
    intersection: int
    union: int
    boundary: float
    target: int
    photo: int
    standing: Standing | None = None

    @property
    def has_referent(self) -> bool:
        """Whether the sentence means something in the photo."""
        return self.target > 0

    @property
    def is_empty(self) -> bool:
        """Whether the answer is an empty mask."""
        return self.intersection + self.union == self.target

    @property
    def share(self) -> float:
        """The target's share of the photo, in [0, 1]."""
        return self.target / self.photo
