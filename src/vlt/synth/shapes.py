"""Synthetic scenes of coloured shapes with expressions, drawn by seed: for tests, examples and quick experiments."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageDraw

from vlt.data.lazy import SceneReferrals
from vlt.data.masks import join_boxes
from vlt.errors import DataError
from vlt.synth.words import Scene, SceneObject, describe, standings
from vlt.types import NO_CATEGORY, Expression, Image, Mask, Referral, Size

Points = list[tuple[float, float]]

SMALLEST_SIDE = 32
"""Smallest side of a scene in pixels; in smaller ones the shapes look alike."""
SUPERSAMPLING = 4
"""Subpixels per pixel and axis with which edges are antialiased."""
PER_TARGET = 3
"""Largest number of expressions per referent."""
ATTEMPTS = 100
"""Largest number of scenes drawn until one has enough referents with an unambiguous expression."""


def corners(count: int, *radii: float) -> Points:
    """Make the corners of a polygon or star: points around the origin at equal angles, the first one above it.

    Args:
        count: number of points.
        radii: distances from the origin, taken in turn.
    """
    angles = [math.tau * i / count for i in range(count)]
    distances = [radii[i % len(radii)] for i in range(count)]
    return [(math.sin(angle) * r, -math.cos(angle) * r) for angle, r in zip(angles, distances, strict=True)]


OUTLINES: Mapping[str, Points] = {
    "circle": corners(40, 0.9),
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": corners(3, 1.0),
    "star": corners(10, 1.0, 0.42),
    "diamond": [(0, -1), (0.65, 0), (0, 1), (-0.65, 0)],
    "cross": [
        *((-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3)),
        *((0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3)),
    ],
}
"""Outline of each shape as (x, y), y pointing down; within 1.15 of the origin."""

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
"""Colours of the shapes, RGB; each shape's colour differs a little at random."""


class Shape(NamedTuple):
    """A shape to be drawn.

    Attributes:
        noun: key of `OUTLINES`.
        colour: key of `PALETTE`.
        x, y: its centre in pixels.
        radius: pixels per unit of the outline.
        rotation: in radians.
    """

    noun: str
    colour: str
    x: float
    y: float
    radius: float
    rotation: float

    def coverage(self, corner: tuple[int, int], size: Size) -> npt.NDArray[np.float32]:
        """Compute how much of each pixel of a window the shape covers.

        Args:
            corner: (x, y) of the window's upper left corner in pixels.
            size: (height, width) of the window in pixels.

        Returns:
            (height, width) float32 in [0, 1].
        """
        sine, cosine = math.sin(self.rotation), math.cos(self.rotation)
        points = []
        for x, y in OUTLINES[self.noun]:
            column = self.x + self.radius * (x * cosine - y * sine) - corner[0]
            row = self.y + self.radius * (x * sine + y * cosine) - corner[1]
            points.append((column * SUPERSAMPLING, row * SUPERSAMPLING))
        fine = PILImage.new("L", (size[1] * SUPERSAMPLING, size[0] * SUPERSAMPLING))
        ImageDraw.Draw(fine).polygon(points, fill=255)
        return np.asarray(fine.reduce(SUPERSAMPLING), np.float32) / np.float32(255)


class Drawing(NamedTuple):
    """A scene as pixels and as a description for the grammar of expressions.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (H, W) bool for each object, without overlap.
        scene: the objects.
    """

    image: Image
    masks: list[Mask]
    scene: Scene


def draw_scene(rng: random.Random, size: Size, *, shapes: tuple[int, int] = (3, 6)) -> Drawing:
    """Draw a scene of shapes on a background whose brightness varies smoothly; the same state of `rng` gives the same.

    Args:
        rng: draws the background and the shapes.
        size: (height, width) in pixels.
        shapes: smallest and largest number of shapes; there are fewer where the scene has no room.
    """
    height, width = size
    noise = np.random.default_rng(rng.getrandbits(64))
    base = noise.uniform(110, 190) + noise.uniform(-14, 14, 3)
    coarse = (base + noise.normal(0, 12, (5, 5, 1))).clip(0, 255).astype(np.uint8)
    smooth = PILImage.fromarray(coarse).resize((width, height), PILImage.Resampling.BICUBIC)
    canvas = np.asarray(smooth, np.float32).copy()
    masks, objects = [], []
    for shape in place_shapes(rng, size, rng.randint(*shapes)):
        reach = math.ceil(1.15 * shape.radius)
        x0, y0 = max(int(shape.x) - reach, 0), max(int(shape.y) - reach, 0)
        x1, y1 = min(int(shape.x) + reach + 1, width), min(int(shape.y) + reach + 1, height)
        coverage = shape.coverage((x0, y0), (y1 - y0, x1 - x0))
        colour = np.array([channel + rng.uniform(-10, 10) for channel in PALETTE[shape.colour]], np.float32)
        canvas[y0:y1, x0:x1] += coverage[..., None] * (colour - canvas[y0:y1, x0:x1])
        mask = np.zeros(size, bool)
        mask[y0:y1, x0:x1] = coverage >= 0.5
        rows, columns = np.nonzero(mask)
        box = float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
        centre = float(columns.mean() + 0.5), float(rows.mean() + 0.5)
        objects.append(SceneObject(shape.noun, box, centre, float(len(rows)), {shape.colour: 1.0}))
        masks.append(mask)
    canvas += noise.normal(0, 4, (*size, 1)).astype(np.float32)
    return Drawing(canvas.clip(0, 255).astype(np.uint8), masks, Scene(size, tuple(objects)))


