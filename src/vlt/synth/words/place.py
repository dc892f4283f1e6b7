"""Position and size among distractors: left, in the middle, second from the right, big, closest to us."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from vlt.synth.words.modifiers import Stage, Verdicts, agreed, both, only
from vlt.synth.words.nouns import SHAPES
from vlt.synth.words.scene import AXIS, FAR_END, Scene, SceneObject, Side, Verdict, X, Y

SizeName: TypeAlias = Literal["big", "small"]
DepthName: TypeAlias = Literal["front", "back"]

APART = 0.12
"""Smallest distance of the outermost objects of a group that have positions, as a share of the image side."""
APART_OF_EXTENT = 0.35
"""That distance as a share of the objects' mean width or height: large objects must be farther apart."""
HALF = 0.55
"""An object is in one half of the image if its centre lies within this share of the side."""
GAP = 0.05
"""Smallest distance between neighbours that are counted in order, as a share of the image side."""
GAP_OF_EXTENT = 0.5
"""That distance as a share of the mean width or height of the two: objects behind one another form no row."""
COUNTED = 6.0
"""Largest ratio of box areas between objects that are counted together; people ignore tiny ones."""

ALIKE = 1.25
"""Largest ratio of areas at which two objects count as equally big."""
UNLIKE = 2.0
"""Smallest ratio of areas at which two objects differ in size, as "big" and "small" require."""
LARGER = 1.4
"""Smallest ratio of areas between the biggest and the next object, or the next and the smallest."""

LOWER = 0.04
"""Share of the image height by which a nearer object must reach further down."""


# ---------------------------------------------------------------- position


class Row(NamedTuple):
    """Extent of a group along one axis: position 0 is at `low`, position 1 at `low + length`, in pixels.

    Attributes:
        low: lowest coordinate of the group in pixels.
        length: distance from the lowest to the highest coordinate in pixels.
        near: position up to which an object is at the near end.
        far: position from which on it is not.
    """

    low: float
    length: float
    near: float
    far: float

    def positions(self, candidate: SceneObject, axis: int) -> tuple[float, float]:
        """Return the lowest and highest position of an object; they differ for crowds only."""
        low, high = candidate.span(axis)
        return (low - self.low) / self.length, (high - self.low) / self.length


def row_of(group: Sequence[SceneObject], axis: int, scene: Scene) -> Row | None:
    """Return the row of a group along an axis, None if its objects are too close together to have positions.

    A single object is placed within the image instead.
    """
    if len(group) <= 1:
        return Row(0.0, float(scene.side(axis)), 0.35, 0.6)
    lows, highs = zip(*(each.span(axis) for each in group), strict=True)
    length = max(highs) - min(lows)
    extent = sum(each.extent(axis) for each in group) / len(group)
    is_apart = length >= max(APART * scene.side(axis), APART_OF_EXTENT * extent)
    return Row(min(lows), length, 0.25, 0.5) if is_apart else None


def is_in_half(candidate: SceneObject, side: Side, scene: Scene) -> bool:
    """Return whether an object's centre lies in a side's half of the image, or hardly beyond."""
    share = candidate.centre[AXIS[side]] / scene.side(AXIS[side])
    return (1 - share if side in FAR_END else share) <= HALF


