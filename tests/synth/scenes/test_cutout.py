"""Cutouts: which objects are selected, and how they are cut out."""

import random

import numpy as np
import pytest
from scenes_fixture import BLUE, GRAY, GREEN, rectangle, striped, write_photo

from vlt.data.image import vary_light
from vlt.synth.scenes.compose import Canvas
from vlt.synth.scenes.cutout import cut, find_cutouts
from vlt.synth.scenes.picture import Layer, Picture
from vlt.synth.scenes.referents import to_scene
from vlt.synth.words.appearance import MANY, colour_shares

GOOD = (50, 40, 110, 100)


def test_a_whole_object_is_cut_out(tmp_path):
    [cutout] = find_cutouts(write_photo(tmp_path, (18, GOOD, GREEN, {})))
    assert (cutout.noun, cutout.category, cutout.borders) == ("dog", 2, frozenset())
    assert cutout.box[0] < GOOD[0] < GOOD[2] < cutout.box[2]


@pytest.mark.parametrize(
    "things",
    [
        [(18, (50, 40, 97, 140), GREEN, {})],  # narrow
        [(18, GOOD, GREEN, {"iscrowd": 1})],
        [(18, GOOD, GREEN, {"segmentation": []})],
        [(18, GOOD, GREEN, {"segmentation": [[50, 40, 110, 100, 112, 100, 52, 40]]})],  # thin
        [(18, (0, 0, 60, 60), GREEN, {})],  # cut off on two sides
        [(18, GOOD, GREEN, {}), (3, (60, 60, 80, 80), BLUE, {})],  # a part of it is a car too
        [(18, GOOD, GREEN, {"segmentation": [*rectangle(50, 40, 110, 65), *rectangle(50, 75, 110, 100)]})],  # in two
        [  # a car stands in its bay
            (
                18,
                GOOD,
                GREEN,
                {"segmentation": [[50, 40, 110, 40, 110, 60, 70, 60, 70, 80, 110, 80, 110, 100, 50, 100]]},
            ),
            (3, (70, 60, 110, 80), BLUE, {}),
        ],
    ],
)
def test_small_occluded_or_divided_objects_are_not_cut_out(tmp_path, things):
    assert not [cutout for cutout in find_cutouts(write_photo(tmp_path, *things)) if cutout.noun == "dog"]


def test_a_silhouette_is_not_cut_out():
    mask = np.zeros((100, 100), bool)
    mask[20:80, 20:80] = True

    class Photo:
        def __init__(self, colour):
            self.image = np.where(mask[..., None], colour, GRAY).astype(np.uint8)

        def read(self):
            return Picture(self.image, (Layer("bird", 0, mask, 3600.0),))

    assert not list(find_cutouts(Photo((8, 9, 8))))
    assert len(list(find_cutouts(Photo(striped((40, 40, 40), (100, 100)))))) == 1


def test_an_object_of_thin_stripes_is_not_cut_out():
    """Its reduced mask is empty."""
    mask = np.zeros((120, 120), bool)
    mask[10:110:3, 10:110] = True

    class Photo:
        def read(self):
            return Picture(striped((200, 40, 40), (120, 120)).astype(np.uint8), (Layer("fence", 0, mask, 3400.0),))

    assert not list(find_cutouts(Photo()))


def test_a_cutout_remembers_the_border_that_cut_it_off_and_flips_it(tmp_path):
    [cutout] = find_cutouts(write_photo(tmp_path, (18, (0, 40, 60, 100), GREEN, {})))
    patches = [cut(cutout, 60, flip=flip, rng=random.Random(0)) for flip in (False, True)]
    assert [patch.borders for patch in patches] == [{"left"}, {"right"}]
    assert np.array_equal(patches[0].layer.mask, patches[1].layer.mask[:, ::-1])
    assert np.array_equal(patches[0].image, patches[1].image[:, ::-1])
    assert patches[0].layer.mask[30, 0]  # not faded where the photo ended


def test_one_of_many_objects_is_distinguishable_once_it_is_pasted_elsewhere(tmp_path):
    boxes = [(14 * i, 5, 14 * i + 9, 30) for i in range(MANY)]
    source = write_photo(tmp_path, (18, GOOD, GREEN, {}), *((18, box, GREEN, {}) for box in boxes))
    assert not any(thing.salient for thing in to_scene(source.read()).objects)
    [cutout] = find_cutouts(source)
    canvas = Canvas(Picture(np.full((160, 200, 3), GRAY, np.uint8), ()), random.Random(0))
    canvas.paste(cutout, 70, 1.0)
    assert [thing.salient for thing in to_scene(canvas.picture()).objects] == [True]


def test_the_soft_edge_lies_within_the_object(tmp_path):
    [cutout] = find_cutouts(write_photo(tmp_path, (18, GOOD, GREEN, {})))
    patch = cut(cutout, int(cutout.longest), flip=False, rng=random.Random(0))
    is_old = np.abs(patch.image.astype(int) - patch.image[0, 0].astype(int)).sum(axis=-1) < 30
    assert patch.layer.mask.any()
    assert not (is_old & patch.layer.mask).any()
    assert len(np.unique(patch.opacity)) > 3


@pytest.mark.parametrize(
    ("colour", "name"),
    [((190, 20, 25), "red"), ((30, 140, 50), "green"), ((20, 60, 200), "blue"), ((245, 245, 245), "white"),
     ((225, 190, 40), "yellow"), ((20, 20, 22), "black"), ((130, 70, 160), "purple")],
)  # fmt: skip
def test_photometric_augmentation_keeps_the_names_of_colours(colour, name):
    image = np.full((4, 4, 3), colour, np.uint8)
    shares = [colour_shares(vary_light(image, random.Random(seed)), np.ones((4, 4), bool)) for seed in range(40)]
    assert sum(share == {name: 1.0} for share in shares) >= 36
