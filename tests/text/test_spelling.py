"""Spelling: slips are corrected, correct words never are, and what is not certain is suggested."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.synth.words.grammar import GRAMMAR_WORDS, misspellings
from vlt.synth.words.lexicon import GARMENT_WORDS, NOUNS
from vlt.text.augment import ADJECTIVES, PHRASES
from vlt.text.language import common_words, is_english
from vlt.text.spelling import LONGEST, correct_spelling, correct_word, possible_words, suggest_spelling

NATURAL = Path(__file__).parents[2] / "datasets" / "natural.jsonl"


SLIPS = """
    arround backgroud bakc balck bananna baskett beared behnd betwen bicyle blakc blowin bocquet botom buisness
    bulit buton carot carraige cathcer chiken coffe colourfull controler couhc drak dres foregound geen girafe
    glases helmit hrose jaket jocky keybord kickin knited labtop leanin litle middel midle motobike motorcyle nubmer
    numbr pasteries peice persn plastik pnats poted puch pupy raquet reachign redish refridgerator rght rigt rigth
    rihgt runing scotter shoping shrit sidewas silhoutte skatebord skatr skeir skiier smal snowborder socer speach
    standign standng starw streched suitcse suitecase surfbaord sweatshrit tabel teh televison tenis tigths trafic
    tshrit umbrela waitres wiht wihte wlaking womna yelow
"""
"""The misspelled words of datasets/natural.jsonl that are corrected."""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("flowr", "flower"),
        ("Umbrela", "umbrella"),
        ("girafe", "giraffe"),
        ("girrafe", "giraffe"),
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
        ("teh", "the"),
        ("hsirt", "shirt"),
        ("runing", "running"),
    ],
)
def test_a_slip_is_corrected(typed, meant):
    assert correct_word(typed) == meant
    assert suggest_spelling(typed) == meant


@pytest.mark.parametrize(
    "word",
    [
        *("flower", "flowers", "benches", "wavy", "cutest", "jogging", "skies", "centre", "grey", "tyres"),
        *("infront", "bottomright", "hotdog", "skatepark"),  # joined words
        *("", "a", "lft", "nad", "2nd", "12", "t-shirt", "o'clock", "зебра", "日本語の文"),
        *("vespa", "bento", "ikea", "quokka", "qwertyuiop", "lamborghini", "usb", "cpu", "bmx"),
        *("bridle", "bollard", "cricket", "escalator", "lens", "puddle", "garland", "colander", "plunger", "trawler"),
        *("womans", "babys", "whos", "railcars", "metre", "draught", "defence", "honour", "jewellery", "travellers"),
    ],
)
def test_a_correct_short_or_foreign_word_stays(word):
    assert correct_word(word) is None
    assert suggest_spelling(word) is None


@pytest.mark.parametrize(
    ("word", "similar"), [("frige", ("fridge", "fringe")), ("whie", ("while", "white")), ("plae", ("pale", "plate"))]
)
def test_a_slip_of_several_words_is_suggested_not_corrected(word, similar):
    assert set(similar) <= set(possible_words(word))
    assert correct_word(word) is None
    assert suggest_spelling(word) in possible_words(word)


@pytest.mark.parametrize(("word", "suggestion"), [("elefant", "elephant"), ("Umberela", "umbrella")])
def test_a_word_with_two_edits_is_suggested_not_corrected(word, suggestion):
    assert correct_word(word) is None
    assert suggest_spelling(word) == suggestion


FREQUENT = """
    the on left in right man with of white red black woman to blue shirt at person dark brown and green boy girl holding
    yellow front a back chair from orange small his wearing next middle guy standing pink pizza purple grey couch
    sitting table dog horse behind far hat cat car brick train light toilet skier zebra jacket elephant tennis gray
    bottle motorcycle surfer skateboard laptop giraffe striped flowers curtain windshield headlights handlebars
    bookshelf windowsill countertop nightstand placemat goalkeeper lifeguard unicorn waterfall lighthouse
