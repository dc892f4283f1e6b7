"""A query to words, and words to the query they can only mean; both read the table in `forms` and cannot disagree."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from vlt.data.expressions.clothes import Wears
from vlt.data.expressions.depth import Depth
from vlt.data.expressions.forms import FORMS, RELATION_FORMS, spellings
from vlt.data.expressions.lexicon import NOUNS, PEOPLE
from vlt.data.expressions.modifier import SIMILAR, Colour, Modifier, Not
from vlt.data.expressions.place import Middle, Place, Rank
from vlt.data.expressions.query import Query
from vlt.data.expressions.relation import Relation
from vlt.data.expressions.size import Extreme, Size
from vlt.data.expressions.spelling import misspellings

Words: TypeAlias = tuple[str, ...]

ARTICLES = frozenset({"the", "a", "an"})
PREPOSITIONS = ("on ", "in ", "at ", "to ", "not ", "with ", "wearing ", "up ", "all ", "that")
"""Before what begins so stands no article."""
ONE = ("one",)
THE = 0.08
"""How often there is an article where one may stand."""

NOUNLESS = (Place, Middle, Depth, Rank)
"""What can be said without a noun, "far left", and so can clothes with their colour, "red shirt"."""
ORDER = (Colour, Wears, Size, Place, Middle, Depth, Extreme, Rank, Not, Relation)
"""From what stands nearest to the noun outwards; a relation is last, else the rest would be said of the landmark."""


def words_of(text: str) -> Words:
    """The words of a text, lower case, without articles and punctuation."""
    return tuple(word for word in re.findall(r"[\w'-]+", text.lower()) if word not in ARTICLES)


# ---------------------------------------------------------------- saying


def say(query: Query, rng: random.Random) -> str:
    """One way of saying `query`."""
    text = _bare_noun(query, rng)
    for modifier in sorted(query.modifiers, key=lambda modifier: ORDER.index(type(modifier))):
        form = rng.choice(forms_of(modifier, query.noun))
        text = form.replace("_", text).strip()
    text = text if text.startswith(PREPOSITIONS) else f"~{text}"
    return re.sub("~", lambda _: "the " if rng.random() < THE else "", text)


def forms_of(modifier: Modifier, noun: str | None) -> tuple[str, ...]:
    """The ways of saying `modifier` of `noun`: people are in red, cars are red."""
    if isinstance(modifier, Relation):
        landmark = f"{modifier.colour} {modifier.noun}" if modifier.colour else modifier.noun
        return tuple(form.replace("#", landmark) for form in RELATION_FORMS[modifier.kind])
    colour = modifier.modifier if isinstance(modifier, Not) else modifier
    if not isinstance(colour, Colour):
        return FORMS[modifier]
    is_worn = noun in PEOPLE
    return tuple(form for form in FORMS[modifier] if (" in " in form or " wearing " in form) == is_worn)


def _bare_noun(query: Query, rng: random.Random) -> str:
    if query.noun is not None:
        return query.noun
    if any(isinstance(modifier, Wears) for modifier in query.modifiers):
        return "" if needs_no_noun(query) else "one"
    return rng.choice(("one", "")) if needs_no_noun(query) else "one"


def needs_no_noun(query: Query) -> bool:
    """Whether what is said of a thing is enough: "far left", "red shirt on the right"."""
    return bool(query.modifiers) and all(
        isinstance(modifier, NOUNLESS) or (isinstance(modifier, Wears) and modifier.colour is not None)
        for modifier in query.modifiers
    )


# ---------------------------------------------------------------- understanding


def parse(text: str, nouns: Collection[str] = NOUNS) -> Query | None:
    """What a text can only mean.

    Args:
        text: such as "second zebra from the left"; articles, case and a wrong letter in a noun do not matter.
        nouns: that are understood.

    Returns:
        The query; None where the grammar does not know the text, or knows two queries that it could be. What can be
        read with a noun is not read as having none.

    Example:
        >>> parse("second zebra from the left")
        Query(noun='zebra', modifiers=frozenset({Rank(number=2, side='left')}))
    """
    vocabulary = _vocabulary(frozenset(nouns))
    readings = list(_read(words_of(text), vocabulary))
    queries = {query for query, is_bare in readings if not is_bare}
    queries = queries or {query for query, _ in readings if needs_no_noun(query)}
    return queries.pop() if len(queries) == 1 else None


@lru_cache(maxsize=64)
def _vocabulary(nouns: frozenset[str]) -> Mapping[Words, str]:
    """The words of each noun, and those of every misspelling that can be of one noun only."""
    spelled = {words_of(noun): noun for noun in nouns if words_of(noun)}
    wrong: dict[Words, set[str]] = {}
    for words, noun in spelled.items():
        for i, word in enumerate(words):
            for other in misspellings(word) - _KNOWN:
                wrong.setdefault((*words[:i], other, *words[i + 1 :]), set()).add(noun)
    return {words: noun for words, meant in wrong.items() for noun in meant if len(meant) == 1} | spelled


def _read(words: Words, nouns: Mapping[Words, str]) -> Iterator[tuple[Query, bool]]:
    """Every reading of `words`, and whether it has no word for the noun."""
    if words in nouns:
        yield Query(nouns[words]), False
    if words in ((), ONE):
        yield Query(None), not words
    for modifier, inner in _peel(words, nouns):
        for query, is_bare in _read(inner, nouns):
            if not any(_same_kind(modifier, other) for other in query.modifiers):
                yield Query(query.noun, query.modifiers | {modifier}), is_bare


def _same_kind(one: Modifier, other: Modifier) -> bool:
    """Whether two modifiers cannot both be said of a thing: two places, two ranks, two colours."""
    places = (Place, Middle)
    return type(one) is type(other) or (isinstance(one, places) and isinstance(other, places))


def _peel(words: Words, nouns: Mapping[Words, str]) -> Iterator[tuple[Modifier, Words]]:
    """Every form that `words` can be the outside of: its modifier, and what stands for `_`."""
    length = len(words)
    for before in range(min(length, _LONGEST[0]) + 1):
        for after in range(min(length - before, _LONGEST[1]) + 1):
            modifier = _OUTSIDES.get((words[:before], words[length - after :]))
            if modifier is not None:
                yield modifier, words[before : length - after]
    for start in range(1, length):
        yield from _peel_relation(words[:start], words[start:], nouns)


def _peel_relation(words: Words, landmark: Words, nouns: Mapping[Words, str]) -> Iterator[tuple[Modifier, Words]]:
    """The relations that `words` can end with, where `landmark` is a noun or a colour and a noun."""
    colour = None
    if landmark not in nouns:
        colour, landmark = _COLOURS.get(landmark[0]), landmark[1:]
        if colour is None or landmark not in nouns:
            return
    for start in range(len(words)):
        kind = _RELATIONS.get(words[start:])
        if kind is not None:
            yield Relation(kind, nouns[landmark], colour), words[:start]


def _outside(form: str) -> tuple[Words, Words]:
    """What stands before and after `_` in a form."""
    before, after = form.split("_")
    return words_of(before), words_of(after)


_OUTSIDES = {_outside(form): modifier for modifier, forms in FORMS.items() for form in forms}
_LONGEST = [max(len(outside[end]) for outside in _OUTSIDES) for end in (0, 1)]
_RELATIONS = {words_of(form.strip("_#")): kind for kind, forms in RELATION_FORMS.items() for form in forms}
_KNOWN = {word for outside in (*chain(*_OUTSIDES), *_RELATIONS) for word in outside}
"""The words that are not nouns."""
_COLOURS = {word: name for name in SIMILAR for word in spellings(name)}
