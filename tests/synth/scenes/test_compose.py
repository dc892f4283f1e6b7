"""Composed scenes: where cutouts are pasted, what remains visible, and new scenes for each epoch of a run."""

import json
import random
from dataclasses import replace
from typing import get_type_hints

import numpy as np
import pytest
from scenes_fixture import (
    GRAY,
    GREEN,
    MAGENTA,
    coco_sources,
    same_picture,
    sides,
    striped,
    two_chairs,
    write_both,
    write_photo,
)

from vlt.config import ComposeConfig, parse_config
from vlt.data.masks import mask_box, read_targets
from vlt.data.referrals import image_key
from vlt.errors import DataError
from vlt.prepare.fashion import FashionPhoto, read_fashion
from vlt.prepare.scenes import SetImage, prepare_scenes
from vlt.prepare.sources import CocoPhoto, read_fresh_scenes
from vlt.synth.scenes.compose import MAX_HIDDEN, Canvas, ComposedScenes, FreshScenes, Plan
from vlt.synth.scenes.cutout import Cutout, Patch, find_cutouts
from vlt.synth.scenes.picture import LONGEST, MIN_PRESENT, Layer, Picture
from vlt.synth.scenes.referents import refer_to_nothing
from vlt.train import train
from vlt.train.data import load_data


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    instances, images, people = write_both(tmp_path_factory.mktemp("compose"))
    train, _ = sides(4)
    photos = [source for source in coco_sources(instances, images) if source.id in train]
    return photos, [source for source in read_fashion(people, 0) if source.id in train]


@pytest.mark.parametrize(
    "value",
    [Layer, Picture, Cutout, Patch, Plan, FreshScenes, CocoPhoto, FashionPhoto, SetImage],
    ids=lambda v: v.__name__,
)
def test_type_hints_of_values_can_be_resolved(value):
    assert get_type_hints(value)


def test_a_referral_to_nothing_has_no_target(tmp_path):
    picture = write_photo(tmp_path, *two_chairs()).read()
    [nothing] = refer_to_nothing(picture, picture.image, random.Random(0))
    assert nothing.targets == ()
    assert nothing.expressions
    assert (nothing.category, nothing.box, nothing.standing) == (-1, None, None)


# ---------------------------------------------------------------- composed scenes


def test_a_scene_is_a_function_of_seed_and_index(composed):
    scenes, again = (ComposedScenes(6, *composed, seed=3) for _ in range(2))
    backwards = [again[i] for i in reversed(range(6))][::-1]
    assert all(same_picture(scenes[i], backwards[i]) for i in range(6))
    assert same_picture(scenes[-1], scenes[5])
    assert [same_picture(a, b) for a, b in zip(scenes[1:3], [scenes[1], scenes[2]], strict=True)] == [True, True]
    assert not np.array_equal(scenes[0].image, ComposedScenes(6, *composed, seed=4)[0].image)
    with pytest.raises(IndexError, match="there are 6 scenes, no scene 6"):
        scenes[6]


def test_objects_do_not_overlap_and_enough_of_each_is_visible(composed):
    for picture in ComposedScenes(25, *composed, seed=0):
        assert max(picture.size) == LONGEST
        assert np.sum([layer.mask for layer in picture.layers], axis=0).max() == 1
        assert all(layer.visible_fraction >= MIN_PRESENT for layer in picture.layers)
        assert sum(layer.visible_fraction > 1 - MAX_HIDDEN - 0.01 for layer in picture.layers) >= 2


@pytest.mark.parametrize(("kind", "least"), [("same", 2), ("people", 2), ("mixed", 0)])
def test_a_scene_has_several_objects_of_a_category(composed, monkeypatch, kind, least):
    monkeypatch.setattr("vlt.synth.scenes.compose.SHARES", {kind: 1.0})
    for picture in ComposedScenes(12, *composed, seed=1):
        nouns = [layer.noun for layer in picture.layers]
        assert max(map(nouns.count, nouns)) >= least
        if kind == "people":
            assert nouns.count("woman") >= 2
            assert all(layer.garments for layer in picture.layers if layer.noun == "woman")