@dataclass(frozen=True, slots=True)
class Place:
    """Modifier by position, such as "left" or "top left": near an end of the group's row, in that half of the image."""

    sides: tuple[Side, ...]

    stage: ClassVar[Stage] = Stage.COMPARE
    cues: ClassVar[frozenset[str]] = frozenset({"position"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return False from the middle of the row on."""
        result: Verdicts = [True] * len(objects)
        for side in self.sides:
            row = row_of(group, AXIS[side], scene)
            if row is None:
                return [None] * len(objects)
            for index, each in enumerate(objects):
                low, high = row.positions(each, AXIS[side])
                if side in FAR_END:
                    low, high = 1 - high, 1 - low
                is_near = True if high <= row.near and is_in_half(each, side, scene) else None
                result[index] = both(result[index], False if low >= row.far else is_near)
        return result


@dataclass(frozen=True, slots=True)
class Middle:
    """Modifier "middle": between the others along each axis on which the group is spread."""

    stage: ClassVar[Stage] = Stage.COMPARE
    cues: ClassVar[frozenset[str]] = frozenset({"position"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return False near either end; None also for an object between the others but near the image's edge."""
        rows = [(axis, row) for axis in (X, Y) if (row := row_of(group, axis, scene))]
        longest = max((row.length for _, row in rows), default=0.0)
        spread = [(axis, row) for axis, row in rows if row.length >= 0.5 * longest]
        if not spread:
            return [None] * len(objects)
        result: Verdicts = []
        for each in objects:
            is_inside = all(0.2 <= each.centre[axis] / scene.side(axis) <= 0.8 for axis in (X, Y))
            verdict: Verdict = True if is_inside else None
            for axis, row in spread:
                low, high = row.positions(each, axis)
                is_between = True if low >= 0.35 and high <= 0.65 else None
                verdict = both(verdict, False if high <= 0.25 or low >= 0.75 else is_between)
            result.append(verdict)
        return result


@dataclass(frozen=True, slots=True)
class Rank:
    """Modifier by rank, as in "second from the left"; with number 1 "leftmost"."""

    number: int
    side: Side

    stage: ClassVar[Stage] = Stage.RANK

    @property
    def cues(self) -> frozenset[str]:
        """An ordinal where objects are counted; "leftmost" is a position."""
        return frozenset({"position" if self.number == 1 else "ordinal"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return True for one and False for all others, or None for all."""
        return only(self.choose(group, scene), objects)

    def choose(self, group: Sequence[SceneObject], scene: Scene) -> SceneObject | None:
        """Return the object of this rank, None unless all counted objects and the next one are well apart.

        Of two objects none is "leftmost" (they are "left" and "right"), and the last of three is not "third".
        """
        if len(group) <= max(self.number, 2):
            return None
        axis, is_far = AXIS[self.side], self.side in FAR_END
        order = sorted(group, key=lambda each: -each.span(axis)[1] if is_far else each.span(axis)[0])
        order = order[: self.number + 1]
        areas = [each.box_area for each in order]
        if self.number > 1 and max(areas) > COUNTED * min(areas):
            return None
        if any(each.crowd for each in order[:-1]):  # the number of objects in a crowd is unknown
            return None
        for one, following in pairwise(order):
            (low, high), (next_low, next_high) = one.span(axis), following.span(axis)
            extent = (one.extent(axis) + following.extent(axis)) / 2
            gap = low - next_high if is_far else next_low - high
            if gap < max(GAP * scene.side(axis), GAP_OF_EXTENT * extent):
                return None
        return order[-2] if self.number > 1 or is_in_half(order[-2], self.side, scene) else None


# ---------------------------------------------------------------- size and depth


def areas_of(candidate: SceneObject) -> tuple[float, float]:
    """Return the areas of mask and box in pixels, at least 1.

    Sizes are compared by both: an occluded object has a small mask in a large box, and is not small.
    """
    return max(candidate.area, 1.0), max(candidate.box_area, 1.0)


def is_cut_off(candidate: SceneObject, scene: Scene) -> bool:
    """Return whether an object touches the image's edge, so that its full size is unknown."""
    x0, y0, x1, y1 = candidate.box
    height, width = scene.size
    return min(x0, y0, width - x1, height - y1) < 1


@dataclass(frozen=True, slots=True)
class Size:
    """Modifier by size, as in "big" and "small": as big as the largest of the group, or as small as the smallest."""

    name: SizeName

    stage: ClassVar[Stage] = Stage.COMPARE
    cues: ClassVar[frozenset[str]] = frozenset({"size"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return None for all where the group is of about one size, and for small objects cut off by the edge."""
        if len(group) < 2 or any(each.crowd for each in group):
            return [None] * len(objects)
        extremes = [(min(areas), max(areas)) for areas in zip(*map(areas_of, group), strict=True)]
        if any(largest < UNLIKE * smallest for smallest, largest in extremes):
            return [None] * len(objects)
        result: Verdicts = []
        for each in objects:
            ratios = [
                largest / area if self.name == "big" else area / smallest
                for area, (smallest, largest) in zip(areas_of(each), extremes, strict=True)
            ]
            of_mask, of_box = (True if ratio <= ALIKE else False if ratio >= UNLIKE else None for ratio in ratios)
            verdict = agreed(of_mask, of_box)
            result.append(None if verdict and self.name == "small" and is_cut_off(each, scene) else verdict)
        return result


@dataclass(frozen=True, slots=True)
class Extreme:
    """Modifier "biggest" or "smallest": the one extreme object of the group."""

    name: SizeName

    stage: ClassVar[Stage] = Stage.RANK
    cues: ClassVar[frozenset[str]] = frozenset({"size"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return True for one and False for all others, or None for all."""
        return only(self.choose(group, scene), objects)

    def choose(self, group: Sequence[SceneObject], scene: Scene) -> SceneObject | None:
        """Return the biggest or smallest object, None where that is unclear or the object is the only one."""
        if len(group) < 2 or any(each.crowd for each in group):
            return None
        first, *others = sorted(group, key=lambda each: each.area, reverse=self.name == "big")
        if self.name == "small" and is_cut_off(first, scene):
            return None
        for other in others:
            larger, smaller = (first, other) if self.name == "big" else (other, first)
            if any(large < LARGER * small for large, small in zip(areas_of(larger), areas_of(smaller), strict=True)):
                return None
        return first


@dataclass(frozen=True, slots=True)
class Depth:
    """Modifier "closest" or "furthest back": the lowest and largest of one category, or the highest and smallest.

    Both are required: a hanging object is higher without being distant, and a child is smaller.
    """

    name: DepthName

    stage: ClassVar[Stage] = Stage.RANK
    cues: ClassVar[frozenset[str]] = frozenset({"position"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return True for one and False for all others, or None for all."""
        return only(self.choose(group, scene), objects)

    def choose(self, group: Sequence[SceneObject], scene: Scene) -> SceneObject | None:
        """Return the front or back object, None where that is unclear; flat shapes have no depth."""
        nouns = {each.noun for each in group}
        chosen = Extreme("big" if self.name == "front" else "small").choose(group, scene)
        if chosen is None or len(nouns) > 1 or nouns <= SHAPES:
            return None
        sign = 1 if self.name == "front" else -1
        margin = LOWER * scene.side(Y)
        others = (each for each in group if each is not chosen)
        return chosen if all(sign * (chosen.box[3] - each.box[3]) >= margin for each in others) else None
