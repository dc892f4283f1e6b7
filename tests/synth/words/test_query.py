"""Expressions resolve to the objects a person would choose, and are unclear where a person would hesitate."""

from dataclasses import replace

import pytest
from scene_fixture import thing

from vlt.synth.words import Scene, is_clear, parse, resolve
from vlt.synth.words.lexicon import named

LEFT, MIDDLE, RIGHT, CAR, ORANGE, PERSON, CUP = range(7)
SCENE = Scene(
    (400, 600),
    (
        thing("zebra", 100, 200, 80, 100, "white"),
        thing("zebra", 300, 200, 80, 100, "black"),
        thing("zebra", 500, 220, 150, 200, "brown"),
        thing("car", 300, 50, 100, 50, "red"),
        thing("orange", 300, 300, 40, 40, "orange"),
        thing("person", 520, 60, 40, 60, "red"),
        thing("cup", 360, 300, 40, 40, "green"),
    ),
)


def means(text, scene=SCENE):
    return set(resolve(parse(text), scene))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("zebra", {LEFT, MIDDLE, RIGHT}),
        ("left zebra", {LEFT}),
        ("zebra on the right", {RIGHT}),
        ("middle zebra", {MIDDLE}),
        ("leftmost zebra", {LEFT}),
        ("second zebra from the left", {MIDDLE}),
        ("2nd zebra from right", {MIDDLE}),
        ("zebra third from the left", {LEFT, MIDDLE, RIGHT}),  # nobody counts to the last one
        ("big zebra", {RIGHT}),
        ("biggest zebra", {RIGHT}),
        ("smallest zebra", {LEFT, MIDDLE, RIGHT}),  # two are alike
        ("white zebra", {LEFT}),
        ("zebra that is not white", {MIDDLE, RIGHT}),
        ("zebra not on the left", {MIDDLE, RIGHT}),
        ("top left zebra", {LEFT, MIDDLE, RIGHT}),  # they stand in a row, none is on top
        ("green zebra", set()),
        ("red zebra", {RIGHT}),  # which is brown: unclear
        ("dog", set()),
        ("animal", {LEFT, MIDDLE, RIGHT}),
        ("person in red", {PERSON}),
        ("green one", {CUP}),
        ("orange", {ORANGE}),
        ("orange orange", {ORANGE}),
        ("orange left of the cup", {ORANGE}),
        ("cup right of orange", {CUP}),
        ("cup next to orange", {CUP}),
        ("cup next to green cup", set()),  # nothing is next to itself
        ("zebra left of the zebra", {LEFT, MIDDLE, RIGHT}),  # which one?
        ("zebra right of the white zebra", {MIDDLE, RIGHT}),  # the second is far
        ("zebra right of the dog", set()),
        ("far right", {RIGHT, PERSON} | {LEFT, MIDDLE, CAR, ORANGE, CUP}),  # zebra or person: unclear
        ("mug", {CUP}),
    ],
)
def test_meaning(text, meant):
    assert means(text) == meant


@pytest.mark.parametrize("kind", [{"salient": False}, {"crowd": True}])
def test_what_might_be_overlooked_must_be_excluded_but_is_never_meant(kind):
    far = replace(thing("zebra", 400, 390, 6, 6, "white"), **kind)
    scene = Scene(SCENE.size, (*SCENE.objects[:1], far))
    assert means("zebra", scene) == {0, 1}
    assert not is_clear(parse("zebra"), scene, 0)
    assert not is_clear(parse("zebra on right"), scene, 1)
    assert is_clear(parse("left zebra"), scene, 0)


def test_a_tiny_thing_between_spoils_counting():
    row = [thing("zebra", x, 200, 60, 60) for x in (100, 300, 500)]
    assert means("second zebra from left", Scene((400, 600), tuple(row))) == {1}
    tiny = thing("zebra", 200, 200, 4, 4, salient=False)
    assert len(means("second zebra from left", Scene((400, 600), (*row, tiny)))) > 1


