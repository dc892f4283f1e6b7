"""Pictures, crops, cutouts and composed scenes: what is seen of each thing, what is cut out, where it is pasted."""

import random
from dataclasses import replace

import numpy as np
import pytest
from scenes_fixture import (
    BLUE,
    GRAY,
    GREEN,
    rectangle,
    sides,
    striped,
    two_cars_and_a_dog,
    two_chairs,
    write_both,
    write_coco,
)

from vlt.data.compose.canvas import COVERED, Canvas
from vlt.data.compose.crop import LONGEST, background, crop
from vlt.data.compose.cutout import cut
from vlt.data.compose.eligible import find_cutouts
from vlt.data.compose.fashion import read_fashion
from vlt.data.compose.picture import GONE, SEEN, Layer, Picture
from vlt.data.compose.scenes import ComposedScenes
from vlt.data.compose.sources import CocoPhoto
from vlt.data.masks import mask_box
from vlt.data.photo import lit
from vlt.data.prepare.coco_scenes import MANY, CocoScenes, read_instances
from vlt.data.prepare.colour import colour_shares
from vlt.errors import DataError


def sources(instances, images):
    found = CocoScenes(read_instances(instances), images)
    return [CocoPhoto(scene, images / scene.photo.file_name, found.categories) for scene in found]


def photo(root, *things):
    """A photo of these things as a source."""
    [source] = sources(*write_coco(root, {sides(1)[0][0]: list(things)}))
    return source


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    instances, images, people = write_both(tmp_path_factory.mktemp("compose"))
    train, _ = sides(4)
    photos = [source for source in sources(instances, images) if source.id in train]
    return photos, [source for source in read_fashion(people, 0) if source.id in train]


def same(one, other):
    return np.array_equal(one.image, other.image) and all(
        np.array_equal(a.mask, b.mask) for a, b in zip(one.layers, other.layers, strict=True)
    )


# ---------------------------------------------------------------- pictures


def test_a_view_remembers_how_much_of_a_thing_there_was(tmp_path):
    picture = photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {})).read()
    half = picture.view((80, 40, 140, 100), 120)
    [layer] = half.layers
    assert half.size == (120, 120)
    assert layer.seen == pytest.approx(0.5, abs=0.02)
    assert mask_box(layer.mask) == (0, 0, 60, 120)
    assert half.view((30, 0, 60, 60), 60).layers[0].seen == pytest.approx(0.5 * 0.5 * 0.5, abs=0.02)
    assert picture.view((120, 0, 160, 30), 60).layers == ()


@pytest.mark.parametrize(("left", "noticed"), [(50, True), (70, True), (85, False), (100, False)])
def test_what_is_cut_off_by_too_much_is_not_spoken_of(tmp_path, left, noticed):
    picture = photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {})).read()
    [thing] = picture.view((left, 0, 200, 160), 300).scene().things
    assert ((110 - left) / 60 >= SEEN) is noticed
    assert thing.noticed is noticed


def test_small_things_become_large_enough_in_a_crop(tmp_path):
    picture = photo(tmp_path, (18, (50, 40, 58, 48), GREEN, {})).read()
    assert not picture.scene().things[0].noticed
    assert picture.view((30, 20, 90, 80), LONGEST).scene().things[0].noticed


def test_of_too_many_none_is_told_apart_in_a_crop_either(tmp_path):
    boxes = [(12 * i, 10, 12 * i + 9, 40) for i in range(MANY + 1)]
    picture = photo(tmp_path, *((18, box, GREEN, {}) for box in boxes)).read()
    things = picture.view((0, 0, 60, 50), LONGEST).scene().things
    assert len(things) == 5
    assert not any(thing.noticed for thing in things)


def test_a_thing_without_outline_fills_its_box_and_is_never_meant(tmp_path):
    picture = photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {"segmentation": []})).read()
    [thing] = picture.scene().things
    assert thing.box == (50, 40, 110, 100)
    assert not thing.may_be_meant


def test_what_lies_outside_the_photo_is_not_there(tmp_path):
    changes = {"segmentation": [], "bbox": [300, 10, 20, 20]}
    assert photo(tmp_path, (18, (50, 40, 110, 100), GREEN, changes)).read().layers == ()


def test_a_mirrored_picture_has_left_and_right_swapped(tmp_path):
    picture = photo(tmp_path, (18, (50, 40, 110, 100), GREEN, {})).read()
    mirrored = picture.mirrored()
    assert mask_box(mirrored.layers[0].mask) == (picture.size[1] - 110, 40, picture.size[1] - 50, 100)
    assert np.array_equal(mirrored.image, np.fliplr(picture.image))
    assert same(mirrored.mirrored(), picture)


