"""Reading what a training run left, and acting in the middle of one."""

import json
import signal
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from vlt.checkpoint import read_pointer
from vlt.train import learner


def history(config):
    lines = (config.output_dir / "history.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in ("seconds", "waited")} for line in lines
    ]


def state(config):
    return torch.load(config.output_dir / "resume" / "state.pt", weights_only=True)["parts"]


def weights(config, pointer="last"):
    name = read_pointer(config.output_dir, pointer)
    return load_file(config.output_dir / "checkpoints" / name / "weights.safetensors")


def assert_same(one, other):
    """Equal to the last bit, through any nesting."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


@contextmanager
def during_pass(number, act):
    """Lets `act` happen in the forward pass of that number, 1-based, over all steps and epochs."""
    passes = 0
    loss = learner.segmentation_loss

    def counting(*args, **kwargs):
        nonlocal passes
        passes += 1
        if passes == number:
            act()
        return loss(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "segmentation_loss", counting)
        yield


def terminate():
    signal.raise_signal(signal.SIGTERM)
