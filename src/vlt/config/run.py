"""What can be said of a run: its data, loss, training and evaluation, and the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from vlt.config.model import ModelConfig, VLTConfig
from vlt.config.section import AboveZero, BelowOne, Count, Fraction, NonNegative, Positive, Section

Cue: TypeAlias = Literal["category", "colour", "clothes", "position", "ordinal", "size", "relation", "negation"]
"""The kinds of hint that expressions give; `vlt.data.expressions` says and recognises them."""

Half: TypeAlias = Literal["a", "b"]
"""Of a split, see `vlt.data.halves`."""


class ComposeConfig(Section):
    """Scenes composed of photos while training, other ones in each epoch, see `vlt.data.compose.fresh`."""

    instances: Path
    """A file of COCO's format, whose photos are cut out from and pasted on, but for those of validation."""
    images: Path
    """The folder with its photos."""
    people: Path | None = None
    """A street-fashion set, see `vlt.data.compose.fashion`; null: none."""
    scenes: Positive = 3000
    """Of an epoch."""
    referents: Positive = 3
    """Things of a scene that are meant in turn, each a referral."""


class ReferDataConfig(Section):
    """A prepared data set: what `vlt prepare` or the original's script wrote."""

    name: Literal["refer"] = "refer"
    root: Path
    """The folder with `anns/` and `masks/`."""
    dataset: str
    """Its name under both, such as refcoco, refcocog_umd or coco_mini."""
    images: Path
    """The folder with the photos."""
    train_split: str = "train"
    val_split: str = "val"
    flip: Fraction = 0.0
    """How often a photo is mirrored, with left and right swapped in its words; never where the words forbid it."""
    chatter: Fraction = 0.0
    """How often a training sentence is given a few words more that tell nothing, such as "lol" or "by the wall"."""
    light: Fraction = 0.0
    """How often a training photo is shown in a little more or less light; colours keep their names."""
    compose: ComposeConfig | None = None
    """Scenes beside the prepared set; null: none."""


class SyntheticDataConfig(Section):
    """Scenes of coloured shapes, drawn on the fly by seed."""

    name: Literal["synthetic"] = "synthetic"
    size: tuple[Positive, Positive] = (128, 128)
    """(height, width) of a scene in pixels."""
    train_scenes: Positive = 2000
    val_scenes: Positive = 200
    referents: Positive = 1
    """Things of a training scene that are meant in turn, each a referral; for validation it is one."""
    kinds: dict[Cue, NonNegative] | None = None
    """How readily each kind of hint is given in expressions; what is missing is never said. null: as people do."""
    seed: int = 0
    train_split: str = "train"
    val_split: str = "val"
    flip: Fraction = 0.0
    chatter: Fraction = 0.0
    light: Fraction = 0.0


DataConfig: TypeAlias = Annotated[ReferDataConfig | SyntheticDataConfig, Field(discriminator="name")]


class ContrastConfig(Section):
    """Masked contrastive learning (2022): readings of one thing are pulled together, those of different things apart.

    Each thing is then in a batch twice, with two of its expressions, of which the second has words masked; or with its
    single one, masked in two ways.
    """

    weight: NonNegative = 0.0
    """In the loss; 0: off, each thing is in a batch once and nothing is masked."""
    temperature: AboveZero = 0.1
    """Of the softmax over cosines."""
    mask_ratio: Fraction = 0.3
    """Share of an expression's words that is masked; one word at least stays."""
    feature: Literal["answers", "queries", "words"] = "answers"
    """What is compared, as its mean: the weighed answers, the queries, or the words' features."""
    negatives: Literal["batch", "photo"] = "batch"
    """What readings are pushed apart from: all other things of the batch, or those of their own photo."""


class LossConfig(Section):
    """Binary cross-entropy plus Dice, and what guides the way to the mask, each with its weight."""

    bce: NonNegative = 1.0
    dice: NonNegative = 1.0
    reduction: Literal["mean", "sum"] = "mean"
    """Over pixels; sum is the original's and ties the learning rate to the mask's resolution."""
    coarse: NonNegative = 0.0
    """Weight of the same two on what the queries answer before pixel features sharpen it."""
    choice: NonNegative = 0.0
    """Weight of choosing the right one among the things of a photo that a batch asks about; needs `train.by_photo`."""
    box: NonNegative = 0.0
    """Weight of the boxes that a photo's positions tell; needs `model.boxes`."""
    contrast: ContrastConfig = ContrastConfig()
    conv_l2: NonNegative = 0.0
    """Weight of the sum of squares of every convolution kernel; the original's is 5e-4."""


class ScheduleConfig(Section):
    """How the learning rate moves."""

    name: Literal["constant", "step", "cosine", "polynomial"] = "cosine"
    warmup_steps: Count = 0
    milestones: tuple[Positive, ...] = ()
    """Epochs after which `step` multiplies the rate by `factor`."""
    factor: BelowOne = 0.1
    power: AboveZero = 0.9
    """Exponent of `polynomial`."""
    final: Fraction = 0.0
    """Share of the rate left at the end of `cosine` and `polynomial`."""

    @model_validator(mode="after")
    def _milestones_where_needed(self) -> ScheduleConfig:
        if bool(self.milestones) != (self.name == "step"):
            need = "needs milestones" if self.name == "step" else "knows no milestones"
            raise ValueError(f"the schedule {self.name!r} {need}, but milestones is {list(self.milestones)}")
        return self


