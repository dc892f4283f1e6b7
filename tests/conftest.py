"""A network small enough to build in milliseconds, for what is about files and commands and not about learning."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # here and in processes that tests start: other numbers round differently

import pytest
import torch

from vlt.checkpoint import save_checkpoint
from vlt.config import parse_config
from vlt.model.build import build_model
from vlt.text.reader import build_text

TINY = {
    "model": {
        "image_size": [64, 64],
        "max_words": 8,
        "dim": 32,
        "feedforward_dim": 32,
        "num_queries": 4,
        "heads": 4,
        "mask_dim": 8,
        "backbone": {"name": "darknet53", "width": 0.0625, "blocks": [1, 1, 1, 1, 1]},
        "language": {"name": "gru", "hidden_dim": 16, "words": {"source": "hash", "dim": 16}},
    },
    "data": {"name": "synthetic", "size": [64, 96], "train_scenes": 4, "val_scenes": 4},
    "train": {"epochs": 1, "batch_size": 2},
    "inference": {"batch_size": 3},
    "output_dir": "run",
}
VOCABULARY = ["the red circle left of a big blue square on top of the green triangle"]


@pytest.fixture(autouse=True)
def idle_machine(monkeypatch):
    """A machine without other work, so that commands add no note about a busy CPU to stderr."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


@pytest.fixture(scope="session")
def tiny_config():
    return parse_config(TINY, "tests")


@pytest.fixture(scope="session")
def tiny_text(tiny_config):
    return build_text(tiny_config.model, VOCABULARY)


@pytest.fixture(scope="session")
def tiny_model(tiny_config):
    """Random weights, and batch statistics that are not the initial ones."""
    torch.manual_seed(0)
    model = build_model(tiny_config.model).train()
    with torch.no_grad():
        model(torch.rand(2, 3, 64, 64), torch.randn(2, 3, 16))
    return model.eval()


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_config, tiny_text, tiny_model, tmp_path_factory):
    """The directory of a checkpoint; not to be written to."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    save_checkpoint(
        folder, model=tiny_model, config=tiny_config, text=tiny_text, meta={"metric": "miou", "split": "val"}
    )
    return folder
