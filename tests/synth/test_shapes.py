"""Synthetic scenes: exact masks, reproducible, and different for train and val."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlt.data.masks import mask_box
from vlt.errors import DataError
from vlt.synth.shapes import OUTLINES, PALETTE, PER_TARGET, SMALLEST_SIDE, SyntheticReferrals, draw_scene
from vlt.synth.words import describe, parse, resolve
from vlt.text.cues import CUES, cues
from vlt.types import NO_CATEGORY


def same(one, other):
    return (
        np.array_equal(one.image, other.image)
        and np.array_equal(one.targets[0], other.targets[0])
        and (one.expressions, one.ref_id, one.category, one.box)
        == (other.expressions, other.ref_id, other.category, other.box)
    )


def test_an_item_does_not_depend_on_the_order_of_access():
    one, other = (SyntheticReferrals(6, (64, 96), 3, "train") for _ in range(2))
    backwards = [other[i] for i in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(one, backwards, strict=True))
    assert same(one[2], SyntheticReferrals(100, (64, 96), 3, "train")[2])  # however many there are


@pytest.mark.parametrize(("seed", "split"), [(3, "val"), (4, "train")])
def test_another_split_or_seed_is_another_stream(seed, split):
    train = {each.image.tobytes() for each in SyntheticReferrals(30, (64, 64), 3, "train")}
    other = {each.image.tobytes() for each in SyntheticReferrals(30, (64, 64), seed, split)}
    assert len(train) == len(other) == 30
    assert not train & other


def test_a_referral_has_mask_box_expressions_and_category():
    for index, each in enumerate(SyntheticReferrals(20, (64, 96), 0, "train")):
        assert each.image.shape == (64, 96, 3)
        assert each.image.dtype == np.uint8
        assert each.targets[0].shape == (64, 96)
        assert each.targets[0].dtype == bool
        rows, columns = np.nonzero(each.targets[0])
        assert each.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert each.ref_id == index
        assert 1 <= len(each.expressions) <= PER_TARGET
        assert len({expression.text for expression in each.expressions}) == len(each.expressions)
        assert 0 <= each.category < len(OUTLINES)


def test_ids_are_unique():
    ids = [expression.sent_id for each in SyntheticReferrals(50, (64, 64), 0, "val") for expression in each.expressions]
    assert len(set(ids)) == len(ids)


def test_referents_of_a_scene_share_it_and_are_several():
    pairs = SyntheticReferrals(10, (96, 96), 0, "train", referents=2)
    assert len(pairs) == len(list(pairs)) == 20
    for scene in range(10):
        one, other = pairs[2 * scene : 2 * scene + 2]
        assert (one.scene, other.scene) == (scene, scene)
        assert one.image is other.image
        assert not (one.targets[0] & other.targets[0]).any()
        assert (one.ref_id, other.ref_id) == (2 * scene, 2 * scene + 1)
    ids = [expression.sent_id for each in pairs for expression in each.expressions]
    assert len(set(ids)) == len(ids)
    assert same(pairs[7], SyntheticReferrals(10, (96, 96), 0, "train", referents=2)[7])


def test_a_scene_has_no_more_referents_than_objects():
    with pytest.raises(
        DataError, match=r"has 7 objects with an unambiguous expression .* fewer referents per scene\.$"
    ):
        SyntheticReferrals(1, (64, 64), 0, "train", referents=7)[0]


@given(st.integers(0, 10_000), st.sampled_from([(64, 64), (64, 128), (200, 48)]))
@settings(max_examples=40, deadline=None)
def test_masks_match_the_image_and_do_not_overlap(seed, size):
    drawing = draw_scene(random.Random(seed), size)
    assert len(drawing.masks) == len(drawing.scene.objects) >= 1
    assert np.sum(drawing.masks, axis=0).max() <= 1
    for mask, thing in zip(drawing.masks, drawing.scene.objects, strict=True):
        [colour] = thing.colours
        drawn = np.median(drawing.image[mask].astype(float), axis=0)
        assert np.abs(drawn - PALETTE[colour]).max() < 25
        assert thing.area == mask.sum()
        assert thing.centre == pytest.approx([np.nonzero(mask)[1].mean() + 0.5, np.nonzero(mask)[0].mean() + 0.5])


def test_edges_are_antialiased_and_the_mask_is_what_is_covered_by_half():
    drawing = draw_scene(random.Random(1), (128, 128), shapes=(1, 1))
    [mask] = drawing.masks
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    inside, edge = drawing.image[mask].astype(float), drawing.image[grown & ~mask].astype(float)
    outside = np.median(drawing.image[~grown].astype(float), axis=0)
    core = np.median(inside, axis=0)
    share = np.linalg.norm(edge - outside, axis=1) / np.linalg.norm(core - outside)
    assert 0.05 < np.median(share) < 0.5 + 0.1


def test_expressions_refer_to_the_target_only():
    for seed in range(20):
        drawing = draw_scene(random.Random(seed), (128, 128))
        for target in range(len(drawing.scene.objects)):
            for wording in describe(drawing.scene, target, random.Random(seed), count=5):
                assert resolve(parse(wording.text), drawing.scene) == {target}


@pytest.mark.parametrize("kind", [cue for cue in CUES if cue not in ("negation", "clothes")])
def test_kinds_can_be_chosen(kind):
    said = [
        expression.text
        for each in SyntheticReferrals(8, (96, 96), 0, "train", kinds={kind: 1.0})
        for expression in each.expressions
    ]
    assert {cue for text in said for cue in cues(text)} == {kind}


def test_kinds_without_any_expression_are_refused():
    with pytest.raises(DataError, match=r"expression of the kinds \{\}; allow more kinds"):
        SyntheticReferrals(1, (64, 64), 0, "train", kinds={})[0]


def test_scenes_that_are_too_small_are_refused():
    with pytest.raises(DataError, match=f"16 x 64 pixels are too small for shapes; take at least {SMALLEST_SIDE}"):
        SyntheticReferrals(1, (16, 64), 0, "train")
    assert SyntheticReferrals(1, (SMALLEST_SIDE, SMALLEST_SIDE), 0, "train")[0].expressions


def test_it_is_a_sequence():
    scenes = SyntheticReferrals(5, (64, 64), 0, "train")
    assert len(scenes) == 5
    assert same(scenes[-1], scenes[4])
    assert [each.ref_id for each in scenes[1:4:2]] == [1, 3]
    for index in (5, -6):
        with pytest.raises(IndexError, match="there are 5 referrals"):
            scenes[index]


def test_referrals_to_all_objects_of_a_kind():
    found = [each for each in SyntheticReferrals(40, (96, 96), 0, "train", several=1.0) if len(each.targets) > 1]
    assert len(found) > 20, "most scenes have two of a kind"
    for number, each in ((each.scene, each) for each in found):
        scene = draw_scene(random.Random(f"0 train {number}"), (96, 96)).scene
        all_of, the = (expression.text for expression in each.expressions)
        assert all_of.removeprefix("all ") == the.removeprefix("the ")
        *colour, plural = all_of.removeprefix("all ").split()
        noun = plural.removesuffix("es") if plural == "crosses" else plural.removesuffix("s")
        fitting = [one for one in scene.objects if one.noun == noun and (not colour or colour[0] in one.colours)]
        assert len(each.targets) == len(fitting)
        assert each.box == mask_box(np.any(each.targets, axis=0))
        assert each.standing is None


def test_referrals_to_nothing_name_what_is_not_there():
    for each in SyntheticReferrals(40, (96, 96), 0, "train", absent=1.0):
        assert (each.targets, each.category, each.box) == ((), NO_CATEGORY, None)
        colour, noun = each.expressions[0].text.split()
        objects = draw_scene(random.Random(f"0 train {each.scene}"), (96, 96)).scene.objects
        fitting = [(one.noun == noun, colour in one.colours) for one in objects]
        assert any(map(any, fitting)), "half of it is there, so that both words matter"
        assert not any(map(all, fitting))


def test_shares_of_several_and_absent():
    found = list(SyntheticReferrals(200, (64, 64), 0, "train", several=0.3, absent=0.3))
    assert 30 < sum(len(each.targets) == 0 for each in found) < 90
    assert 20 < sum(len(each.targets) > 1 for each in found) < 90
    assert len({each.ref_id for each in found}) == 200
