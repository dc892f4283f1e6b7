"""Colour names: clear colours have one, colours between two have none."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.synth.shapes import PALETTE
from vlt.synth.words.appearance import NAMES, brightened, colour_shares
from vlt.synth.words.modifiers import SIMILAR


def name_of(*rgb):
    shares = colour_shares(np.array([[rgb]], np.uint8), np.array([[True]]))
    return next(iter(shares), None)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((255, 255, 255), "white"),
        ((10, 10, 10), "black"),
        ((128, 128, 128), "gray"),
        ((200, 20, 20), "red"),
        ((250, 140, 20), "orange"),
        ((240, 220, 30), "yellow"),
        ((30, 140, 50), "green"),
        ((20, 60, 200), "blue"),
        ((120, 40, 180), "purple"),
        ((250, 130, 190), "pink"),
        ((110, 70, 30), "brown"),
        ((224, 172, 140), None),  # skin
        ((60, 200, 200), None),  # green or blue?
        ((190, 190, 190), None),  # gray or white?
        ((150, 170, 60), None),  # yellow or green?
    ],
)
def test_names(rgb, name):
    assert name_of(*rgb) == name


def test_shares_are_of_the_mask():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (200, 20, 20)
    mask = np.zeros((4, 4), bool)
    mask[1:4, :2] = True
    assert colour_shares(image, mask) == pytest.approx({"red": 2 / 6, "black": 4 / 6})
    assert colour_shares(image, np.zeros((4, 4), bool)) == {}


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_one_name_or_none(rgb):
    shares = colour_shares(np.array([[rgb]], np.uint8), np.array([[True]]))
    assert list(shares.values()) in ([], [1.0])


@given(st.floats(0, 1), st.floats(0, 0.04), st.floats(0.38, 0.68))
def test_what_has_no_hue_is_gray(hue, saturation, value):
    rgb = [round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value)]
    assert name_of(*rgb) == "gray"


def test_the_grammar_knows_these_colours_and_no_others():
    assert set(NAMES) == set(SIMILAR)
    assert set(PALETTE) <= set(NAMES)


@pytest.mark.parametrize(("name", "rgb"), PALETTE.items())
def test_the_palette_of_synthetic_scenes_is_named_as_it_looks(name, rgb):
    assert name_of(*rgb) == name


def test_a_dark_photo_is_brightened_and_a_bright_one_left():
    dark = np.full((40, 40, 3), 20, np.uint8)
    dark[::2] = 100
    assert brightened(dark).max() == 200  # twice, and no more
    bright = np.full((40, 40, 3), 255, np.uint8)
    assert (brightened(bright) == bright).all()
    assert brightened(np.zeros((1, 1, 3), np.uint8)).max() == 0
