"""Two processes on one machine make the same run as one."""

import json
import os
import subprocess
import sys

import pytest
import torch

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
from vlt.train.data import views_per_referral
from vlt.train.setup import RunFolder, start_accelerator
config = read_config(sys.argv[1])
accelerator = start_accelerator(config.train, views_per_referral(config))
with RunFolder(config.output_dir, is_main=accelerator.is_main_process) as folder:
    training = loop.prepare(config, accelerator, folder)
    {before}
    training.run()
    torch.save(training.learner.network.state_dict(), f"{{sys.argv[2]}}/rank{{os.environ['RANK']}}.pt")
accelerator.end_training()
"""

STOP_THE_SECOND = """training.stop.requested = os.environ["RANK"] == "1\""""


def launch(config, folder, before=""):
    """Runs the script in two processes that talk over gloo."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(dump_config(config))
    (folder / "script.py").write_text(SCRIPT.format(before=before))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
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
    options = {"model": {"backbone": SWIN, "dropout": 0.0}, "train": {"lr": 1e-4, "log_every_steps": 1}}
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
