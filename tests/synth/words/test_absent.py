"""Expressions about nothing are a clear False for every object of the scene, and plausible in a similar scene."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from scene_fixture import ROW, scenes, thing

from vlt.synth.words import Scene, absent, parse, resolve
from vlt.synth.words.lexicon import family, meanings, named
from vlt.synth.words.relation import Wears


@given(scenes(), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_nothing_in_the_scene_is_meant_or_may_be(scene, seed):
    for text in absent(scene, random.Random(seed), count=8):
        query = parse(text)
        assert query is not None
        assert resolve(query, scene) == frozenset(), text


def test_as_many_different_ones_as_are_wanted():
    texts = absent(ROW, random.Random(0), count=20)
    assert len(set(texts)) == 20


def test_things_that_are_there_are_said_of_with_hints_that_hold_of_none():
    nouns = {parse(text).noun for text in absent(ROW, random.Random(0), count=40)}
    assert nouns & {each.noun for each in ROW.objects}


def test_other_nouns_are_mostly_akin_to_what_is_there():
    scene = Scene((400, 600), (thing("sheep", 100, 100, 50, 50), thing("sheep", 400, 100, 50, 50)))
    nouns = [parse(text).noun for text in absent(scene, random.Random(0), count=12)]
    others = [noun for noun in nouns if noun != "sheep"]
    assert all(named(noun, "sheep") is False for noun in others)
    assert sum(bool(meanings(noun) & family("sheep")) for noun in others) > len(others) / 2


def test_what_is_easily_taken_for_something_there_is_not_called_absent():
    scene = Scene((400, 600), (thing("wine glass", 100, 100, 50, 50),))
    nouns = {parse(text).noun for text in absent(scene, random.Random(0), count=40)}
    assert len(nouns) > 5
    assert not nouns & {"cup", "bottle", "vase", "glass", "mug"}


def test_clothes_that_nobody_wears_are_said_only_where_clothes_are_known():
    texts = absent(ROW, random.Random(0), count=60)
    assert any(isinstance(each, Wears) for text in texts for each in parse(text).modifiers)
    bare = Scene(ROW.size, tuple(replace(each, wears={}) for each in ROW.objects))
    texts = absent(bare, random.Random(0), count=60)
    assert not any(isinstance(each, Wears) for text in texts for each in parse(text).modifiers)


def test_of_nothing_nothing_is_said():
    assert absent(Scene((400, 600), ()), random.Random(0), count=3) == []


def test_the_seed_decides():
    assert absent(ROW, random.Random(1), count=9) == absent(ROW, random.Random(1), count=9)
    assert absent(ROW, random.Random(1), count=9) != absent(ROW, random.Random(2), count=9)
