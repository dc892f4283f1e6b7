"""What can be said of people by what they wear: the woman in the red dress, the red shirt guy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vlt.data.expressions.lexicon import HUMANS, named
from vlt.data.expressions.modifier import Colour, Stage, Verdicts, both, either
from vlt.data.expressions.nouns import UNSEEN_GARMENTS
from vlt.data.expressions.scene import Scene, Thing, Verdict


@dataclass(frozen=True, slots=True)
class Wears:
    """In the red dress, with a hat.

    Attributes:
        garment: as it is said.
        colour: of the garment; None where nothing is said of it.
    """

    garment: str
    colour: str | None = None

    stage: ClassVar[Stage] = Stage.FILTER

    @property
    def cues(self) -> frozenset[str]:
        """The colour is a hint, too."""
        return frozenset({"clothes", "colour"} if self.colour else {"clothes"})

    def judge(self, things: Sequence[Thing], rivals: Sequence[Thing], scene: Scene) -> Verdicts:
        """Unclear of people of whose clothes nothing is known, and of what is so small that it may be overlooked."""
        return [self._of(thing) for thing in things]

    def _of(self, thing: Thing) -> Verdict:
        if thing.noun not in HUMANS:
            return False
        if thing.crowd or not thing.wears:
            return None
        worn = self.among(thing.wears)
        return None if worn is False and self.garment in UNSEEN_GARMENTS else worn

    def among(self, wears: Mapping[str, Mapping[str, float]]) -> Verdict:
        """Whether what somebody wears (as in `Thing.wears`) has this garment in this colour; no where it is empty."""
        return either(self._is(garment, colours) for garment, colours in wears.items())

    def _is(self, garment: str, colours: Mapping[str, float]) -> Verdict:
        verdict = named(self.garment, garment)
        return both(verdict, Colour(self.colour).among(colours)) if self.colour else verdict
