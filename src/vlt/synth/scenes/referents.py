"""Make referrals with unambiguous expressions: to objects of a picture, to garments in it, and without a target."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from vlt.data.masks import encode_rle, join_boxes
from vlt.synth.scenes.picture import Layer, Picture
from vlt.synth.words import Scene, SceneObject, absent, describe, groups, standings
from vlt.synth.words.appearance import brightened, object_from_mask
from vlt.synth.words.nouns import CARRIED
from vlt.types import NO_CATEGORY, RLE, Expression, Image, Mask, Referral

MIN_VISIBLE = 0.55
"""Smallest visible fraction of an object that expressions refer to."""
MIN_GARMENT = 0.015
"""Smallest share of a person's pixels that a garment covers to count as worn."""
EXPRESSIONS = (4, 6)
"""Smallest and largest number of expressions per referent, where there are as many."""
TRAIN_EXPRESSIONS = (9, 14)
"""Smallest and largest number of expressions per referent for training: with few, the network overfits."""
NOT_ONLY = 3.0
"""Weight of a referent with distractors in the draw, relative to that of the only object of its category."""
NOT_LARGEST = 2.0
"""Weight of a referent that is not the largest of its category in the draw, relative to that of the largest."""
MAX_GARMENTS = 2
"""Largest number of garments of a picture that are referred to."""
GARMENT_KINDS: Mapping[str, float] = {"category": 1.5, "colour": 1.5, "position": 1.0}
"""Weight of each cue in expressions for garments; relations between garments are not used."""


class Shares(NamedTuple):
    """Shares of the referrals to a picture that are to several objects or to none.

    Attributes:
        several: share in [0, 1] of the referrals that are to all objects of a kind, where there are at least two.
        absent: share in [0, 1] of the referrals that nothing in the picture matches.
    """

    several: float = 0.0
    absent: float = 0.0


NONE = Shares()
"""Every referral is to one object."""


def to_scene(picture: Picture) -> Scene:
    """Describe a picture for the grammar: its objects in the order of the layers, then what people carry."""
    image = brightened(picture.image)
    garments = [garment for layer in picture.layers for garment, _ in to_garments(layer, image)]
    carried = [garment for garment in garments if garment.noun in CARRIED]
    return Scene(picture.size, (*(to_object(layer, image) for layer in picture.layers), *carried))


def to_object(layer: Layer, image: Image) -> SceneObject:
    """Describe an object for the grammar.

    Args:
        layer: the object.
        image: (H, W, 3) uint8 RGB, brightened, see `vlt.synth.words.appearance.brightened`.
    """
    found = object_from_mask(layer.mask, image, noun=layer.noun, crowd=layer.crowd)
    worn = [garment for garment, _ in to_garments(layer, image) if garment.area >= MIN_GARMENT * found.area]
    is_salient = found.salient and layer.distinguishable and layer.visible_fraction >= MIN_VISIBLE
    return replace(found, wears={garment.noun: garment.colours for garment in worn}, salient=is_salient)


def to_garments(layer: Layer, image: Image) -> list[tuple[SceneObject, Mask]]:
    """Describe the visible part of each garment of a person as an object of its own.

    Args:
        layer: the person.
        image: (H, W, 3) uint8 RGB, brightened.

    Returns:
        Description and mask, (H, W) bool, of each garment with a visible pixel.
    """
    visible = [(noun, mask & layer.mask) for noun, mask in layer.garments.items()]
    return [(object_from_mask(mask, image, noun=noun), mask) for noun, mask in visible if mask.any()]


def refer(
    picture: Picture,
    image: Path | Image,
    rng: random.Random,
    *,
    most: int | None = None,
    expressions: tuple[int, int] = EXPRESSIONS,
    shares: Shares = NONE,
) -> list[Referral]:
    """Make referrals to the objects of a picture for which there are unambiguous expressions.

    Args:
        picture: the image and the objects in it.
        image: path of the image file, which may not exist yet, or the pixels.
        rng: draws expressions and referents.
        most: largest number of referrals, preferring objects with distractors and smaller ones; None: all.
        expressions: smallest and largest number of expressions per referent, where there are as many.
        shares: of referrals to several objects and to none; only where every object of the picture is annotated.

    Returns:
        Referrals in the order of the layers; the ids of referrals and expressions are 0, see `with_ids`.
    """
    objects, scene = [(layer.mask, layer.category) for layer in picture.layers], to_scene(picture)
    referrals = _refer(scene, objects, image, rng, None, expressions)
    if most is not None:
        referrals = _sample(referrals, most, rng)
    return vary(referrals, scene, objects, rng, shares)


