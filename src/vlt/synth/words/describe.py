"""Generate unambiguous expressions for an object of a scene (`describe`) or without a referent (`absent`)."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, product
from typing import NamedTuple

from vlt.synth.words.grammar import NUMBERS, RELATION_FORMS, needs_no_noun, parse, say, slipped
from vlt.synth.words.lexicon import GARMENT_WORDS, NOUNS, family, kinds_of, named, synonyms
from vlt.synth.words.modifiers import SIMILAR, Colour, Modifier, Not
from vlt.synth.words.nouns import CARRIED, COCO_NOUNS, GARMENTS, HUMANS, RIDDEN
from vlt.synth.words.place import Depth, Extreme, Middle, Place, Rank, Size
from vlt.synth.words.query import Query, Resolver, is_clear, resolve
from vlt.synth.words.relation import Relation, RelationKind, Wears
from vlt.synth.words.scene import SIDES, Scene, SceneObject

CUE_WEIGHTS: Mapping[str, float] = {
    "category": 2.0, "colour": 1.5, "clothes": 3.0, "position": 4.0, "ordinal": 0.8, "size": 0.15, "relation": 0.8,
    "negation": 0.06,
}  # fmt: skip
"""Default weight of each cue; an expression with several cues has the smallest of their weights."""
LONGER = 0.35
"""Factor on the weight of an expression for each modifier after the first."""
AGAIN = 0.5
"""Factor on the weight of an expression for each earlier one with the same cues."""
SAME = 0.1
"""Factor on the weight of a query for each earlier wording of it."""
TRIES = 3
"""Attempts per requested expression."""
KIND = 0.1
"""Factor on the weight of a general word that covers other categories present, as "animal" for a dog beside a cat."""
OTHER_NOUNS = {"kind": 0.02, "one": 0.25}
"""Weight of any other general word, and of "one" or no noun, relative to all words for the noun."""

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
    """An expression and the query that it words."""

    text: str
    query: Query


def describe(
    scene: Scene, target: int, rng: random.Random, *, count: int, cue_weights: Mapping[str, float] | None = None
) -> list[Wording]:
    """Generate unambiguous expressions about one object, mostly with different cues.

    Args:
        scene: the objects of the image.
        target: index of the object in `scene.objects`.
        rng: random generator; the same state gives the same expressions.
        count: number of expressions wanted.
        cue_weights: weight of each cue, with keys as in `CUE_WEIGHTS`; missing cues and those of weight 0 are not used.

    Returns:
        Up to `count` different expressions; none where no unambiguous one is found or the object cannot be a target.
    """
    weights = query_weights(scene, target, CUE_WEIGHTS if cue_weights is None else cue_weights)
    wordings: dict[str, Wording] = {}
    for _ in range(TRIES * count if weights else 0):
        [drawn] = rng.choices(list(weights), weights=list(weights.values()))
        query = with_synonyms(drawn, scene, target, rng)
        text = worded(query, scene, rng)
        if text:
            wordings.setdefault(text, Wording(text, query))
        if len(wordings) == count:
            break
        for other in weights:
            weights[other] *= (AGAIN if other.cues == drawn.cues else 1) * (SAME if other == drawn else 1)
    result = []
    for text, query in wordings.values():
        nouns = (query.noun, *(each.noun for each in query.modifiers if isinstance(each, Relation)))
        misspelled = slipped(text, {word for noun in nouns if noun for word in noun.split()}, rng)
        result.append(Wording(misspelled if reads_as(misspelled, query, scene) else text, query))
    return result


def reads_as(text: str, query: Query, scene: Scene) -> bool:
    """Return whether a text can be read as the query and in no other way, also by the category names of the scene."""
    return parse(text, NOUNS.union(each.noun for each in scene.objects)) == query


def worded(query: Query, scene: Scene, rng: random.Random) -> str | None:
    """Draw a wording of a query; None if the drawn one could be read in another way."""
    text = say(query, rng)
    return text if reads_as(text, query, scene) else None


# ---------------------------------------------------------------- queries about one object


def query_weights(scene: Scene, target: int, cue_weights: Mapping[str, float]) -> dict[Query, float]:
    """Find the queries that refer unambiguously to an object, with their sampling weights.

    The weight depends on the cues and the number of modifiers, and is shared among queries that agree in both. Of
    several modifiers, each must exclude something on its own: "red" is not used where everything is red.
    """
    if not scene.objects[target].can_be_target:
        return {}
    noun = scene.objects[target].noun
    others = {each.noun for each in scene.objects} - {noun}
    shared = (kind for kind in kinds_of(noun) if kind != "thing" and any(named(kind, other) for other in others))
    nouns = {noun: 1.0} | {kind: 1.0 if kind == "person" else KIND for kind in shared}
    weights = {}
    for word, factor in nouns.items():
        resolver = Resolver(word, scene)
        excluded = resolver.verdicts(frozenset()).count(False)
        for modifiers in modifier_sets(scene, target, resolver):
            query = Query(word, modifiers)
            weight = (
                factor * min(cue_weights.get(cue, 0.0) for cue in query.cues) * LONGER ** max(len(modifiers) - 1, 0)
            )
            if not weight or not resolver.is_clear(modifiers, target):
                continue
            singles = (frozenset({modifier}) for modifier in modifiers) if len(modifiers) > 1 else ()
            if all(resolver.verdicts(single).count(False) > excluded for single in singles):
                weights[query] = weight
    alike = Counter((query.cues, len(query.modifiers)) for query in weights)
    return {query: weight / alike[query.cues, len(query.modifiers)] for query, weight in weights.items()}


def modifier_sets(scene: Scene, target: int, resolver: Resolver) -> Iterator[frozenset[Modifier]]:
    """Yield the sets of modifiers to try for an object, in a fixed order: none, single ones, and natural combinations.

    An object that its noun alone identifies gets no modifiers that compare: "left fridge" is unnatural for the only
    fridge. People get no sizes, because size in the image then depends on distance and occlusion.
    """
    candidate = scene.objects[target]
    filters = [each for each in filters_of(scene, candidate) if each.verdicts([candidate], [], scene)[0]]
    sets: Iterable[tuple[Modifier, ...]] = chain([()], ((single,) for single in filters))
    if not resolver.is_clear(frozenset(), target):
        colours = [each for each in filters if isinstance(each, Colour)]
        clothes = [each for each in filters if isinstance(each, Wears)]
        close = [each for each in filters if isinstance(each, Relation) and each.kind not in SIDES]
        sizes, extremes = ((), ()) if candidate.noun in HUMANS else (SIZES, EXTREMES)
        same = [each for each in scene.objects if each.noun == candidate.noun and each is not candidate]
        of_others = {name for each in same for name in each.colours} & SIMILAR.keys()
        denials = (*(Not(Place((side,))) for side in SIDES), *(Not(Colour(name)) for name in sorted(of_others)))
        compared = (*sizes, *PLACES, *DEPTHS, *ORDINALS, *extremes)
        sets = chain(
            sets,
            ((single,) for single in (*compared, *(denials if same else ()))),
            product(colours, (*compared, *close)),
            product(clothes, (*PLACES, *DEPTHS, *ORDINALS)),
            product(PLACES[:2], DEPTHS),
            product(close, PLACES),
            product(sizes, (*PLACES, *ORDINALS)),
            product(colours, sizes, PLACES),
        )
    return map(frozenset, sets)


def filters_of(scene: Scene, candidate: SceneObject) -> Iterator[Modifier]:
    """Yield the colours, clothes and relations that may hold of an object.

    People are not described by brown, orange and pink, which may be the colours of skin and hair. Landmarks are the
    only objects of their noun, or objects that are not people, with their colour. "With" and "on" are used only of
    people and of what they carry or ride: other cases cannot be decided from boxes.
    """
    is_human = candidate.noun in HUMANS
    skin = ("brown", "orange", "pink") if is_human else ()
    yield from (Colour(name) for name in candidate.colours if name in SIMILAR and name not in skin)
    for garment, shares in candidate.wears.items():
        colours = [None, *(name for name in shares if name in SIMILAR)]
        if garment in GARMENTS:
            yield from (Wears(*worn) for worn in product(dict.fromkeys(synonyms(garment)), colours))
        elif garment in CARRIED:
            yield from (Relation("with", garment, colour) for colour in colours)
    counts = Counter(each.noun for each in scene.objects)
    for landmark in scene.objects:
        if landmark is candidate:
            continue
        landmark_colours: list[str | None] = [None]
        if counts[landmark.noun] > 1:
            landmark_colours = [name for name in SIMILAR if landmark.noun not in HUMANS and Colour(name).of(landmark)]
        for colour, kind in product(landmark_colours, RELATION_FORMS):
            related = CARRIED if kind == "with" else RIDDEN
            if kind not in ("with", "on") or (is_human and landmark.noun in related):
                yield Relation(kind, landmark.noun, colour)


def with_synonyms(query: Query, scene: Scene, target: int, rng: random.Random) -> Query:
    """Draw other nouns for the object and the landmark; return the query unchanged where that would be ambiguous.

    "One" or no noun is used only where the query needs none: among objects of one category, or with coloured clothes. A
    landmark is never a "screen": left of that could be in the left of the image.
    """
    modifiers = frozenset(
        replace(each, noun=rng.choice([noun for noun in synonyms(each.noun) if noun != "screen"]))
        if isinstance(each, Relation)
        else each
        for each in query.modifiers
    )
    noun = scene.objects[target].noun
    nouns: dict[str | None, float]
    if query.noun != noun:
        nouns = dict(Counter(synonyms(str(query.noun))))
    else:
        words = synonyms(noun)
        nouns = {word: words.count(word) / len(words) for word in words}
        nouns |= {kind: OTHER_NOUNS["kind"] for kind in kinds_of(noun) if kind not in nouns}
        is_plain = len(scene.objects) > 1 and len({each.noun for each in scene.objects}) == 1
        is_dressed = any(isinstance(each, Wears) for each in query.modifiers) and needs_no_noun(query)
        nouns |= {None: OTHER_NOUNS["one"]} if is_plain or is_dressed else {}
    [drawn] = rng.choices(list(nouns), weights=list(nouns.values()))
    renamed = Query(drawn, modifiers)
    says_something = renamed.noun is not None or modifiers
    return renamed if says_something and is_clear(renamed, scene, target) else query


# ---------------------------------------------------------------- queries without a referent

ABSENT_TRIES = 8
"""Attempts per requested expression without a referent."""
AKIN = 0.7
"""Probability that the noun of an absent object is from the family of a present one: "horse" in a scene of sheep."""
WAYS: Mapping[str, float] = {
    "noun": 3.0,
    "place": 2.0,
    "colour": 1.0,
    "wrong colour": 2.0,
    "relation": 2.0,
    "clothes": 3.0,
}
"""Weight of each kind of expression without a referent: an absent noun (alone, with place or colour), or a present noun
with a colour, relation or garment that no object has."""


def absent(scene: Scene, rng: random.Random, *, count: int) -> list[str]:
    """Generate expressions that clearly refer to nothing in a scene.

    Only the objects of the scene are known: use it for images in which every object is annotated.

    Args:
        scene: the objects of the image.
        rng: source of randomness; the same state gives the same expressions.
        count: number of expressions wanted.

    Returns:
        Up to `count` different expressions, for which every object of the scene has the verdict False.
    """
    expressions: dict[str, None] = {}
    for _ in range(ABSENT_TRIES * count if scene.objects else 0):
        query = absent_query(scene, rng)
        text = worded(query, scene, rng)
        if text and not resolve(query, scene):
            expressions[text] = None
        if len(expressions) == count:
            break
    return list(expressions)


def missing_noun(scene: Scene, rng: random.Random) -> str:
    """Draw a noun that no object of a scene has, mostly of the same family as one that is there."""
    present = rng.choice(scene.objects).noun
    akin = sorted(family(present)) if rng.random() < AKIN else sorted(COCO_NOUNS)
    missing = [noun for noun in akin if all(named(noun, each.noun) is False for each in scene.objects)]
    return rng.choice(synonyms(rng.choice(missing or [present])))


def absent_query(scene: Scene, rng: random.Random) -> Query:
    """Draw a query that probably has no referent in a scene; the caller checks it."""
    [way] = rng.choices(tuple(WAYS), weights=tuple(WAYS.values()))
    dressed = [each.noun for each in scene.objects if each.wears]
    if way == "clothes" and dressed:
        colour = rng.choice((None, *SIMILAR, *SIMILAR))
        return Query(rng.choice(dressed), frozenset({Wears(rng.choice(sorted(GARMENT_WORDS)), colour)}))
    if way == "relation":
        noun = rng.choice(scene.objects).noun
        kinds: list[RelationKind] = [kind for kind in RELATION_FORMS if noun in HUMANS or kind not in ("with", "on")]
        kind = rng.choice(kinds)
        if kind in ("with", "on"):
            landmark = rng.choice(sorted(CARRIED if kind == "with" else RIDDEN))
        else:
            landmark = missing_noun(scene, rng) if rng.random() < AKIN else rng.choice(scene.objects).noun
        return Query(noun, frozenset({Relation(kind, landmark)}))
    noun = rng.choice(scene.objects).noun if way == "wrong colour" else missing_noun(scene, rng)
    modifiers: list[Modifier] = []
    if way == "place":
        modifiers = [rng.choice(PLACES)]
    elif way in ("colour", "wrong colour"):
        modifiers = [Colour(rng.choice(tuple(SIMILAR)))]
    return Query(noun, frozenset(modifiers))
