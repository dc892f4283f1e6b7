"""Configuration of a run: losses, training, evaluation, and the top-level `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from vlt.config.data import DataConfig, ReferDataConfig
from vlt.config.inference import InferenceConfig
from vlt.config.model import ModelConfig, VLTConfig, check_input_size
from vlt.config.section import (
    AboveZero,
    BelowOne,
    Count,
    Fraction,
    LocalPath,
    NonNegative,
    Positive,
    Precision,
    Section,
)


class ContrastConfig(Section):
    """Masked contrastive learning (2022): features of expressions for one object are pulled together, others apart.

    Each object is then in a batch twice: with two of its expressions, of which the second has words masked, or with
    its only expression, masked in two ways.
    """

    weight: NonNegative = 0.0
    """Weight in the loss; 0: off, each object is in a batch once and no words are masked."""
    temperature: AboveZero = 0.1
    """Temperature of the softmax over cosine similarities."""
    mask_ratio: Fraction = 0.3
    """Fraction of an expression's words that is masked; at least one word stays."""
    feature: Literal["answers", "queries", "words"] = "answers"
    """Features that are compared, each averaged to one vector: answers: the responses to the queries, weighted by their
    confidence; queries: the queries; words: the word features."""
    negatives: Literal["batch", "photo"] = "batch"
    """Negatives: all other objects of the batch, or only those of the same image."""


class LossConfig(Section):
    """Weights of binary cross-entropy, Dice and the auxiliary losses."""

    bce: NonNegative = 1.0
    """Weight of binary cross-entropy."""
    dice: NonNegative = 1.0
    """Weight of the Dice loss."""
    reduction: Literal["mean", "sum"] = "mean"
    """Reduction over pixels; sum is the original's and makes the learning rate depend on the mask's resolution."""
    coarse: NonNegative = 0.0
    """Weight of cross-entropy and Dice on the coarse mask of the queries' responses, before pixel features are used."""
    choice: NonNegative = 0.0
    """Weight of classifying which object of the image an expression refers to, among those in the batch; requires
    `train.by_photo`."""
    box: NonNegative = 0.0
    """Weight of the bounding boxes predicted at each position; requires `model.boxes`."""
    candidate: NonNegative = 0.0
    """Weight of choosing the right candidate, or none; requires `model.candidates`."""
    candidate_smoothing: Fraction = 0.1
    """Fraction of the probability that the choice is trained to spread over all candidates (label smoothing)."""
    foreign: Fraction = 0.0
    """Fraction of expressions that the choice is trained to match with nothing in another image of the batch as well,
    one in which the detector finds no object of their target's category."""
    contrast: ContrastConfig = ContrastConfig()
    """Masked contrastive learning."""
    conv_l2: NonNegative = 0.0
    """Weight of the sum of squares of every convolution kernel; the original's is 5e-4."""


class ScheduleConfig(Section):
    """Learning-rate schedule."""

    name: Literal["constant", "step", "cosine", "polynomial"] = "cosine"
    """Shape of the schedule after the warm-up."""
    warmup_steps: Count = 0
    """Optimiser steps over which the rate rises linearly from 0."""
    milestones: tuple[Positive, ...] = ()
    """Epochs after which `step` multiplies the rate by `factor`."""
    factor: BelowOne = 0.1
    """Factor of `step`."""
    power: AboveZero = 0.9
    """Exponent of `polynomial`."""
    final: Fraction = 0.0
    """Fraction of the rate left at the end of `cosine` and `polynomial`."""

    @model_validator(mode="after")
    def _check_milestones(self) -> ScheduleConfig:
        if bool(self.milestones) != (self.name == "step"):
            need = "needs milestones" if self.name == "step" else "has no milestones"
            raise ValueError(f"the schedule {self.name!r} {need}, but milestones is {list(self.milestones)}")
        return self


