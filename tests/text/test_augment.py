"""Filler words are added to an expression without changing it, and name neither a side nor an object."""

import numpy as np
import pytest

from vlt.synth.words.grammar import words_of
from vlt.synth.words.lexicon import NOUNS
from vlt.synth.words.modifiers import SIMILAR
from vlt.text.augment import ADJECTIVES, PHRASES, with_chatter
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
