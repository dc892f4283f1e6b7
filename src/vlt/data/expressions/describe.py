"""Chooses what to say of a thing: several queries that mean it and nothing else, each worded once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, product
from typing import NamedTuple

from vlt.data.expressions.clothes import Wears
from vlt.data.expressions.depth import Depth
from vlt.data.expressions.forms import NUMBERS, RELATION_FORMS, SIDES
from vlt.data.expressions.grammar import needs_no_noun, parse, say
from vlt.data.expressions.lexicon import CARRIED, HUMANS, NOUNS, RIDDEN, kinds_of, named, synonyms
from vlt.data.expressions.modifier import SIMILAR, Colour, Modifier, Not
from vlt.data.expressions.nouns import GARMENTS
from vlt.data.expressions.place import Middle, Place, Rank
from vlt.data.expressions.query import Judge, Query, is_clear
from vlt.data.expressions.relation import Relation, RelationKind
from vlt.data.expressions.scene import Scene, Thing
from vlt.data.expressions.size import Extreme, Size
from vlt.data.expressions.spelling import slipped

DOSES: Mapping[str, float] = {
    "category": 2.0, "colour": 1.5, "clothes": 3.0, "position": 4.0, "ordinal": 0.8, "size": 0.15, "relation": 0.8,
    "negation": 0.06,
}  # fmt: skip
"""How readily each kind of hint is given; what gives several has the least dose of them. Mostly it is the place."""
LONGER = 0.35
"""How much less readily a wording is chosen for each modifier after the first."""
AGAIN = 0.5
"""How much less readily a wording is chosen for each that gives the same kinds of hint."""
SAME = 0.1
"""How much less readily the same is said again in other words."""
TRIES = 3
"""How often a wording is tried for each that is wanted."""
KIND = 0.1
"""How much less readily a thing is told from others of its kind than of its noun: the left animal, of dog and cat."""
OTHER_NOUNS = {"kind": 0.02, "one": 0.25}
"""How often a thing is called by its kind where its noun would do, and "one" or nothing, for each time by its noun."""

PLACES: tuple[Modifier, ...] = (
    *(Place((side,)) for side in SIDES),
    *(Place(corner) for corner in product(SIDES[2:], SIDES[:2])),
    Middle(),
)
SIZES: tuple[Modifier, ...] = (Size("big"), Size("small"))
DEPTHS: tuple[Modifier, ...] = (Depth("front"), Depth("back"))
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
    """Words a thing without ambiguity: mostly each time by other hints, else by the same in other words.

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
    for _ in range(TRIES * count if doses else 0):
        [query] = rng.choices(list(doses), weights=list(doses.values()))
        said = _renamed(query, scene, target, rng)
        text = worded(said, scene, rng)
        if text:
            wordings.setdefault(text, Wording(text, said))
        if len(wordings) == count:
            break
        for other in doses:
            doses[other] *= (AGAIN if other.cues == query.cues else 1) * (SAME if other == query else 1)
    return [_in_haste(wording, scene, rng) for wording in wordings.values()]


def _doses(scene: Scene, target: int, kinds: Mapping[str, float]) -> dict[Query, float]:
    """The queries that mean a thing and nothing else, and how readily each is chosen.

    That is a matter of the kinds of its hints and of its length; it is shared by all that give the same hints.
    """
    doses = {}
    for noun, readily in _bases(scene, scene.things[target].noun).items():
        judge = Judge(noun, scene)
        for modifiers in _combinations(scene, target, judge):
            query = Query(noun, modifiers)
            dose = readily * min(kinds.get(cue, 0.0) for cue in query.cues) * LONGER ** max(len(modifiers) - 1, 0)
            if dose and judge.is_clear(modifiers, target) and _each_helps(modifiers, judge):
                doses[query] = dose
    alike = Counter((query.cues, len(query.modifiers)) for query in doses)
    return {query: dose / alike[query.cues, len(query.modifiers)] for query, dose in doses.items()}