class TrainConfig(Section):
    """Optimisation, loading of data, and logging."""

    epochs: Positive = 20
    """Passes over the training referrals."""
    batch_size: Positive = 16
    """Samples per optimiser step, over all devices and accumulated passes."""
    accumulate: Positive = 1
    """Forward passes per optimiser step."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Optimiser; adam is the original's."""
    lr: AboveZero = 5e-4
    """Learning rate."""
    backbone_lr: AboveZero | None = None
    """Learning rate of the visual backbone; null: `lr`."""
    language_lr: AboveZero | None = None
    """Learning rate of the language encoder; null: `lr`."""
    weight_decay: NonNegative = 0.01
    """Weight decay of `adamw`, not applied to biases and norms."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Learning-rate schedule."""
    clip_norm: AboveZero | None = 1.0
    """Maximum norm of the gradient; null: not clipped."""
    ema: BelowOne | None = None
    """Decay of the moving average of the weights, which is then validated and saved; null: none."""
    precision: Precision = "no"
    """Mixed precision; no: float32 throughout."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time (docs/log.md). The
    convolutions of the reference network keep theirs."""
    compile: bool = False
    """Compile the backbone and the network's layers with `torch.compile`: takes a C++ compiler, minutes at first."""
    only: Literal["candidates", "masks"] | None = None
    """candidates: train the choice among candidates alone, and neither compute nor change anything else, which is many
    times faster; masks are then validated as the boxes of the chosen candidates. masks: train everything that is not
    frozen but that choice. null: train both."""
    every_expression: bool = False
    """Make each expression of a referral a sample of its own in every epoch; false: draw one of them per referral and
    epoch. Referrals of composed scenes, which are new in each epoch, always give one."""
    by_photo: bool = False
    """Keep the referrals of one image together in an epoch's order: the image is encoded once per batch, and a batch
    holds several objects of it."""
    map_cache: LocalPath | None = None
    """Folder of the feature cache: the feature maps of a frozen backbone, so that each image is encoded once. The word
    states of a frozen BERT-family encoder are then cached too, in memory. null: none."""
    start_from: LocalPath | None = None
    """Checkpoint or run of the same network whose weights training starts from; `default`: the model in the package;
    null: pretrained parts, or random weights."""
    workers: Count = 0
    """Processes that load data; 0: a thread of the main process does, one batch ahead."""
    validate_every: Positive = 1
    """Epochs between two validations, each of which saves a checkpoint; the last epoch is always validated."""
    validate_every_steps: Positive | None = None
    """Optimiser steps between two more validations, counted over the whole run, for long epochs; null: none."""
    save_every_steps: Positive | None = None
    """Optimiser steps between two saved resume states; null: one at the end of each epoch."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Programs that show losses, scores and settings, beside `history.jsonl`; the validation images go to TensorBoard
    and wandb. wandb and mlflow are installed on their own."""
    log_every_steps: Positive = 20
    """Optimiser steps between two logged losses."""
    pictures: Count = 4
    """Validation images with masks sent to the trackers per validation."""


class EvaluateConfig(Section):
    """Settings of evaluation."""

    protocol: Literal["vlt", "original", "grefcoco", "video"] = "vlt"
    """vlt: metrics at the image's own size, with `inference.threshold`; original: those of the ICCV 2021 code, exactly
    (docs/oddities.md); grefcoco: those of gRefCOCO's benchmark, whose gIoU is mIoU and cIoU is oIoU; video: J and F of
    DAVIS, for sets of `vlt prepare video`."""
    select_by: Literal["miou", "oiou", "box"] = "miou"
    """Validation metric that selects the best checkpoint; box: box accuracy, also of splits without masks."""


MOVED = {
    ("evaluate", "threshold"): ("inference", "threshold"),
    ("evaluate", "mirror"): ("inference", "flip"),
    ("evaluate", "batch_size"): ("inference", "batch_size"),
    ("evaluate", "half"): ("data", "val_split"),
}
"""Keys of version 0.1 and their names since 0.2. `evaluate.half: a` is `data.val_split: val_a`."""


