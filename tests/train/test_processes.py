"""Several processes on one machine make the same run as one, also where their number changes as it continues."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vlt.checkpoint import load_checkpoint
from vlt.config import dump_config
from vlt.train import train

SWIN = {
    "name": "swin",
    "architecture": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "drop_path_rate": 0.0},
}
"""A backbone without batch statistics and without chance, so that a batch may be cut without changing the step."""

SCRIPT = """
import os, sys, torch
from vlt.config import read_config
from vlt.train import loop
from vlt.train.setup import RunFolder, start_accelerator
config = read_config(sys.argv[1])
accelerator = start_accelerator(config)
with RunFolder(config.output_dir, is_main=accelerator.is_main_process) as folder:
    training = loop.prepare(config, accelerator, folder)
    {before}
    training.run()
    torch.save(training.learner.network.state_dict(), f"{{sys.argv[2]}}/rank{{os.environ['RANK']}}.pt")
accelerator.end_training()
"""

STOP_THE_SECOND = """training.stop.requested = os.environ["RANK"] == "1\""""


STOP_AFTER = """
count_step, stop_at = training.progress.count_step, {step}
def count(losses):
    count_step(losses)
    training.stop.requested = training.steps_done == stop_at - 1
training.progress.count_step = count
"""
"""Stops the run after a step, counted over the whole run."""


def launch(config, folder, before="", processes=2):
    """Runs the script in processes that talk over gloo."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(dump_config(config))
    (folder / "script.py").write_text(SCRIPT.format(before=before.replace("\n", "\n    ")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [*command, str(folder / "script.py"), str(folder / "config.yaml"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def history(config):
    return [json.loads(line) for line in (config.output_dir / "history.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_make_the_run_of_one(small, tmp_path):
    changes = {"lr": 1e-4, "log_every_steps": 1, "validate_every_steps": 2}
    options = {"model": {"backbone": SWIN, "dropout": 0.0}, "train": changes}
    one, two = small(tmp_path / "one", **options), small(tmp_path / "two", **options)
    train(one)
    result = launch(two, tmp_path / "ranks")
    assert result.returncode == 0, result.stderr
    assert "on 2 x cpu" in result.stderr
    first, second = (torch.load(tmp_path / "ranks" / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    for alone, together in zip(history(one), history(two), strict=True):
        assert together["losses"] == pytest.approx(alone["losses"], abs=1e-5)
        assert together["miou"] == pytest.approx(alone["miou"], abs=1e-3)
        assert together["count"] == alone["count"]  # no sentence twice, though the count is odd or even
    for name, tensor in load_checkpoint(one.output_dir / "last").model.state_dict().items():
        torch.testing.assert_close(first[name], tensor, rtol=0, atol=1e-4)
    assert result.stderr.count("Finished 2 epochs") == 1  # one voice


@pytest.mark.slow
def test_a_stop_reaches_all_processes_and_two_go_on_as_two(small, tmp_path):
    options = {"train": {"ema": 0.9}, "model": {"dropout": 0.2}}
    whole, parted = small(tmp_path / "whole", **options), small(tmp_path / "parted", **options)
    assert launch(whole, tmp_path / "ranks").returncode == 0
    stopped = launch(parted, tmp_path / "stopped", STOP_THE_SECOND)
    assert stopped.returncode != 0
    assert "Stopped as requested at epoch 1, step 1 of 3" in stopped.stderr
    assert launch(parted, tmp_path / "again").returncode == 0
    for rank in (0, 1):
        one, other = (torch.load(tmp_path / name / f"rank{rank}.pt", weights_only=True) for name in ("ranks", "again"))
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def step_losses(config):
    """(step, loss) of every step, as TensorBoard shows them."""
    events = EventAccumulator(str(config.output_dir / "log")).Reload()
    return [(event.step, event.value) for event in events.Scalars("train/total")]


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(1, 2, 1), (2, 3, 1)])
def test_a_run_continues_on_another_number_of_processes(small, tmp_path, numbers):
    """A batch of five: 2 + 3 samples on two processes, 1 + 2 + 2 on three."""
    train_options = {"lr": 1e-4, "log_every_steps": 1, "batch_size": 5, "epochs": 3, "ema": 0.5}
    options = {"model": {"backbone": SWIN, "dropout": 0.0}, "train": train_options}
    whole, parted = small(tmp_path / "whole", **options), small(tmp_path / "parted", **options)
    train(whole)
    first, second, third = numbers
    stopped = launch(parted, tmp_path / "first", STOP_AFTER.format(step=2), first)
    assert "Stopped as requested at epoch 1, step 2 of 2" in stopped.stderr, stopped.stderr
    stopped = launch(parted, tmp_path / "second", STOP_AFTER.format(step=5), second)
    assert "Continuing at epoch 1, step 2 of 2: 12 referrals, batches of 5" in stopped.stderr, stopped.stderr
    assert f"on {second} x cpu" in stopped.stderr
    assert "Stopped as requested at epoch 3, step 1 of 2" in stopped.stderr
    finished = launch(parted, tmp_path / "third", processes=third)
    assert finished.returncode == 0, finished.stderr
    one, other = step_losses(whole), step_losses(parted)
    assert [step for step, _ in other] == [step for step, _ in one] == [1, 2, 3, 4, 5, 6]
    assert [loss for _, loss in other] == pytest.approx([loss for _, loss in one], rel=1e-4)
    assert len({loss for _, loss in one}) == 6, "steps with equal losses would prove no order"
    for alone, together in zip(history(whole), history(parted), strict=True):
        assert together["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert (together["step"], together["count"]) == (alone["step"], alone["count"])
    for name, tensor in load_checkpoint(whole.output_dir / "last").model.state_dict().items():
        found = load_checkpoint(parted.output_dir / "last").model.state_dict()[name]
        torch.testing.assert_close(found, tensor, rtol=0, atol=1e-4)