def _bases(scene: Scene, noun: str) -> dict[str, float]:
    """What a thing may be called to begin with, and how readily: its noun; its kind, where there are others of it."""
    others = {thing.noun for thing in scene.things} - {noun}
    shared = (kind for kind in kinds_of(noun) if kind != "thing" and any(named(kind, other) for other in others))
    return {noun: 1.0} | {kind: 1.0 if kind == "person" else KIND for kind in shared}


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
        clothes = [modifier for modifier in filters if isinstance(modifier, Wears)]
        close = [modifier for modifier in filters if isinstance(modifier, Relation) and modifier.kind not in SIDES]
        sizes, extremes = ((), ()) if thing.noun in HUMANS else (SIZES, EXTREMES)
        combinations = chain(
            combinations,
            ((single,) for single in (*sizes, *PLACES, *DEPTHS, *ORDINALS, *extremes, *_denials(scene, thing))),
            product(colours, (*sizes, *PLACES, *DEPTHS, *ORDINALS, *extremes, *close)),
            product(clothes, (*PLACES, *DEPTHS, *ORDINALS)),
            product(PLACES[:2], DEPTHS),
            product(close, PLACES),
            product(sizes, (*PLACES, *ORDINALS)),
            product(colours, sizes, PLACES),
        )
    return map(frozenset, combinations)


def _filters(scene: Scene, thing: Thing) -> Iterator[Modifier]:
    """Colours, clothes and relations that might hold of a thing."""
    yield from (Colour(name) for name in thing.colours if name in SIMILAR and not _is_skin(name, thing))
    for garment, colours in thing.wears.items():
        named_colours = [None, *(name for name in colours if name in SIMILAR)]
        if garment in GARMENTS:
            yield from (Wears(*worn) for worn in product(dict.fromkeys(synonyms(garment)), named_colours))
        elif garment in CARRIED:
            yield from (Relation("with", garment, colour) for colour in named_colours)
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
        elif other is not thing and other.noun not in HUMANS:
            yield from ((other, name) for name in SIMILAR if Colour(name).of(other))


def _is_skin(colour: str, thing: Thing) -> bool:
    """Whether a colour may be that of a person's skin and hair, not of clothes."""
    return thing.noun in HUMANS and colour in ("brown", "orange", "pink")


def _may_relate(thing: Thing, kind: RelationKind, landmark: Thing) -> bool:
    """People are with what they carry and on what they ride; only that is judged from boxes."""
    if kind not in ("with", "on"):
        return True
    return thing.noun in HUMANS and landmark.noun in (CARRIED if kind == "with" else RIDDEN)


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
    return text if _reads_as(text, query, scene) else None


def _reads_as(text: str, query: Query, scene: Scene) -> bool:
    return parse(text, NOUNS.union(thing.noun for thing in scene.things)) == query


def _in_haste(wording: Wording, scene: Scene, rng: random.Random) -> Wording:
    """The same, with a slip in its nouns now and then that nobody stumbles over."""
    marks = (modifier.noun for modifier in wording.query.modifiers if isinstance(modifier, Relation))
    words = {word for noun in (wording.query.noun, *marks) if noun for word in noun.split()}
    text = slipped(wording.text, words, rng)
    return wording._replace(text=text) if _reads_as(text, wording.query, scene) else wording


def _renamed(query: Query, scene: Scene, target: int, rng: random.Random) -> Query:
    """The same with nouns that people use for thing and landmark, where that is as clear."""
    modifiers = frozenset(
        _renamed_landmark(modifier, rng) if isinstance(modifier, Relation) else modifier for modifier in query.modifiers
    )
    nouns = _nouns(query, scene, target)
    [noun] = rng.choices(list(nouns), weights=list(nouns.values()))
    renamed = Query(noun, modifiers)
    return renamed if renamed.modifiers | {renamed.noun} != {None} and is_clear(renamed, scene, target) else query


def _renamed_landmark(relation: Relation, rng: random.Random) -> Relation:
    """The same by another noun for the landmark, but not by "screen": left of that might be left in the photo."""
    return replace(relation, noun=rng.choice([noun for noun in synonyms(relation.noun) if noun != "screen"]))


def _nouns(query: Query, scene: Scene, target: int) -> dict[str | None, float]:
    """What a thing can be called, and how readily; "one" only where nobody would ask: one what?"""
    noun = scene.things[target].noun
    if query.noun != noun:
        return dict(Counter(synonyms(str(query.noun))))
    is_plain = len(scene.things) > 1 and len({thing.noun for thing in scene.things}) == 1
    is_dressed = any(isinstance(modifier, Wears) for modifier in query.modifiers) and needs_no_noun(query)
    called = synonyms(noun)
    nouns: dict[str | None, float] = {name: called.count(name) / len(called) for name in called}
    nouns |= {kind: OTHER_NOUNS["kind"] for kind in kinds_of(noun) if kind not in nouns}
    return nouns | ({None: OTHER_NOUNS["one"]} if is_plain or is_dressed else {})
