"""Recipe of an adaptation: the configuration of its training, made from that of the checkpoint, and its passes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlt.adapt.data import AdaptData
from vlt.config.data import ReferDataConfig
from vlt.config.reading import parse_config
from vlt.config.run import Config
from vlt.train.data import TrainData, views_per_referral


@dataclass(frozen=True, slots=True)
class Recipe:
    """Numbers of an adaptation. The defaults were measured on street fashion, see docs/adapt.md.

    Attributes:
        epochs: passes over the expressions; None: as many as make about `steps` optimiser steps, at most `most_epochs`.
        lr: learning rate; None: `lr_share` of the start's.
        lr_share: share of the start's learning rate.
        steps: optimiser steps of an adaptation.
        most_epochs: largest number of passes that is chosen.
        batch_size: samples per optimiser step.
        flip: probability that a training image is flipped, with left and right swapped in the expression.
        ema: decay of the moving average of the weights.
        seed: seed of the order of the data and of the augmentation.
    """

    epochs: int | None = None
    lr: float | None = None
    lr_share: float = 1 / 3
    steps: int = 150
    most_epochs: int = 30
    batch_size: int = 8
    flip: float = 0.5
    ema: float = 0.95
    seed: int = 0


class RepeatedData(TrainData):
    """Training data of which one epoch of the loop holds all `train.epochs`, so that a short run saves its state once.

    Each has its own order and augmentation.
    """

    def steps_per_epoch(self, config: Config) -> int:
        """Return the number of optimiser steps of all epochs."""
        return config.train.epochs * super().steps_per_epoch(config)


def adapted_config(start: Config, data: AdaptData, recipe: Recipe, *, source: Path, folder: Path) -> Config:
    """Make the configuration of an adaptation: the start's losses, with a low rate, few steps and a frozen backbone.

    Args:
        start: configuration of the checkpoint.
        data: the expressions.
        recipe: numbers of the adaptation.
        source: the checkpoint.
        folder: folder of the run and of the feature cache.

    Raises:
        ConfigError: a recipe that contradicts the start's configuration.
    """
    values = start.model_dump(mode="json")
    values["model"]["backbone"]["trainable_blocks"] = 0
    section = ReferDataConfig(
        root=data.path.parent,
        dataset=data.path.stem,
        images=data.images,
        val_split="held-out",
        flip=recipe.flip,
        chatter=start.data.chatter,
        details=start.data.details,
        slips=start.data.slips,
    )
    values["data"] = section.model_dump(mode="json")
    views = views_per_referral(start)
    batch_size = min(recipe.batch_size, len(data.train) * views) // views * views
    steps = len(data.train) * views // batch_size
    epochs = recipe.epochs or max(1, min(recipe.most_epochs, round(recipe.steps / steps)))
    values["train"] |= {
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": 1,
        "lr": recipe.lr or start.train.lr * recipe.lr_share,
        "backbone_lr": None,
        "language_lr": None,
        "schedule": {"name": "cosine", "warmup_steps": epochs * steps // 10, "final": 0.02},
        "ema": recipe.ema,
        "precision": "no",
        "only": None,
        "map_cache": str(folder / "features"),
        "start_from": str(source),
        "workers": 0,
        "validate_every_steps": None,
        "save_every_steps": None,
        "trackers": [],
    }
    return parse_config(values | {"seed": recipe.seed, "output_dir": str(folder / "run")}, f"an adaptation of {source}")
