"""Relations to a landmark (left of the bench, with an umbrella) and clothes (in the red dress)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from vlt.synth.words.lexicon import named
from vlt.synth.words.modifiers import Colour, Stage, Verdicts, both, either
from vlt.synth.words.nouns import HUMANS, UNSEEN_GARMENTS
from vlt.synth.words.scene import AXIS, FAR_END, Scene, SceneObject, Side, Verdict, X, Y

RelationKind: TypeAlias = Literal["left", "right", "top", "bottom", "beside", "with", "on"]

NEIGHBOUR = 0.25
"""Share of the image diagonal within which two objects are neighbours."""
TOUCHING = 0.03
"""Share of the image diagonal within which two boxes touch."""


# ---------------------------------------------------------------- clothes


@dataclass(frozen=True, slots=True)
class Wears:
    """Modifier by clothes, as in "in the red dress" and "with a hat".

    Attributes:
        garment: the word for the garment.
        colour: the colour of the garment; None if the expression does not say.
    """

    garment: str
    colour: str | None = None

    stage: ClassVar[Stage] = Stage.FILTER

    @property
    def cues(self) -> frozenset[str]:
        """Clothes, and colour where it is given."""
        return frozenset({"clothes", "colour"} if self.colour else {"clothes"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return None for people whose clothes are unknown, and for missing garments that are easily overlooked."""
        result: Verdicts = []
        for each in objects:
            if each.noun not in HUMANS:
                result.append(False)
            elif each.crowd or not each.wears:
                result.append(None)
            else:
                worn = self.among(each.wears)
                result.append(None if worn is False and self.garment in UNSEEN_GARMENTS else worn)
        return result

    def among(self, wears: Mapping[str, Mapping[str, float]]) -> Verdict:
        """Decide whether this garment in this colour is among `SceneObject.wears`; False if that is empty."""
        found: Verdicts = []
        for garment, colours in wears.items():
            verdict = named(self.garment, garment)
            found.append(both(verdict, Colour(self.colour).among(colours)) if self.colour else verdict)
        return either(found)


# ---------------------------------------------------------------- relations


