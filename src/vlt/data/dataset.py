"""What a configuration's data are: the referrals of a split, and what tells them and their photos apart."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlt.config import ReferDataConfig
from vlt.data.prepared import read_prepared
from vlt.data.synthetic import SyntheticReferrals
from vlt.errors import ConfigError, DataError, VLTWarning

if TYPE_CHECKING:
    from vlt.config import DataConfig, SyntheticDataConfig
    from vlt.types import Referral, Referrals


def load_referrals(config: DataConfig, split: str) -> Referrals:
    """Reads a split of a prepared data set, or the recipe of synthetic scenes.

    Blank sentences can be neither learnt from nor asked. The training split comes without them, and without referrals
    that have no other, with a warning that counts both; in other splits they stand, for evaluation to count.

    Args:
        config: which data set.
        split: such as "val".

    Raises:
        DataError: data that cannot be used, see `read_prepared`; nothing is left to train on.
        ConfigError: a split that a synthetic data set does not have.
    """
    if not isinstance(config, ReferDataConfig):
        return _synthetic(config, split)
    referrals = read_prepared(config.root, config.dataset, split, config.images)
    return _to_learn_from(referrals, f"{config.dataset}/{split}") if split == config.train_split else referrals


def without_blanks(referrals: Iterable[Referral]) -> tuple[list[Referral], int]:
    """The referrals with the sentences that say something, and how many sentences do not."""
    kept, blank = [], 0
    for referral in referrals:
        spoken = tuple(expression for expression in referral.expressions if expression.text.strip())
        blank += len(referral.expressions) - len(spoken)
        if spoken:
            kept.append(referral if len(spoken) == len(referral.expressions) else replace(referral, expressions=spoken))
    return kept, blank


def fingerprint(referrals: Iterable[Referral]) -> str:
    """Says whether two data sets are the same, wherever they lie.

    Returns:
        SHA-256, in hexadecimal, over the ids, photo names, mask sizes and sentences.
    """
    digest = hashlib.sha256()
    for referral in referrals:
        sentences = [(expression.sent_id, expression.text) for expression in referral.expressions]
        digest.update(repr((referral.ref_id, *_outline(referral), sentences)).encode())
    return digest.hexdigest()


def photo_key(referral: Referral) -> Path | int:
    """Equal for referrals about one photo: a file or a drawn scene; others in memory are each taken for another."""
    if isinstance(referral.image, Path):
        return referral.image
    return referral.ref_id if referral.scene is None else referral.scene


def photo_name(referral: Referral) -> str:
    """What a photo is called in a message."""
    return referral.image.name if isinstance(referral.image, Path) else "in memory"


def _synthetic(config: SyntheticDataConfig, split: str) -> SyntheticReferrals:
    """Scenes of a stream of their own for each split."""
    scenes = {config.train_split: config.train_scenes, config.val_split: config.val_scenes}
    if split not in scenes:
        raise ConfigError(f"Synthetic data have no split {split!r}; known: {', '.join(scenes)}.")
    kinds = None if config.kinds is None else {str(cue): dose for cue, dose in config.kinds.items()}
    referents = config.referents if split == config.train_split else 1
    return SyntheticReferrals(scenes[split], config.size, config.seed, split, kinds=kinds, referents=referents)


def _to_learn_from(referrals: Sequence[Referral], name: str) -> list[Referral]:
    """The referrals that say something; warns of what was left out."""
    kept, blank = without_blanks(referrals)
    if not kept:
        raise DataError(f"{name} has no sentence to learn from: all {blank} are blank; run `vlt prepare` again.")
    if blank:
        mute = len(referrals) - len(kept)
        message = f"{name}: {blank} blank sentences were left out, and {mute} referrals that have no other."
        warnings.warn(VLTWarning(message), stacklevel=3)
    return kept


def _outline(referral: Referral) -> tuple[str, Any]:
    """What is quickly known of photo and mask."""
    target = referral.target
    size = target["size"] if isinstance(target, dict) else None if isinstance(target, Path) else list(target.shape)
    return photo_name(referral), size
