"""Cues, also of expressions that people wrote and the grammar does not cover."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.text.cues import CUES, cues


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("zebra", "category"),
        ("the man who waves", "category"),
        ("", "category"),
        ("guy on left", "position"),
        ("Far Left", "position"),
        ("bottom right corner", "position"),
        ("closest to us", "position"),
        ("left side of picture", "position"),
        ("front", "position"),
        ("bottom-left", "position"),
        ("top-right corner", "position"),
        ("second from right", "ordinal"),
        ("third guy from the left", "ordinal"),
        ("2nd elephant", "ordinal"),
        ("left second", "position ordinal"),
        ("red shirt", "colour clothes"),
        ("red shirt guy", "colour clothes"),
        ("woman with the big hat", "size clothes"),
        ("with orange shirt", "colour clothes"),
        ("man with a glass", "relation"),
        ("person in jeans next to bus", "clothes relation"),
        ("cup on left of picture", "position"),
        ("kid furthest back", "position"),
        ("lady in black tank top", "colour clothes"),
        ("girl with crop top", "clothes"),
        ("woman in orange", "colour"),
        ("orange slice", "colour"),
        ("orange", "category"),
        ("orange on the left", "position"),
        ("left orange", "position"),
        ("second orange from left", "ordinal"),
        ("orange next to the apple", "relation"),
        ("biggest bear", "size"),
        ("little girl", "size"),
        ("woman with long hair", "relation"),
        ("man in short sleeves", "category"),
        ("dog left of the bench", "relation"),
        ("guy behind the counter", "relation"),
        ("guy in front of bus", "relation"),
        ("guy in front", "position"),
        ("top of the fridge", "relation"),
        ("person on a bike", "relation"),
        ("person on the very right", "position"),
        ("car closest to the tree", "relation"),
        ("the one without hat", "negation clothes"),
        ("not the red car", "negation colour"),
        ("chair that isn't on the left", "negation position"),
        ("small red car on left next to bus", "size colour position relation"),
    ],
)
def test_cues(text, kinds):
    assert cues(text) == set(kinds.split())


@given(st.text())
def test_any_text_has_cues(text):
    assert cues(text)
    assert cues(text) <= set(CUES)
    assert "category" not in cues(text) or cues(text) == {"category"}
