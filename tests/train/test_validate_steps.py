"""Validation every N optimiser steps: what it writes, that it changes no weights, and that it survives interruption."""

import signal
import subprocess
import sys

import pytest
import torch
from run_fixture import assert_same, during_pass, history, state, terminate, weights

from vlt.checkpoint import load_checkpoint, read_pointer
from vlt.config import dump_config
from vlt.train import loop, train
from vlt.train.resume import Progress, ResumeState

EVERY_TWO = {
    "model": {"dropout": 0.3},
    "train": {"epochs": 2, "accumulate": 2, "ema": 0.9, "validate_every_steps": 2},
}
"""Three steps an epoch: validated after steps 2, 4 and 6, and at the end of the first epoch, step 3."""


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """A run that nothing interrupts, for tests that only read it."""
    config = small(tmp_path_factory.mktemp("steps") / "run", **EVERY_TWO)
    train(config)
    return config


def test_the_history_has_an_entry_for_each_validation_and_none_twice(whole):
    assert [(entry["epoch"], entry["step"]) for entry in history(whole)] == [(1, 2), (1, 3), (2, 4), (2, 6)]
    assert history(whole)[0].keys() == history(whole)[1].keys()


@pytest.mark.parametrize("workers", [0, 2])
def test_validations_within_an_epoch_do_not_change_the_training(small, tmp_path, whole, workers):
    changes = {"validate_every_steps": None, "workers": workers}
    plain = small(tmp_path / "run", **{**EVERY_TWO, "train": EVERY_TWO["train"] | changes})
    train(plain)
    assert_same(state(plain), state(whole))
    assert_same(weights(plain), weights(whole))
    ends = [entry for entry in history(whole) if entry["step"] % 3 == 0]
    assert history(plain) == ends


def test_losses_are_means_over_the_epoch_so_far(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1, "validate_every_steps": 1})
    seen, count_step = [], Progress.count_step

    def count(progress, losses):
        seen.append(losses["total"])
        count_step(progress, losses)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "count_step", count)
        train(config)
    means = [sum(seen[: step + 1]) / (step + 1) for step in range(3)]
    assert [entry["losses"]["total"] for entry in history(config)] == pytest.approx(means)


def test_the_best_may_be_one_within_an_epoch(small, tmp_path, monkeypatch, capsys):
    scores = iter([0.2, 0.6, 0.5])

    class Judged:
        def __init__(self):
            self.scores = self
            self.score = next(scores)

        def to_dict(self):
            return {"miou": self.score, "oiou": 0.0, "count": 1}

    monkeypatch.setattr(loop, "validate", lambda *args, **kwargs: Judged())
    config = small(tmp_path / "run", train={"epochs": 1, "validate_every_steps": 1})
    train(config)
    assert read_pointer(config.output_dir, "best") == "epoch-001-step-000002"
    assert read_pointer(config.output_dir, "last") == "epoch-001"
    assert {path.name for path in (config.output_dir / "checkpoints").iterdir()} == {
        *("epoch-001-step-000002", "epoch-001")
    }
    meta = load_checkpoint(config.output_dir).meta
    assert (meta["epoch"], meta["step"], meta["score"]) == (1, 2, 0.6)
    assert "best: epoch 1, step 2: loss" in capsys.readouterr().err


def test_the_option_may_change_when_a_run_continues(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1})
    with during_pass(2, terminate), pytest.raises(loop.TrainingError):
        train(config)
    train(small(tmp_path / "run", train={"epochs": 1, "validate_every_steps": 2}))
    assert [entry["step"] for entry in history(config)] == [2, 3]  # made up for, since the state is of step 2


# ---------------------------------------------------------------- interruption


@pytest.mark.parametrize("interrupted", [3, 4, 5, 8])
def test_a_run_stopped_before_or_after_a_validation_continues(small, tmp_path, whole, interrupted):
    config = small(tmp_path / "run", **EVERY_TWO)
    with during_pass(interrupted, terminate), pytest.raises(loop.TrainingError):
        train(config)
    train(config)
    assert_same(state(whole), state(config))
    assert history(whole) == history(config)
    assert read_pointer(whole.output_dir, "best") == read_pointer(config.output_dir, "best")


@pytest.mark.parametrize("moment", ["validate", "save_checkpoint", "set_pointer", "prune_checkpoints"])
def test_a_crash_during_a_validation_costs_nothing(small, tmp_path, monkeypatch, whole, moment):
    config = small(tmp_path / "run", **EVERY_TWO)

    def crash(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    left = torch.load(config.output_dir / "resume" / "state.pt", weights_only=True)["progress"]
    assert (left["step"], left["history"]) == (2, [])
    monkeypatch.undo()
    train(config)
    assert_same(state(whole), state(config))
    assert history(whole) == history(config)


def test_a_crash_right_after_the_state_of_a_validation_costs_nothing(small, tmp_path, monkeypatch, whole):
    config = small(tmp_path / "run", **EVERY_TWO)
    save = ResumeState.save

    def crash(resume, progress):
        save(resume, progress)
        if len(progress.history) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ResumeState, "save", crash)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert len(history(config)) == 2
    monkeypatch.undo()
    train(config)
    assert history(whole) == history(config)


KILLED = """
import os, signal, sys
from vlt.config import read_config
from vlt.train import loop
def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
loop.validate = kill
loop.train(read_config(sys.argv[1]))
"""


def test_a_process_killed_while_it_validates_continues(small, tmp_path, whole):
    config = small(tmp_path / "run", **EVERY_TWO)
    (tmp_path / "killed.yaml").write_text(dump_config(config))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed.yaml")]
    process = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    assert process.returncode == -signal.SIGKILL
    train(config)
    assert_same(state(whole), state(config))
    assert history(whole) == history(config)
