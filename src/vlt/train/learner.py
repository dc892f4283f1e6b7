"""The part of a run that learns: network, optimiser, schedule, moving average; one optimiser step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vlt.config import Config, LossConfig
from vlt.losses import contrast_loss, guidance_loss, segmentation_loss
from vlt.model.vlt import VLT, Answer
from vlt.train.interrupt import StopRequest
from vlt.train.optim import build_optimizer, build_scheduler
from vlt.train.resume import Stateful
from vlt.types import Batch


class Gradient(NamedTuple):
    """What a step found before it changes anything; the same in all processes.

    Attributes:
        losses: "total" and its parts, averaged over all samples of the step.
        norm: of the gradient, before clipping.
        stop: whether any process was asked to stop.
    """

    losses: dict[str, float]
    norm: float
    stop: bool


CONTRASTED: dict[str, Callable[[Answer], Tensor]] = {
    "answers": lambda answer: answer.answers.mean(dim=1),
    "queries": lambda answer: answer.queries.mean(dim=1),
    "words": lambda answer: answer.text.mean(),
}
"""What `loss.contrast.feature` names: one vector (B, C) per expression."""


class Objective(nn.Module):
    """Network and loss as one module, so that one call does for one process and for many.

    Args:
        network: learns.
        config: the weight of each part of the loss.
    """

    def __init__(self, network: VLT, config: LossConfig) -> None:
        super().__init__()
        self.network = network
        self._config = config
        self._kernels = _trainable_kernels(network)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """A batch with targets to "total" and its unweighted parts."""
        assert batch.targets is not None, "training samples have targets"
        features = self.network.encode(batch.images).select(batch.image_index)
        answer = self.network.answer(features, batch.words, batch.word_mask)
        with torch.autocast(batch.images.device.type, enabled=False):
            on_mask = segmentation_loss(answer.logits, batch.targets, self._config, self._kernels)
            on_way = guidance_loss(answer.responses, features.boxes, batch.targets, batch.image_index, self._config)
            losses = {**on_mask, **on_way, "total": on_mask["total"] + on_way["total"]}
            return self._contrasted(losses, answer, batch) if self._config.contrast.weight else losses

    def _contrasted(self, losses: dict[str, Tensor], answer: Answer, batch: Batch) -> dict[str, Tensor]:
        """The losses with that of readings which should be understood alike or not."""
        config = self._config.contrast
        things = torch.tensor([referral.ref_id for referral in batch.referrals], device=batch.images.device)
        photos = batch.image_index if config.negatives == "photo" else None
        part = contrast_loss(CONTRASTED[config.feature](answer), things, config.temperature, photos)
        return {**losses, "contrast": part, "total": losses["total"] + config.weight * part}


class Learner:
    """Wraps a network so that any number of processes and passes make one optimiser step together.

    Args:
        network: the same weights in all processes.
        config: of the run.
        accelerator: knows device, processes, precision and accumulation.
        steps_per_epoch: optimiser steps.

    Raises:
        ConfigError: the warm-up is not over when the run ends.
    """

    def __init__(self, network: VLT, config: Config, accelerator: Accelerator, steps_per_epoch: int) -> None:
        self._accelerator = accelerator
        self._base_rate = config.train.lr
        self._clip_norm = config.train.clip_norm or math.inf
        self.network = network.to(accelerator.device).train()  # pretrained parts come ready for use, not for training
        self._average = _moving_average(self.network, config.train.ema)  # a copy: made before `prepare` wraps
        optimizer = build_optimizer(self.network, config.train)
        self._scheduler = build_scheduler(optimizer, config.train, steps_per_epoch)
        self._objective, self._optimizer = accelerator.prepare(Objective(self.network, config.loss), optimizer)

    @property
    def judged(self) -> VLT:
        """What is validated and kept: the moving average where there is one, else the network."""
        return self.network if self._average is None else cast(VLT, self._average.module)

    @property
    def rate(self) -> float:
        """The learning rate of the next step, of the parts that have no rate of their own."""
        factor: float = self._scheduler.lr_lambdas[0](self._scheduler.last_epoch)
        return self._base_rate * factor

    @property
    def parts(self) -> dict[str, Stateful]:
        """All that has a state, by name."""
        parts = {
            "network": self.network,
            "optimizer": self._optimizer,
            "scheduler": self._scheduler,
            "average": self._average,
            "scaler": self._accelerator.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def gradient(self, batches: Sequence[Batch], stop: StopRequest) -> Gradient:
        """Passes the batches of one optimiser step forward and back; nothing is changed yet.

        Args:
            batches: this process's, as many as are accumulated.
            stop: of this process; looked at once the passes are done.
        """
        losses = [self._backward(batch.to(self._accelerator.device)) for batch in batches]
        norm = self._accelerator.clip_grad_norm_(self._objective.parameters(), self._clip_norm)
        return self._agree(losses, float(norm), stop.requested)

    def is_sound(self, gradient: Gradient) -> bool:
        """Whether a step may be made: finite loss and gradient; under fp16 the scaler skips what overflowed."""
        finite_norm = math.isfinite(gradient.norm) or self._accelerator.scaler is not None
        return math.isfinite(gradient.losses["total"]) and finite_norm

    def update(self) -> None:
        """Makes the step: parameters, rate, moving average."""
        self._optimizer.step()
        if not self._optimizer.step_was_skipped:
            self._scheduler.step()
            if self._average is not None:
                self._average.update_parameters(self.network)
        self._optimizer.zero_grad()

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        with self._accelerator.accumulate(self._objective):
            losses = self._objective(batch)
            self._accelerator.backward(losses["total"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _agree(self, losses: Sequence[Mapping[str, Tensor]], norm: float, stop: bool) -> Gradient:
        """Averages over passes and processes, in one exchange."""
        names = list(losses[0])
        means = [torch.stack([loss[name] for loss in losses]).mean() for name in names]
        values = torch.stack([*means, means[0].new_tensor(float(stop))])
        *averaged, stops = self._accelerator.reduce(values, reduction="mean").tolist()
        return Gradient(dict(zip(names, averaged, strict=True)), norm, stops > 0)


def _moving_average(network: VLT, decay: float | None) -> AveragedModel | None:
    """A copy that follows the parameters at a distance; buffers, such as batch statistics, are copied as they are.

    Frozen parameters are the network's own, so that most of a frozen encoder's cost in memory and time is saved.
    """
    if decay is None:
        return None
    follow = get_ema_multi_avg_fn(decay)

    def follow_what_trains(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        pairs = zip(averaged, current, strict=True)
        moving = [(old, new) for old, new in pairs if old.data_ptr() != new.data_ptr()]
        if moving:
            follow(*map(list, zip(*moving, strict=True)), count)

    average = AveragedModel(network, multi_avg_fn=follow_what_trains)
    for copied, own in zip(average.module.parameters(), network.parameters(), strict=True):
        if not own.requires_grad:
            copied.data = own.data
    return average


def _trainable_kernels(network: nn.Module) -> list[Tensor]:
    """Convolution kernels for the loss's penalty; that of frozen ones would be a constant."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return [module.weight for module in convolutions if module.weight.requires_grad]
