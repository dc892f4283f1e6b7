"""Scenes of coloured shapes with expressions, drawn on the fly by seed: for tests, examples and quick experiments."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageDraw

from vlt.data.expressions import Scene, Thing, describe
from vlt.data.lazy import SceneReferrals
from vlt.data.standing import standings
from vlt.errors import DataError
from vlt.types import Expression, Referral, Size

if TYPE_CHECKING:
    from vlt.types import Image, Mask

Points = list[tuple[float, float]]

SMALLEST_SIDE = 32
"""Of a scene, in pixels; shapes in smaller ones have no shape."""
SUPERSAMPLING = 4
"""Steps per pixel at which edges are drawn."""
PER_TARGET = 3
"""Wordings per target."""
ATTEMPTS = 100
"""How many scenes are drawn until one has something to be worded."""


def _around(count: int, *radii: float) -> Points:
    """Points around the origin, the first one on top, at `radii` in turn."""
    turns = [math.tau * i / count for i in range(count)]
    return [
        (math.sin(turn) * radii[i % len(radii)], -math.cos(turn) * radii[i % len(radii)])
        for i, turn in enumerate(turns)
    ]


OUTLINES: Mapping[str, Points] = {
    "circle": _around(40, 0.9),
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": _around(3, 1.0),
    "star": _around(10, 1.0, 0.42),
    "diamond": [(0, -1), (0.65, 0), (0, 1), (-0.65, 0)],
    "cross": [
        *((-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3)),
        *((0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3)),
    ],
}
"""The shapes, as outlines within the circle of radius 1 around the origin but for a corner or two; y points down."""

PALETTE: Mapping[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "green": (44, 150, 62),
    "blue": (38, 84, 200),
    "yellow": (240, 206, 44),
    "purple": (132, 56, 168),
    "orange": (244, 128, 24),
    "white": (246, 246, 246),
    "black": (22, 22, 24),
}
"""The colours of shapes, RGB, before each is varied a little."""


class Drawing(NamedTuple):
    """A scene as pixels and as what the grammar sees.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (H, W) bool for each thing; none covers another.
        scene: the things.
    """

    image: Image
    masks: list[Mask]
    scene: Scene


class _Plan(NamedTuple):
    """What is drawn where: centre and radius in pixels, rotation in radians."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    rotation: float


class SyntheticReferrals(SceneReferrals):
    """Scenes drawn when asked for, a referral or several each; item i is the same at any time, in any process.

    Args:
        scenes: how many.
        size: (height, width) of each in pixels.
        seed: of the whole data set.
        split: such as "train"; another name gives other scenes.
        kinds: how readily each kind of hint is given, see `vlt.data.expressions.describe`.
        referents: things of each scene that are meant; their referrals stand together and share the image.

    Raises:
        DataError: scenes that are too small for shapes.
    """

    def __init__(
        self,
        scenes: int,
        size: Size,
        seed: int,
        split: str,
        *,
        kinds: Mapping[str, float] | None = None,
        referents: int = 1,
    ) -> None:
        if min(size) < SMALLEST_SIDE:
            raise DataError(
                f"Synthetic scenes of {size[0]} x {size[1]} pixels are too small for shapes; take at least "
                f"{SMALLEST_SIDE} x {SMALLEST_SIDE}."
            )
        super().__init__(scenes, referents)
        self._size = size
        self._stream = f"{seed} {split}"
        self._kinds = kinds

    def _of_scene(self, scene: int) -> list[Referral]:
        """Draws a scene and words what is meant in it.

        Raises:
            DataError: no wording of the kinds that are asked for was found.
        """
        rng = random.Random(f"{self._stream} {scene}")
        for _ in range(ATTEMPTS):
            drawing = draw_scene(rng, self._size)
            worded = list(islice(self._worded(drawing, rng), self._referents))
            if len(worded) == self._referents:
                first = scene * self._referents
                return [_refer(first + i, scene, drawing, *meant) for i, meant in enumerate(worded)]
        raise DataError(
            f"No scene of {ATTEMPTS} has {self._referents} things that could be worded with {self._kinds}; "
            "allow more kinds, or ask for fewer referents."
        )

    def _worded(self, drawing: Drawing, rng: random.Random) -> Iterator[tuple[int, list[str]]]:
        """Things of a scene in random order, by their place, and what can be said of each."""
        things = drawing.scene.things
        for target in rng.sample(range(len(things)), len(things)):
            wordings = describe(drawing.scene, target, rng, count=PER_TARGET, kinds=self._kinds)
            if wordings:
                yield target, [wording.text for wording in wordings]