def vary(
    referrals: Sequence[Referral],
    scene: Scene,
    objects: Sequence[tuple[RLE | Mask | None, int]],
    rng: random.Random,
    shares: Shares,
) -> list[Referral]:
    """Refer to all objects of a kind, or to none, in place of one object; as often as configured, each kind once.

    A referral stays as it is where the scene has no further kind with two objects, or where no expression without a
    target was found.

    Args:
        referrals: to one object each.
        scene: all objects of the image.
        objects: mask and category of its first objects, those that may be targets; None: one that never is.
        rng: draws which referrals change, and their expressions; not used where no share is above 0.
        shares: of referrals to several objects and to none.

    Returns:
        As many referrals; the ids of new expressions are 0.
    """
    if shares == NONE:
        return list(referrals)
    kinds = [kind for kind in groups(scene) if max(kind.members) < len(objects)]
    varied = []
    for referral in referrals:
        draw, count = rng.random(), len(referral.expressions)
        if draw < shares.absent:
            texts = absent(scene, rng, count=count)
            none = replace(with_texts(referral, texts), targets=(), category=NO_CATEGORY, box=None, standing=None)
            varied.append(none if texts else referral)
        elif draw < shares.absent + shares.several and kinds:
            kind = kinds.pop(rng.randrange(len(kinds)))
            texts = rng.sample(kind.texts, min(count, len(kind.texts)))
            masks = [mask for mask, _ in (objects[index] for index in kind.members) if mask is not None]
            varied.append(
                replace(
                    with_texts(referral, texts),
                    targets=tuple(mask if isinstance(mask, dict) else encode_rle(mask) for mask in masks),
                    category=objects[kind.members[0]][1],
                    box=join_boxes([scene.objects[index].box for index in kind.members]),
                    standing=None,
                )
            )
        else:
            varied.append(referral)
    return varied


def with_texts(referral: Referral, texts: Sequence[str]) -> Referral:
    """Replace the expressions of a referral; the ids of the new ones are 0."""
    return replace(referral, expressions=tuple(Expression(0, text) for text in texts))


def refer_to_garments(
    picture: Picture,
    image: Path | Image,
    categories: Mapping[str, int],
    rng: random.Random,
    *,
    expressions: tuple[int, int] = EXPRESSIONS,
) -> list[Referral]:
    """Make referrals to some garments of a picture; to none where garments of some people are not annotated.

    Args:
        picture: the image and the objects in it.
        image: path of the image file, which may not exist yet, or the pixels.
        categories: contiguous index by noun; garments without a category get -1.
        rng: draws expressions and referents.
        expressions: as in `refer`.

    Returns:
        Referrals as from `refer`.
    """
    dressed = {layer.category for layer in picture.layers if layer.garments}
    if any(layer.category in dressed and not layer.garments for layer in picture.layers):
        return []
    pixels = brightened(picture.image)
    worn = [garment for layer in picture.layers for garment in to_garments(layer, pixels)]
    others = [to_object(layer, pixels) for layer in picture.layers if not layer.garments]
    objects = [(mask, categories.get(garment.noun, NO_CATEGORY)) for garment, mask in worn]
    scene = Scene(picture.size, (*(garment for garment, _ in worn), *others))
    return _sample(_refer(scene, objects, image, rng, GARMENT_KINDS, expressions), MAX_GARMENTS, rng)


def refer_to_nothing(picture: Picture, image: Path | Image, rng: random.Random) -> list[Referral]:
    """Make a referral without target, with expressions that match no object of a picture.

    Args:
        picture: the image and all the objects in it.
        image: path of the image file, which may not exist yet, or the pixels.
        rng: draws the expressions.

    Returns:
        One referral, or none where no such expression was found.
    """
    texts = absent(to_scene(picture), rng, count=rng.randint(*EXPRESSIONS))
    return [Referral(0, image, (), tuple(Expression(0, text) for text in texts), NO_CATEGORY)] if texts else []


def _refer(
    scene: Scene,
    objects: Sequence[tuple[Mask, int]],
    image: Path | Image,
    rng: random.Random,
    kinds: Mapping[str, float] | None,
    expressions: tuple[int, int],
) -> list[Referral]:
    """Make referrals to the first objects of a scene, given the mask and category of each."""
    referrals = []
    for index, ((mask, category), standing) in enumerate(zip(objects, standings(scene), strict=False)):
        wordings = describe(scene, index, rng, count=rng.randint(*expressions), cue_weights=kinds)
        if wordings:
            referrals.append(
                Referral(
                    ref_id=0,
                    image=image,
                    targets=(encode_rle(mask),),
                    expressions=tuple(Expression(0, wording.text) for wording in wordings),
                    category=category,
                    box=scene.objects[index].box,
                    standing=standing,
                )
            )
    return referrals


def _sample(referrals: Sequence[Referral], most: int, rng: random.Random) -> list[Referral]:
    """Draw referrals without replacement, keeping their order.

    The largest values of u ** (1 / weight), u uniform in [0, 1), are a weighted sample (Efraimidis and Spirakis 2006).
    """
    keys = []
    for referral in referrals:
        standing = referral.standing
        weight = NOT_ONLY if standing and standing.same > 1 else 1.0
        weight *= NOT_LARGEST if standing and standing.rank > 1 else 1.0
        keys.append(rng.random() ** (1 / weight))
    chosen = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)[:most]
    return [referrals[index] for index in sorted(chosen)]


def with_ids(referrals: Sequence[Referral], ref_ids: Iterator[int], sent_ids: Iterator[int]) -> list[Referral]:
    """Give referrals and their expressions the next ids of two iterators."""
    return [
        replace(
            referral,
            ref_id=next(ref_ids),
            expressions=tuple(replace(expression, sent_id=next(sent_ids)) for expression in referral.expressions),
        )
        for referral in referrals
    ]