"""


@pytest.mark.parametrize("word", FREQUENT.split())
def test_frequent_words_of_expressions_get_none(word):
    assert suggest_spelling(word) is None


def test_words_of_our_own_expressions_get_none():
    words = {word for text in (*NOUNS, *GARMENT_WORDS, *GRAMMAR_WORDS, *ADJECTIVES, *PHRASES) for word in text.split()}
    assert {word: hint for word in sorted(words) if (hint := suggest_spelling(word))} == {}


@pytest.mark.parametrize("word", ["zebra", "elephant", "skateboard", "umbrella", "toothbrush", "leftmost", "yellow"])
def test_slips_of_the_hand_are_found(word):
    corrected = [correct_word(typed) for typed in misspellings(word)]
    assert corrected.count(word) > 0.9 * len(corrected)
    assert set(corrected) <= {word, None}


def test_a_very_long_word_takes_no_time_nor_memory():
    assert max(map(len, common_words())) < LONGEST
    assert correct_spelling("flowr" * 100_000)[1] == {}
    assert suggest_spelling("flowr" * 100_000) is None


# ---------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("red flowr", "red flower"),
        ("womna, in teh shrit!", "woman, in the shirt!"),
        ("the womna's t-shrit", "the woman's t-shirt"),
        ("Womna on left", "Woman on left"),
        ("WOMNA ON LEFT", "WOMAN ON LEFT"),
        ("  flowr\tred ", "  flower\tred "),
    ],
)
def test_slips_are_corrected_in_place(written, read):
    assert correct_spelling(written)[0] == read


@pytest.mark.parametrize(
    "expression",
    [
        *("the dog on the left", "The Dog, on the LEFT!", "", "sign that says Geen", "the man isn't, aren't, couldn't"),
        *("roter Hund mit Flowr", "左边的 flowr", "2nd from left, 3rd row", "man w/ hat", "b/w photo"),
    ],
)
def test_expressions_without_slips_names_and_other_languages_stay(expression):
    assert correct_spelling(expression) == (expression, {})


def test_the_changes_are_named_as_spelled():
    assert correct_spelling("Womna by flowr by flowr, red") == (
        "Woman by flower by flower, red",
        {"Womna": "Woman", "flowr": "flower"},
    )


def test_of_the_natural_expressions_only_slips_change():
    """Every change was looked at: all are slips, most of them intended."""
    lines = [json.loads(line) for line in NATURAL.read_text(encoding="utf-8").splitlines()]
    texts = [text for line in lines for text in (line.get("expressions") or [line["expression"]])]
    changes = {change for text in texts for change in correct_spelling(text)[1].items()}
    assert {word for word, _ in changes} == set(SLIPS.split())
    assert {("womna", "woman"), ("teh", "the"), ("rigth", "right")} <= changes


def test_slips_of_the_words_that_people_say_are_mended():
    """A letter left out, doubled or swapped: most are corrected to the word, hardly any to another."""
    lines = [json.loads(line) for line in NATURAL.read_text(encoding="utf-8").splitlines()[::40]]
    texts = " ".join(text for line in lines for text in line.get("expressions", []))
    words = [word for word in re.findall("[a-z]{5,}", texts) if is_english(word)]
    pairs = [(word, correct_word(typed)) for word in words for typed in sorted(misspellings(word))[::5]]
    assert sum(word == corrected for word, corrected in pairs) > 0.8 * len(pairs)
    assert sum(corrected not in (word, None) for word, corrected in pairs) < 0.005 * len(pairs)


@given(st.text(max_size=20))
def test_any_text_is_answered(word):
    assert {correct_word(word), suggest_spelling(word)} <= {None} | common_words()
    corrected, changes = correct_spelling(word)
    assert (corrected == word) == (not changes)


def test_it_needs_neither_torch_nor_the_grammar():
    code = (
        "import sys; from vlt.text.spelling import suggest_spelling; suggest_spelling('flowr'); "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'transformers') or m.startswith('vlt.synth')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