def test_garments_are_mirrored_with_their_person():
    image, left = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), bool)
    left[:, :2] = True
    person = Layer("person", 0, left, 8.0, garments={"hat": left})
    [mirrored] = Picture(image, (person,)).mirrored().layers
    assert np.array_equal(mirrored.garments["hat"], mirrored.mask)


@pytest.mark.parametrize("part", [crop, background])
def test_parts_are_mirrored_now_and_then(tmp_path, part):
    """What is red on its left half alone, in any part that holds both halves."""
    split = np.zeros((60, 90, 3), np.uint8)
    split[:, :45, 0] = 255
    parts = [part(Picture(split, ()), random.Random(seed)).image[..., 0] for seed in range(40)]
    leftish = [view[:, :10].mean() > view[:, -10:].mean() for view in parts if 60 < view.mean() < 200]
    assert len(leftish) > 10
    assert 0.2 < np.mean(leftish) < 0.8


@pytest.mark.parametrize("part", [crop, background])
@pytest.mark.parametrize("seed", range(8))
def test_parts_lie_in_the_photo(tmp_path, part, seed):
    picture = photo(tmp_path, *two_cars_and_a_dog()).read()
    view = part(picture, random.Random(seed))
    assert max(view.size) == LONGEST
    assert same(view, part(picture, random.Random(seed)))
    assert all(0 < layer.seen <= 1.03 for layer in view.layers)


def test_a_crop_holds_one_of_the_things(tmp_path):
    picture = photo(tmp_path, (18, (2, 2, 30, 30), GREEN, {})).read()
    assert all(crop(picture, random.Random(seed)).layers for seed in range(20))
    empty = Picture(picture.image, ())
    assert crop(empty, random.Random(0)).layers == ()


# ---------------------------------------------------------------- cutouts


GOOD = (50, 40, 110, 100)


def test_a_whole_thing_is_cut_out(tmp_path):
    [cutout] = find_cutouts(photo(tmp_path, (18, GOOD, GREEN, {})))
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
def test_what_would_look_wrong_elsewhere_is_not_cut_out(tmp_path, things):
    assert not [cutout for cutout in find_cutouts(photo(tmp_path, *things)) if cutout.noun == "dog"]


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


def test_one_border_is_kept_in_mind_and_mirrored(tmp_path):
    [cutout] = find_cutouts(photo(tmp_path, (18, (0, 40, 60, 100), GREEN, {})))
    patches = [cut(cutout, 60, flip=flip, rng=random.Random(0)) for flip in (False, True)]
    assert [patch.borders for patch in patches] == [{"left"}, {"right"}]
    assert np.array_equal(patches[0].layer.mask, patches[1].layer.mask[:, ::-1])
    assert np.array_equal(patches[0].image, patches[1].image[:, ::-1])
    assert patches[0].layer.mask[30, 0]  # not faded where the photo ended


def test_one_of_many_can_be_told_once_it_is_elsewhere(tmp_path):
    boxes = [(14 * i, 5, 14 * i + 9, 30) for i in range(MANY)]
    source = photo(tmp_path, (18, GOOD, GREEN, {}), *((18, box, GREEN, {}) for box in boxes))
    assert not any(thing.noticed for thing in source.read().scene().things)
    [cutout] = find_cutouts(source)
    canvas = Canvas(Picture(np.full((160, 200, 3), GRAY, np.uint8), ()), random.Random(0))
    canvas.paste(cutout, 70, 1.0)
    assert [thing.noticed for thing in canvas.picture().scene().things] == [True]


def test_edges_fade_within_the_thing(tmp_path):
    [cutout] = find_cutouts(photo(tmp_path, (18, GOOD, GREEN, {})))
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
def test_light_leaves_colours_their_names(colour, name):
    image = np.full((4, 4, 3), colour, np.uint8)
    shares = [colour_shares(lit(image, random.Random(seed)), np.ones((4, 4), bool)) for seed in range(40)]
    assert sum(share == {name: 1.0} for share in shares) >= 36


# ---------------------------------------------------------------- composed scenes


def test_a_scene_is_a_function_of_seed_and_index(composed):
    scenes, again = (ComposedScenes(6, *composed, seed=3) for _ in range(2))
    backwards = [again[i] for i in reversed(range(6))][::-1]
    assert all(same(scenes[i], backwards[i]) for i in range(6))
    assert same(scenes[-1], scenes[5])
    assert [same(a, b) for a, b in zip(scenes[1:3], [scenes[1], scenes[2]], strict=True)] == [True, True]
    assert not np.array_equal(scenes[0].image, ComposedScenes(6, *composed, seed=4)[0].image)
    with pytest.raises(IndexError, match="there are 6 scenes, no scene 6"):
        scenes[6]


