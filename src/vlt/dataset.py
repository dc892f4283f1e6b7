"""Load the data set that a configuration names: the referrals of a split, and the names of its categories."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vlt.config.data import DataConfig, ReferDataConfig, ShardsDataConfig
from vlt.data.prepared import annotation_folder, images_of_other_splits, read_prepared
from vlt.data.referrals import without_blanks
from vlt.data.shards import read_index, read_shards
from vlt.errors import ConfigError, DataError, VLTWarning
from vlt.types import NO_CATEGORY, Referral, Referrals


def load_referrals(config: DataConfig, split: str) -> Referrals:
    """Load a split of a prepared data set, or of a data set of synthetic scenes.

    From the training split, blank expressions and referrals without any other expression are left out, with a warning
    that counts both. Other splits keep them, for the evaluation to count.

    Args:
        config: the data set.
        split: such as "val".

    Returns:
        The referrals; synthetic scenes are drawn when a referral is accessed, other ones for each split.

    Raises:
        DataError: the data cannot be used, see `read_prepared`; the training split has nothing but blank expressions.
        ConfigError: a synthetic data set has no such split.
    """
    if isinstance(config, ReferDataConfig):
        referrals = read_prepared(config.root, config.dataset, split, config.images)
        if split == config.train_split:
            return drop_blanks(mix(drop_held_out(referrals, config), config), config)
        return referrals
    if isinstance(config, ShardsDataConfig):
        is_train = split == config.train_split
        capacity = config.streams * config.window if is_train else 1
        referrals = read_shards(config.root, config.dataset, split, capacity=capacity)
        return drop_blanks(referrals, config) if is_train else referrals
    from vlt.synth.shapes import SyntheticReferrals  # noqa: PLC0415 (prepared data do not need the grammar)

    scenes = {config.train_split: config.train_scenes, config.val_split: config.val_scenes}
    if split not in scenes:
        raise ConfigError(f"Synthetic data have no split {split!r}; known: {', '.join(scenes)}.")
    kinds = None if config.kinds is None else {str(kind): weight for kind, weight in config.kinds.items()}
    referents = config.referents if split == config.train_split else 1
    return SyntheticReferrals(
        scenes[split],
        config.size,
        config.seed,
        split,
        kinds=kinds,
        referents=referents,
        several=config.several,
        absent=config.absent,
    )


def drop_blanks(referrals: list[Referral], config: ReferDataConfig | ShardsDataConfig) -> list[Referral]:
    """Leave blank expressions out of the training split, and referrals with only these; warns with both numbers.

    Raises:
        DataError: nothing is left.
    """
    kept, blank = without_blanks(referrals)
    name = f"{config.dataset}/{config.train_split}"
    if not referrals:
        raise DataError(f"{name} has nothing to train on: data.hold_out leaves out every referral; shorten it.")
    if not kept:
        raise DataError(f"{name} has no expression to train on: all {blank} are blank; run `vlt prepare` again.")
    if blank:
        empty = len(referrals) - len(kept)
        message = f"{name}: {blank} blank expressions were left out, and {empty} referrals with only these."
        warnings.warn(VLTWarning(message), stacklevel=3)
    return kept


def mix(referrals: list[Referral], config: ReferDataConfig) -> list[Referral]:
    """Add the training referrals of `data.mixed_with`, with ids behind those that are there.

    Their categories are dropped, since each data set numbers its own.

    Args:
        referrals: the training split of the main data set.
        config: the data set.

    Raises:
        DataError: a data set that cannot be used; images that the main one validates or tests on.
    """
    if not config.mixed_with:
        return referrals
    held_out = images_held_out(config.dataset, config)
    mixed = list(referrals)
    for source in config.mixed_with:
        first = 1 + max((referral.ref_id for referral in mixed), default=0)
        added = drop_held_out(read_prepared(config.root, source.dataset, config.train_split, source.images), config)
        if shared := sorted(image for image in image_paths(added) if image.resolve() in held_out):
            raise DataError(
                f"{source.dataset}/{config.train_split} has {len(shared)} images that {config.dataset} holds out, the "
                f"first {shared[0]}; prepare both with the same share of validation images, or leave them out "
                f"(data.hold_out: [{config.dataset}])."
            )
        mixed += [replace(referral, ref_id=first + place, category=NO_CATEGORY) for place, referral in enumerate(added)]
    return mixed


def images_held_out(dataset: str, config: ReferDataConfig) -> set[Path]:
    """List the images of a data set's other splits than the one that is trained on."""
    names = images_of_other_splits(config.root, dataset, config.train_split)
    return {(config.images / name).resolve() for name in names}


def image_paths(referrals: Iterable[Referral]) -> set[Path]:
    """List the image files of referrals, each once."""
    return {referral.image for referral in referrals if isinstance(referral.image, Path)}


def drop_held_out(referrals: list[Referral], config: ReferDataConfig) -> list[Referral]:
    """Leave out referrals about images that a data set of `data.hold_out` does not train on; warns with their number.

    Raises:
        DataError: there is no such data set, or only its training split.
    """
    held_out: set[Path] = set()
    for dataset in config.hold_out:
        images = images_held_out(dataset, config)
        if not images:
            raise DataError(
                f"data.hold_out: {dataset!r} has no split but {config.train_split!r} under {config.root}; prepare it, "
                "or leave it out of the list."
            )
        held_out |= images
    left_out = {image for image in image_paths(referrals) if image.resolve() in held_out}
    kept = [each for each in referrals if not (isinstance(each.image, Path) and each.image in left_out)]
    if len(kept) < len(referrals):
        message = (
            f"{len(referrals) - len(kept)} of {len(referrals)} training referrals were left out, since their images "
            f"are in other splits of {', '.join(config.hold_out)} (data.hold_out)."
        )
        warnings.warn(VLTWarning(message), stacklevel=4)
    return kept


def category_names(config: DataConfig) -> tuple[str, ...]:
    """Read the names of a data set's categories.

    Args:
        config: the data set.

    Returns:
        The names by `Referral.category`; none if `prepare.json` is missing or has none, as in data sets prepared by
        the original's script.
    """
    if isinstance(config, ShardsDataConfig):
        return read_index(config.root, config.dataset).categories
    if not isinstance(config, ReferDataConfig):
        from vlt.synth.shapes import OUTLINES  # noqa: PLC0415 (prepared data do not need the grammar)

        return tuple(OUTLINES)
    try:
        report = json.loads((annotation_folder(config.root, config.dataset) / "prepare.json").read_bytes())
        return tuple(str(name) for name in report["categories"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()
