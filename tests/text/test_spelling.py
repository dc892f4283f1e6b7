"""Spelling hints: found for typos, none for correct words."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.synth.words.grammar import GRAMMAR_WORDS, misspellings
from vlt.synth.words.lexicon import GARMENT_WORDS, NOUNS
from vlt.text.augment import ADJECTIVES, PHRASES
from vlt.text.spelling import common_words, edit_distance, suggest_spelling


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("flowr", "flower"),
        ("Umbrela", "umbrella"),
        ("girafe", "giraffe"),
        ("girrafe", "giraffe"),
        ("elefant", "elephant"),
        ("brocolli", "broccoli"),
        ("sandwhich", "sandwich"),
        ("refridgerator", "refrigerator"),
        ("labtop", "laptop"),
        ("womna", "woman"),
        ("shrit", "shirt"),
        ("rigth", "right"),
        ("zbra", "zebra"),
        ("tabel", "table"),
        ("yelow", "yellow"),
        ("standign", "standing"),
        ("skatebord", "skateboard"),
        ("foregound", "foreground"),
        ("midle", "middle"),
    ],
)
def test_a_typo_gets_the_word(typed, meant):
    assert suggest_spelling(typed, common_words()) == meant


@pytest.mark.parametrize(
    "word",
    [
        *("flower", "flowers", "benches", "wavy", "cutest", "jogging", "skies", "centre", "grey", "tyres"),
        *("infront", "bottomright", "hotdog", "skatepark"),  # joined words
        *("", "a", "lft", "teh", "2nd", "12", "t-shirt", "o'clock", "зебра", "日本語の文"),
        *("vespa", "bento", "ikea", "quokka", "qwertyuiop", "lamborghini"),
    ],
)
def test_a_correct_short_or_foreign_word_gets_none(word):
    assert suggest_spelling(word, common_words()) is None


FREQUENT = """
    the on left in right man with of white red black woman to blue shirt at person dark brown and green boy girl holding
    yellow front a back chair from orange small his wearing next middle guy standing pink pizza purple grey couch
    sitting table dog horse behind far hat cat car brick train light toilet skier zebra jacket elephant tennis gray
    bottle motorcycle surfer skateboard laptop giraffe striped flowers curtain windshield headlights handlebars
    bookshelf windowsill countertop nightstand placemat goalkeeper lifeguard unicorn waterfall lighthouse
"""


@pytest.mark.parametrize("word", FREQUENT.split())
def test_frequent_words_of_expressions_get_none(word):
    assert suggest_spelling(word, common_words()) is None


def test_words_of_our_own_expressions_get_none():
    words = {word for text in (*NOUNS, *GARMENT_WORDS, *GRAMMAR_WORDS, *ADJECTIVES, *PHRASES) for word in text.split()}
    assert {word: hint for word in sorted(words) if (hint := suggest_spelling(word, common_words()))} == {}


@pytest.mark.parametrize("word", ["zebra", "elephant", "skateboard", "umbrella", "toothbrush", "leftmost", "yellow"])
def test_slips_of_the_hand_are_found(word):
    hints = [suggest_spelling(typed, common_words()) for typed in misspellings(word) if typed[0] == word[0]]
    assert hints.count(word) > 0.8 * len(hints)


def test_the_vocabulary_is_lower_case_and_sorted_letters():
    assert 3000 < len(common_words()) < 4000
    assert all(word.isalpha() and word == word.lower() for word in common_words())


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("acb", "abc", 1), ("kitten", "sitting", 3), ("ca", "abc", 3)],
)
def test_edit_distance(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


@given(st.text(max_size=20))
def test_any_text_is_answered(word):
    hint = suggest_spelling(word, common_words())
    assert hint is None or hint in common_words()


def test_it_needs_neither_torch_nor_the_grammar():
    code = (
        "import sys; from vlt.text.spelling import common_words, suggest_spelling; "
        "suggest_spelling('flowr', common_words()); "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'transformers') or m.startswith('vlt.synth')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
