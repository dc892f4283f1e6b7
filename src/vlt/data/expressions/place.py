"""Where a thing is among its rivals: left, top left, in the middle, leftmost, second from the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from vlt.data.expressions.modifier import Stage, Verdicts, both, only
from vlt.data.expressions.scene import Scene, Thing, Verdict, X, Y

Side: TypeAlias = Literal["left", "right", "top", "bottom"]

AXIS: dict[Side, int] = {"left": X, "right": X, "top": Y, "bottom": Y}
FAR_END = frozenset({"right", "bottom"})
"""The sides where pixels count up to."""

APART = 0.12
"""Share of the photo's side that the outermost rivals must be apart to speak of their places."""
APART_OF_EXTENT = 0.35
"""The same as a share of their mean width or height: large things must be farther apart."""
HALF = 0.55
"""Share of the photo's side up to which something is at its near end."""
GAP = 0.05
"""Share of the photo's side between neighbours in an order."""
GAP_OF_EXTENT = 0.5
"""The same as a share of the mean width or height of the two: who stands behind another is not counted in one row."""

COUNTED = 6.0
"""Times that things which are counted together may differ in area."""


class _Row(NamedTuple):
    """How rivals lie along one axis: position 0 is at `low`, 1 at `low + span`, in pixels."""

    low: float
    span: float
    near: float
    """Position up to which something is at the near end."""
    far: float
    """Position from which on it is not."""

    def positions(self, thing: Thing, axis: int) -> tuple[float, float]:
        """The least and the greatest position that a thing can be said to have."""
        low, high = thing.reach(axis)
        return (low - self.low) / self.span, (high - self.low) / self.span


def _row(rivals: Sequence[Thing], axis: int, scene: Scene) -> _Row | None:
    """Where rivals lie; a lone one is placed in the photo; None where they are too close together to say."""
    if len(rivals) <= 1:
        return _Row(0.0, float(scene.side(axis)), 0.35, 0.6)
    lows, highs = zip(*(thing.reach(axis) for thing in rivals), strict=True)
    span = max(highs) - min(lows)
    extent = sum(thing.extent(axis) for thing in rivals) / len(rivals)
    is_apart = span >= max(APART * scene.side(axis), APART_OF_EXTENT * extent)
    return _Row(min(lows), span, 0.25, 0.5) if is_apart else None


def _is_in_half(side: Side, thing: Thing, scene: Scene) -> bool:
    """Whether a thing's centre is on a side's half of the photo, or hardly beyond."""
    share = thing.centre[AXIS[side]] / scene.side(AXIS[side])
    return (1 - share if side in FAR_END else share) <= HALF


@dataclass(frozen=True, slots=True)
class Place:
    """The left one, the top left one: near an end of the row of rivals, and not in the other half of the photo."""

    sides: tuple[Side, ...]

    stage: ClassVar[Stage] = Stage.COMPARE
    cues: ClassVar[frozenset[str]] = frozenset({"position"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """No from the middle of the row on."""
        rows = [_row(rivals, AXIS[side], scene) for side in self.sides]
        if None in rows:
            return [None] * len(things)
        return [
            reduce(both, (_at_side(side, thing, row, scene) for side, row in zip(self.sides, rows, strict=True) if row))
            for thing in things
        ]


def _at_side(side: Side, thing: Thing, row: _Row, scene: Scene) -> Verdict:
    low, high = row.positions(thing, AXIS[side])
    if side in FAR_END:
        low, high = 1 - high, 1 - low
    if low >= row.far:
        return False
    return True if high <= row.near and _is_in_half(side, thing, scene) else None


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle one: between the others along each axis on which they are spread."""

    stage: ClassVar[Stage] = Stage.COMPARE
    cues: ClassVar[frozenset[str]] = frozenset({"position"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """No near either end; unclear also for what is between the others, but at the photo's edge."""
        rows = [(axis, row) for axis in (X, Y) if (row := _row(rivals, axis, scene))]
        widest = max((row.span for _, row in rows), default=0.0)
        spread = [(axis, row) for axis, row in rows if row.span >= 0.5 * widest]
        if not spread:
            return [None] * len(things)
        return [
            reduce(both, (_between(thing, row, axis) for axis, row in spread), _is_inside(thing, scene))
            for thing in things
        ]


def _between(thing: Thing, row: _Row, axis: int) -> Verdict:
    low, high = row.positions(thing, axis)
    if high <= 0.25 or low >= 0.75:
        return False
    return True if low >= 0.35 and high <= 0.65 else None


def _is_inside(thing: Thing, scene: Scene) -> Verdict:
    return True if all(0.2 <= thing.centre[axis] / scene.side(axis) <= 0.8 for axis in (X, Y)) else None


@dataclass(frozen=True, slots=True)
class Rank:
    """The second from the left; with number 1 the leftmost."""

    number: int
    side: Side

    stage: ClassVar[Stage] = Stage.RANK

    @property
    def cues(self) -> frozenset[str]:
        """Only what is counted is an ordinal; "leftmost" is a position."""
        return frozenset({"position" if self.number == 1 else "ordinal"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Yes for one and no for all others, or unclear for all."""
        return only(self._choose(rivals, scene), things)

    def _choose(self, rivals: Sequence[Thing], scene: Scene) -> Thing | None:
        """The one of this rank, where all that are counted and the next one are well apart."""
        if len(rivals) <= max(self.number, 2):  # of two one is left, not leftmost; the last is not called the third
            return None
        order = sorted(rivals, key=self._from_side)[: self.number + 1]
        if self.number > 1 and not _are_of_a_size(order):
            return None
        if any(thing.crowd for thing in order[:-1]):  # how many it counts for is unknown
            return None
        if not all(self._are_apart(*pair, scene) for pair in pairwise(order)):
            return None
        chosen = order[-2]
        return chosen if self.number > 1 or _is_in_half(self.side, chosen, scene) else None

    def _from_side(self, thing: Thing) -> float:
        low, high = thing.reach(AXIS[self.side])
        return -high if self.side in FAR_END else low

    def _are_apart(self, one: Thing, other: Thing, scene: Scene) -> bool:
        axis = AXIS[self.side]
        (low, high), (next_low, next_high) = one.reach(axis), other.reach(axis)
        gap = low - next_high if self.side in FAR_END else next_low - high
        extent = (one.extent(axis) + other.extent(axis)) / 2
        return gap >= max(GAP * scene.side(axis), GAP_OF_EXTENT * extent)


def _are_of_a_size(things: Sequence[Thing]) -> bool:
    """Whether one would count all of them, not only those in front."""
    areas = [thing.box_area for thing in things]
    return max(areas) <= COUNTED * min(areas)
