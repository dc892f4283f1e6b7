"""Sentences in groups: by what they say, and by what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vlt.data.expressions import CUES, cues

if TYPE_CHECKING:
    from vlt.evaluate.record import Record

LENGTHS = {
    "1-2 words": range(1, 3),
    "3-5 words": range(3, 6),
    "6-10 words": range(6, 11),
    "11+ words": range(11, 10**6),
}
"""How expressions are grouped by the number of words between white space."""

SIZES = ("target < 2 %", "target 2-10 %", "target > 10 %")
"""How targets are grouped by their share of the photo."""

STANDINGS = ("only one of its category", "largest of its category", "not the largest")
"""How referents are grouped by the others of their category."""

REFERENTS = ("with a referent", "without a referent")
"""Where there are sentences that mean nothing in their photo, these and the others."""


class Grouping(NamedTuple):
    """A way to group.

    Attributes:
        names: of the groups, in the order in which they are shown.
        of: which groups a sentence belongs to: one, several or none.
    """

    names: Sequence[str]
    of: Callable[[Record], Iterable[str]]


class Presence(NamedTuple):
    """Whether a model knows that what is asked for is not there; shares in [0, 1], as in gRefCOCO's protocol.

    Attributes:
        n_acc: share of the sentences without a referent that were answered with an empty mask.
        t_acc: share of those with one that were answered with a mask that is not empty; None where there are none.
        absent: sentences without a referent.
    """

    n_acc: float
    t_acc: float | None
    absent: int

    def __str__(self) -> str:
        """Both in percent, to stand below a table."""
        others = "" if self.t_acc is None else f", of the others {100 * self.t_acc:.2f} % with one that is not (T-acc)"
        return (
            f"without a referent: {100 * self.n_acc:.2f} % of {self.absent} answered with an empty mask (N-acc){others}"
        )


def group(records: Sequence[Record], grouping: Grouping) -> dict[str, list[Record]]:
    """The records of each group that has any."""
    groups: dict[str, list[Record]] = {name: [] for name in grouping.names}
    for record in records:
        for name in grouping.of(record):
            groups[name].append(record)
    return {name: members for name, members in groups.items() if members}


def groupings(records: Sequence[Record]) -> Mapping[str, Grouping]:
    """The ways to group that tell something of these records, by name."""
    absent = any(not record.has_referent for record in records)
    return GROUPINGS | ({"referent": Grouping(REFERENTS, _referent)} if absent else {})


def presence(records: Sequence[Record]) -> Presence | None:
    """How well referents and their absence are told apart; None where every sentence has a referent."""
    absent = [record.is_empty for record in records if not record.has_referent]
    present = [not record.is_empty for record in records if record.has_referent]
    if not absent:
        return None
    return Presence(sum(absent) / len(absent), sum(present) / len(present) if present else None, len(absent))


def _length(record: Record) -> Iterable[str]:
    words = len(record.expression.split())
    return [next(name for name, lengths in LENGTHS.items() if words in lengths)]


def _cues(record: Record) -> Iterable[str]:
    return cues(record.expression)


def _standing(record: Record) -> Iterable[str]:
    if record.standing is None:
        return []
    return [STANDINGS[0 if record.standing.same == 1 else 1 if record.standing.rank == 1 else 2]]


def _size(record: Record) -> Iterable[str]:
    return [SIZES[(record.share >= 0.02) + (record.share > 0.1)]] if record.has_referent else []


def _referent(record: Record) -> Iterable[str]:
    return [REFERENTS[not record.has_referent]]


GROUPINGS: dict[str, Grouping] = {
    "length": Grouping(tuple(LENGTHS), _length),
    "cue": Grouping(CUES, _cues),
    "standing": Grouping(STANDINGS, _standing),
    "size": Grouping(SIZES, _size),
}
"""The ways to group that every report has."""
