"""Configuration of the data: a prepared data set or drawn shapes, and composed scenes."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from vlt.config.section import Fraction, LocalPath, NonNegative, PathOrName, Positive, Section, Text

Cue: TypeAlias = Literal["category", "colour", "clothes", "position", "ordinal", "size", "relation", "negation"]
"""Cues: the kinds of information that an expression gives about its object, see `vlt.text.cues`."""


class ComposeConfig(Section):
    """Scenes composed of cut-out objects during training, new ones in each epoch (`vlt.synth.scenes.compose`)."""

    instances: LocalPath
    """A COCO instance file; objects and backgrounds come from its images, except those in other splits of the prepared
    data."""
    images: LocalPath
    """The folder with its images."""
    people: LocalPath | None = None
    """A street-fashion data set (`vlt.prepare.fashion`), whose people are pasted too; null: none."""
    scenes: Positive = 3000
    """Scenes per epoch."""
    referents: Positive = 3
    """Objects per scene that get expressions; each is a referral of its own."""
    several: Fraction = 0.0
    """Fraction of the scenes' referrals to all objects of a kind, such as "both red cups", where there are at least
    two."""
    absent: Fraction = 0.0
    """Fraction of the scenes' referrals that nothing in the image matches."""


class MixedDataConfig(Section):
    """A prepared data set that is trained on beside the main one."""

    dataset: Text
    """Name of the data set's folder under `anns/` and `masks/` of `data.root`."""
    images: LocalPath
    """The folder with its images."""


class ReferDataConfig(Section):
    """A prepared data set, as written by `vlt prepare` or by the original's script."""

    name: Literal["refer"] = "refer"
    """Selects prepared data."""
    root: LocalPath
    """The folder with `anns/` and `masks/`."""
    dataset: Text
    """Name of the data set's folder under both, such as refcoco, refcocog_umd or coco_mini."""
    images: LocalPath
    """The folder with the images."""
    train_split: Text = "train"
    """Split that is trained on."""
    val_split: Text = "val"
    """Split that is validated on and selects the best checkpoint. `vlt prepare` divides val into val_a and val_b, so
    that one can select and the other can be reported."""
    mixed_with: tuple[MixedDataConfig, ...] = ()
    """Further prepared data sets whose `train_split` is trained on, too; none of their images may be in other splits of
    `dataset`, unless `hold_out` names it."""
    hold_out: tuple[Text, ...] = ()
    """Prepared data sets about the same `images`: what is about an image of their other splits is left out of training,
    with a warning that counts it. RefCOCO, RefCOCO+ and RefCOCOg validate and test on training images of each
    other."""
    flip: Fraction = 0.0
    """Augmentation: probability of flipping a training image horizontally, with left and right swapped in the
    expression; an image whose expression cannot be swapped is not flipped."""
    chatter: Fraction = 0.0
    """Augmentation: probability of adding uninformative words, such as "lol" or "by the wall", to a training
    expression."""
    details: Fraction = 0.0
    """Augmentation: probability of adding details, such as "on the left", to a training expression that nothing in its
    image matches, so that its style does not give it away."""
    slips: Fraction = 0.0
    """Augmentation: probability of a slip of the pen in a training expression: a letter left out, doubled or swapped
    with the next one, or an article left out."""
    light: Fraction = 0.0
    """Augmentation: probability of changing a training image's brightness slightly; colours keep their names."""
    compose: ComposeConfig | None = None
    """Train on composed scenes too; null: on the prepared data only. Requires `train.by_photo`."""


class ShardsDataConfig(Section):
    """Shards, as written by `vlt prepare shards`; photos are read while training, from a disk or a URL."""

    name: Literal["shards"] = "shards"
    """Selects shards."""
    root: PathOrName
    """The folder with the data set's folder in it, or a URL of any file system that the package `fsspec` knows, such as
    https://..., hf://datasets/OWNER/NAME or s3://BUCKET."""
    dataset: Text
    """Name of the data set's folder under `root`."""
    train_split: Text = "train"
    """Split that is trained on."""
    val_split: Text = "val"
    """Split that is validated on."""
    streams: Positive = 8
    """Parts of the training data that are read side by side; each batch has samples of all of them. Where it is a
    multiple of the number of processes times `train.accumulate`, no photo is read by two processes in an epoch."""
    window: Positive = 8
    """Row groups of a stream whose samples are mixed; more mix better and take more memory, about 4 MB for each row
    group of each stream."""
    flip: Fraction = 0.0
    """Augmentation, as for prepared data: probability of flipping a training image horizontally."""
    chatter: Fraction = 0.0
    """Augmentation, as for prepared data: probability of adding uninformative words to a training expression."""
    details: Fraction = 0.0
    """Augmentation, as for prepared data: probability of adding details to an expression that nothing matches."""
    slips: Fraction = 0.0
    """Augmentation, as for prepared data: probability of a slip of the pen in a training expression."""
    light: Fraction = 0.0
    """Augmentation, as for prepared data: probability of changing the brightness slightly."""


class SyntheticDataConfig(Section):
    """Scenes of coloured shapes, drawn in memory from a seed."""

    name: Literal["synthetic"] = "synthetic"
    """Selects drawn shapes."""
    size: tuple[Positive, Positive] = (128, 128)
    """(height, width) of a scene in pixels."""
    train_scenes: Positive = 2000
    """Scenes of the training split."""
    val_scenes: Positive = 200
    """Scenes of the validation split."""
    referents: Positive = 1
    """Objects per training scene that get an expression; each is a referral of its own. Validation scenes have one."""
    kinds: dict[Cue, NonNegative] | None = None
    """Relative frequency of each cue in expressions: category, colour, clothes, position, ordinal, size, relation,
    negation. Cues left out are not used; null: about as frequent as in RefCOCO."""
    several: Fraction = 0.0
    """Fraction of referrals to all objects of a kind, such as "all red circles", where there are at least two."""
    absent: Fraction = 0.0
    """Fraction of referrals that nothing in the image matches."""
    seed: int = 0
    """Seed of the scenes."""
    train_split: Text = "train"
    """Split that is trained on."""
    val_split: Text = "val"
    """Split that is validated on."""
    flip: Fraction = 0.0
    """Augmentation, as for prepared data: probability of flipping a training image horizontally."""
    chatter: Fraction = 0.0
    """Augmentation, as for prepared data: probability of adding uninformative words to a training expression."""
    details: Fraction = 0.0
    """Augmentation, as for prepared data: probability of adding details to an expression that nothing matches."""
    slips: Fraction = 0.0
    """Augmentation, as for prepared data: probability of a slip of the pen in a training expression."""
    light: Fraction = 0.0
    """Augmentation, as for prepared data: probability of changing the brightness slightly."""


DataConfig: TypeAlias = Annotated[ReferDataConfig | ShardsDataConfig | SyntheticDataConfig, Field(discriminator="name")]


def dataset_name(config: DataConfig) -> str:
    """Name of a data set in reports."""
    return config.name if isinstance(config, SyntheticDataConfig) else config.dataset
