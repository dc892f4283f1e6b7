"""Scenes for the tests of the grammar: one by hand, and a hypothesis strategy."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from vlt.synth.words import Scene, SceneObject
from vlt.synth.words.lexicon import HUMANS

WIDTH, HEIGHT = 512, 256
"""Powers of two, so that flipping is exact."""


def thing(noun, x, y, width, height, colour=None, **kwargs):
    """Make an object that fills seven tenths of its box around (x, y)."""
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return SceneObject(noun, box, (x, y), 0.7 * width * height, {colour: 1.0} if colour else {}, **kwargs)


ROW = Scene(
    (400, 600),
    (
        thing("zebra", 80, 200, 80, 100, "white"),
        thing("zebra", 250, 200, 80, 100, "white"),
        thing("zebra", 400, 210, 90, 110, "brown"),
        thing("zebra", 540, 220, 100, 200, "white"),
        thing("bench", 300, 340, 200, 60, "brown"),
        thing("umbrella", 60, 60, 60, 40, "red"),
        thing("umbrella", 500, 60, 60, 40, "blue"),
        thing("cup", 425, 340, 40, 40, "white"),
        thing("woman", 60, 330, 60, 130, wears={"dress": {"red": 0.9}, "purse": {"black": 0.8}}),
        thing("person", 150, 330, 60, 130, wears={"t-shirt": {"white": 0.9}, "jeans": {"blue": 0.9}}),
    ),
)


def mirrored(scene):
    """Return the scene of the horizontally flipped image."""
    width = scene.size[1]
    return Scene(
        scene.size,
        tuple(
            replace(
                each,
                box=(width - each.box[2], each.box[1], width - each.box[0], each.box[3]),
                centre=(width - each.centre[0], each.centre[1]),
            )
            for each in scene.objects
        ),
    )


@st.composite
def scenes(draw):
    """Draw scenes of a few nouns with several objects each, tiny objects, crowds and unclear colours."""
    nouns = draw(
        st.lists(
            st.sampled_from(["zebra", "person", "woman", "cup", "wine glass", "orange", "umbrella", "bench"]),
            min_size=1,
            max_size=3,
        )
    )
    colours = st.sampled_from(
        [{}, {"red": 1.0}, {"orange": 0.9}, {"blue": 0.7, "gray": 0.2}, {"white": 0.4, "black": 0.4}, {"green": 0.55}]
    )
    garments = st.sampled_from(["dress", "jeans", "t-shirt", "sweater", "hat", "bag", "romper"])
    clothes = st.one_of(st.just({}), st.dictionaries(garments, colours, max_size=3))
    even = st.integers(1, 40).map(lambda half: 2 * half)
    things = []
    for _ in range(draw(st.integers(1, 7))):
        width, height = draw(even), draw(even)
        x = draw(st.integers(width // 2, WIDTH - width // 2))
        y = draw(st.integers(height // 2, HEIGHT - height // 2))
        made = thing(draw(st.sampled_from(nouns)), x, y, width, height)
        salient, crowd = draw(st.sampled_from([(True, False)] * 6 + [(False, False), (True, True)]))
        wears = draw(clothes) if made.noun in HUMANS else {}
        things.append(replace(made, colours=draw(colours), wears=wears, salient=salient, crowd=crowd))
    return Scene((HEIGHT, WIDTH), tuple(things))
