"""How large a thing is beside its rivals, in mask and in box.

Both are asked because a hidden thing has a small mask in a large box, and nobody would call it small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from vlt.data.expressions.modifier import Stage, Verdicts, agreed, graded, only
from vlt.data.expressions.scene import Scene, Thing, Verdict

SizeName: TypeAlias = Literal["big", "small"]

ALIKE = 1.25
"""Times that the largest may be larger than what is called as big as it."""
UNLIKE = 2.0
"""Times from which on it is not; nothing is big or small unless the largest is so much larger than the smallest."""
LARGER = 1.4
"""Times that the largest is larger than the next, or the smallest smaller."""


@dataclass(frozen=True, slots=True)
class Size:
    """The big one, the small one: among the largest or smallest by far."""

    name: SizeName

    stage: ClassVar[Stage] = Stage.COMPARE
    cues: ClassVar[frozenset[str]] = frozenset({"size"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Unclear where rivals are about as large, and for small things that the photo cuts off."""
        if len(rivals) < 2 or any(thing.crowd for thing in rivals):
            return [None] * len(things)
        masks, boxes = (sorted(areas) for areas in zip(*map(_areas, rivals), strict=True))
        if masks[-1] < UNLIKE * masks[0] or boxes[-1] < UNLIKE * boxes[0]:
            return [None] * len(things)
        end = -1 if self.name == "big" else 0
        return [self._of(thing, (masks[end], boxes[end]), scene) for thing in things]

    def _of(self, thing: Thing, extremes: tuple[float, float], scene: Scene) -> Verdict:
        mask, box = (self._times(area, extreme) for area, extreme in zip(_areas(thing), extremes, strict=True))
        verdict = agreed(graded(mask, ALIKE, UNLIKE), graded(box, ALIKE, UNLIKE))
        return None if verdict and self.name == "small" and _is_cut_off(thing, scene) else verdict

    def _times(self, area: float, extreme: float) -> float:
        return extreme / area if self.name == "big" else area / extreme


@dataclass(frozen=True, slots=True)
class Extreme:
    """The biggest, the smallest."""

    name: SizeName

    stage: ClassVar[Stage] = Stage.RANK
    cues: ClassVar[frozenset[str]] = frozenset({"size"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Yes for one and no for all others, or unclear for all."""
        return only(self.choose(rivals, scene), things)

    def choose(self, rivals: Sequence[Thing], scene: Scene) -> Thing | None:
        """The one; None where it is unclear, or alone: nobody calls an only one the biggest."""
        if len(rivals) < 2 or any(thing.crowd for thing in rivals):
            return None
        order = sorted(rivals, key=lambda thing: thing.area, reverse=self.name == "big")
        if self.name == "small" and _is_cut_off(order[0], scene):
            return None
        return order[0] if all(self._is_before(order[0], other) for other in order[1:]) else None

    def _is_before(self, one: Thing, other: Thing) -> bool:
        larger, smaller = (one, other) if self.name == "big" else (other, one)
        return all(large >= LARGER * small for large, small in zip(_areas(larger), _areas(smaller), strict=True))


def _areas(thing: Thing) -> tuple[float, float]:
    """Of mask and box, at least a pixel."""
    return max(thing.area, 1.0), max(thing.box_area, 1.0)


def _is_cut_off(thing: Thing, scene: Scene) -> bool:
    """Whether a thing touches the photo's edge, so that nobody sees how large it is."""
    x0, y0, x1, y1 = thing.box
    height, width = scene.size
    return min(x0, y0, width - x1, height - y1) < 1
