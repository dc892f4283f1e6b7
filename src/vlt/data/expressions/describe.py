"""Chooses what to say of a thing: several queries that mean it and nothing else, each worded once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, product
from typing import NamedTuple

from vlt.data.expressions.forms import NUMBERS, RELATION_FORMS, SIDES
from vlt.data.expressions.grammar import parse, say
from vlt.data.expressions.lexicon import CARRIED, KINDS, NOUNS, PEOPLE, RIDDEN, synonyms
from vlt.data.expressions.modifier import SIMILAR, Colour, Modifier, Not
from vlt.data.expressions.place import Middle, Place, Rank
from vlt.data.expressions.query import Judge, Query, is_clear
from vlt.data.expressions.relation import Relation, RelationKind
from vlt.data.expressions.scene import Scene, Thing
from vlt.data.expressions.size import Extreme, Size

DOSES: Mapping[str, float] = {
    "category": 1.5, "position": 3.0, "ordinal": 1.5, "colour": 1.5, "size": 0.5, "relation": 0.8, "negation": 0.1,
}  # fmt: skip
"""How readily each kind of hint is given; a wording has the dose of its rarest. People mostly say where things are."""
LONGER = 0.35
"""How much less readily a wording is chosen for each modifier after the first."""
AGAIN = 0.3
"""How much less readily a wording is chosen for each that gives the same kinds of hint."""
TRIES = 3
"""How often a wording is tried for each that is wanted."""
OTHER_NOUN = 0.4
"""How often another noun is tried: sofa for couch, one for zebra."""

PLACES: tuple[Modifier, ...] = (
    *(Place((side,)) for side in SIDES),
    *(Place(corner) for corner in product(SIDES[2:], SIDES[:2])),
    Middle(),
)
SIZES: tuple[Modifier, ...] = (Size("big"), Size("small"))
EXTREMES: tuple[Modifier, ...] = (Extreme("big"), Extreme("small"))
ORDINALS: tuple[Modifier, ...] = (
    *(Rank(number, side) for number in (1, *NUMBERS) for side in SIDES[:2]),
    *(Rank(number, side) for number in NUMBERS for side in SIDES[2:]),
)


class Wording(NamedTuple):
    """A text, and the query that it is."""

    text: str
    query: Query


def describe(
    scene: Scene, target: int, rng: random.Random, *, count: int, kinds: Mapping[str, float] | None = None
) -> list[Wording]:
    """Words a thing without ambiguity: each time by other hints while there are any, then by the same in other words.

    Args:
        scene: the photo's things.
        target: index of the one that is meant.
        rng: draws what is said; the same state gives the same wordings.
        count: how many wordings are wanted.
        kinds: how readily each kind of hint is given (keys as in `DOSES`); what is missing or 0 is never said.

    Returns:
        Up to `count` different texts; none where nothing safe can be said, or where the thing might be overlooked or is
        many.
    """
    doses = _doses(scene, target, DOSES if kinds is None else kinds) if scene.things[target].may_be_meant else {}
    wordings: dict[str, Wording] = {}
    left: dict[Query, float] = {}
    for _ in range(TRIES * count if doses else 0):
        left = left or dict(doses)
        [query] = rng.choices(list(left), weights=list(left.values()))
        said = _renamed(query, scene, target, rng) if rng.random() < OTHER_NOUN else query
        text = worded(said, scene, rng)
        if text:
            wordings.setdefault(text, Wording(text, said))
        if len(wordings) == count:
            break
        left = {
            other: dose * (AGAIN if other.cues == query.cues else 1) for other, dose in left.items() if other != query
        }
    return list(wordings.values())


def _doses(scene: Scene, target: int, kinds: Mapping[str, float]) -> dict[Query, float]:
    """The queries that mean a thing and nothing else, and how readily each is chosen for its kinds and its length."""
    noun = scene.things[target].noun
    judge = Judge(noun, scene)
    doses = {}
    for modifiers in _combinations(scene, target, judge):
        if judge.is_clear(modifiers, target) and _each_helps(modifiers, judge):
            query = Query(noun, modifiers)
            doses[query] = min(kinds.get(cue, 0.0) for cue in query.cues) * LONGER ** max(len(modifiers) - 1, 0)
    return {query: dose for query, dose in doses.items() if dose}


# ---------------------------------------------------------------- what could be said


def _each_helps(modifiers: frozenset[Modifier], judge: Judge) -> bool:
    """Whether each of several modifiers alone would exclude something: nobody says red where all are red."""
    if len(modifiers) < 2:
        return True
    excluded = judge.verdicts(frozenset()).count(False)
    return all(judge.verdicts(frozenset({modifier})).count(False) > excluded for modifier in modifiers)


def _combinations(scene: Scene, target: int, judge: Judge) -> Iterator[frozenset[Modifier]]:
    """Nothing, each modifier alone, and what sounds well together ("on left left of car" does not); in a fixed order.

    Nobody says where the only fridge is, or how large: such things are only compared where there is another. And nobody
    calls a person small who is far away or half hidden.
    """
    thing = scene.things[target]
    filters = [modifier for modifier in _filters(scene, thing) if modifier.judge([thing], [], scene)[0]]
    combinations: Iterable[tuple[Modifier, ...]] = chain([()], ((single,) for single in filters))
    if not judge.is_clear(frozenset(), target):
        colours = [modifier for modifier in filters if isinstance(modifier, Colour)]
        close = [modifier for modifier in filters if isinstance(modifier, Relation) and modifier.kind not in SIDES]
        sizes, extremes = ((), EXTREMES[:1]) if thing.noun in PEOPLE else (SIZES, EXTREMES)
        combinations = chain(
            combinations,
            ((single,) for single in (*sizes, *PLACES, *ORDINALS, *extremes, *_denials(scene, thing))),
            product(colours, (*sizes, *PLACES, *ORDINALS, *extremes, *close)),
            product(close, PLACES),
            product(sizes, (*PLACES, *ORDINALS)),
            product(colours, sizes, PLACES),
        )
    return map(frozenset, combinations)


def _filters(scene: Scene, thing: Thing) -> Iterator[Modifier]:
    """Colours and relations that might hold of a thing."""
    yield from (Colour(name) for name in thing.colours if name in SIMILAR and not _is_skin(name, thing))
    for landmark, colour in _landmarks(scene, thing):
        yield from (
            Relation(kind, landmark.noun, colour) for kind in RELATION_FORMS if _may_relate(thing, kind, landmark)
        )


def _landmarks(scene: Scene, thing: Thing) -> Iterator[tuple[Thing, str | None]]:
    """Other things that may be the only ones of their noun, or of their noun and colour, with that colour."""
    counts = Counter(other.noun for other in scene.things)
    for other in scene.things:
        if counts[other.noun] == 1 and other is not thing:
            yield other, None
        elif other is not thing and other.noun not in PEOPLE:
            yield from ((other, name) for name in SIMILAR if Colour(name).of(other))


def _is_skin(colour: str, thing: Thing) -> bool:
    """Whether a colour may be that of a person's skin and hair, not of clothes."""
    return thing.noun in PEOPLE and colour in ("brown", "orange", "pink")


