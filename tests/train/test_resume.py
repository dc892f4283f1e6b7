import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from vlt.errors import CheckpointError, ConfigError, TrainingError
from vlt.train.resume import FORMAT, Progress, ResumeState, changed_keys, random_state, restore_random_state

CPU = torch.device("cpu")


def draws():
    return random.random(), np.random.random(), torch.rand(2).tolist(), torch.randn(3).tolist(), random.gauss(0, 1)


def test_random_states_come_back_in_the_middle_of_a_pair():
    random.gauss(0, 1)  # these three keep the second of a pair for later
    np.random.normal()
    torch.randn(1)
    state = random_state(CPU)
    first = draws()
    assert draws() != first
    restore_random_state(state, CPU)
    assert draws() == first


@pytest.fixture
def config(small, tmp_path):
    return small(tmp_path / "run", train={"schedule": {"name": "constant"}})


def make(config, path, *, fingerprint="same", accelerator=None):
    torch.manual_seed(1)
    part = nn.Linear(3, 3)
    state = ResumeState(path, accelerator or Accelerator(), config, fingerprint, {"network": part})
    return state, part


def test_a_state_comes_back(config, tmp_path):
    state, part = make(config, tmp_path / "state.pt")
    assert state.load() is None
    progress = Progress(epoch=2, step=5, sums={"total": 1.5}, history=[{"epoch": 1, "miou": 0.25}])
    state.save(progress)
    saved, drawn = part.weight.detach().clone(), draws()
    nn.init.zeros_(part.weight)
    assert state.load() == progress
    assert torch.equal(part.weight, saved)
    assert draws() == drawn


def test_an_interrupted_write_leaves_the_earlier_state(config, tmp_path, monkeypatch):
    state, _ = make(config, tmp_path / "state.pt")
    state.save(Progress(epoch=1))

    def crash(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(TrainingError, match="No space left on device; make room and run the same command again"):
        state.save(Progress(epoch=2))
    assert state.load() == Progress(epoch=1)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["state.pt"]


def test_harmless_keys_may_change(small, config):
    moved = small(
        Path("/elsewhere"),
        train={
            "schedule": {"name": "constant"},
            **{"workers": 3, "save_every_steps": 7, "log_every_steps": 1, "pictures": 0, "epochs": 9},
        },
        inference={"batch_size": 2},
    )
    assert changed_keys(config.model_dump(mode="json"), moved) == []


@pytest.mark.parametrize(
    ("sections", "change"),
    [
        ({"train": {"batch_size": 2}}, "train.batch_size: 4 -> 2"),
        ({"train": {"epochs": 1}}, "train.epochs: 2 -> 1"),
        ({"inference": {"threshold": 0.4}}, "inference.threshold: 0.5 -> 0.4"),
        ({"seed": 3}, "seed: 0 -> 3"),
        ({"data": {"train_scenes": 13}}, "data.train_scenes: 12 -> 13"),
        ({"model": {"num_queries": 3}}, "model.num_queries: 2 -> 3"),
    ],
)
def test_other_keys_are_named_with_both_values(small, config, tmp_path, sections, change):
    train = {"schedule": {"name": "constant"}, **sections.get("train", {})}
    changed = small(tmp_path / "run", **{**sections, "train": train})
    assert changed_keys(config.model_dump(mode="json"), changed) == [change]


def test_keys_younger_than_the_saved_configuration_stood_at_their_defaults(small, tmp_path):
    before = small(tmp_path / "run").model_dump(mode="json")
    del before["loss"]["contrast"]["negatives"], before["inference"]["flip"]
    assert changed_keys(before, small(tmp_path / "run")) == []
    flipped = small(tmp_path / "run", inference={"flip": True})
    assert changed_keys(before, flipped) == ["inference.flip: False -> True"]


def test_keys_that_were_renamed_since_are_the_same(small, tmp_path):
    before = small(tmp_path / "run", inference={"threshold": 0.4}).model_dump(mode="json")
    before["evaluate"] = {"threshold": 0.4, "mirror": False, "batch_size": 4, "half": "a", "select_by": "miou"}
    del before["inference"]
    now = small(tmp_path / "run", inference={"threshold": 0.4}, data={"val_split": "val_a"})
    assert changed_keys(before, now) == []


def test_a_longer_run_is_another_where_the_rate_depends_on_the_end(small, tmp_path):
    short = small(tmp_path / "run").model_dump(mode="json")
    assert changed_keys(short, small(tmp_path / "run", train={"epochs": 3})) == ["train.epochs: 2 -> 3"]


def test_other_data_are_refused_with_both_fingerprints(config, tmp_path):
    make(config, tmp_path / "state.pt")[0].save(Progress())
    with pytest.raises(ConfigError, match=r"data of the run .* \(fingerprint same, now other\)"):
        make(config, tmp_path / "state.pt", fingerprint="other")[0].load()


def test_each_process_takes_its_own_random_state_and_one_more_process_keeps_its_own(config, tmp_path):
    state, _ = make(config, tmp_path / "state.pt")
    states = []
    for seed in range(2):
        torch.manual_seed(seed)
        states.append((random_state(CPU), torch.rand(1)))
    state.save(Progress(epoch=1))
    content = torch.load(state.path, weights_only=True)
    torch.save({**content, "random": [each for each, _ in states]}, state.path)
    for rank, (_, drawn) in enumerate(states):
        of_rank = make(config, state.path, accelerator=SimpleNamespace(process_index=rank, device=CPU))[0]
        assert of_rank.load() == Progress(epoch=1)
        assert torch.equal(torch.rand(1), drawn)
    third = make(config, state.path, accelerator=SimpleNamespace(process_index=2, device=CPU))[0]
    before = torch.get_rng_state()
    assert third.load() == Progress(epoch=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_of_a_gpu_continues_on_a_cpu(config, tmp_path):
    state, _ = make(config, tmp_path / "state.pt")
    state.save(Progress(epoch=1))
    content = torch.load(state.path, weights_only=True)
    torch.save({**content, "random": [{**content["random"][0], "device": torch.zeros(16)}]}, state.path)
    assert state.load() == Progress(epoch=1)


def test_a_newer_format_is_refused(config, tmp_path):
    state, _ = make(config, tmp_path / "state.pt")
    state.save(Progress())
    torch.save({**torch.load(state.path, weights_only=True), "format": FORMAT + 1}, state.path)
    with pytest.raises(CheckpointError, match=f"resume format {FORMAT + 1}, but this vlt reads up to format {FORMAT}"):
        state.load()


@pytest.mark.parametrize("damage", [b"", b"not a state", b"PK\x03\x04" + b"\0" * 50])
def test_a_damaged_file_is_one_sentence(config, tmp_path, damage):
    state, _ = make(config, tmp_path / "state.pt")
    state.path.write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged \(") as error:
        state.load()
    assert "\n" not in str(error.value)


def test_progress_counts():
    progress = Progress()
    progress.count_step({"total": 1.0, "bce": 0.5})
    progress.count_step({"total": 2.0, "bce": 0.25})
    assert progress.mean_losses() == {"total": 1.5, "bce": 0.375}
    progress.finish_epoch()
    assert progress == Progress(epoch=1)
