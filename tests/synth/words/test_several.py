"""Expressions about several objects: all that fit are clear, nothing else may be called so, and plurals are words."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from scene_fixture import ROW, scenes, thing

from vlt.synth.words import Query, Scene, groups, resolve
from vlt.synth.words.lexicon import name_keys, plural, synonyms
from vlt.synth.words.modifiers import SIMILAR, Colour
from vlt.synth.words.nouns import COCO_NOUNS, SHAPES
from vlt.synth.words.query import Resolver


def texts_of(scene):
    """The expressions by the objects that they refer to."""
    return {each.members: set(each.texts) for each in groups(scene)}


def read(text, scene):
    """The query of an expression about several objects, or None: the inverse of the wordings, written anew."""
    for start in ("all of the ", "all the ", "both ", "the two ", "two ", "the three ", "all three ", "the four ",
                  "all four ", "all ", "the "):  # fmt: skip
        if text.startswith(start):
            text = text.removeprefix(start)
            break
    colour = None
    for name in SIMILAR:
        if text.startswith(f"{name} "):
            colour, text = name, text.removeprefix(f"{name} ")
        elif text.endswith(f" in {name}"):
            colour, text = name, text.removesuffix(f" in {name}")
    for noun in {word for each in scene.objects for word in (each.noun, *synonyms(each.noun))}:
        if plural(noun) == text:
            return Query(noun, frozenset({Colour(colour)}) if colour else frozenset())
    return None


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_every_object_that_fits_is_clear_and_no_other_may_be_meant(scene):
    for members, texts in texts_of(scene).items():
        assert len(members) > 1
        assert all(scene.objects[index].can_be_target for index in members)
        for text in texts:
            query = read(text, scene)
            assert query is not None, text
            assert resolve(query, scene) == frozenset(members), text
            verdicts = Resolver(query.noun, scene).verdicts(query.modifiers)
            assert [index for index, verdict in enumerate(verdicts) if verdict] == list(members), text


def test_the_groups_of_a_scene():
    found = texts_of(ROW)
    zebras, white, umbrellas, people = (0, 1, 2, 3), (0, 1, 3), (5, 6), (8, 9)
    assert set(found) == {zebras, white, umbrellas, people}
    assert found[zebras] == {
        "all zebras",
        "the zebras",
        "all the zebras",
        "zebras",
        "the four zebras",
        "all four zebras",
    }
    assert "all white zebras" in found[white]
    assert "the three white zebras" in found[white]
    assert {"both umbrellas", "the two umbrellas", "two umbrellas"} <= found[umbrellas]
    assert not any("in white" in text for text in found[white])
    assert "both people" in found[people]  # a woman and a person


def test_a_colour_that_all_have_says_nothing():
    cups = Scene((400, 600), tuple(thing("cup", x, 200, 50, 50, "red") for x in (100, 300, 500)))
    assert set(texts_of(cups)) == {(0, 1, 2)}
    assert not any("red" in text for text in texts_of(cups)[0, 1, 2])


def test_what_may_be_called_so_prevents_a_group():
    cups = [thing("cup", x, 200, 50, 50, "red") for x in (100, 300)]
    size = (400, 600)
    assert texts_of(Scene(size, (*cups, thing("chair", 500, 200, 50, 50))))
    for doubtful in (
        thing("wine glass", 500, 200, 50, 50),
        thing("cup", 500, 200, 50, 50, crowd=True),
        thing("cup", 500, 200, 5, 5, salient=False),
    ):
        assert texts_of(Scene(size, (*cups, doubtful))) == {}


def test_an_unclear_colour_prevents_a_group_of_colours():
    cups = [thing("cup", x, 200, 50, 50, "red") for x in (100, 300)]
    for colours, is_clear in (({"blue": 1.0}, True), ({"red": 0.4, "blue": 0.6}, False), ({"orange": 1.0}, False)):
        scene = Scene((400, 600), (*cups, replace(thing("cup", 500, 200, 50, 50), colours=colours)))
        assert ((0, 1) in texts_of(scene)) is is_clear
        assert (0, 1, 2) in texts_of(scene)


def test_people_are_in_colours_and_never_in_those_of_skin():
    for colour, is_said in (("green", True), ("brown", False)):
        people = [thing("person", x, 200, 50, 120, colour) for x in (100, 300)]
        scene = Scene((400, 600), (*people, thing("person", 500, 200, 50, 120, "white")))
        assert texts_of(scene)[0, 1, 2] >= {"all people", "the three people"}
        assert ((0, 1) in texts_of(scene)) is is_said
        assert not is_said or f"both people in {colour}" in texts_of(scene)[0, 1]


@pytest.mark.parametrize(
    ("noun", "several"),
    [
        *(("bus", "buses"), ("couch", "couches"), ("knife", "knives"), ("sheep", "sheep"), ("mouse", "mice")),
        *(("person", "people"), ("woman", "women"), ("child", "children"), ("lady", "ladies"), ("toy", "toys")),
        *(("scissors", "scissors"), ("jeans", "jeans"), ("sports ball", "sports balls"), ("cross", "crosses")),
        *(("toothbrush", "toothbrushes"), ("baseball glove", "baseball gloves"), ("broccoli", None)),
    ],
)
def test_plurals(noun, several):
    assert plural(noun) == several


@pytest.mark.parametrize("noun", sorted((COCO_NOUNS | SHAPES) - {"hair drier"}))  # its key is that of "dryer"
def test_a_plural_is_read_as_its_noun(noun):
    assert (several := plural(noun)) is None or name_keys(several) & name_keys(noun)
