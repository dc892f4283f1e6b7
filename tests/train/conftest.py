from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlt.config import Config, parse_config

SMALL = {
    "model": {
        "image_size": [64, 64],
        "max_words": 8,
        "dim": 16,
        "backbone": {"name": "darknet53", "width": 0.0625, "blocks": [1, 1, 1, 1, 1]},
        "language": {"name": "gru", "hidden_dim": 8, "words": {"dim": 8}},
        "num_queries": 2,
        "heads": 2,
        "feedforward_dim": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "mask_dim": 8,
    },
    "data": {"name": "synthetic", "size": [64, 64], "train_scenes": 12, "val_scenes": 3},
    "train": {"epochs": 2, "batch_size": 4, "lr": 1e-3, "pictures": 1},
    "inference": {"batch_size": 4},
}


def nested(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes` laid over them, section by section."""
    return {
        key: nested(values.get(key, {}), change) if isinstance(change, dict) and "name" not in change else change
        for key, change in {**values, **changes}.items()
    }


@pytest.fixture(scope="session")
def small() -> Callable[..., Config]:
    """Makes the configuration of a run of seconds in a folder, with sections changed."""

    def make(output_dir: Path, **sections: Any) -> Config:
        return parse_config(nested({**SMALL, "output_dir": str(output_dir)}, sections), "test")

    return make
