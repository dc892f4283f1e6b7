"""Modifiers of a noun: their protocol, three-valued logic, and those that compare nothing (colour, negation).

A verdict says whether a modifier holds of an object: True, False, or None (unclear) close to a threshold. Expressions
are generated only where the target is a clear True and every other object a clear False, so that unclear
cases never become wrong annotations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, TypeAlias

from vlt.synth.words.scene import Scene, SceneObject, Verdict

Verdicts: TypeAlias = list[Verdict]


class Stage(IntEnum):
    """Order in which modifiers are applied; later ones compare only the objects that earlier ones did not exclude."""

    FILTER = 0
    COMPARE = 1
    RANK = 2


class Modifier(Protocol):
    """A phrase beside the noun that restricts which objects an expression can refer to."""

    @property
    def stage(self) -> Stage:
        """The stage at which it is applied."""

    @property
    def cues(self) -> frozenset[str]:
        """The cues it gives, see `vlt.text.cues`."""

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Decide for each of `objects` whether the modifier holds of it.

        Args:
            objects: the objects to decide about.
            group: the objects to compare with: the target and its distractors.
            scene: the whole scene, for the image size and landmarks.

        Returns:
            One verdict per object.
        """


def both(one: Verdict, other: Verdict) -> Verdict:
    """Three-valued AND: False if either is False, True if both are True, else None."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def either(verdicts: Iterable[Verdict]) -> Verdict:
    """Three-valued OR: True if any is True, False if all are False, else None."""
    found = set(verdicts)
    return True if True in found else None if None in found else False


def agreed(one: Verdict, other: Verdict) -> Verdict:
    """Return the verdict that two decisions share, None if they differ."""
    return one if one is other else None


def only(chosen: SceneObject | None, objects: Iterable[SceneObject]) -> Verdicts:
    """Return True for the chosen object and False for all others; None for all if none was chosen."""
    return [None if chosen is None else each is chosen for each in objects]


# ---------------------------------------------------------------- colour

DOMINANT = 0.5
"""Smallest share of an object's pixels that a dominant colour has."""
RUNNER_UP = 0.4
"""Largest share of the second colour, relative to that of the dominant one."""
TRACE = 0.2
"""Largest share of an object's pixels in a colour that it clearly lacks; similar colours count half."""
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
"""The colours of the grammar, each with the colours it is confused with."""


@dataclass(frozen=True, slots=True)
class Colour:
    """Modifier by colour, as in "the red one"."""

    name: str

    stage: ClassVar[Stage] = Stage.FILTER
    cues: ClassVar[frozenset[str]] = frozenset({"colour"})

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Return True where the colour dominates, False where there is next to nothing of it or a similar one."""
        return [self.of(each) for each in objects]

    def of(self, candidate: SceneObject) -> Verdict:
        """Decide whether an object has this colour; None for a crowd."""
        return None if candidate.crowd else self.among(candidate.colours)

    def among(self, colours: Mapping[str, float]) -> Verdict:
        """Decide whether colour shares, as in `SceneObject.colours`, are those of something in this colour."""
        if not colours:
            return None
        share = colours.get(self.name, 0.0)
        runner_up = max((other for name, other in colours.items() if name != self.name), default=0.0)
        if share >= DOMINANT and runner_up <= RUNNER_UP * share:
            return True
        near = sum(colours.get(name, 0.0) for name in SIMILAR[self.name])
        return False if share + near / 2 <= TRACE else None


# ---------------------------------------------------------------- negation


@dataclass(frozen=True, slots=True)
class Not:
    """Negated modifier, as in "the one that is not red"."""

    modifier: Modifier

    @property
    def stage(self) -> Stage:
        """The stage of the negated modifier."""
        return self.modifier.stage

    @property
    def cues(self) -> frozenset[str]:
        """The cues of the negated modifier, and negation."""
        return self.modifier.cues | {"negation"}

    def verdicts(self, objects: Sequence[SceneObject], group: Sequence[SceneObject], scene: Scene) -> Verdicts:
        """Negate the verdicts of the modifier; None stays None."""
        return [None if held is None else not held for held in self.modifier.verdicts(objects, group, scene)]
