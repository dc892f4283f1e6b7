"""Optimiser and learning-rate schedule: which parameters train, at which rate, and how the rate changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vlt.config.run import ScheduleConfig, TrainConfig
from vlt.errors import ConfigError

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}

SCHEDULES: dict[str, Callable[[float, ScheduleConfig], float]] = {
    "constant": lambda _progress, _schedule: 1.0,
    "cosine": lambda progress, _schedule: (1 + math.cos(math.pi * progress)) / 2,
    "polynomial": lambda progress, schedule: (1 - progress) ** schedule.power,
}
"""Decay from 1 to 0 over the progress after the warm-up, from 0 to 1. `step` counts epochs: see `rate_factor`."""


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Group trainable parameters by learning rate and weight decay.

    The visual backbone has the rate `backbone_lr`, the language encoder `language_lr`, the rest `lr`. Vectors and
    scalars, that is normalisations and biases, have no weight decay. Frozen parameters are left out.
    """
    rates = {"backbone": config.backbone_lr, "language": config.language_lr}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = rates.get(name.split(".")[0]) or config.lr
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimiser over `parameter_groups`; fused, which is several times faster on a CPU."""
    return OPTIMIZERS[config.optimizer](parameter_groups(model, config), lr=config.lr, fused=True)


def count_steps(config: TrainConfig, steps_per_epoch: int) -> int:
    """Count the optimiser steps of a run.

    Raises:
        ConfigError: the warm-up is not over when the run ends.
    """
    total_steps, warmup = config.epochs * steps_per_epoch, config.schedule.warmup_steps
    if warmup >= total_steps:
        raise ConfigError(
            f"train.schedule.warmup_steps is {warmup}, but the run has only {total_steps} steps "
            f"({config.epochs} epochs of {steps_per_epoch}); warm up for fewer."
        )
    return total_steps


def build_scheduler(optimizer: torch.optim.Optimizer, config: TrainConfig, steps_per_epoch: int) -> LambdaLR:
    """Build the schedule that multiplies the rates of all groups by one factor, once per optimiser step.

    Raises:
        ConfigError: the warm-up is not over when the run ends.
    """
    total_steps = count_steps(config, steps_per_epoch)
    return LambdaLR(
        optimizer,
        lambda step: rate_factor(step, config.schedule, steps_per_epoch=steps_per_epoch, total_steps=total_steps),
    )


def rate_factor(step: int, schedule: ScheduleConfig, *, steps_per_epoch: int, total_steps: int) -> float:
    """Return the factor of the learning rate at an optimiser step.

    Args:
        step: 0-based, over the whole run.
        schedule: configuration of the schedule.
        steps_per_epoch: optimiser steps.
        total_steps: number of steps of the run, more than the warm-up's.
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "step":
        return schedule.factor ** sum(step >= epoch * steps_per_epoch for epoch in schedule.milestones)
    progress = min(1.0, (step - warmup) / (total_steps - warmup))
    share = SCHEDULES[schedule.name](progress, schedule)
    return share if schedule.name == "constant" else schedule.final + (1 - schedule.final) * share