def place_shapes(rng: random.Random, size: Size, count: int) -> list[Shape]:
    """Draw shapes that keep a distance from each other.

    They are of few nouns and colours, so that a noun or colour alone rarely identifies one.

    Args:
        rng: draws the shapes.
        size: (height, width) of the scene in pixels.
        count: number of shapes; fewer are returned where the scene has no room.
    """
    nouns = rng.sample(list(OUTLINES), rng.randint(1, 3))
    colours = rng.sample(list(PALETTE), rng.randint(2, 4))
    shapes: list[Shape] = []
    for _ in range(20 * count):
        radius = rng.choice((rng.uniform(0.11, 0.14), rng.uniform(0.18, 0.24))) * min(size)
        x, y = (rng.uniform(radius + 1, side - radius - 1) for side in (size[1], size[0]))
        if all(math.hypot(x - other.x, y - other.y) > 1.1 * (radius + other.radius) + 2 for other in shapes):
            shapes.append(Shape(rng.choice(nouns), rng.choice(colours), x, y, radius, rng.uniform(-0.2, 0.2)))
        if len(shapes) == count:
            break
    return shapes


def groups_of(scene: Scene) -> dict[str, list[int]]:
    """List the objects of each noun, and of each colour and noun, by the words for one of them, such as "red circle".

    Args:
        scene: of shapes.

    Returns:
        Indices into `scene.objects`.
    """
    groups: dict[str, list[int]] = {}
    for index, each in enumerate(scene.objects):
        for name in (each.noun, *(f"{colour} {each.noun}" for colour in each.colours)):
            groups.setdefault(name, []).append(index)
    return groups


def refer_to_several(referral: Referral, drawing: Drawing, rng: random.Random) -> Referral:
    """Refer to all objects of a noun, or of a colour and noun, instead; unchanged where the scene has no two such."""
    groups = [(name, members) for name, members in groups_of(drawing.scene).items() if len(members) > 1]
    if not groups:
        return referral
    name, members = rng.choice(groups)
    plural = name + ("es" if name.endswith("s") else "s")
    return replace(
        with_texts(referral, f"all {plural}", f"the {plural}"),
        targets=tuple(drawing.masks[index] for index in members),
        box=join_boxes([drawing.scene.objects[index].box for index in members]),
        standing=None,
    )


def refer_to_none(referral: Referral, drawing: Drawing, rng: random.Random) -> Referral:
    """Refer to a colour and noun instead of which the scene has only one: nothing in the image matches.

    The wording is that of objects that are there, so that it gives nothing away.
    """
    there, objects = groups_of(drawing.scene), drawing.scene.objects
    nouns, colours = {each.noun for each in objects}, {colour for each in objects for colour in each.colours}
    absent = [
        f"{colour} {noun}"
        for noun in OUTLINES
        for colour in PALETTE
        if (noun in nouns or colour in colours) and f"{colour} {noun}" not in there
    ]
    name = rng.choice(absent)
    return replace(with_texts(referral, name), targets=(), category=NO_CATEGORY, box=None, standing=None)


def with_texts(referral: Referral, *texts: str) -> Referral:
    """Replace the expressions of a referral."""
    first = referral.expressions[0].sent_id
    return replace(referral, expressions=tuple(Expression(first + i, text) for i, text in enumerate(texts)))


class SyntheticReferrals(SceneReferrals):
    """Referrals to synthetic scenes, drawn when accessed; item i is the same at any time, in any process.

    Args:
        scenes: number of scenes.
        size: (height, width) of each in pixels.
        seed: seed of the whole data set.
        split: such as "train"; each name gives other scenes.
        kinds: weight of each cue in expressions, see `vlt.synth.words.describe`; None: the default weights.
        referents: referrals per scene; they are next to each other and share the image.
        several: share in [0, 1] of the referrals that are to all objects of a kind, where there are at least two.
        absent: share in [0, 1] of the referrals that nothing in the image matches.

    Raises:
        DataError: the scenes are too small for shapes.
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
        several: float = 0.0,
        absent: float = 0.0,
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
        self._several = several
        self._absent = absent

    def refer_to_scene(self, scene: int) -> list[Referral]:
        """Draw a scene and make the referrals to its first objects, in random order, that have an expression.

        Raises:
            DataError: no scene was found with enough objects for which there are expressions of the given kinds.
        """
        rng = random.Random(f"{self._stream} {scene}")
        for _ in range(ATTEMPTS):
            drawing = draw_scene(rng, self._size)
            objects = drawing.scene.objects
            referrals: list[Referral] = []
            for target in rng.sample(range(len(objects)), len(objects)):
                wordings = describe(drawing.scene, target, rng, count=PER_TARGET, cue_weights=self._kinds)
                if not wordings:
                    continue
                ref_id = scene * self._referents + len(referrals)
                sent_id = ref_id * PER_TARGET
                referrals.append(
                    Referral(
                        ref_id=ref_id,
                        image=drawing.image,
                        targets=(drawing.masks[target],),
                        expressions=tuple(Expression(sent_id + i, wording.text) for i, wording in enumerate(wordings)),
                        category=list(OUTLINES).index(objects[target].noun),
                        box=objects[target].box,
                        standing=standings(drawing.scene)[target],
                        scene=scene,
                    )
                )
                if len(referrals) == self._referents:
                    return [self.varied(each, drawing, rng) for each in referrals]
        raise DataError(
            f"None of {ATTEMPTS} synthetic scenes has {self._referents} objects with an unambiguous expression of the "
            f"kinds {self._kinds}; allow more kinds, or fewer referents per scene."
        )

    def varied(self, referral: Referral, drawing: Drawing, rng: random.Random) -> Referral:
        """Refer to several objects or to none instead, as often as configured."""
        draw = rng.random()
        if draw < self._absent:
            return refer_to_none(referral, drawing, rng)
        return refer_to_several(referral, drawing, rng) if draw < self._absent + self._several else referral
