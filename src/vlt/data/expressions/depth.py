"""How near a thing is to who took the photo: the front one, the one furthest back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from vlt.data.expressions.lexicon import SHAPES
from vlt.data.expressions.modifier import Stage, Verdicts, only
from vlt.data.expressions.scene import Scene, Thing, Y
from vlt.data.expressions.size import Extreme

DepthName: TypeAlias = Literal["front", "back"]

LOWER = 0.04
"""Share of the photo's height by which what is nearer reaches further down."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Closest to us, or furthest back: of things of a kind the lowest and largest, or the highest and smallest.

    Either alone may have another reason: what hangs is higher, a child is smaller.
    """

    name: DepthName

    stage: ClassVar[Stage] = Stage.RANK
    cues: ClassVar[frozenset[str]] = frozenset({"position"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Yes for one and no for all others, or unclear for all."""
        return only(self._choose(rivals, scene), things)

    def _choose(self, rivals: Sequence[Thing], scene: Scene) -> Thing | None:
        nouns = {thing.noun for thing in rivals}
        chosen = Extreme("big" if self.name == "front" else "small").choose(rivals, scene)
        if chosen is None or len(rivals) < 2 or len(nouns) > 1 or nouns <= SHAPES:
            return None
        margin = LOWER * scene.side(Y)
        others = (thing for thing in rivals if thing is not chosen)
        return chosen if all(self._nearer(chosen, other) >= margin for other in others) else None

    def _nearer(self, one: Thing, other: Thing) -> float:
        """Pixels by which one thing reaches further down than the other, or less far for the back."""
        lower = one.box[3] - other.box[3]
        return lower if self.name == "front" else -lower
