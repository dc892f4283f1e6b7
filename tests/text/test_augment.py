"""Filler words are added to an expression without changing it, and name neither a side nor an object."""

import numpy as np
import pytest

from vlt.synth.words.grammar import words_of
from vlt.synth.words.lexicon import NOUNS
from vlt.synth.words.modifiers import SIMILAR
from vlt.text.augment import ADJECTIVES, PHRASES, PLACES, with_chatter, with_detail, with_slip
from vlt.text.language import common_words, english_dictionary
from vlt.text.mirror import swap_left_right

SIDES = {"left", "right", "top", "bottom", "front", "back", "first", "second", "middle", "upper", "lower"}


@pytest.mark.parametrize("seed", range(30))
def test_the_expression_stands_in_it_as_it_was(seed):
    said = with_chatter("second zebra from left", np.random.default_rng(seed))
    assert "second zebra from left" in said
    assert said != "second zebra from left"


def test_it_is_drawn():
    said = [with_chatter("zebra", np.random.default_rng(seed)) for seed in range(200)]
    assert said == [with_chatter("zebra", np.random.default_rng(seed)) for seed in range(200)]
    assert len(set(said)) > 50
    assert any(text.startswith("zebra ") for text in said)
    assert any(text.endswith(" zebra") for text in said)


@pytest.mark.parametrize("phrase", [*ADJECTIVES, *PHRASES])
def test_it_gives_no_hint_that_the_grammar_knows(phrase):
    words = set(words_of(phrase))
    assert not words & (SIDES | NOUNS | SIMILAR.keys())
    assert swap_left_right(phrase) == phrase


@pytest.mark.parametrize("text", ["left zebra", "the man near a bus", "giraffe", "dog on the LEFT, behind a red car"])
def test_a_slip_changes_one_letter_of_one_word_or_leaves_out_an_article(text):
    words, slips = text.split(), set()
    for seed in range(200):
        written = with_slip(text, np.random.default_rng(seed)).split()
        slips.add(" ".join(written))
        if len(written) < len(words):
            left_out = next(place for place in range(len(words)) if words[:place] + words[place + 1 :] == written)
            assert words[left_out] in ("the", "a")
            continue
        changed = [(one, other) for one, other in zip(words, written, strict=True) if one != other]
        assert len(changed) <= 1
        for one, other in changed:
            assert len(one) >= 4
            assert other.lower() in english_dictionary().edit_distance_1(one)
            assert other.lower() not in common_words()
    assert len(slips) > 5
    assert {len(slip.split()) for slip in slips} == {len(words), *([len(words) - 1] if {"the", "a"} & {*words} else [])}


def test_a_slip_makes_no_other_word_of_a_place():
    written = {
        with_slip(text, np.random.default_rng(seed)) for seed in range(300) for text in ("left", "near", "below")
    }
    assert {"lft", "elft", "lleft", "naer", "beelow"} < written
    assert not written & {"let", "ear", "blow"}


@pytest.mark.parametrize("text", ["a", "cat", "red dog", "12345"])
def test_what_has_no_long_word_and_no_article_to_spare_gets_no_slip(text):
    assert all(with_slip(text, np.random.default_rng(seed)) == text for seed in range(50))


def test_details_leave_the_expression_and_vary_article_and_length():
    said = [with_detail("a green bus", np.random.default_rng(seed)) for seed in range(200)]
    assert said == [with_detail("a green bus", np.random.default_rng(seed)) for seed in range(200)]
    assert all("green bus " in text for text in said)
    assert {text.split("green bus")[0] for text in said} == {"a ", "the ", ""}
    assert {len(text.split()) for text in said} >= set(range(3, 12))
    assert sum(any(text.endswith(place) for place in PLACES) for text in said) > 80
