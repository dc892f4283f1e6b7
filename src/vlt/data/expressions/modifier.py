"""What can be said of a thing beside its noun: how it is judged, and the modifiers that need no comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, TypeAlias

from vlt.data.expressions.scene import Scene, Thing, Verdict

Verdicts: TypeAlias = list[Verdict]


class Stage(IntEnum):
    """When a modifier is judged; later ones compare only what earlier ones left over."""

    FILTER = 0
    COMPARE = 1
    RANK = 2


class Modifier(Protocol):
    """Something said of a thing."""

    @property
    def stage(self) -> Stage:
        """When it is judged."""

    @property
    def cues(self) -> frozenset[str]:
        """The kinds of hint it gives, see `vlt.data.expressions.cues`."""

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Whether it holds of each of `things`, compared with `rivals` where it compares."""


def both(one: Verdict, other: Verdict) -> Verdict:
    """Yes if both are, no if either is no, else unclear."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def either(verdicts: Iterable[Verdict]) -> Verdict:
    """Yes if any is, no if all are no, else unclear."""
    found = set(verdicts)
    return True if True in found else None if None in found else False


def agreed(one: Verdict, other: Verdict) -> Verdict:
    """What two judges say if they say the same, else unclear."""
    return one if one is other else None


def only(chosen: Thing | None, things: Iterable[Thing]) -> Verdicts:
    """Yes for one and no for all others; unclear for all where none was chosen."""
    return [None if chosen is None else thing is chosen for thing in things]


def graded(value: float, yes: float, no: float) -> Verdict:
    """Yes up to `yes`, no from `no` on, unclear between."""
    return True if value <= yes else False if value >= no else None


# ---------------------------------------------------------------- colour

DOMINANT = 0.5
"""Share of a thing's pixels from which on a colour names it."""
RUNNER_UP = 0.4
"""The next colour may have at most this much of the dominant one's share."""
TRACE = 0.2
"""Share of its pixels up to which a thing clearly does not have a colour; similar colours count half."""
SIMILAR: dict[str, frozenset[str]] = {
    "black": frozenset({"gray", "brown", "blue"}),
    "gray": frozenset({"black", "white", "blue"}),
    "white": frozenset({"gray", "yellow"}),
    "red": frozenset({"orange", "pink", "brown", "purple"}),
    "orange": frozenset({"red", "yellow", "brown"}),
    "yellow": frozenset({"orange", "green", "brown", "white"}),
    "green": frozenset({"yellow", "blue"}),
    "blue": frozenset({"purple", "green", "gray"}),
    "purple": frozenset({"blue", "pink", "red"}),
    "pink": frozenset({"red", "purple"}),
    "brown": frozenset({"orange", "red", "black", "yellow"}),
}
"""The colours that are known, each with those it is confused with."""


@dataclass(frozen=True, slots=True)
class Colour:
    """The red one."""

    name: str

    stage: ClassVar[Stage] = Stage.FILTER
    cues: ClassVar[frozenset[str]] = frozenset({"colour"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Yes where the colour dominates, no where there is next to nothing of it or its like."""
        return [self.of(thing) for thing in things]

    def of(self, thing: Thing) -> Verdict:
        """Whether a thing has this colour."""
        return None if thing.crowd else self.among(thing.colours)

    def among(self, colours: Mapping[str, float]) -> Verdict:
        """Whether shares of colours (as in `Thing.colours`) are those of something in this colour."""
        if not colours:
            return None
        share = colours.get(self.name, 0.0)
        runner_up = max((other for name, other in colours.items() if name != self.name), default=0.0)
        if share >= DOMINANT and runner_up <= RUNNER_UP * share:
            return True
        near = sum(colours.get(name, 0.0) for name in SIMILAR[self.name])
        return False if share + near / 2 <= TRACE else None


# ---------------------------------------------------------------- not


@dataclass(frozen=True, slots=True)
class Not:
    """The one that is not red, the one not on the left."""

    modifier: Modifier

    @property
    def stage(self) -> Stage:
        """That of what it denies."""
        return self.modifier.stage

    @property
    def cues(self) -> frozenset[str]:
        """Those of what it denies, and negation."""
        return self.modifier.cues | {"negation"}

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Yes for no, no for yes."""
        return [None if verdict is None else not verdict for verdict in self.modifier.judge(things, rivals, scene)]
