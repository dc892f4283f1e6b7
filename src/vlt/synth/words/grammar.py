"""Turn queries into words and words into queries, both by one table of forms, so that they agree.

In a form, `_` stands for the noun with the modifiers applied so far: "left _" and "_ on left" turn "red car" into
"left red car" and "red car on left". `~` marks where an article may stand, which most people leave out. A form that
is listed twice is drawn twice as often; the frequencies follow the counts of RefCOCO's words and word pairs.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, product
from typing import TypeAlias

from vlt.synth.words.lexicon import GARMENT_WORDS, NOUNS, PEOPLE
from vlt.synth.words.modifiers import SIMILAR, Colour, Modifier, Not
from vlt.synth.words.place import Depth, Extreme, Middle, Place, Rank, Size
from vlt.synth.words.query import Query
from vlt.synth.words.relation import Relation, RelationKind, Wears
from vlt.synth.words.scene import SIDES
from vlt.text.cues import ARTICLES

Words: TypeAlias = tuple[str, ...]

# ---------------------------------------------------------------- forms

NUMBERS = {2: ("second", "second", "2nd"), 3: ("third", "third", "3rd"), 4: ("fourth", "4th")}
"""The words for each ordinal."""
UPPER = {"top": "upper", "bottom": "lower"}
HIGHEST = {"top": "highest", "bottom": "lowest"}

HORIZONTAL = (
    *("{0} _", "_ on ~{0}") * 14,
    *("_ {0}",) * 6,
    *("_ on ~{0} side", "_ {0} side") * 2,
    *("{0} side _", "_ at ~{0}"),
    *("_ on ~{0} of ~pic", "_ on ~{0} of ~picture", "_ on ~{0} of ~photo", "_ on ~{0} of ~frame"),
    *("_ on ~{0} side of ~pic", "_ {0} side of ~picture", "_ thats on ~{0}", "_ that is on ~{0}"),
)
"""Forms of left and right."""
VERTICAL = (
    *("{0} _",) * 8,
    *("_ on ~{0}", "_ at ~{0}", "_ {0}") * 3,
    *("{1} _", "_ at ~{0} of ~pic", "_ {0} of ~picture", "_ that is at ~{0}"),
)
"""Forms of top and bottom ({0}), which are also called upper and lower ({1})."""
CORNER = (
    *("_ {0} {1}", "{0} {1} _") * 3,
    *("_ in ~{0} {1}", "_ on ~{0} {1}", "_ {0} {1} corner") * 2,
    *("_ in ~{2} {1}", "_ on ~{2} {1}", "_ {2} {1} corner"),
    *("_ {2} {1}", "{2} {1} _", "_ {1} {0}", "_ in ~{0} {1} corner"),
    *("{0} {1} corner _", "_ in ~{0} {1} corner of ~pic"),
)
"""Forms of a corner: top or bottom ({0}, {2}), and left or right ({1})."""
LEFTMOST = (
    *("far {0} _", "_ far {0}") * 4,
    *("_ on ~far {0}",) * 3,
    *("{0}most _", "{0} most _", "furthest {0} _", "_ furthest {0}", "_ farthest {0}"),
    *("_ furthest to ~{0}", "very {0} _", "_ on the very {0}", "_ at ~far {0}"),
    *("_ all the way on ~{0}", "_ all the way to ~{0}"),
)
TOPMOST = ("{1} _", "very {0} _", "_ at the very {0}", "_ very {0}")
COUNTED = (*("{0} _ from ~{1}",) * 4, *("_ {0} from ~{1}",) * 2, "{0} from ~{1} _")
COLOURED = (
    *(*("{0} _",) * 8, "_ that is {0}", "_ thats {0}"),
    *(*("_ in {0}",) * 5, "_ wearing {0}", "_ thats in {0}"),
)
DRESSED = (*("_ in ~{0}",) * 6, "_ wearing ~{0}", "_ with ~{0}")
NEGATED = ("_ not {0}", "_ not {0}", "_ that is not {0}", "_ thats not {0}", "_ that isnt {0}")

RELATION_FORMS: Mapping[RelationKind, tuple[str, ...]] = {
    "left": ("_ left of ~#", "_ left of ~#", "_ to ~left of ~#", "_ on ~left of ~#"),
    "right": ("_ right of ~#", "_ right of ~#", "_ to ~right of ~#", "_ on ~right of ~#"),
    "top": ("_ above ~#", "_ above ~#", "_ over ~#"),
    "bottom": ("_ below ~#", "_ under ~#", "_ under ~#"),
    "beside": ("_ next to ~#", "_ next to ~#", "_ next to ~#", "_ beside ~#", "_ by ~#", "_ near ~#"),
    "with": ("_ with ~#",),
    "on": ("_ on ~#", "_ on ~#", "_ on ~#", "_ riding ~#"),
}
"""The forms of each relation; `#` stands for the noun of the landmark."""


def spellings(colour: str) -> tuple[str, ...]:
    """Return the spellings of a colour."""
    return ("gray", "grey") if colour == "gray" else (colour,)


def filled(forms: Iterable[str], *fillings: tuple[str, ...]) -> tuple[str, ...]:
    """Return every form with every filling: `{0}` becomes the first word of the filling, `{1}` the second."""
    return tuple(form.format(*filling) for filling in fillings for form in forms)


FORMS: Mapping[Modifier, tuple[str, ...]] = {
    **{Place((side,)): filled(HORIZONTAL, (side,)) for side in SIDES[:2]},
    **{Place((side,)): filled(VERTICAL, (side, UPPER[side])) for side in SIDES[2:]},
    **{Place((y, x)): filled(CORNER, (y, x, UPPER[y])) for y in SIDES[2:] for x in SIDES[:2]},
    Middle(): (
        *("middle _", "_ in ~middle") * 4,
        *("center _", "_ middle", "_ in ~center", "_ center", "_ in ~middle of ~pic"),
    ),
    Depth("front"): (
        *("front _", "_ in front") * 6,
        *("closest _", "_ closest to us", "_ closest") * 2,
        *("nearest _", "_ closest to ~camera", "_ closest to you", "_ up front", "_ in ~foreground", "_ front"),
    ),
    Depth("back"): (
        *("back _", "_ in ~back") * 5,
        *("_ furthest back", "_ in ~background", "_ furthest away", "_ farthest away", "_ far back"),
    ),
    **{Rank(1, side): filled(LEFTMOST, (side,)) for side in SIDES[:2]},
    **{Rank(1, side): filled(TOPMOST, (side, HIGHEST[side])) for side in SIDES[2:]},
    **{
        Rank(number, side): filled(COUNTED, *((word, side) for word in words))
        for number, words in NUMBERS.items()
        for side in SIDES
    },
    Size("big"): ("big _", "big _", "large _", "bigger _"),
    Size("small"): ("small _", "small _", "little _", "smaller _"),
    Extreme("big"): ("biggest _", "largest _"),
    Extreme("small"): ("smallest _",),
    **{Colour(name): filled(COLOURED, *((word,) for word in spellings(name))) for name in SIMILAR},
    **{Wears(garment): filled(DRESSED, (garment,)) for garment in sorted(GARMENT_WORDS)},
    **{
        Wears(garment, name): filled((*DRESSED, *("{0} _",) * 4), *((f"{word} {garment}",) for word in spellings(name)))
        for garment, name in product(sorted(GARMENT_WORDS), SIMILAR)
    },
    **{Not(Place((side,))): filled(NEGATED, (f"on ~{side}",), (f"the {side} one",)) for side in SIDES[:2]},
    **{Not(Place((side,))): filled(NEGATED, (f"at ~{side}",), (f"the {side} one",)) for side in SIDES[2:]},
    **{
        Not(Colour(name)): filled(
            NEGATED, *((way.format(word),) for word in spellings(name) for way in ("{}", "in {}", "the {} one"))
        )
        for name in SIMILAR
    },
}
"""The forms of each modifier but relations."""

# ---------------------------------------------------------------- from query to words

PREPOSITIONS = ("on ", "in ", "at ", "to ", "not ", "with ", "wearing ", "up ", "all ", "that")
"""A text that begins with one of these takes no article."""
THE = 0.08
"""Probability that an optional article is used."""
SHORT = 4
"""Words of up to this many letters are never misspelled."""
SLIPS = 0.03
"""Probability of misspelling a longer word."""
NOUNLESS = (Place, Middle, Depth, Rank)
"""Modifiers that can stand without a noun, as in "far left"; clothes with a colour can, too: "red shirt"."""
ORDER = (Colour, Wears, Size, Place, Middle, Depth, Extreme, Rank, Not, Relation)
"""Modifiers from the nearest to the noun outwards; after a relation, the rest would describe the landmark."""


def needs_no_noun(query: Query) -> bool:
    """Return whether the modifiers can stand alone: "far left", "red shirt on the right"."""
    return bool(query.modifiers) and all(
        isinstance(modifier, NOUNLESS) or (isinstance(modifier, Wears) and modifier.colour is not None)
        for modifier in query.modifiers
    )


def forms_of(modifier: Modifier, noun: str | None) -> tuple[str, ...]:
    """Return the forms of a modifier that suit a noun: "in red" for people, "red" for cars."""
    if isinstance(modifier, Relation):
        landmark = f"{modifier.colour} {modifier.noun}" if modifier.colour else modifier.noun
        return tuple(form.replace("#", landmark) for form in RELATION_FORMS[modifier.kind])
    colour = modifier.modifier if isinstance(modifier, Not) else modifier
    if not isinstance(colour, Colour):
        return FORMS[modifier]
    is_worn = noun in PEOPLE
    return tuple(form for form in FORMS[modifier] if (" in " in form or " wearing " in form) == is_worn)


def say(query: Query, rng: random.Random) -> str:
    """Draw one wording of a query."""
    text = "one" if query.noun is None else query.noun
    if query.noun is None and needs_no_noun(query):
        is_dressed = any(isinstance(modifier, Wears) for modifier in query.modifiers)
        text = "" if is_dressed else rng.choice(("one", ""))
    for modifier in sorted(query.modifiers, key=lambda modifier: ORDER.index(type(modifier))):
        form = rng.choice(forms_of(modifier, query.noun))
        text = form.replace("_", text).strip()
    text = text if text.startswith(PREPOSITIONS) else f"~{text}"
    return re.sub("~", lambda _: "the " if rng.random() < THE else "", text)


@lru_cache(maxsize=1024)
def misspellings(word: str) -> frozenset[str]:
    """Return the misspellings of a word with two letters swapped, one left out or one doubled; none of a short word.

    Example:
        >>> sorted(misspellings("zebra"))[:4]
        ['ebra', 'ezbra', 'zbera', 'zbra']
    """
    if len(word) <= SHORT or not word.isalpha():
        return frozenset()
    ends = [(word[:i], word[i:]) for i in range(len(word))]
    dropped = {before + after[1:] for before, after in ends}
    doubled = {before + after[0] + after for before, after in ends}
    swapped = {before + after[1] + after[0] + after[2:] for before, after in ends[:-1]}
    return frozenset((dropped | doubled | swapped) - {word})


def slipped(text: str, words: Collection[str], rng: random.Random) -> str:
    """Misspell words of a text that are among `words`, each with probability `SLIPS`."""
    return " ".join(
        rng.choice(sorted(misspellings(word)) or [word]) if word in words and rng.random() < SLIPS else word
        for word in text.split(" ")
    )


# ---------------------------------------------------------------- from words to query


def words_of(text: str) -> Words:
    """Split a text into lower-case words without articles and punctuation."""
    return tuple(word for word in re.findall(r"[\w'-]+", text.lower()) if word not in ARTICLES)


OUTSIDES = {
    (words_of(before), words_of(after)): modifier
    for modifier, forms in FORMS.items()
    for before, after in (form.split("_") for form in forms)
}
"""The modifier of each pair of words before and words after `_` in a form."""
LONGEST = [max(len(outside[end]) for outside in OUTSIDES) for end in (0, 1)]
"""Largest number of words before and after `_`."""
RELATIONS = {words_of(form.strip("_#")): kind for kind, forms in RELATION_FORMS.items() for form in forms}
COLOURS = {word: name for name in SIMILAR for word in spellings(name)}
GRAMMAR_WORDS = {word for words in (*chain(*OUTSIDES), *RELATIONS) for word in words}
"""The words of the grammar that are not nouns; a misspelled noun must not be one of them."""


def parse(text: str, nouns: Collection[str] = NOUNS) -> Query | None:
    """Parse a text to a query.

    Args:
        text: such as "second zebra from the left"; articles, case and a wrong letter in a noun do not matter.
        nouns: the known nouns.

    Returns:
        The query; None if the grammar does not cover the text, or two queries fit. A reading with a noun is preferred
        to one without.

    Example:
        >>> parse("second zebra from the left")
        Query(noun='zebra', modifiers=frozenset({Rank(number=2, side='left')}))
    """
    found = list(_readings(words_of(text), vocabulary(frozenset(nouns))))
    queries = {query for query, is_bare in found if not is_bare}
    queries = queries or {query for query, _ in found if needs_no_noun(query)}
    return queries.pop() if len(queries) == 1 else None


@lru_cache(maxsize=64)
def vocabulary(nouns: frozenset[str]) -> Mapping[Words, str]:
    """Return the noun of each spelling: the correct ones, and the misspellings that fit one noun only."""
    spelled = {words_of(noun): noun for noun in nouns if words_of(noun)}
    wrong: dict[Words, set[str]] = {}
    for words, noun in spelled.items():
        for i, word in enumerate(words):
            for other in misspellings(word) - GRAMMAR_WORDS:
                wrong.setdefault((*words[:i], other, *words[i + 1 :]), set()).add(noun)
    return {words: noun for words, fitting in wrong.items() for noun in fitting if len(fitting) == 1} | spelled


def _readings(words: Words, nouns: Mapping[Words, str]) -> Iterator[tuple[Query, bool]]:
    """Yield every query that words can be parsed to, and whether they leave out the noun.

    No query has two modifiers of one type, or two positions.
    """
    if words in nouns:
        yield Query(nouns[words]), False
    if words in ((), ("one",)):
        yield Query(None), not words
    for modifier, inner in _outer_modifiers(words, nouns):
        excluded = (Place, Middle) if isinstance(modifier, Place | Middle) else type(modifier)
        for query, is_bare in _readings(inner, nouns):
            if not any(isinstance(other, excluded) for other in query.modifiers):
                yield Query(query.noun, query.modifiers | {modifier}), is_bare


def _outer_modifiers(words: Words, nouns: Mapping[Words, str]) -> Iterator[tuple[Modifier, Words]]:
    """Yield every modifier whose form can enclose or end the words, and the words that stand for its `_`."""
    length = len(words)
    for before in range(min(length, LONGEST[0]) + 1):
        for after in range(min(length - before, LONGEST[1]) + 1):
            modifier = OUTSIDES.get((words[:before], words[length - after :]))
            if modifier is not None:
                yield modifier, words[before : length - after]
    for end in range(1, length):  # where the landmark begins, perhaps with a colour
        colour, landmark = None, words[end:]
        if landmark not in nouns:
            colour, landmark = COLOURS.get(landmark[0]), landmark[1:]
            if colour is None or landmark not in nouns:
                continue
        for start in range(end):
            kind = RELATIONS.get(words[start:end])
            if kind is not None:
                yield Relation(kind, nouns[landmark], colour), words[:start]
