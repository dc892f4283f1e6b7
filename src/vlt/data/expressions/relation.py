"""What can be said of a thing by way of its neighbour: left of the bench, above the plate, with an umbrella."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from vlt.data.expressions.clothes import Wears
from vlt.data.expressions.lexicon import named
from vlt.data.expressions.modifier import Colour, Stage, Verdicts, both, either
from vlt.data.expressions.place import AXIS, FAR_END, Side
from vlt.data.expressions.scene import Scene, Thing, Verdict, X, Y

RelationKind: TypeAlias = Literal["left", "right", "top", "bottom", "beside", "with", "on"]

NEIGHBOUR = 0.25
"""Share of the photo's diagonal within which something is a neighbour."""
TOUCHING = 0.03
"""Share of the photo's diagonal within which two boxes touch."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Left of, right of, above (top), below (bottom), next to, with or on a landmark, the only thing of its kind.

    Attributes:
        kind: where the thing is, seen from the landmark.
        noun: of the landmark.
        colour: of the landmark, where the noun alone would not do.
    """

    kind: RelationKind
    noun: str
    colour: str | None = None

    stage: ClassVar[Stage] = Stage.FILTER

    @property
    def cues(self) -> frozenset[str]:
        """The colour of the landmark is a hint, too."""
        return frozenset({"relation", "colour"} if self.colour else {"relation"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Unclear where several things, or none that can be meant, might be the landmark; no where nothing is.

        Whoever wears a bag is with it, too.
        """
        beside = self._beside_landmark(things, scene)
        if self.kind != "with":
            return beside
        worn = [Wears(self.noun, self.colour).among(thing.wears) for thing in things]
        return list(map(either, zip(beside, worn, strict=True)))

    def _beside_landmark(self, things: Sequence[Thing], scene: Scene) -> Verdicts:
        landmarks = [(thing, verdict) for thing in scene.things if (verdict := self._is_landmark(thing)) is not False]
        if not landmarks:
            return [False] * len(things)
        if len(landmarks) > 1 or not landmarks[0][1]:
            return [None] * len(things)
        return [self._of(thing, landmarks[0][0], scene) for thing in things]

    def _is_landmark(self, thing: Thing) -> Verdict:
        verdict = both(named(self.noun, thing.noun), True if thing.may_be_meant else None)
        return both(verdict, Colour(self.colour).of(thing)) if self.colour else verdict

    def _of(self, thing: Thing, landmark: Thing, scene: Scene) -> Verdict:
        if thing is landmark:
            return False
        if thing.crowd:
            return None
        diagonal = math.hypot(*scene.size)
        if self.kind == "beside":
            return _beside(thing, landmark, diagonal)
        if self.kind == "with":
            return _with(thing, landmark, diagonal)
        if self.kind == "on":
            return _on(thing, landmark, diagonal)
        return _at_side_of(thing, landmark, self.kind, diagonal)


def _gap(one: Thing, other: Thing, axis: int) -> float:
    """Pixels between two boxes along an axis, negative by as much as they overlap."""
    return max(one.box[axis], other.box[axis]) - min(one.box[axis + 2], other.box[axis + 2])


def _distance(one: Thing, other: Thing) -> float:
    """Pixels between two boxes, 0 where they touch."""
    return math.hypot(max(_gap(one, other, X), 0), max(_gap(one, other, Y), 0))


def _are_level(one: Thing, other: Thing, axis: int) -> bool:
    """Whether two boxes share at least half of the smaller one along an axis."""
    return -_gap(one, other, axis) >= 0.5 * min(one.extent(axis), other.extent(axis))


def _at_side_of(thing: Thing, landmark: Thing, side: Side, diagonal: float) -> Verdict:
    """Beyond the landmark's edge, level with it and near; no where it is not even beyond its centre."""
    axis = AXIS[side]
    sign = -1 if side in FAR_END else 1
    if sign * (landmark.centre[axis] - thing.centre[axis]) <= 0:
        return False
    smaller = min(thing.extent(axis), landmark.extent(axis))
    clear = (
        _gap(thing, landmark, axis) >= -0.2 * smaller
        and _are_level(thing, landmark, 1 - axis)
        and _distance(thing, landmark) <= NEIGHBOUR * diagonal
    )
    return True if clear else None


def _beside(thing: Thing, landmark: Thing, diagonal: float) -> Verdict:
    """Side by side and nearly touching; no where it is no neighbour at all."""
    distance = _distance(thing, landmark)
    if distance >= NEIGHBOUR * diagonal:
        return False
    areas = thing.box_area, landmark.box_area
    clear = (
        distance <= TOUCHING * diagonal
        and _gap(thing, landmark, X) >= -0.2 * min(thing.extent(X), landmark.extent(X))
        and _are_level(thing, landmark, Y)
        and max(areas) <= 8 * min(areas)
    )
    return True if clear else None


def _with(thing: Thing, landmark: Thing, diagonal: float) -> Verdict:
    """The landmark lies within the thing's box or hardly beyond; no where they do not touch."""
    margin = TOUCHING * diagonal
    if _distance(thing, landmark) > margin:
        return False
    inside = math.prod(max(-_gap(thing, landmark, axis), 0) for axis in (X, Y))
    holds = landmark.box_area < 0.6 * thing.box_area or landmark.noun == "umbrella"
    return True if holds and inside >= 0.4 * landmark.box_area else None


def _on(thing: Thing, landmark: Thing, diagonal: float) -> Verdict:
    """The thing ends within the landmark, over its middle, and begins well above it; no where they do not touch."""
    if _distance(thing, landmark) > TOUCHING * diagonal:
        return False
    bottom, top = thing.box[3], thing.box[1]
    ends_within = landmark.box[1] <= bottom <= landmark.box[3] + 0.05 * thing.extent(Y)
    above = top <= landmark.box[1] - 0.25 * thing.extent(Y)
    over_middle = abs(thing.centre[X] - landmark.centre[X]) <= 0.25 * landmark.extent(X)
    return True if ends_within and above and over_middle else None
