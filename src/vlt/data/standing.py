"""How things stand among those of their kind: what tells whether the words were needed to find them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vlt.types import Standing

if TYPE_CHECKING:
    from vlt.data.expressions import Scene, Thing


def standings(scene: Scene) -> list[Standing]:
    """How each thing of a scene stands among those of its noun, what might be overlooked included."""
    counts = Counter(thing.noun for thing in scene.things)
    return [
        Standing(counts[thing.noun], 1 + sum(_is_larger(other, thing) for other in scene.things))
        for thing in scene.things
    ]


def _is_larger(other: Thing, thing: Thing) -> bool:
    """Whether `other` is a single thing of the same noun, and larger."""
    return other.noun == thing.noun and other.area > thing.area and not other.crowd
