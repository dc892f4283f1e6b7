"""Learner: network, losses, optimiser, schedule and moving average; one optimiser step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vlt.config.run import Config, LossConfig
from vlt.losses.auxiliary import auxiliary_loss
from vlt.losses.candidate import candidate_loss, foreign_images, outcomes_of_targets
from vlt.losses.contrast import contrast_loss
from vlt.losses.mask import segmentation_loss
from vlt.model.choice import Choice
from vlt.model.vlt import VLT, Features, Output
from vlt.train.optim import build_optimizer, build_scheduler
from vlt.train.regions import compile_regions, recompute_activations
from vlt.train.resume import Stateful, StopRequest
from vlt.types import Batch


class Gradient(NamedTuple):
    """Result of the passes of an optimiser step, before it changes anything; the same in all processes.

    Attributes:
        losses: "total" and its parts, averaged over the passes of all processes, each weighted by its samples.
        norm: norm of the gradient, before clipping.
        stop: whether any process received a request to stop.
    """

    losses: dict[str, float]
    norm: float
    stop: bool


CONTRASTED: dict[str, Callable[[Output], Tensor]] = {
    "answers": lambda output: output.responses.mean(dim=1),
    "queries": lambda output: output.queries.mean(dim=1),
    "words": lambda output: output.text.mean(),
}
"""For each `loss.contrast.feature`, the function that computes it: one vector per expression, (B, C)."""


class Objective(nn.Module):
    """Network and losses as one module, so that a distributed wrapper handles a single forward call.

    Args:
        network: the network to train.
        config: weight of each loss.
        only: see `train.only`; what it leaves out has no loss.
    """

    def __init__(self, network: VLT, config: LossConfig, *, only: Literal["candidates", "masks"] | None = None) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.only = only
        # Kernels for the L2 penalty; that of frozen ones would be a constant.
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        self.kernels = [module.weight for module in convolutions if module.weight.requires_grad]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of a batch with targets.

        Returns:
            Scalars: "total", and its unweighted parts.
        """
        config, targets, image_index = self.config, batch.targets, batch.image_index
        encoded = self.network.encode(batch.images, masks=self.only != "candidates")
        features = encoded.select(image_index)
        if self.only == "candidates":
            choice = self.network.choose(features, batch.words, batch.word_mask)
            loss = self.choice_loss(choice, encoded, batch)
            return {"candidate": loss, "total": config.candidate * loss}
        assert targets is not None, "samples have masks where masks are trained"
        output = self.network.segment(features, batch.words, batch.word_mask)
        with torch.autocast(batch.images.device.type, enabled=False):
            mask_losses = segmentation_loss(output.logits, targets, config, self.kernels)
            auxiliary = auxiliary_loss(
                output.response_maps, features.boxes, targets, batch.target_mask, image_index, config
            )
            losses = {**mask_losses, **auxiliary, "total": mask_losses["total"] + auxiliary["total"]}
            if config.contrast.weight:
                object_ids = torch.tensor([referral.ref_id for referral in batch.referrals], device=image_index.device)
                image_ids = image_index if config.contrast.negatives == "photo" else None
                compared = CONTRASTED[config.contrast.feature](output)
                contrast = contrast_loss(compared, object_ids, config.contrast.temperature, image_ids)
                total = losses["total"] + config.contrast.weight * contrast
                losses = {**losses, "contrast": contrast, "total": total}
        if output.choice is not None and self.only != "masks":  # with autocast, since other images are read for it, too
            candidate = self.choice_loss(output.choice, encoded, batch)
            losses = {**losses, "candidate": candidate, "total": losses["total"] + config.candidate * candidate}
        return losses

    def choice_loss(self, choice: Choice, features: Features, batch: Batch) -> Tensor:
        """Compute the unweighted loss of the choice among candidates.

        With `loss.foreign`, expressions about other images of the batch are read here, too, where nothing matches them.

        Args:
            choice: of the batch.
            features: of the images of the batch.
            batch: the expressions.
        """
        smoothing, boxes, targets = self.config.candidate_smoothing, batch.target_boxes, batch.target_mask
        own = candidate_loss(choice.logits, choice.boxes, choice.valid, boxes, targets, smoothing)
        if not self.config.foreign:
            return own
        rows, images = self.foreign_pairs(choice, features, batch)
        if not len(rows):
            return own
        mask = None if batch.word_mask is None else batch.word_mask[rows]
        other = self.network.choose(features.select(images), batch.words[rows], mask)
        nothing = torch.zeros_like(targets[rows])
        loss = candidate_loss(other.logits, other.boxes, other.valid, boxes[rows], nothing, smoothing)
        return (len(choice.logits) * own + len(rows) * loss) / (len(choice.logits) + len(rows))

    def foreign_pairs(self, choice: Choice, features: Features, batch: Batch) -> tuple[Tensor, Tensor]:
        """Draw expressions (F,) int64 and for each an image (F,) of the batch in which nothing matches it."""
        candidates = features.candidates
        assert candidates is not None, "the network has candidates"
        right = outcomes_of_targets(choice.boxes, choice.valid, batch.target_boxes)
        possible = foreign_images(right, batch.target_mask, candidates.scores, batch.image_index)
        drawn = torch.rand(len(right), device=right.device) < self.config.foreign
        rows = (drawn & possible.any(dim=1)).nonzero()[:, 0]
        return rows, possible[rows].float().multinomial(1)[:, 0] if len(rows) else rows


