"""Load the data set that a configuration names: the referrals of a split, and the names of its categories."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

from vlt.config.data import DataConfig, ReferDataConfig
from vlt.data.prepared import annotation_folder, images_of_other_splits, read_prepared
from vlt.data.referrals import without_blanks
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
        if split != config.train_split:
            return referrals
        mixed = mix(referrals, config)
        kept, blank = without_blanks(mixed)
        name = f"{config.dataset}/{split}"
        if not kept:
            raise DataError(f"{name} has no expression to train on: all {blank} are blank; run `vlt prepare` again.")
        if blank:
            empty = len(mixed) - len(kept)
            message = f"{name}: {blank} blank expressions were left out, and {empty} referrals with only these."
            warnings.warn(VLTWarning(message), stacklevel=2)
        return kept
    from vlt.synth.shapes import SyntheticReferrals  # noqa: PLC0415 (prepared data do not need the grammar)

    scenes = {config.train_split: config.train_scenes, config.val_split: config.val_scenes}
    if split not in scenes:
        raise ConfigError(f"Synthetic data have no split {split!r}; known: {', '.join(scenes)}.")
    kinds = None if config.kinds is None else {str(kind): weight for kind, weight in config.kinds.items()}
    referents = config.referents if split == config.train_split else 1
    return SyntheticReferrals(scenes[split], config.size, config.seed, split, kinds=kinds, referents=referents)


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
    others = images_of_other_splits(config.root, config.dataset, config.train_split)
    held_out = {(config.images / name).resolve() for name in others}
    mixed = list(referrals)
    for source in config.mixed_with:
        first = 1 + max(referral.ref_id for referral in mixed)
        added = read_prepared(config.root, source.dataset, config.train_split, source.images)
        images = {referral.image for referral in added if isinstance(referral.image, Path)}
        if shared := sorted(image for image in images if image.resolve() in held_out):
            raise DataError(
                f"{source.dataset}/{config.train_split} has {len(shared)} images that {config.dataset} holds out, the "
                f"first {shared[0]}; prepare both with the same share of validation images."
            )
        mixed += [replace(referral, ref_id=first + place, category=NO_CATEGORY) for place, referral in enumerate(added)]
    return mixed


def category_names(config: DataConfig) -> tuple[str, ...]:
    """Read the names of a data set's categories.

    Args:
        config: the data set.

    Returns:
        The names by `Referral.category`; none if `prepare.json` is missing or has none, as in data sets prepared by
        the original's script.
    """
    if not isinstance(config, ReferDataConfig):
        from vlt.synth.shapes import OUTLINES  # noqa: PLC0415 (prepared data do not need the grammar)

        return tuple(OUTLINES)
    try:
        report = json.loads((annotation_folder(config.root, config.dataset) / "prepare.json").read_bytes())
        return tuple(str(name) for name in report["categories"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()