def _may_relate(thing: Thing, kind: RelationKind, landmark: Thing) -> bool:
    """People are with what they carry and on what they ride; only that is judged from boxes."""
    if kind not in ("with", "on"):
        return True
    return thing.noun in PEOPLE and landmark.noun in (CARRIED if kind == "with" else RIDDEN)


def _denials(scene: Scene, thing: Thing) -> Iterator[Modifier]:
    """That a thing is not where, or not of the colour that, the others of its noun are."""
    others = [other for other in scene.things if other.noun == thing.noun and other is not thing]
    if others:
        yield from (Not(Place((side,))) for side in SIDES)
        names = {name for other in others for name in other.colours}
        yield from (Not(Colour(name)) for name in sorted(names & SIMILAR.keys()))


# ---------------------------------------------------------------- how it is worded


def worded(query: Query, scene: Scene, rng: random.Random) -> str | None:
    """A query in words that can be read in no other way; None where the words that were drawn can."""
    text = say(query, rng)
    nouns = NOUNS.union(thing.noun for thing in scene.things)
    return text if parse(text, nouns) == query else None


def _renamed(query: Query, scene: Scene, target: int, rng: random.Random) -> Query:
    """The same with other nouns for thing and landmark, where that is as clear."""
    modifiers = frozenset(
        replace(modifier, noun=rng.choice(synonyms(modifier.noun))) if isinstance(modifier, Relation) else modifier
        for modifier in query.modifiers
    )
    renamed = Query(rng.choice(_nouns(scene, target)), modifiers)
    return renamed if renamed.modifiers | {renamed.noun} != {None} and is_clear(renamed, scene, target) else query


def _nouns(scene: Scene, target: int) -> list[str | None]:
    """What a thing can be called; "one" only where all others are of its category, or one would ask: one what?"""
    noun = scene.things[target].noun
    is_plain = len(scene.things) > 1 and all(thing.noun == noun for thing in scene.things)
    kinds = [kind for kind, categories in KINDS.items() if noun in categories]
    return [*synonyms(noun), *kinds, *([None] if is_plain else [])]