def test_a_lookalike_is_neither_meant_nor_excluded():
    glass = thing("wine glass", 100, 100, 20, 60)
    assert means("cup", Scene(SCENE.size, (*SCENE.objects, glass))) == {CUP, 7}


@pytest.mark.parametrize(
    ("near", "clear"),
    [(200, False), (215, False), (235, True), (300, True)],
)
def test_no_places_without_distance(near, clear):
    scene = Scene((400, 600), (thing("dog", 160, 200, 60, 60), thing("dog", near, 200, 60, 60)))
    assert is_clear(parse("left dog"), scene, 0) is clear


@pytest.mark.parametrize(("times", "clear"), [(1.0, False), (1.2, False), (1.5, True)])
def test_no_biggest_without_difference(times, clear):
    side = 60 * times**0.5
    scene = Scene((400, 600), (thing("dog", 160, 200, 60, 60), thing("dog", 400, 200, side, side)))
    assert is_clear(parse("biggest dog"), scene, 1) is clear


def test_an_only_one_is_not_the_biggest():
    scene = Scene((400, 600), (thing("dog", 160, 200, 60, 60), thing("cat", 400, 200, 30, 30)))
    assert is_clear(parse("dog"), scene, 0)
    assert not is_clear(parse("biggest dog"), scene, 0)


def test_small_is_not_what_is_hidden_or_cut_off():
    large, hidden = thing("dog", 400, 200, 100, 100), replace(thing("dog", 160, 200, 100, 100), area=500.0)
    cut_off = thing("dog", 15, 200, 30, 30)
    assert not is_clear(parse("smallest dog"), Scene((400, 600), (large, hidden)), 1)
    assert not is_clear(parse("small dog"), Scene((400, 600), (large, hidden)), 1)
    assert not is_clear(parse("smallest dog"), Scene((400, 600), (large, cut_off)), 1)
    assert is_clear(parse("biggest dog"), Scene((400, 600), (large, cut_off)), 0)


@pytest.mark.parametrize(
    ("shares", "clear"),
    [
        ({"blue": 0.9}, True),  # clearly another colour
        ({"red": 0.3, "blue": 0.6}, False),  # something red about it
        ({"orange": 0.8}, False),  # some would call it red
        ({}, False),  # no clear colour
    ],
)
def test_a_colour_is_said_only_where_the_others_are_clearly_different(shares, clear):
    other = replace(thing("car", 400, 200, 60, 60), colours=shares)
    scene = Scene((400, 600), (thing("car", 160, 200, 60, 60, "red"), other))
    assert is_clear(parse("red car"), scene, 0) is clear


@pytest.mark.parametrize(
    ("shares", "clear"), [({"red": 0.45}, False), ({"red": 0.6, "blue": 0.3}, False), ({"red": 0.6}, True)]
)
def test_a_colour_is_said_only_where_it_dominates(shares, clear):
    car = replace(thing("car", 160, 200, 60, 60), colours=shares)
    assert is_clear(parse("red car"), Scene((400, 600), (car, thing("car", 400, 200, 60, 60, "blue"))), 0) is clear


def test_who_carries_and_who_rides():
    rider, walker = thing("person", 100, 100, 40, 100), thing("person", 400, 200, 60, 160)
    horse, umbrella = thing("horse", 100, 160, 120, 100), thing("umbrella", 410, 130, 50, 30)
    scene = Scene((400, 600), (rider, walker, horse, umbrella))
    assert means("person on the horse", scene) == {0}
    assert means("person with umbrella", scene) == {1}