def test_things_do_not_share_pixels_and_enough_is_seen_of_each(composed):
    for picture in ComposedScenes(25, *composed, seed=0):
        assert max(picture.size) == LONGEST
        assert np.sum([layer.mask for layer in picture.layers], axis=0).max() == 1
        assert all(layer.seen >= GONE for layer in picture.layers)
        assert sum(layer.seen > 1 - COVERED - 0.01 for layer in picture.layers) >= 2


@pytest.mark.parametrize(("kind", "least"), [("same", 2), ("people", 2), ("mixed", 0)])
def test_there_are_several_of_a_kind(composed, monkeypatch, kind, least):
    monkeypatch.setattr("vlt.data.compose.scenes.SHARES", {kind: 1.0})
    for picture in ComposedScenes(12, *composed, seed=1):
        nouns = [layer.noun for layer in picture.layers]
        assert max(map(nouns.count, nouns)) >= least
        if kind == "people":
            assert nouns.count("woman") >= 2
            assert all(layer.garments for layer in picture.layers if layer.noun == "woman")


def test_what_is_hidden_of_a_thing_is_no_longer_in_its_mask(tmp_path):
    source = photo(tmp_path, *two_chairs())
    [cutout, *_] = find_cutouts(source)
    before = source.read()
    for seed in range(20):
        canvas = Canvas(before, random.Random(seed))
        canvas.paste(cutout, 60, 1.0)
        picture = canvas.picture()
        if canvas.pasted:
            *covered, pasted = picture.layers
            assert pasted.seen == 1
            changed = (picture.image != before.image).any(axis=-1)
            assert changed[pasted.mask].mean() > 0.5
            for old, new in zip(before.layers, covered, strict=len(covered) == 2):
                assert np.array_equal(new.mask, old.mask & ~pasted.mask)
    assert all(layer.seen == 1 for layer in before.layers)  # the photo itself stays


def test_nothing_is_pasted_where_it_would_hide_half_of_everything():
    everywhere = np.ones((100, 100), bool)
    wall = Picture(striped(GRAY, (100, 100)).astype(np.uint8), (Layer("wall", 0, everywhere, 10_000.0),))

    class Wall:
        def read(self):
            mask = np.zeros((100, 100), bool)
            mask[5:95, 5:95] = True
            return replace(wall, layers=(Layer("poster", 1, mask, 8100.0),))

    [poster] = find_cutouts(Wall())
    canvas = Canvas(wall, random.Random(0))
    canvas.paste(poster, 90, 1.0)
    assert canvas.pasted == 0
    canvas.paste(poster, 45, 1.0)
    assert canvas.pasted == 1


def test_nearer_is_larger_and_lower(tmp_path):
    source = photo(tmp_path, *two_chairs())
    [cutout, *_] = find_cutouts(source)
    empty = Picture(np.full((300, 400, 3), GRAY, np.uint8), ())
    boxes = []
    for depth in (0.0, 1.0):
        canvas = Canvas(empty, random.Random(5))
        canvas.paste(cutout, 150, depth)
        boxes.append(mask_box(canvas.picture().layers[0].mask))
    far, near = boxes
    assert near[3] - near[1] > 1.5 * (far[3] - far[1])
    assert near[3] > far[3] + 30


@pytest.mark.parametrize(
    ("box", "side"), [((0, 40, 60, 100), 0), ((70, 0, 130, 60), 1), ((140, 30, 200, 90), 2), ((70, 90, 130, 160), 3)]
)
def test_what_its_photo_cut_off_is_cut_off_by_the_same_border(tmp_path, box, side):
    [cutout] = find_cutouts(photo(tmp_path, (18, box, GREEN, {})))
    empty = Picture(np.full((300, 400, 3), GRAY, np.uint8), ())
    edges = (0, 0, 400, 300)
    for seed in range(10):
        canvas = Canvas(empty, random.Random(seed))
        canvas.paste(cutout, 80, 0.5)
        found = mask_box(canvas.picture().layers[0].mask)
        mirrored = {0: 2, 2: 0}.get(side, side)
        assert edges[side] == found[side] or edges[mirrored] == found[mirrored]


def test_photos_that_never_fit_say_so(composed, monkeypatch):
    photos, people = composed
    monkeypatch.setattr("vlt.data.compose.scenes.SHARES", {"people": 1.0})
    with pytest.raises(DataError, match="In 20 attempts no two cutouts fitted"):
        ComposedScenes(1, photos, [], seed=0)[0]
    assert len(ComposedScenes(0, [], people, seed=0)) == 0
