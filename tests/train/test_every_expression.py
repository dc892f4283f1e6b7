"""Every expression as a sample of its own, with `train.every_expression`."""

from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from vlt.checkpoint import read_pointer
from vlt.errors import ConfigError
from vlt.train import data as training_data
from vlt.train import train
from vlt.train.data import load_data

EVERY = {"every_expression": True, "by_photo": True}


def _several(small, folder, *, train=None, **sections):
    """A run on six scenes of two objects with several expressions each."""
    scenes = {"train_scenes": 6, "referents": 2}
    return small(folder, train=EVERY | (train or {}), data=scenes, **sections)


def test_an_epoch_has_every_expression_once_and_those_of_an_image_together(small, tmp_path):
    plain, every = _several(small, tmp_path, train={"every_expression": False}), _several(small, tmp_path)
    referrals, data = load_data(plain).train, load_data(every)
    expressions = {(one.ref_id, each) for one in referrals for each in one.expressions}
    assert data.count == len(expressions) > len(referrals) == 12
    assert data.steps_per_epoch(every) == len(expressions) // 4
    order = data.order(every, 1)
    drawn = [data.samples(every, 1)[index] for index in order]
    assert len(order) == len(expressions)
    assert {(sample.referral.ref_id, sample.expression) for sample in drawn} == expressions
    scenes = [sample.referral.scene for sample in drawn]
    runs = [scene for place, scene in enumerate(scenes) if not place or scenes[place - 1] != scene]
    assert len(runs) == len(set(scenes)) == 6
    assert Counter(scenes) != Counter(range(6))


def test_the_fingerprint_is_that_of_the_data(small, tmp_path):
    assert (
        load_data(_several(small, tmp_path)).fingerprint
        == load_data(small(tmp_path, data={"train_scenes": 6, "referents": 2})).fingerprint
    )


def test_an_interrupted_run_of_every_expression_ends_with_the_same_parameters(small, tmp_path, monkeypatch):
    whole, parted = (
        _several(small, tmp_path / name, train={"epochs": 1, "save_every_steps": 2}) for name in ("whole", "parted")
    )
    train(whole)
    steps = load_data(parted).steps_per_epoch(parted)
    assert steps > 3
    collate, calls = training_data.Collate.__call__, []

    def interrupt(self, samples):
        calls.append(samples)
        if len(calls) == 4:
            raise RuntimeError("interrupted")
        return collate(self, samples)

    with monkeypatch.context() as patch:
        patch.setattr(training_data.Collate, "__call__", interrupt)
        with pytest.raises(RuntimeError, match="interrupted"):
            train(parted)
    train(parted)
    one, other = (
        load_file(run.output_dir / "checkpoints" / read_pointer(run.output_dir, "last") / "weights.safetensors")
        for run in (whole, parted)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_larger_than_an_epoch_names_the_number_of_expressions(small, tmp_path):
    count = load_data(_several(small, tmp_path)).count
    with pytest.raises(ConfigError, match=rf"'train' has {count} expressions, too few .* take at most {count}\."):
        load_data(_several(small, tmp_path, train={"batch_size": 500}))


def test_every_expression_is_refused_with_two_views_of_each_referral(small, tmp_path):
    with pytest.raises(ConfigError, match=r"every_expression gives each sample one .*contrast compares two"):
        _several(small, tmp_path, loss={"contrast": {"weight": 1.0}})


def test_scenes_that_do_not_fit_into_memory_are_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr(training_data, "MAX_CACHED_BYTES", 1000)
    with pytest.raises(ConfigError, match=r"keeps all scenes in memory, but 12 .* draw fewer or smaller"):
        load_data(_several(small, tmp_path))
