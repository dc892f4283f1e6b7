"""Every generated expression, read back, refers to its target and nothing else, in any scene."""

import os
import random
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_fixture import ROW, mirrored, scenes, thing

from vlt.synth.words import Scene, describe, is_clear, parse, resolve
from vlt.synth.words.grammar import FORMS, RELATION_FORMS
from vlt.synth.words.lexicon import NOUNS, named
from vlt.synth.words.place import AXIS, FAR_END, Extreme, Place, Rank
from vlt.synth.words.relation import Wears
from vlt.text.cues import CUES, cues
from vlt.text.mirror import swap_left_right

KNOWN = {"the", "one"}.union(
    *(re.findall(r"[\w-]+", form) for forms in (*FORMS.values(), *RELATION_FORMS.values()) for form in forms),
    *(noun.split() for noun in NOUNS),
)
"""All words of the grammar in their correct spelling."""


def everything_said(scene, seed=0, count=30, cue_weights=None):
    return [
        (target, wording)
        for target in range(len(scene.objects))
        for wording in describe(scene, target, random.Random(seed), count=count, cue_weights=cue_weights)
    ]


@given(scenes(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_every_wording_means_its_target_alone(scene, seed):
    for target, wording in everything_said(scene, seed):
        assert scene.objects[target].can_be_target
        query = parse(wording.text)
        assert query == wording.query
        assert resolve(query, scene) == {target}
        assert is_clear(query, scene, target)


@given(scenes(), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_cues_agree_with_what_the_grammar_used(scene, seed):
    for _, wording in everything_said(scene, seed):
        assert cues(wording.text) == wording.query.cues, wording


@given(scenes(), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_swapped_words_mean_the_same_thing_in_the_mirrored_photo(scene, seed):
    for target, wording in everything_said(scene, seed):
        swapped = swap_left_right(wording.text)
        if swapped is not None:
            assert resolve(parse(swapped), mirrored(scene)) == {target}, (wording.text, swapped)


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_what_is_outermost_or_counted_is_so_by_brute_force(scene):
    """Recompute extremes and ranks among all objects that the noun may name, tiny and doubtful ones included."""
    for target, wording in everything_said(scene):
        if len(wording.query.modifiers) != 1:
            continue
        [modifier] = wording.query.modifiers
        distractors = [i for i, each in enumerate(scene.objects) if named(wording.query.noun, each.noun) is not False]
        sides = modifier.sides if isinstance(modifier, Place) else [modifier.side] if isinstance(modifier, Rank) else []
        for side in sides:
            sign = -1 if side in FAR_END else 1
            places = {i: sign * scene.objects[i].centre[AXIS[side]] for i in distractors}
            nearer = sum(place < places[target] for place in places.values())
            if isinstance(modifier, Rank):
                assert nearer == modifier.number - 1
            elif len(sides) == 1:
                assert nearer == 0
        if isinstance(modifier, Extreme):
            areas = {i: scene.objects[i].area for i in distractors}
            best = max(areas, key=areas.get) if modifier.name == "big" else min(areas, key=areas.get)
            assert best == target


def test_several_different_wordings_for_each_target():
    for target in range(4):
        wordings = describe(ROW, target, random.Random(1), count=6)
        assert len({each.text for each in wordings}) == 6
        assert len({each.query for each in wordings}) >= 3


def test_all_kinds_are_said():
    said = [wording for _, wording in everything_said(ROW)]
    assert {cue for each in said for cue in each.query.cues} == set(CUES)


@pytest.mark.parametrize("kind", [cue for cue in CUES if cue not in ("category", "negation")])
def test_only_the_kinds_that_are_asked_for_are_said(kind):
    said = everything_said(ROW, cue_weights={kind: 1.0})
    assert said
    assert {cue for _, each in said for cue in each.query.cues} == {kind}


def test_nobody_says_where_the_only_one_is():
    assert {cue for each in describe(ROW, 4, random.Random(0), count=20) for cue in each.query.cues} <= {
        "category",
        "colour",
        "relation",
    }


def test_nobody_says_red_where_all_are_red():
    scene = Scene((400, 600), tuple(thing("car", x, 200, 60, 60, "red") for x in (80, 250, 500)))
    assert not any("colour" in each.query.cues for _, each in everything_said(scene))


def test_one_is_said_only_among_its_like_and_of_clothes():
    assert any(each.query.noun is None for _, each in everything_said(Scene(ROW.size, ROW.objects[:4])))
    mixed = [each.query for _, each in everything_said(ROW) if each.query.noun is None]
    assert all(any(isinstance(modifier, Wears) and modifier.colour for modifier in query.modifiers) for query in mixed)


def test_people_of_unknown_sex_are_called_guy_and_woman_only_where_nobody_else_can_be_meant():
    pair = Scene((400, 600), tuple(thing("person", x, 200, 60, 150) for x in (100, 500)))
    said = [wording.query for _, wording in everything_said(pair, count=60)]
    assert {"guy", "woman", "person"} <= {query.noun for query in said}
    assert is_clear(parse("left guy"), pair, 0)
    three = Scene(pair.size, (*pair.objects, thing("person", 300, 200, 60, 150)))
    assert is_clear(parse("leftmost person"), three, 0)
    assert not is_clear(parse("leftmost guy"), three, 0), "were this no guy, another would be leftmost"
    nouns = {100: "woman", 300: "person", 500: "woman"}
    mixed = Scene(pair.size, tuple(thing(noun, x, 200, 60, 150) for x, noun in nouns.items()))
    assert is_clear(parse("second person from right"), mixed, 1)
    assert not is_clear(parse("second guy from right"), mixed, 1), "there is one at most"


def test_a_kind_is_said_where_it_tells_more_than_the_noun():
    scene = Scene((400, 600), (thing("dog", 100, 200, 60, 60), thing("horse", 500, 200, 60, 60)))
    queries = [wording.query for _, wording in everything_said(scene, count=80)]
    assert {parse("left animal"), parse("animal on right")} <= set(queries)


def test_a_slip_is_read_as_what_was_meant():
    said = [wording for seed in range(40) for _, wording in everything_said(ROW, seed, 4)]
    slips = [wording for wording in said if not set(wording.text.split()) <= KNOWN]
    assert 0 < len(slips) < len(said) / 10
    assert all(parse(wording.text) == wording.query for wording in slips)


def test_tiny_things_and_crowds_are_never_meant():
    scene = Scene(ROW.size, (thing("cup", 50, 50, 5, 5, salient=False), thing("dog", 300, 300, 90, 90, crowd=True)))
    assert everything_said(scene) == []


def test_a_category_named_like_the_grammar_is_left_out_where_it_cannot_be_read_back():
    scene = Scene(ROW.size, (thing("left shoe", 100, 100, 50, 50), thing("shoe", 400, 100, 50, 50)))
    texts = {each.text for target, each in everything_said(scene) if target == 0}
    nouns = NOUNS | {"left shoe", "shoe"}
    assert all(resolve(parse(text, nouns), scene) == {0} for text in texts)
    assert "left shoe" not in texts


def test_the_seed_decides_and_nothing_else(tmp_path):
    """Not even the order of sets, which differs between processes."""
    script = tmp_path / "say.py"
    script.write_text(
        "import random, scene_fixture\n"
        "from vlt.synth.words import describe\n"
        "print([describe(scene_fixture.ROW, i, random.Random(i), count=9) for i in range(8)])"
    )
    path = os.pathsep.join(sys.path)
    outputs = [
        subprocess.run(
            [sys.executable, script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    texts = [re.findall(r"text='([^']*)'", output) for output in outputs]
    assert texts[0] == texts[1]
    assert texts[0] == [each.text for i in range(8) for each in describe(ROW, i, random.Random(i), count=9)]
    assert everything_said(ROW, 0, 4) != everything_said(ROW, 1, 4)
