"""Scenes composed while training: new in each epoch, the same whenever asked for, none with a validation photo."""

import json

import numpy as np
import pytest
from scenes_fixture import MAGENTA, write_both

from vlt.config import ComposeConfig, parse_config
from vlt.data.compose.fresh import read_fresh_scenes
from vlt.data.compose.prepare import prepare_scenes
from vlt.data.dataset import photo_key
from vlt.data.masks import read_target
from vlt.errors import DataError
from vlt.train import train
from vlt.train.setup import load_data


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    instances, images, people = write_both(tmp_path_factory.mktemp("fresh"))
    return ComposeConfig(instances=instances, images=images, people=people, scenes=4, referents=2)


def read(config, **options):
    return read_fresh_scenes(config, **{"epochs": 3, "seed": 0, "judged": (), "first_id": 100, **options})


def test_each_epoch_has_scenes_of_its_own(config):
    fresh = read(config)
    epochs = [list(fresh.of_epoch(epoch)) for epoch in range(3)]
    assert [len(each) for each in epochs] == [len(fresh)] * 3 == [8, 8, 8]
    images = {each.image.tobytes() for epoch in epochs for each in epoch}
    assert len(images) == 12
    ids = {each.ref_id for epoch in epochs for each in epoch}
    assert min(ids) >= 100


def test_an_item_is_the_same_whenever_it_is_asked_for_and_however_long_the_run_is(config):
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
        assert (one.ref_id == other.ref_id) == (one.target == other.target)
        assert read_target(one.target).shape == one.image.shape[:2]
    assert referrals.photos == [photo_key(each) for each in referrals]


def test_nothing_of_a_validation_photo_is_in_them(config):
    for each in read(config).of_epoch(0):
        assert (np.abs(each.image.astype(int) - MAGENTA).sum(axis=-1) > 150).all()


def test_photos_of_other_splits_are_left_out_whichever_way_they_are_called(config):
    every = read(config).description
    one = next(path for path in sorted(config.images.iterdir()) if f"'{path.name}'" in every)
    judged = f"COCO_train2014_{int(one.stem):012}.jpg"
    assert f"'{one.name}'" not in read(config, judged={judged}).description
    person = next(path for path in sorted((config.people / "images").iterdir()) if f"'{path.name}'" in every)
    assert f"'{person.name}'" not in read(config, judged={f"people/{person.name}"}).description
    with pytest.raises(DataError, match="No photo has a thing"):
        read(config, judged={path.name for path in config.images.iterdir()})


def test_beside_others_they_stand_behind_them(config):
    fresh = read(config)
    others = list(fresh.of_epoch(0))[:3]
    joined = fresh.beside(others, 1)
    assert len(joined) == 3 + 8
    assert list(joined)[:3] == others
    assert joined[3].ref_id == fresh.of_epoch(1)[0].ref_id
    assert joined[-1].scene == 7
    with pytest.raises(IndexError):
        joined[11]


def test_a_run_learns_from_them_beside_its_data_set(config, tiny_config, tmp_path):
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
    assert [entry["step"] for entry in history] == [data.steps(run), 2 * data.steps(run)]
    other = run.model_copy(update={"data": run.data.model_copy(update={"compose": None})})
    assert load_data(other).fingerprint != data.fingerprint
