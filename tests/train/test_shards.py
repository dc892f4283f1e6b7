"""Training and evaluation on shards: as on the prepared set, and resumed to the last bit."""

from itertools import chain

import pytest
from run_fixture import assert_same, during_pass, history, state, terminate, weights
from shards_fixture import write_set

from vlt.dataset import load_referrals
from vlt.errors import TrainingError
from vlt.evaluate import evaluate
from vlt.evaluate.evaluation import Shard
from vlt.prepare import shards as writing
from vlt.train.data import RunBatches, RunSamples, load_data
from vlt.train.loop import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small):
    """A prepared set and the same set in shards, as sections `data`."""
    root = tmp_path_factory.mktemp("set")
    prepared = write_set(root)
    data = small(root, data=prepared).data
    splits = {split: load_referrals(data, split) for split in ("train", "val")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "GROUP_BYTES", 20_000)
        writing.write_shards(root / "shards", "squares", splits, shards=2)
    shards = {"name": "shards", "root": str(root / "shards"), "dataset": "squares", "streams": 2, "window": 2}
    return prepared, shards


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_asked_to_stop_goes_on_bit_by_bit(small, folder, tmp_path, workers):
    sections = {"data": {**folder[1], "flip": 0.5}, "train": {"workers": workers, "batch_size": 8, "accumulate": 2}}
    whole, parted = small(tmp_path / "whole", **sections), small(tmp_path / "parted", **sections)
    train(whole)
    with during_pass(9, terminate), pytest.raises(TrainingError, match="run the same command again"):
        train(parted)
    train(parted)
    assert_same(state(whole), state(parted))
    assert_same(weights(whole), weights(parted))
    assert history(whole) == history(parted)
    assert history(whole)[-1]["step"] == 12, "two epochs of 48 referrals"


def bright_pixels(images, texts):
    """A predictor whose masks depend on every pixel of the photo."""
    return [[image[..., 0] > 127] * len(some) for image, some in zip(images, texts, strict=True)]


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_results_are_those_of_the_prepared_set_on_any_number_of_processes(small, folder, tmp_path, world):
    prepared, shards = (load_referrals(small(tmp_path, data=data).data, "val") for data in folder)
    expected = evaluate(bright_pixels, prepared)
    parts = [evaluate(bright_pixels, shards, shard=Shard(rank, world)).results for rank in range(world)]
    found = {each.sent_id: each for each in chain(*parts)}
    assert sum(map(len, parts)) == len(found) == 18
    assert found == {each.sent_id: each for each in expected.results}


@pytest.mark.parametrize("world", [1, 2, 4])
def test_an_epoch_has_every_referral_once_on_any_number_of_processes(small, folder, tmp_path, world):
    config = small(tmp_path / "run", data={**folder[1], "streams": 4}, train={"batch_size": 8, "by_photo": True})
    data = load_data(config)
    samples = RunSamples(data, config)
    steps = [[] for _ in range(12)]
    for rank in range(world):
        for step, places in zip(steps, RunBatches(data, config, 0, rank, world), strict=True):
            step += [samples[place].referral.ref_id for place in places]
    whole = [[samples[place].referral.ref_id for place in batch] for batch in RunBatches(data, config, 0, 0, 1)]
    assert steps == whole, "a step has the same samples whatever the number of processes"
    assert sorted(chain(*steps[:6])) == sorted(chain(*steps[6:])) == list(range(48))


def test_processes_read_photos_of_their_own(small, folder, tmp_path):
    config = small(tmp_path / "run", data=folder[1], train={"epochs": 1, "batch_size": 8})
    data = load_data(config)
    read = [
        {data.train[place].image.block for batch in RunBatches(data, config, 0, rank, 2) for place in batch}
        for rank in (0, 1)
    ]
    assert len(read[0] | read[1]) == 8
    assert len(read[0] & read[1]) <= 1, "the one in which a stream ends and the next begins"


def test_other_streams_are_another_run(small, folder, tmp_path):
    train(small(tmp_path / "run", data=folder[1], train={"epochs": 1}))
    with pytest.raises(Exception, match=r"data\.streams"):
        train(small(tmp_path / "run", data={**folder[1], "streams": 3}, train={"epochs": 2}))
