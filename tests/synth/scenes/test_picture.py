"""Pictures: visible fractions, descriptions for the grammar, horizontal flips, random crops and backgrounds."""

import random

import numpy as np
import pytest
from scenes_fixture import GREEN, same_picture, two_cars_and_a_dog, write_photo

from vlt.data.masks import mask_box
from vlt.synth.scenes.picture import LONGEST, Layer, Picture, random_background, random_crop
from vlt.synth.scenes.referents import MIN_VISIBLE, to_scene
from vlt.synth.words.appearance import MANY


def test_a_view_keeps_the_visible_fraction_relative_to_the_whole_object(tmp_path):
    picture = write_photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {})).read()
    half = picture.view((80, 40, 140, 100), 120)
    [layer] = half.layers
    assert half.size == (120, 120)
    assert layer.visible_fraction == pytest.approx(0.5, abs=0.02)
    assert mask_box(layer.mask) == (0, 0, 60, 120)
    assert half.view((30, 0, 60, 60), 60).layers[0].visible_fraction == pytest.approx(0.5 * 0.5 * 0.5, abs=0.02)
    assert picture.view((120, 0, 160, 30), 60).layers == ()


@pytest.mark.parametrize(("left", "salient"), [(50, True), (70, True), (85, False), (100, False)])
def test_expressions_do_not_refer_to_objects_that_are_mostly_cut_off(tmp_path, left, salient):
    picture = write_photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {})).read()
    [thing] = to_scene(picture.view((left, 0, 200, 160), 300)).objects
    assert ((110 - left) / 60 >= MIN_VISIBLE) is salient
    assert thing.salient is salient


def test_small_objects_become_large_enough_in_a_crop(tmp_path):
    picture = write_photo(tmp_path, (18, (50, 40, 58, 48), GREEN, {})).read()
    assert not to_scene(picture).objects[0].salient
    assert to_scene(picture.view((30, 20, 90, 80), LONGEST)).objects[0].salient


def test_one_of_too_many_objects_is_not_referred_to_in_a_crop_either(tmp_path):
    boxes = [(12 * i, 10, 12 * i + 9, 40) for i in range(MANY + 1)]
    picture = write_photo(tmp_path, *((18, box, GREEN, {}) for box in boxes)).read()
    things = to_scene(picture.view((0, 0, 60, 50), LONGEST)).objects
    assert len(things) == 5
    assert not any(thing.salient for thing in things)


def test_an_object_without_mask_fills_its_box_and_is_not_referred_to(tmp_path):
    picture = write_photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {"segmentation": []})).read()
    [thing] = to_scene(picture).objects
    assert thing.box == (50, 40, 110, 100)
    assert not thing.can_be_target


def test_an_object_outside_the_image_is_left_out(tmp_path):
    changes = {"segmentation": [], "bbox": [300, 10, 20, 20]}
    assert write_photo(tmp_path, (18, (50, 40, 110, 100), GREEN, changes)).read().layers == ()


def test_a_flipped_picture_has_left_and_right_swapped(tmp_path):
    picture = write_photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {})).read()
    flipped = picture.flipped()
    assert mask_box(flipped.layers[0].mask) == (picture.size[1] - 110, 40, picture.size[1] - 50, 100)
    assert np.array_equal(flipped.image, np.fliplr(picture.image))
    assert same_picture(flipped.flipped(), picture)


def test_garments_are_flipped_with_their_person():
    image, left = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), bool)
    left[:, :2] = True
    person = Layer("person", 0, left, 8.0, garments={"hat": left})
    [flipped] = Picture(image, (person,)).flipped().layers
    assert np.array_equal(flipped.garments["hat"], flipped.mask)


@pytest.mark.parametrize("part", [random_crop, random_background])
def test_crops_and_backgrounds_are_flipped_at_random(tmp_path, part):
    """The image is red on its left half only; looks at the results that contain both halves."""
    split = np.zeros((60, 90, 3), np.uint8)
    split[:, :45, 0] = 255
    parts = [part(Picture(split, ()), random.Random(seed)).image[..., 0] for seed in range(40)]
    is_left = [view[:, :10].mean() > view[:, -10:].mean() for view in parts if 60 < view.mean() < 200]
    assert len(is_left) > 10
    assert 0.2 < np.mean(is_left) < 0.8


@pytest.mark.parametrize("part", [random_crop, random_background])
@pytest.mark.parametrize("seed", range(8))
def test_crops_and_backgrounds_lie_in_the_image(tmp_path, part, seed):
    picture = write_photo(tmp_path, *two_cars_and_a_dog()).read()
    view = part(picture, random.Random(seed))
    assert max(view.size) == LONGEST
    assert same_picture(view, part(picture, random.Random(seed)))
    assert all(0 < layer.visible_fraction <= 1.03 for layer in view.layers)


def test_a_crop_contains_an_object(tmp_path):
    picture = write_photo(tmp_path, (18, (2, 2, 30, 30), GREEN, {})).read()
    assert all(random_crop(picture, random.Random(seed)).layers for seed in range(20))
    empty = Picture(picture.image, ())
    assert random_crop(empty, random.Random(0)).layers == ()
