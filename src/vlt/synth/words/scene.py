"""Scenes as input of the grammar: the objects of an image, each with its noun, position, area and colours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vlt.types import Box, Size

Verdict: TypeAlias = bool | None
"""Whether something holds of an object: yes (True), no (False), or unclear (None), close to a threshold."""

X, Y = 0, 1
"""The axes of an image, as indices into centres and boxes."""

Side: TypeAlias = Literal["left", "right", "top", "bottom"]

SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")
AXIS: Mapping[Side, int] = {"left": X, "right": X, "top": Y, "bottom": Y}
FAR_END = frozenset({"right", "bottom"})
"""The sides towards which pixel coordinates grow."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of an image.

    Attributes:
        noun: the name of its category, in lower case.
        box: xyxy in pixels.
        centre: (x, y) in pixels, the mean of its mask's pixels; may lie outside a concave object.
        area: area of its mask in pixels.
        colours: share of the mask per colour name, in [0, 1]; pixels without a clear colour are left out, so the sum
            may be below 1.
        wears: the garments and carried objects of a person by their noun, each with its shares per colour name as in
            `colours`; empty if nothing is known. Otherwise everything that is easily visible is listed.
        salient: False for an object that people might overlook or could not distinguish, such as a tiny one. It is
            never a target, but counts as a possible referent when an expression is checked for ambiguity.
        crowd: whether the mask covers several objects of one category; a crowd is never a target either.
    """

    noun: str
    box: Box
    centre: tuple[float, float]
    area: float
    colours: Mapping[str, float] = field(default_factory=dict, hash=False)
    wears: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    salient: bool = True
    crowd: bool = False

    @property
    def can_be_target(self) -> bool:
        """Whether an expression may refer to it: it is salient and a single object."""
        return self.salient and not self.crowd

    @property
    def box_area(self) -> float:
        """Area of its box in square pixels."""
        return self.extent(X) * self.extent(Y)

    def extent(self, axis: int) -> float:
        """Width (axis X) or height (axis Y) of its box in pixels."""
        return self.box[axis + 2] - self.box[axis]

    def span(self, axis: int) -> tuple[float, float]:
        """Lowest and highest coordinate in pixels at which it may lie: its centre, or the sides of a crowd's box."""
        if self.crowd:
            return self.box[axis], self.box[axis + 2]
        return self.centre[axis], self.centre[axis]


@dataclass(frozen=True, slots=True)
class Scene:
    """The objects of one image.

    Attributes:
        size: (height, width) of the image in pixels.
        objects: all annotated objects.
    """

    size: Size
    objects: tuple[SceneObject, ...]

    def side(self, axis: int) -> int:
        """Width (axis X) or height (axis Y) of the image in pixels."""
        return self.size[1 - axis]