def test_occluded_pixels_are_removed_from_the_mask(tmp_path):
    source = write_photo(tmp_path, *two_chairs())
    [cutout, *_] = find_cutouts(source)
    before = source.read()
    for seed in range(20):
        canvas = Canvas(before, random.Random(seed))
        canvas.paste(cutout, 60, 1.0)
        picture = canvas.picture()
        if canvas.pasted:
            *covered, pasted = picture.layers
            assert pasted.visible_fraction == 1
            changed = (picture.image != before.image).any(axis=-1)
            assert changed[pasted.mask].mean() > 0.5
            for old, new in zip(before.layers, covered, strict=len(covered) == 2):
                assert np.array_equal(new.mask, old.mask & ~pasted.mask)
    assert all(layer.visible_fraction == 1 for layer in before.layers)  # the photo itself stays


def test_nothing_is_pasted_where_it_would_hide_too_much():
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


def test_nearer_objects_are_larger_and_lower(tmp_path):
    source = write_photo(tmp_path, *two_chairs())
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
def test_a_cutout_at_a_border_is_pasted_at_the_same_border(tmp_path, box, side):
    [cutout] = find_cutouts(write_photo(tmp_path, (18, box, GREEN, {})))
    empty = Picture(np.full((300, 400, 3), GRAY, np.uint8), ())
    edges = (0, 0, 400, 300)
    for seed in range(10):
        canvas = Canvas(empty, random.Random(seed))
        canvas.paste(cutout, 80, 0.5)
        found = mask_box(canvas.picture().layers[0].mask)
        flipped = {0: 2, 2: 0}.get(side, side)
        assert edges[side] == found[side] or edges[flipped] == found[flipped]


def test_cutouts_that_never_fit_are_an_error(composed, monkeypatch):
    photos, people = composed
    monkeypatch.setattr("vlt.synth.scenes.compose.SHARES", {"people": 1.0})
    with pytest.raises(DataError, match="In 20 attempts, no two cutouts fitted"):
        ComposedScenes(1, photos, [], seed=0)[0]
    assert len(ComposedScenes(0, [], people, seed=0)) == 0


# ---------------------------------------------------------------- new scenes in each epoch


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    instances, images, people = write_both(tmp_path_factory.mktemp("fresh"))
    return ComposeConfig(instances=instances, images=images, people=people, scenes=4, referents=2)


def read(config, **options):
    return read_fresh_scenes(config, **{"epochs": 3, "seed": 0, "excluded": (), "first_id": 100, **options})


def test_each_epoch_has_scenes_of_its_own(config):
    fresh = read(config)
    epochs = [list(fresh.of_epoch(epoch)) for epoch in range(3)]
    assert [len(each) for each in epochs] == [len(fresh)] * 3 == [8, 8, 8]
    images = {each.image.tobytes() for epoch in epochs for each in epoch}
    assert len(images) == 12
    ids = {each.ref_id for epoch in epochs for each in epoch}
    assert min(ids) >= 100


def test_an_item_depends_neither_on_the_order_of_access_nor_on_the_number_of_epochs(config):
    one, other = read(config).of_epoch(1), read(config, epochs=9).of_epoch(1)
    for index in (5, 0, 3):
        assert np.array_equal(one[index].image, other[index].image)
        assert (one[index].ref_id, one[index].expressions) == (other[index].ref_id, other[index].expressions)
    another = read(config, seed=1).of_epoch(1)
    assert not np.array_equal(one[0].image, another[0].image)


