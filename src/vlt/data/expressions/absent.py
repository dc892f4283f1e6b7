"""Expressions that mean nothing in a scene, though they might in one like it: a dog, a red cup, someone on a horse."""

from __future__ import annotations

import random
from collections.abc import Callable

from vlt.data.expressions.clothes import Wears
from vlt.data.expressions.describe import PLACES, worded
from vlt.data.expressions.forms import RELATION_FORMS
from vlt.data.expressions.lexicon import CARRIED, COCO_NOUNS, GARMENT_WORDS, HUMANS, RIDDEN, family, named, synonyms
from vlt.data.expressions.modifier import SIMILAR, Colour, Modifier
from vlt.data.expressions.query import Query, resolve
from vlt.data.expressions.relation import Relation, RelationKind
from vlt.data.expressions.scene import Scene

TRIES = 8
"""How often an expression is tried for each that is wanted."""
AKIN = 0.7
"""How often what is not there is akin to something that is: a horse among sheep."""


def absent(scene: Scene, rng: random.Random, *, count: int) -> list[str]:
    """Words what is clearly not in a scene: another noun, or one of its nouns with a hint that holds of none.

    Only what is listed in the scene is known to be there: of a photo in which not everything is outlined, nothing
    should be said to be absent.

    Args:
        scene: the photo's things.
        rng: draws what is said; the same state gives the same expressions.
        count: how many expressions are wanted.

    Returns:
        Up to `count` different expressions, of which every thing of the scene is a clear no.
    """
    expressions: dict[str, None] = {}
    for _ in range(TRIES * count if scene.things else 0):
        query = rng.choices(tuple(WAYS), weights=tuple(WAYS.values()))[0](scene, rng)
        text = worded(query, scene, rng)
        if text and not resolve(query, scene):
            expressions[text] = None
        if len(expressions) == count:
            break
    return list(expressions)


def _missing_noun(scene: Scene, rng: random.Random) -> str:
    """A noun that names nothing there, mostly one of the same family as something that is."""
    there = rng.choice(scene.things).noun
    akin = sorted(family(there)) if rng.random() < AKIN else sorted(COCO_NOUNS)
    missing = [noun for noun in akin if all(named(noun, thing.noun) is False for thing in scene.things)]
    return rng.choice(synonyms(rng.choice(missing or [there])))


def _another(scene: Scene, rng: random.Random) -> Query:
    return Query(_missing_noun(scene, rng))


def _another_somewhere(scene: Scene, rng: random.Random) -> Query:
    return Query(_missing_noun(scene, rng), frozenset({rng.choice(PLACES)}))


def _another_coloured(scene: Scene, rng: random.Random) -> Query:
    return Query(_missing_noun(scene, rng), frozenset({_colour(rng)}))


def _coloured(scene: Scene, rng: random.Random) -> Query:
    return Query(rng.choice(scene.things).noun, frozenset({_colour(rng)}))


def _related(scene: Scene, rng: random.Random) -> Query:
    """Beside, with or on what is not there, or not beside what is."""
    noun = rng.choice(scene.things).noun
    kinds: list[RelationKind] = [kind for kind in RELATION_FORMS if noun in HUMANS or kind not in ("with", "on")]
    kind = rng.choice(kinds)
    if kind in ("with", "on"):
        landmark = rng.choice(sorted(CARRIED if kind == "with" else RIDDEN))
    else:
        landmark = _missing_noun(scene, rng) if rng.random() < AKIN else rng.choice(scene.things).noun
    return Query(noun, frozenset({Relation(kind, landmark)}))


def _dressed(scene: Scene, rng: random.Random) -> Query:
    """In what nobody there wears; something that is not there, where nothing is known of clothes."""
    dressed = [thing.noun for thing in scene.things if thing.wears]
    if not dressed:
        return _another(scene, rng)
    colour = rng.choice((None, *SIMILAR, *SIMILAR))
    return Query(rng.choice(dressed), frozenset({Wears(rng.choice(sorted(GARMENT_WORDS)), colour)}))


def _colour(rng: random.Random) -> Modifier:
    return Colour(rng.choice(tuple(SIMILAR)))


WAYS: dict[Callable[[Scene, random.Random], Query], float] = {
    _another: 3.0,
    _another_somewhere: 2.0,
    _another_coloured: 1.0,
    _coloured: 2.0,
    _related: 2.0,
    _dressed: 3.0,
}
"""The ways to say what is not there, and how readily each is taken."""