class TrainConfig(Section):
    """How to train."""

    epochs: Positive = 20
    batch_size: Positive = 16
    """Samples per optimiser step, over all devices and accumulated steps."""
    accumulate: Positive = 1
    """Forward passes per optimiser step."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: AboveZero = 5e-4
    backbone_lr: AboveZero | None = None
    """Rate of the visual backbone's trainable part; null: `lr`."""
    language_lr: AboveZero | None = None
    """Rate of the language encoder's trainable part; null: `lr`."""
    weight_decay: NonNegative = 0.01
    schedule: ScheduleConfig = ScheduleConfig()
    clip_norm: AboveZero | None = 1.0
    ema: BelowOne | None = None
    """Decay of the moving average of the weights that is validated and kept; null: none."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    by_photo: bool = False
    """Referrals of one photo stand together in an epoch's order: what needs no words is computed once for those that
    share a batch, and only the words tell them apart."""
    map_cache: Path | None = None
    """Folder that keeps the maps of a frozen backbone, so that each photo is perceived once; null: none."""
    start_from: Path | None = None
    """A checkpoint or a run of the same network whose weights are learnt on from; null: pretrained parts, else new."""
    workers: Count = 0
    """Processes that load data."""
    save_every_steps: Positive | None = None
    """How often the resume state is written within an epoch; null: at the end of each epoch."""
    log_every_steps: Positive = 20
    pictures: Count = 4
    """Validation pictures written to TensorBoard per epoch."""


class EvaluateConfig(Section):
    """How answers are judged."""

    threshold: Fraction = 0.5
    """Of the probability; the mask is what lies strictly above it."""
    batch_size: Positive = 16
    """Expressions per forward pass."""
    select_by: Literal["miou", "oiou"] = "miou"
    """Which validation metric chooses the best checkpoint."""
    mirror: bool = False
    """Whether the mirrored photo is asked too, with left and right swapped in the words, see `vlt.data.mirrored`."""
    half: Half | None = None
    """The half of the validation photos that training judges by, so that the other can be reported; null: all."""


class Config(Section):
    """One run: what is built, from what data, how."""

    model: ModelConfig
    data: DataConfig
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    seed: Count = 0
    output_dir: Path
    """The run's folder: checkpoints, resume state, log."""

    @model_validator(mode="before")
    @classmethod
    def _default_model_name(cls, values: Any) -> Any:
        """The improved network is meant where `model.name` is not given."""
        return with_default_names(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _boxes_where_learnt(self) -> Config:
        """Boxes that nobody teaches would be noise in what follows, and none can be taught that nobody tells."""
        tells, weight = isinstance(self.model, VLTConfig) and self.model.boxes, self.loss.box
        if tells != bool(weight):
            raise ValueError(f"model.boxes is {str(tells).lower()} but loss.box is {weight:g}; they go together")
        return self

    @model_validator(mode="after")
    def _maps_that_come_again(self) -> Config:
        """Maps of photos that are never seen again would fill the disk."""
        if self.train.map_cache:
            for key in ("compose", "light"):
                if getattr(self.data, key, None):
                    raise ValueError(
                        f"train.map_cache keeps maps of photos, but data.{key} makes new ones; leave one out"
                    )
        return self

    @model_validator(mode="after")
    def _guided_where_answers_paint(self) -> Config:
        """What the original's dense layer paints is rectified: no logits, whose mean could be a mask."""
        paints = isinstance(self.model, VLTConfig) and self.model.any_size
        for name in ("coarse", "choice"):
            if getattr(self.loss, name) and not paints:
                raise ValueError(f"loss.{name} needs answers that paint logits; set it to 0, or model.any_size to true")
        return self

    @model_validator(mode="after")
    def _things_of_a_photo_together(self) -> Config:
        """What needs several things of one photo in a batch finds hardly any where they are strewn."""
        needs = {
            "loss.choice": self.loss.choice,
            "loss.contrast.negatives photo": self.loss.contrast.weight and self.loss.contrast.negatives == "photo",
            "data.compose": isinstance(self.data, ReferDataConfig) and self.data.compose,
        }
        for key, is_set in needs.items():
            if is_set and not self.train.by_photo:
                raise ValueError(f"{key} needs things of a photo in one batch; set train.by_photo to true")
        return self

    @model_validator(mode="after")
    def _contrast_that_can_be_learnt(self) -> Config:
        """What is the same for different things can be pushed apart by nothing."""
        contrast = self.loss.contrast
        if not contrast.weight:
            return self
        if contrast.negatives == "batch" and contrast.feature == "words":
            raise ValueError(
                "loss.contrast.feature words cannot tell equal sentences about two photos apart; "
                "set loss.contrast.negatives to photo"
            )
        if contrast.feature == "queries" and isinstance(self.model, VLTConfig) and self.model.queries == "learned":
            raise ValueError("loss.contrast.feature queries has nothing to learn where model.queries is learned")
        return self


def with_default_names(values: dict[str, Any]) -> dict[str, Any]:
    """A copy of a whole configuration's `values` with `model.name` set where it is not given."""
    model = values.get("model", {})
    return {**values, "model": {"name": "vlt", **model} if isinstance(model, dict) else model}