def test_referents_of_a_scene_share_it_and_its_number(config):
    referrals = read(config).of_epoch(2)
    for scene in range(4):
        one, other = referrals[2 * scene : 2 * scene + 2]
        assert one.image is other.image
        assert one.scene == other.scene == 8 + scene
        assert (one.ref_id == other.ref_id) == (one.targets == other.targets)
        assert read_targets(one.targets, (1, 1)).shape == one.image.shape[:2]
    assert referrals.scene_numbers == [image_key(each) for each in referrals]


def test_no_pixel_of_a_validation_image_is_in_them(config):
    for each in read(config).of_epoch(0):
        assert (np.abs(each.image.astype(int) - MAGENTA).sum(axis=-1) > 150).all()


def test_images_of_other_splits_are_left_out_by_the_number_in_their_file_name(config):
    every = read(config).description
    one = next(path for path in sorted(config.images.iterdir()) if f"'{path.name}'" in every)
    coco_name = f"COCO_train2014_{int(one.stem):012}.jpg"
    assert f"'{one.name}'" not in read(config, excluded={coco_name}).description
    person = next(path for path in sorted((config.people / "images").iterdir()) if f"'{path.name}'" in every)
    assert f"'{person.name}'" not in read(config, excluded={f"people/{person.name}"}).description
    with pytest.raises(DataError, match="No object of the images is large and unoccluded"):
        read(config, excluded={path.name for path in config.images.iterdir()})


def test_they_are_appended_to_other_referrals(config):
    fresh = read(config)
    others = list(fresh.of_epoch(0))[:3]
    joined = fresh.beside(others, 1)
    assert len(joined) == 3 + 8
    assert list(joined)[:3] == others
    assert joined[3].ref_id == fresh.of_epoch(1)[0].ref_id
    assert joined[-1].scene == 7
    with pytest.raises(IndexError):
        joined[11]


def test_a_run_trains_on_them_beside_its_data_set(config, tiny_config, tmp_path):
    prepare_scenes(config.instances, config.images, tmp_path, name="set", scenes=2, crops=1)
    run = parse_config(
        {
            "model": tiny_config.model.model_dump(mode="json"),
            "data": {
                "root": str(tmp_path),
                "dataset": "set",
                "images": str(tmp_path / "images" / "set"),
                "name": "refer",
                "compose": config.model_dump(mode="json"),
            },
            "train": {"epochs": 2, "batch_size": 4, "by_photo": True, "pictures": 0, "workers": 1},
            "output_dir": str(tmp_path / "run"),
        },
        "test",
    )
    data = load_data(run)
    assert data.count == len(data.train) + 8
    first, second = (data.samples(run, epoch) for epoch in range(2))
    assert len(first) == data.count
    last = len(first) - 1
    assert not np.array_equal(first[last].referral.image, second[last].referral.image)
    for epoch in range(2):  # what shares a scene stands together
        places = [place for place in data.order(run, epoch) if place >= len(data.train)]
        assert [(a - len(data.train)) // 2 for a in places[::2]] == [(b - len(data.train)) // 2 for b in places[1::2]]
    train(run)
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history] == [data.steps_per_epoch(run), 2 * data.steps_per_epoch(run)]
    other = run.model_copy(update={"data": run.data.model_copy(update={"compose": None})})
    assert load_data(other).fingerprint != data.fingerprint


def test_fresh_scenes_have_shares_of_referrals_to_several_objects_and_to_none(config):
    plain, varied = read(config), read(config.model_copy(update={"several": 0.6, "absent": 0.2}), epochs=3)
    found = [each for epoch in range(3) for each in varied.of_epoch(epoch)]
    counts = [len(each.targets) for each in found]
    assert 0 in counts
    assert max(counts) > 1
    assert varied.description != plain.description
    assert "several" not in plain.description
    again = [each for epoch in range(3) for each in varied.of_epoch(epoch)]
    assert [(each.ref_id, each.expressions, each.box) for each in found] == [
        (each.ref_id, each.expressions, each.box) for each in again
    ]
    assert all(len(each.targets) == 1 for epoch in range(3) for each in plain.of_epoch(epoch))