class Learner:
    """A network with its optimiser; any number of processes and passes make one optimiser step together.

    Args:
        network: the same weights in all processes.
        config: configuration of the run.
        accelerator: holds device, processes, precision and accumulation.
        steps_per_epoch: optimiser steps.

    Raises:
        ConfigError: the warm-up is longer than the run.
    """

    def __init__(self, network: VLT, config: Config, accelerator: Accelerator, steps_per_epoch: int) -> None:
        self.accelerator = accelerator
        self.base_rate = config.train.lr
        self.clip_norm = config.train.clip_norm or math.inf
        passes = accelerator.num_processes * config.train.accumulate
        self.pass_size = config.train.batch_size / passes  # samples per pass, on average
        self.network = network.to(accelerator.device).train()  # pretrained parts are loaded in eval mode
        self.average = build_average(self.network, config.train.ema)  # a copy: made before `prepare` wraps the network
        optimizer = build_optimizer(self.network, config.train)
        self.scheduler = build_scheduler(optimizer, config.train, steps_per_epoch)
        if config.train.activation_checkpointing:
            recompute_activations(self.network)
        if config.train.compile:
            compile_regions(self.network)
        self.objective, self.optimizer = accelerator.prepare(
            Objective(self.network, config.loss, only=config.train.only), optimizer
        )

    @property
    def averaged_network(self) -> VLT:
        """The network that is validated and saved: the moving average if there is one, else the network itself."""
        return self.network if self.average is None else cast(VLT, self.average.module)

    @property
    def rate(self) -> float:
        """Learning rate of the next step, for the parts that have no rate of their own."""
        factor: float = self.scheduler.lr_lambdas[0](self.scheduler.last_epoch)
        return self.base_rate * factor

    @property
    def parts(self) -> dict[str, Stateful]:
        """The parts whose state is saved and restored, by name."""
        parts = {
            "network": self.network,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "average": self.average,
            "scaler": self.accelerator.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def gradient(self, batches: Sequence[Batch], stop: StopRequest) -> Gradient:
        """Run the forward and backward passes of one optimiser step; nothing is changed yet.

        Args:
            batches: batches of this process, one per accumulated pass.
            stop: stop request of this process; read after the passes, and shared with the other processes.
        """
        losses: list[dict[str, Tensor]] = []
        for batch in batches:
            with self.accelerator.accumulate(self.objective):
                loss = self.objective(batch.to(self.accelerator.device))
                weight = len(batch) / self.pass_size
                self.accelerator.backward(weight * loss["total"])
            losses.append({name: weight * part.detach() for name, part in loss.items()})
        norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), self.clip_norm)
        names = list(losses[0])
        means = [torch.stack([loss[name] for loss in losses]).mean() for name in names]
        values = torch.stack([*means, means[0].new_tensor(float(stop.requested))])
        *averaged, stops = self.accelerator.reduce(values, reduction="mean").tolist()  # one exchange for all
        return Gradient(dict(zip(names, averaged, strict=True)), float(norm), stops > 0)

    def is_sound(self, gradient: Gradient) -> bool:
        """Return whether loss and gradient are finite; under fp16 the scaler skips steps that overflowed."""
        finite_norm = math.isfinite(gradient.norm) or self.accelerator.scaler is not None
        return math.isfinite(gradient.losses["total"]) and finite_norm

    def update(self) -> None:
        """Make the optimiser step: parameters, learning rate, moving average."""
        self.optimizer.step()
        if not self.optimizer.step_was_skipped:
            self.scheduler.step()
            if self.average is not None:
                self.average.update_parameters(self.network)
        self.optimizer.zero_grad()


def build_average(network: VLT, decay: float | None) -> AveragedModel | None:
    """Build an exponential moving average of the parameters; buffers, such as batch statistics, are copied.

    Frozen parameters are shared with the network, which saves most of the memory and time for a frozen encoder.

    Args:
        network: the network to average.
        decay: share of the old value in each update; None: no average.
    """
    if decay is None:
        return None
    move = get_ema_multi_avg_fn(decay)

    def move_trained(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        """Update the parameters that are not shared."""
        pairs = zip(averaged, current, strict=True)
        moving = [(old, new) for old, new in pairs if old.data_ptr() != new.data_ptr()]
        if moving:
            move(*map(list, zip(*moving, strict=True)), count)

    average = AveragedModel(network, multi_avg_fn=move_trained)
    for copied, own in zip(average.module.parameters(), network.parameters(), strict=True):
        if not own.requires_grad:
            copied.data = own.data
    return average