def move_keys(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Replace the keys of version 0.1 by their present names; a former key wins over its new name.

    Args:
        values: a whole configuration, nested as in YAML; not changed.

    Returns:
        The configuration with new keys only, and for each key replaced "old is now new".
    """
    result, moved = dict(values), []
    for (section, old), (new_section, new) in MOVED.items():
        source, target = result.get(section), result.get(new_section, {})
        if not isinstance(source, Mapping) or old not in source or not isinstance(target, Mapping):
            continue
        value = source[old]
        result[section] = {key: other for key, other in source.items() if key != old}
        moved.append(f"{section}.{old} is now {new_section}.{new}")
        if old == "half":
            split = str(target.get(new, "val")).removesuffix("_a").removesuffix("_b")
            moved[-1] += f" ({split}_a or {split}_b)"
            if value is None:  # the whole split, as before
                continue
            value = f"{split}_{value}"
        result[new_section] = {**target, new: value}
    return result, moved


class Config(Section):
    """One run: model, data, losses, training, inference and evaluation."""

    model: ModelConfig = VLTConfig()
    """The network, chosen by `model.name`; the improved one, `vlt`, if that is left out."""
    data: DataConfig
    """The data, chosen by `data.name`."""
    loss: LossConfig = LossConfig()
    """The losses."""
    train: TrainConfig = TrainConfig()
    """Training."""
    inference: InferenceConfig = InferenceConfig()
    """How predictions are made."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How predictions are evaluated."""
    seed: Count = 0
    """Seed of the weights, the order of the data and the augmentation."""
    output_dir: LocalPath
    """The run's folder: checkpoints, resume state, log."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input when predicting, in pixels."""
        return self.inference.image_size or self.model.input_size

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        return with_default_names(move_keys(values)[0]) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _check_losses(self) -> Config:
        """Check that the network has the outputs that the losses need."""
        model, loss, contrast = self.model, self.loss, self.loss.contrast
        predicts_boxes = isinstance(model, VLTConfig) and model.boxes
        if predicts_boxes != bool(loss.box):
            raise ValueError(
                f"model.boxes is {str(predicts_boxes).lower()} but loss.box is {loss.box:g}; "
                "they must be enabled together"
            )
        has_candidates = isinstance(model, VLTConfig) and model.candidates is not None
        if has_candidates != bool(loss.candidate):
            raise ValueError(
                f"model.candidates is {'given' if has_candidates else 'null'} but loss.candidate is "
                f"{loss.candidate:g}; they must be enabled together"
            )
        if self.train.only and not has_candidates:
            raise ValueError(
                f"train.only is {self.train.only}, but model.candidates is null; configure them, or leave it out"
            )
        for key, neutral in (("presence", "0"), ("agreement", "0"), ("several", "null")):
            if (value := getattr(self.inference, key)) and not has_candidates:
                raise ValueError(
                    f"inference.{key} is {value:g}, but without model.candidates nothing is chosen; "
                    f"set it to {neutral}, or configure candidates"
                )
        for name in ("coarse", "choice"):
            # The response maps of the original's dense layer pass a ReLU, so that their mean is not a logit.
            if getattr(loss, name) and not (isinstance(model, VLTConfig) and model.any_size):
                raise ValueError(
                    f"loss.{name} needs response maps that are logits; set it to 0, or model.any_size to true"
                )
        if contrast.weight and contrast.negatives == "batch" and contrast.feature == "words":
            raise ValueError(
                "loss.contrast.feature words cannot separate equal expressions about two images; "
                "set loss.contrast.negatives to photo"
            )
        is_learned = isinstance(model, VLTConfig) and model.queries == "learned"
        if contrast.weight and contrast.feature == "queries" and is_learned:
            raise ValueError(
                "loss.contrast.feature is queries, but with model.queries learned all expressions have equal queries; "
                "take another feature"
            )
        return self

    @model_validator(mode="after")
    def _check_data(self) -> Config:
        """Check that the data suit the losses and the feature cache, and that the network takes the input's size."""
        train, data, loss = self.train, self.data, self.loss
        for key in ("compose", "light"):
            if train.map_cache and getattr(data, key, None):
                raise ValueError(
                    f"train.map_cache caches features of images, but data.{key} makes new images; leave one out"
                )
        if train.every_expression and loss.contrast.weight:
            raise ValueError(
                "train.every_expression gives each sample one expression, but loss.contrast compares two of each "
                "referral; leave one out"
            )
        # Losses that compare objects of one image find hardly any pairs in a batch of shuffled referrals.
        compares = {
            "loss.choice": loss.choice,
            "loss.contrast.negatives photo": loss.contrast.weight and loss.contrast.negatives == "photo",
            "data.compose": isinstance(data, ReferDataConfig) and data.compose,
        }
        for key, is_set in compares.items():
            if is_set and not train.by_photo:
                raise ValueError(f"{key} needs several objects of an image in one batch; set train.by_photo to true")
        height, width = self.input_size
        takes_any = isinstance(self.model, VLTConfig) and self.model.any_size
        if self.input_size != self.model.input_size and not takes_any:
            raise ValueError(
                f"inference.image_size is {height} x {width}, but this network takes its model.image_size only; "
                "leave it out, or set model.any_size to true before training"
            )
        sides = {"inference.image_size (height)": height, "inference.image_size (width)": width}
        check_input_size(sides, self.model.backbone)
        return self


def with_default_names(values: dict[str, Any]) -> dict[str, Any]:
    """Copy the `values` of a whole configuration, with `model.name` set to `vlt` if it is not given."""
    model = values.get("model", {})
    return {**values, "model": {"name": "vlt", **model} if isinstance(model, dict) else model}
