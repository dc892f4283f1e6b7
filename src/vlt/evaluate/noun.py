"""What the words beyond the noun are worth: the same network, told the category and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from vlt.data.dataset import without_blanks

if TYPE_CHECKING:
    from vlt.evaluate.report import Report
    from vlt.types import Referral, Referrals


class NounGain(NamedTuple):
    """mIoU, as shares in [0, 1], of the sentences whose noun cannot do: there are others of its category.

    Attributes:
        full: the whole sentences.
        noun: the names of their categories in place of them.
        count: sentences.
    """

    full: float
    noun: float
    count: int  # type: ignore[assignment]  # hides the count() that every tuple has

    def __str__(self) -> str:
        """The difference in points, to stand below a table."""
        return (
            f"several of the category in the photo, {self.count} sentences: mIoU {100 * self.full:.2f}, "
            f"of the noun alone {100 * self.noun:.2f}, full minus noun {100 * (self.full - self.noun):+.2f}"
        )


def nouns_alone(referrals: Referrals, names: Sequence[str]) -> list[Referral]:
    """The same referrals, each of their sentences replaced by what its category is called.

    Args:
        referrals: those of no category, or of one without a name, are left out, and so are blank sentences.
        names: of the categories, by `Referral.category`.
    """
    return [
        replace(
            referral,
            expressions=tuple(replace(each, text=names[referral.category]) for each in referral.expressions),
        )
        for referral in without_blanks(referrals)[0]
        if 0 <= referral.category < len(names)
    ]


def noun_gain(report: Report, nouns: Report) -> NounGain | None:
    """How much better a network answers whole sentences where the noun alone does not say which.

    Args:
        report: of the sentences.
        nouns: of `nouns_alone`, by the same network under the same protocol.

    Returns:
        None where no sentence of both is known to be about one of several of its category.
    """
    alone = {(record.ref_id, record.sent_id): record.iou for record in nouns.records}
    pairs = [
        (record.iou, alone[record.ref_id, record.sent_id])
        for record in report.records
        if record.standing and record.standing.same > 1 and (record.ref_id, record.sent_id) in alone
    ]
    if not pairs:
        return None
    full, noun = (sum(ious) / len(pairs) for ious in zip(*pairs, strict=True))
    return NounGain(full, noun, len(pairs))