def _refer(index: int, scene: int, drawing: Drawing, target: int, texts: Sequence[str]) -> Referral:
    thing = drawing.scene.things[target]
    return Referral(
        ref_id=index,
        image=drawing.image,
        target=drawing.masks[target],
        expressions=tuple(Expression(index * PER_TARGET + i, text) for i, text in enumerate(texts)),
        category=list(OUTLINES).index(thing.noun),
        box=thing.box,
        standing=standings(drawing.scene)[target],
        scene=scene,
    )


def draw_scene(rng: random.Random, size: Size, *, shapes: tuple[int, int] = (3, 6)) -> Drawing:
    """Draws a scene; the same state of `rng` gives the same one.

    Args:
        rng: draws what is where.
        size: (height, width) in pixels.
        shapes: least and most; fewer where there is no room.
    """
    noise = np.random.default_rng(rng.getrandbits(64))
    canvas = _background(noise, size)
    masks, things = [], []
    for plan in _plan(rng, size, rng.randint(*shapes)):
        mask, thing = _draw(plan, canvas, rng)
        masks.append(mask)
        things.append(thing)
    canvas += noise.normal(0, 4, (*size, 1)).astype(np.float32)
    return Drawing(canvas.clip(0, 255).astype(np.uint8), masks, Scene(size, tuple(things)))


def _plan(rng: random.Random, size: Size, count: int) -> list[_Plan]:
    """Shapes that keep their distance; few kinds and colours, so that one of them rarely tells a shape apart."""
    names = rng.sample(list(OUTLINES), rng.randint(1, 3))
    colours = rng.sample(list(PALETTE), rng.randint(2, 4))
    plans: list[_Plan] = []
    for _ in range(20 * count):
        radius = rng.choice((rng.uniform(0.11, 0.14), rng.uniform(0.18, 0.24))) * min(size)
        x, y = (rng.uniform(radius + 1, side - radius - 1) for side in (size[1], size[0]))
        if all(math.hypot(x - other.x, y - other.y) > 1.1 * (radius + other.radius) + 2 for other in plans):
            plans.append(_Plan(rng.choice(names), rng.choice(colours), x, y, radius, rng.uniform(-0.2, 0.2)))
        if len(plans) == count:
            break
    return plans


def _background(noise: np.random.Generator, size: Size) -> npt.NDArray[np.float32]:
    """A dull colour that changes slowly over the scene: (H, W, 3) float32 in [0, 255]."""
    base = noise.uniform(110, 190) + noise.uniform(-14, 14, 3)
    coarse = (base + noise.normal(0, 12, (5, 5, 1))).clip(0, 255).astype(np.uint8)
    smooth = PILImage.fromarray(coarse).resize((size[1], size[0]), PILImage.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32).copy()


def _draw(plan: _Plan, canvas: npt.NDArray[np.float32], rng: random.Random) -> tuple[Mask, Thing]:
    """Draws a shape onto the canvas, its edges soft; its mask is what it covers by at least half."""
    height, width = canvas.shape[:2]
    reach = math.ceil(1.15 * plan.radius)
    x0, y0 = max(int(plan.x) - reach, 0), max(int(plan.y) - reach, 0)
    x1, y1 = min(int(plan.x) + reach + 1, width), min(int(plan.y) + reach + 1, height)
    cover = _cover(plan, (x0, y0), (y1 - y0, x1 - x0))
    colour = np.array([channel + rng.uniform(-10, 10) for channel in PALETTE[plan.colour]], np.float32)
    canvas[y0:y1, x0:x1] += cover[..., None] * (colour - canvas[y0:y1, x0:x1])
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = cover >= 0.5
    return mask, _thing(plan, mask)


def _cover(plan: _Plan, corner: tuple[int, int], size: Size) -> npt.NDArray[np.float32]:
    """How much of each pixel of a window a shape covers, in [0, 1]; `corner` is the window's (x, y)."""
    sine, cosine = math.sin(plan.rotation), math.cos(plan.rotation)
    points = [
        (
            (plan.x + plan.radius * (x * cosine - y * sine) - corner[0]) * SUPERSAMPLING,
            (plan.y + plan.radius * (x * sine + y * cosine) - corner[1]) * SUPERSAMPLING,
        )
        for x, y in OUTLINES[plan.shape]
    ]
    fine = PILImage.new("L", (size[1] * SUPERSAMPLING, size[0] * SUPERSAMPLING))
    ImageDraw.Draw(fine).polygon(points, fill=255)
    return np.asarray(fine.reduce(SUPERSAMPLING), np.float32) / np.float32(255)


def _thing(plan: _Plan, mask: Mask) -> Thing:
    rows, columns = np.nonzero(mask)
    box = float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
    centre = float(columns.mean() + 0.5), float(rows.mean() + 0.5)
    return Thing(plan.shape, box, centre, float(len(rows)), {plan.colour: 1.0})
