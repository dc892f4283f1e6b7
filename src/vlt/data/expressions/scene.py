"""What the grammar sees of a photo: things, each with its noun, place, area and colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from vlt.types import Box, Size

Verdict: TypeAlias = bool | None
"""Whether something holds of a thing: yes, no, or None where it is too close to call."""

X, Y = 0, 1
"""The axes of a photo, as indices into centres and boxes."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a photo.

    Attributes:
        noun: its category, in lower case.
        box: xyxy in pixels.
        centre: (x, y), the mean of its mask's pixels; a concave thing may have it outside.
        area: of its mask, in pixels.
        colours: share of its mask per colour name, in [0, 1]; pixels of no clear colour are left out, so the sum may
            be below 1.
        wears: a person's garments and what they carry, by their noun, each with its shares per colour name as in
            `colours`; empty where nothing is known of them. Where something is, all that is easily seen is listed.
        noticed: False for what a person might overlook or not tell apart, such as something tiny: it is never meant,
            but whoever hears an expression might still take it for what is meant.
        crowd: several of a kind under one mask; never meant either.
    """

    noun: str
    box: Box
    centre: tuple[float, float]
    area: float
    colours: Mapping[str, float] = field(default_factory=dict, hash=False)
    wears: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    noticed: bool = True
    crowd: bool = False

    @property
    def may_be_meant(self) -> bool:
        """Whether it is one thing that a person sees."""
        return self.noticed and not self.crowd

    @property
    def box_area(self) -> float:
        """Of the box, in square pixels."""
        return self.extent(X) * self.extent(Y)

    def extent(self, axis: int) -> float:
        """Width or height of its box in pixels."""
        return self.box[axis + 2] - self.box[axis]

    def reach(self, axis: int) -> tuple[float, float]:
        """From where to where it can be said to be, in pixels: one place, or a crowd's whole box."""
        if self.crowd:
            return self.box[axis], self.box[axis + 2]
        return self.centre[axis], self.centre[axis]


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo's things.

    Attributes:
        size: (height, width) of the photo in pixels.
        things: all that is known to be there.
    """

    size: Size
    things: tuple[Thing, ...]

    def side(self, axis: int) -> int:
        """Width or height of the photo in pixels."""
        return self.size[1 - axis]