WOMAN, MAN, PERSON_DRESSED, UNKNOWN, DOG = range(5)
STREET = Scene(
    (400, 600),
    (
        thing("woman", 60, 200, 60, 200, wears={"dress": {"red": 0.9}, "purse": {"black": 0.9}}),
        thing("man", 180, 200, 60, 200, wears={"t-shirt": {"red": 0.9}, "jeans": {"blue": 0.9}}),
        thing("person", 300, 200, 60, 200, wears={"coat": {"black": 0.9}, "pants": {"gray": 0.5, "white": 0.4}}),
        thing("person", 420, 200, 60, 200),
        thing("dog", 540, 300, 60, 60),
    ),
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("person in dress", {WOMAN, UNKNOWN, PERSON_DRESSED}),  # the coat may be one
        ("person in jeans", {MAN, PERSON_DRESSED, UNKNOWN}),  # whose pants may be jeans
        ("person in pants", {MAN, PERSON_DRESSED, UNKNOWN}),
        ("person in white pants", {PERSON_DRESSED, UNKNOWN}),  # which are gray and white
        ("person in boots", {UNKNOWN}),
        ("woman in the red dress", {WOMAN, UNKNOWN}),  # the other person may be one
        ("woman in blue dress", {UNKNOWN}),
        ("man in red shirt", {MAN, UNKNOWN}),
        ("red shirt", {MAN, UNKNOWN, WOMAN}),  # a dress may look like one
        ("person with hat", {WOMAN, MAN, PERSON_DRESSED, UNKNOWN}),  # nobody sees every hat
        ("lady with the black bag", {WOMAN}),  # only she is known to carry anything
        ("dog in dress", set()),
        ("woman", {WOMAN, PERSON_DRESSED, UNKNOWN}),
        ("guy", {MAN, PERSON_DRESSED, UNKNOWN}),
    ],
)
def test_clothes(text, meant):
    assert means(text, STREET) == meant


def test_known_clothes_are_clear_and_unknown_ones_are_not():
    known = Scene(STREET.size, STREET.objects[:2])
    assert is_clear(parse("woman in the red dress"), known, WOMAN)
    assert is_clear(parse("blue jeans"), known, MAN)
    assert not is_clear(parse("person in boots"), STREET, UNKNOWN)
    assert not is_clear(parse("red shirt"), known, MAN), "the dress is red, too"


@pytest.mark.parametrize(
    ("other", "clear"),
    [
        ((400, 200, 60, 60), True),  # higher and smaller
        ((400, 360, 60, 60), False),  # smaller, but lower
        ((400, 160, 150, 150), False),  # higher, but as large
        ((400, 320, 60, 60), False),  # smaller, but as low
    ],
)
def test_front_and_back_need_both_height_and_size(other, clear):
    scene = Scene((400, 600), (thing("zebra", 150, 280, 150, 150), thing("zebra", *other)))
    assert is_clear(parse("zebra closest to us"), scene, 0) is clear
    assert is_clear(parse("zebra in back"), scene, 1) is clear


def test_shapes_have_no_front():
    scene = Scene((400, 600), (thing("star", 150, 280, 150, 150), thing("star", 400, 200, 60, 60)))
    assert not is_clear(parse("front star"), scene, 0)


@pytest.mark.parametrize(
    ("word", "category", "verdict"),
    [
        ("bike", "bicycle", True),
        ("bike", "motorcycle", True),
        ("bike", "car", False),
        ("hotdog", "hot dog", True),
        ("mug", "wine glass", None),
        ("person", "woman", True),
        ("woman", "person", None),
        ("woman", "man", False),
        ("chick", "woman", True),
        ("guy", "woman", False),
        ("kid", "boy", True),
        ("kid", "woman", None),
        ("thing", "zebra", True),
        ("thing", "person", None),
        ("animal", "gizmo", None),
        ("gizmo", "gizmo", True),
        ("zebra", "gizmo", False),
        ("shirt", "t-shirt", True),
        ("jacket", "cardigan", None),
        ("dress", "jeans", False),
    ],
)
def test_names(word, category, verdict):
    assert named(word, category) is verdict
