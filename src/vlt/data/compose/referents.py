"""Chooses who is meant in a picture, and words it: things, what people wear, and what is not there."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlt.data.compose.picture import Picture
from vlt.data.expressions import Scene, absent, describe
from vlt.data.masks import encode_rle
from vlt.data.prepare.colour import brightened
from vlt.data.prepare.refer_set import NO_CATEGORY
from vlt.data.standing import standings
from vlt.types import Expression, Referral

if TYPE_CHECKING:
    from vlt.types import Image, Mask

PER_TARGET = (4, 6)
"""Least and most wordings per referent, where there are as many."""
TO_LEARN = (9, 14)
"""The same where they are learnt from: of few, a network learns by heart which photo they belong to."""
RIVALLED = 3.0
"""Times more readily that a thing is meant which is not the only one of its noun."""
LESSER = 2.0
"""Times more readily that a thing is meant which is not the largest of its noun."""
GARMENTS = 2
"""Garments that are meant in a picture, at most."""
GARMENT_KINDS: Mapping[str, float] = {"category": 1.5, "colour": 1.5, "position": 1.0}
"""How readily each kind of hint is given of a garment; nobody says what it lies next to."""


def refer(
    picture: Picture,
    photo: Path | Image,
    rng: random.Random,
    *,
    most: int | None = None,
    wordings: tuple[int, int] = PER_TARGET,
) -> list[Referral]:
    """The things of a picture that something safe can be said of.

    Args:
        picture: the photo and what is in it.
        photo: where it lies, or will lie, or its pixels.
        rng: draws what is said and who is meant.
        most: how many are meant at the most, rather those with rivals and those that are not the largest; None: all.
        wordings: least and most per referent, where there are as many.

    Returns:
        A referral for each, in the order of the layers; their ids and those of their sentences are yet to be given.
    """
    scene = picture.scene()
    layers = [(layer.mask, layer.category) for layer in picture.layers]
    referrals = list(_worded(scene, layers, photo, rng, None, wordings))
    return referrals if most is None else _preferred(referrals, most, rng)


def refer_to_garments(
    picture: Picture,
    photo: Path | Image,
    categories: Mapping[str, int],
    rng: random.Random,
    *,
    wordings: tuple[int, int] = PER_TARGET,
) -> list[Referral]:
    """Some of what is worn in a picture; nothing where it is not known of everybody what they wear.

    Args:
        picture: the photo and what is in it.
        photo: where it lies, or will lie, or its pixels.
        categories: contiguous index by noun; garments of no category get -1.
        rng: draws what is said and what is meant.
        wordings: as of `refer`.

    Returns:
        Referrals as from `refer`.
    """
    people = {layer.category for layer in picture.layers if layer.garments}
    if any(layer.category in people and not layer.garments for layer in picture.layers):
        return []
    image = brightened(picture.image)
    worn = [each for layer in picture.layers for each in layer.worn(image)]
    others = [layer.thing(image) for layer in picture.layers if not layer.garments]
    layers = [(mask, categories.get(thing.noun, NO_CATEGORY)) for thing, mask in worn]
    scene = Scene(picture.size, (*(thing for thing, _ in worn), *others))
    return _preferred(list(_worded(scene, layers, photo, rng, GARMENT_KINDS, wordings)), GARMENTS, rng)


def refer_to_nothing(picture: Picture, photo: Path | Image, rng: random.Random) -> list[Referral]:
    """What is not in a picture: one referral to nothing, with an empty mask, or none where nothing can be worded."""
    texts = absent(picture.scene(), rng, count=rng.randint(*PER_TARGET))
    nothing = encode_rle(np.zeros(picture.size, bool))
    return [Referral(0, photo, nothing, _expressions(texts), NO_CATEGORY)] if texts else []


def _worded(
    scene: Scene,
    layers: Sequence[tuple[Mask, int]],
    photo: Path | Image,
    rng: random.Random,
    kinds: Mapping[str, float] | None,
    wordings: tuple[int, int],
) -> Iterator[Referral]:
    """Referrals to the first things of a scene, given the mask and category of each."""
    for index, ((mask, category), standing) in enumerate(zip(layers, standings(scene), strict=False)):
        worded = describe(scene, index, rng, count=rng.randint(*wordings), kinds=kinds)
        if worded:
            yield Referral(
                ref_id=0,
                image=photo,
                target=encode_rle(mask),
                expressions=_expressions([wording.text for wording in worded]),
                category=category,
                box=scene.things[index].box,
                standing=standing,
            )


def _expressions(texts: Sequence[str]) -> tuple[Expression, ...]:
    return tuple(Expression(0, text) for text in texts)


def _preferred(referrals: Sequence[Referral], most: int, rng: random.Random) -> list[Referral]:
    """Some of the referrals, in their order."""
    lots = {index: rng.random() ** (1 / _weight(referral)) for index, referral in enumerate(referrals)}
    return [referrals[index] for index in sorted(sorted(lots, key=lots.__getitem__, reverse=True)[:most])]


def _weight(referral: Referral) -> float:
    """How readily it is chosen; a draw by u ** (1 / weight) takes each with odds in proportion (Efraimidis 2006)."""
    same, rank = (referral.standing.same, referral.standing.rank) if referral.standing else (1, 1)
    return (RIVALLED if same > 1 else 1.0) * (LESSER if rank > 1 else 1.0)


def numbered(referrals: Sequence[Referral], ref_ids: Iterator[int], sent_ids: Iterator[int]) -> list[Referral]:
    """The same with their ids and those of their sentences."""
    return [
        replace(
            referral,
            ref_id=next(ref_ids),
            expressions=tuple(replace(expression, sent_id=next(sent_ids)) for expression in referral.expressions),
        )
        for referral in referrals
    ]
