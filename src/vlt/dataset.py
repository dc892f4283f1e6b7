"""Load the data set that a configuration names: the referrals of a split, and the names of its categories."""

from __future__ import annotations

import json
import warnings

from vlt.config.data import DataConfig, ReferDataConfig
from vlt.data.prepared import annotation_folder, read_prepared
from vlt.data.referrals import without_blanks
from vlt.errors import ConfigError, DataError, VLTWarning
from vlt.types import Referrals


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
        kept, blank = without_blanks(referrals)
        name = f"{config.dataset}/{split}"
        if not kept:
            raise DataError(f"{name} has no expression to train on: all {blank} are blank; run `vlt prepare` again.")
        if blank:
            empty = len(referrals) - len(kept)
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
