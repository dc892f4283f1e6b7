"""Left and right in expressions for flipped images."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.synth.words import parse
from vlt.synth.words.grammar import FORMS, forms_of
from vlt.synth.words.modifiers import Not
from vlt.synth.words.place import Place, Rank
from vlt.synth.words.relation import Wears
from vlt.text.mirror import swap_left_right


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("guy on left", "guy on right"),
        ("Right zebra", "Left zebra"),
        ("LEFT", "RIGHT"),
        ("leftmost cup", "rightmost cup"),
        ("left most cup", "right most cup"),
        ("left-hand side", "right-hand side"),
        ("righthand man", "lefthand man"),
        ("second from the left", "second from the right"),
        ("left of the bus, on the right", "right of the bus, on the left"),
        ("guy on right in front", "guy on left in front"),
        ("to the right behind her", "to the left behind her"),
        ("person right in white", "person left in white"),
        ("lft guy", "rt guy"),
        ("bright upright piano", "bright upright piano"),
        ("the red cup", "the red cup"),
        ("", ""),
        ("2nd from right", "2nd from left"),
        ("left hand", "right hand"),  # a mirrored right hand is a left hand
    ],
)
def test_swapped(text, swapped):
    assert swap_left_right(text) == swapped


@pytest.mark.parametrize(
    "text",
    [
        "guy right behind her",
        "person right next to bus",
        "right in front of the car",
        "right in the middle",
        "plate left over",
        "door left open",
        "3 o'clock",
        "guy at 3 oclock",
        "clock that shows 3:15",
        "number 12",
        "player 12 on the left",
        "left shirt that says STOP",
        'the "left" sign',
        "letter on the right",
        "turn right sign",
        "left handed batter",
        "right-footed player",
        "right fielder",
        "the lefty",
        "that is right",
        "the last one left",
        "farleft guy",
        "rigth guy",
        "guy on the r",
        "guy on lt",
        "pizza with two slices left",
        "whats left of the cake",
        "slice left on the plate",
        "east side",
        "driver's side door",
    ],
)
def test_not_swapped(text):
    assert swap_left_right(text) is None


WORDS = [
    *("left", "Right", "LEFT", "LeFt", "rightmost", "lft", "RT", "left-hand", "farleft", "bright", "2nd,", "guy"),
    *("on", "the", "of", "one", "is", "behind", "next", "in", "front", "turn"),
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)))
def test_twice_is_nothing(text):
    swapped = swap_left_right(text)
    assert swapped is None or swap_left_right(swapped) == text


ACROSS = {"left": "right", "right": "left"}


def across(modifier):
    """What the modifier is in the mirrored photo."""
    if isinstance(modifier, Not):
        return Not(across(modifier.modifier))
    if isinstance(modifier, Place):
        return Place(tuple(ACROSS.get(side, side) for side in modifier.sides))
    return replace(modifier, side=ACROSS.get(modifier.side, modifier.side)) if isinstance(modifier, Rank) else modifier


@pytest.mark.parametrize("modifier", [each for each in FORMS if not isinstance(each, Wears)], ids=str)
def test_every_form_of_the_grammar_is_swapped(modifier):
    for form in forms_of(modifier, "zebra"):
        text = form.replace("_", "zebra").replace("~", "the ")
        assert parse(swap_left_right(text)).modifiers == {across(modifier)}, text