@dataclass(frozen=True, slots=True)
class Relation:
    """Modifier by relation to a landmark: left of, right of, above (top), below (bottom), next to, with or on it.

    Attributes:
        kind: position of the object relative to the landmark.
        noun: the noun of the landmark.
        colour: the colour of the landmark, where its noun alone would be ambiguous.
    """

    kind: RelationKind
    noun: str
    colour: str | None = None

    stage: ClassVar[Stage] = Stage.FILTER

    @property
    def cues(self) -> frozenset[str]:
        """Relation, and colour where that of the landmark is given."""
        return frozenset({"relation", "colour"} if self.colour else {"relation"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return None where the landmark is ambiguous or cannot be a target, False where there is none.

        A person who wears a bag is also with it.
        """
        landmarks: list[tuple[SceneObject, Verdict]] = []
        for each in scene.objects:
            verdict = both(named(self.noun, each.noun), True if each.can_be_target else None)
            if self.colour:
                verdict = both(verdict, Colour(self.colour).of(each))
            if verdict is not False:
                landmarks.append((each, verdict))
        if not landmarks:
            result: Verdicts = [False] * len(objects)
        elif len(landmarks) > 1 or not landmarks[0][1]:
            result = [None] * len(objects)
        else:
            result = [self.of(each, landmarks[0][0], scene) for each in objects]
        if self.kind == "with":
            worn = [Wears(self.noun, self.colour).among(each.wears) for each in objects]
            result = list(map(either, zip(result, worn, strict=True)))
        return result

    def of(self, candidate: SceneObject, landmark: SceneObject, scene: Scene) -> Verdict:
        """Decide whether an object stands in this relation to the landmark."""
        if candidate is landmark:
            return False
        if candidate.crowd:
            return None
        diagonal = math.hypot(*scene.size)
        if self.kind == "beside":
            return is_beside(candidate, landmark, diagonal)
        if self.kind == "with":
            return is_with(candidate, landmark, diagonal)
        if self.kind == "on":
            return is_on(candidate, landmark, diagonal)
        return is_at_side_of(candidate, landmark, self.kind, diagonal)


def gap_between(one: SceneObject, other: SceneObject, axis: int) -> float:
    """Return the pixels between two boxes along an axis, negative by as much as they overlap."""
    return max(one.box[axis], other.box[axis]) - min(one.box[axis + 2], other.box[axis + 2])


def distance_between(one: SceneObject, other: SceneObject) -> float:
    """Return the distance between two boxes in pixels, 0 where they touch or overlap."""
    return math.hypot(max(gap_between(one, other, X), 0), max(gap_between(one, other, Y), 0))


def are_level(one: SceneObject, other: SceneObject, axis: int) -> bool:
    """Return whether two boxes share at least half of the smaller one along an axis."""
    return -gap_between(one, other, axis) >= 0.5 * min(one.extent(axis), other.extent(axis))


def is_at_side_of(candidate: SceneObject, landmark: SceneObject, side: Side, diagonal: float) -> Verdict:
    """Decide whether an object lies beyond an edge of the landmark, level with it and near.

    False where it is not even beyond the landmark's centre. `diagonal`: of the image, in pixels.
    """
    axis = AXIS[side]
    sign = -1 if side in FAR_END else 1
    if sign * (landmark.centre[axis] - candidate.centre[axis]) <= 0:
        return False
    smaller = min(candidate.extent(axis), landmark.extent(axis))
    is_clear = (
        gap_between(candidate, landmark, axis) >= -0.2 * smaller
        and are_level(candidate, landmark, 1 - axis)
        and distance_between(candidate, landmark) <= NEIGHBOUR * diagonal
    )
    return True if is_clear else None


def is_beside(candidate: SceneObject, landmark: SceneObject, diagonal: float) -> Verdict:
    """Decide whether two objects of similar size are side by side and nearly touch; False if they are no neighbours."""
    distance = distance_between(candidate, landmark)
    if distance >= NEIGHBOUR * diagonal:
        return False
    areas = candidate.box_area, landmark.box_area
    is_clear = (
        distance <= TOUCHING * diagonal
        and gap_between(candidate, landmark, X) >= -0.2 * min(candidate.extent(X), landmark.extent(X))
        and are_level(candidate, landmark, Y)
        and max(areas) <= 8 * min(areas)
    )
    return True if is_clear else None


def is_with(candidate: SceneObject, landmark: SceneObject, diagonal: float) -> Verdict:
    """Decide whether the landmark lies within an object's box or hardly beyond; False if they do not touch."""
    if distance_between(candidate, landmark) > TOUCHING * diagonal:
        return False
    inside = math.prod(max(-gap_between(candidate, landmark, axis), 0) for axis in (X, Y))
    is_carried = landmark.box_area < 0.6 * candidate.box_area or landmark.noun == "umbrella"
    return True if is_carried and inside >= 0.4 * landmark.box_area else None


def is_on(candidate: SceneObject, landmark: SceneObject, diagonal: float) -> Verdict:
    """Decide whether an object ends within the landmark, over its middle, and begins well above it.

    False if they do not touch.
    """
    if distance_between(candidate, landmark) > TOUCHING * diagonal:
        return False
    bottom, top = candidate.box[3], candidate.box[1]
    ends_within = landmark.box[1] <= bottom <= landmark.box[3] + 0.05 * candidate.extent(Y)
    begins_above = top <= landmark.box[1] - 0.25 * candidate.extent(Y)
    over_middle = abs(candidate.centre[X] - landmark.centre[X]) <= 0.25 * landmark.extent(X)
    return True if ends_within and begins_above and over_middle else None
