"""Training data: reading of both splits, order of the samples in each epoch, and batches for one process."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, overload

from vlt.config.data import ReferDataConfig, ShardsDataConfig, SyntheticDataConfig
from vlt.config.run import Config
from vlt.data.collate import Collate
from vlt.data.loading import load_batches
from vlt.data.prepared import images_of_other_splits
from vlt.data.referrals import check_one_kind, fingerprint, image_key
from vlt.data.row_groups import ShardImage
from vlt.data.samples import VIEWS, TrainSamples
from vlt.dataset import load_referrals
from vlt.errors import ConfigError, DataError, VLTWarning
from vlt.text.augment import ADJECTIVES, PHRASES
from vlt.text.reader import TextReader, build_text, padded_length
from vlt.text.words import is_visible
from vlt.train.order import epoch_order, group_by_image, micro_batches, repeat_views, streamed_order
from vlt.types import Batch, Referral, Referrals, Sample

if TYPE_CHECKING:
    from vlt.synth.scenes.compose import FreshScenes

MAX_CACHED_BYTES = 2**29
"""Largest split of synthetic scenes that is kept in memory, in bytes; larger ones are drawn for every sample."""
SCENE_BYTES_PER_PIXEL = 4
"""Bytes per pixel of a synthetic scene in memory: three of the image, one of the mask."""


@dataclass(frozen=True)
class TrainData:
    """Training and validation data of a run.

    Attributes:
        train: referrals to train on, without blank expressions; one per expression with `train.every_expression`.
        val: referrals of the validation split.
        text: the reader of expressions.
        fingerprint: hash of all ids and expressions; independent of where the data are stored.
        fresh: scenes that are composed anew for each epoch, in addition to `train`; None: none.
    """

    train: Referrals
    val: Referrals
    text: TextReader
    fingerprint: str
    fresh: FreshScenes | None = None

    @property
    def count(self) -> int:
        """Number of referrals per epoch."""
        return len(self.train) + (len(self.fresh) if self.fresh else 0)

    @cached_property
    def image_keys(self) -> list[Hashable]:
        """One key per referral of `train`, equal for referrals of one image."""
        return [image_key(referral) for referral in self.train]

    def steps_per_epoch(self, config: Config) -> int:
        """Return the number of optimiser steps per epoch; an incomplete last batch is left out."""
        return samples_per_epoch(self, config) // config.train.batch_size

    def order(self, config: Config, epoch: int) -> list[int]:
        """Return the order of the samples in an epoch."""
        views = views_per_referral(config)
        if isinstance(config.data, ShardsDataConfig):
            order = streamed_order(
                [referral.image.block for referral in self.train if isinstance(referral.image, ShardImage)],
                self.image_keys if config.train.by_photo else None,
                seed=config.seed,
                epoch=epoch,
                streams=config.data.streams,
                window=config.data.window,
                batch_size=config.train.batch_size // views,
            )
            return repeat_views(order, views)
        order = epoch_order(self.count, seed=config.seed, epoch=epoch)
        if config.train.by_photo:
            fresh_keys = self.fresh.of_epoch(epoch).scene_numbers if self.fresh else []
            order = group_by_image(order, self.image_keys + fresh_keys)
        return repeat_views(order, views)

    def samples(self, config: Config, epoch: int) -> TrainSamples:
        """Return the samples of an epoch; item i is a pure function of (seed, epoch, i)."""
        return TrainSamples(
            self.fresh.beside(self.train, epoch) if self.fresh else self.train,
            self.text,
            config.model.input_size,
            config.model.antialias,
            epoch=epoch,
            seed=config.seed,
            flip=config.data.flip,
            chatter=config.data.chatter,
            details=config.data.details,
            slips=config.data.slips,
            light=config.data.light,
            mask_ratio=config.loss.contrast.mask_ratio if views_per_referral(config) > 1 else None,
            masks=config.train.only != "candidates",
        )

    def batches(self, config: Config, *, done_steps: int = 0, rank: int, world: int) -> Iterator[list[Batch]]:
        """Load one process's batches of all epochs; the processes that load them live as long as the iterator.

        Args:
            config: configuration of the run.
            done_steps: optimiser steps of the run that are done already.
            rank: number of this process.
            world: number of processes.

        Yields:
            For each optimiser step, `train.accumulate` batches.

        Raises:
            DataError: a file that cannot be used, or a worker process that failed.
        """
        places = RunBatches(self, config, done_steps, rank, world)
        collate = Collate(padded_length(config.model))
        loaded = load_batches(RunSamples(self, config), places, collate, workers=config.train.workers)
        while step := list(islice(loaded, config.train.accumulate)):
            yield step


class RunSamples:
    """Samples of all epochs of a run, numbered one epoch after the other.

    Args:
        data: training data.
        config: configuration of the run.
    """

    def __init__(self, data: TrainData, config: Config) -> None:
        self.data = data
        self.config = config
        self.current: tuple[int, TrainSamples] | None = None

    def __getitem__(self, place: int) -> Sample:
        """Compute a sample; see `TrainSamples`."""
        epoch, index = divmod(place, samples_per_epoch(self.data, self.config))
        if self.current is None or self.current[0] != epoch:
            self.current = epoch, self.data.samples(self.config, epoch)
        return self.current[1][index]


class RunBatches(Sequence[list[int]]):
    """Places in `RunSamples` of one process's batches, `train.accumulate` of them per optimiser step.

    Args:
        data: training data.
        config: configuration of the run.
        done_steps: optimiser steps of the run that are done already.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(self, data: TrainData, config: Config, done_steps: int, rank: int, world: int) -> None:
        self.data = data
        self.config = config
        self.rank = rank
        self.world = world
        self.per_epoch = samples_per_epoch(data, config) // config.train.batch_size * config.train.accumulate
        self.done = done_steps * config.train.accumulate
        self.current: tuple[int, list[list[int]]] | None = None

    def __len__(self) -> int:
        return max(0, self.config.train.epochs * self.per_epoch - self.done)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        """Return the places of a batch, or of several."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        epoch, place = divmod(self.done + index, self.per_epoch)
        if self.current is None or self.current[0] != epoch:
            self.current = epoch, self.of_epoch(epoch)
        return self.current[1][place]

    def of_epoch(self, epoch: int) -> list[list[int]]:
        """List the batches of an epoch."""
        begin = epoch * samples_per_epoch(self.data, self.config)
        train = self.config.train
        batches = micro_batches(
            self.data.order(self.config, epoch),
            batch_size=train.batch_size,
            accumulate=train.accumulate,
            rank=self.rank,
            world=self.world,
            views=views_per_referral(self.config),
        )
        return [[begin + index for index in batch] for batch in batches]


def samples_per_epoch(data: TrainData, config: Config) -> int:
    """Count the samples of an epoch, those of an incomplete last batch included."""
    return data.count * views_per_referral(config)


def views_per_referral(config: Config) -> int:
    """Return how many samples of each referral a batch holds, each with another expression or other words masked."""
    return VIEWS if config.loss.contrast.weight else 1


def load_data(config: Config, text: TextReader | None = None) -> TrainData:
    """Read both splits and build the text reader over their expressions.

    Warns once, with a count, of expressions that are longer than `model.max_words`.

    Args:
        config: configuration of the run.
        text: reader to use; None: build the one that the configuration describes.

    Raises:
        DataError: data or word vectors that cannot be used; see `check_targets`.
        ConfigError: fewer training samples than one batch; words to be masked that the text reader cannot mask; more
            scenes than `train.every_expression` can keep in memory.
    """
    train, val = (load_referrals(config.data, split) for split in (config.data.train_split, config.data.val_split))
    fresh = None
    if isinstance(config.data, ReferDataConfig) and config.data.compose is not None:
        from vlt.prepare.sources import read_fresh_scenes  # noqa: PLC0415 (most runs compose no scenes)

        fresh = read_fresh_scenes(
            config.data.compose,
            epochs=config.train.epochs,
            seed=config.seed,
            excluded=images_of_other_splits(config.data.root, config.data.dataset, config.data.train_split),
            first_id=1 + max(referral.ref_id for referral in train),
        )
    train, val = cache_scenes(train, config), cache_scenes(val, config)
    check_targets(train, val, config)
    if config.train.every_expression and not isinstance(train, list):
        raise ConfigError(
            f"train.every_expression keeps all scenes in memory, but {len(train)} of this size are more than "
            f"{MAX_CACHED_BYTES >> 20} MB; draw fewer or smaller ones (data.train_scenes, data.size)."
        )
    expressions: list[str] = []
    digest = fingerprint(collect_expressions(chain(train, val), expressions))
    if fresh:
        digest = f"{digest} {hashlib.sha256(fresh.description.encode()).hexdigest()}"
    if config.train.every_expression:
        train = [replace(referral, expressions=(each,)) for referral in train for each in referral.expressions]
    most = (len(train) + (len(fresh) if fresh else 0)) * views_per_referral(config)
    if most < config.train.batch_size:
        noun = "expressions" if config.train.every_expression else "referrals"
        raise ConfigError(
            f"The split {config.data.train_split!r} has {len(train)} {noun}, too few for train.batch_size, "
            f"{config.train.batch_size}; take at most {most}."
        )
    if text is None:
        spoken = (*ADJECTIVES, *PHRASES) if config.data.chatter else ()
        text = build_text(config.model, [*expressions, *spoken])
    if config.loss.contrast.weight and config.loss.contrast.mask_ratio:
        _ = text.mask_word  # refused here rather than with the first batch
    warn_about_cut_expressions(expressions, text)
    return TrainData(train, val, text, digest, fresh)


def check_targets(train: Referrals, val: Referrals, config: Config) -> None:
    """Check that targets which are known by their boxes alone are used only where boxes are enough.

    Args:
        train: referrals to train on.
        val: referrals of the validation split.
        config: configuration of the run.

    Raises:
        DataError: masks are trained, or select the best checkpoint, or are only in a part of the validation split.
    """
    boxed = sum(bool(referral.boxes) for referral in train) if isinstance(train, list) else 0  # scenes have masks
    if boxed and config.train.only != "candidates":
        raise DataError(
            f"{boxed} of the {len(train)} training referrals have targets that are known by their boxes alone, but "
            "masks are trained; set train.only to candidates, for a network with model.candidates, or take data with "
            "masks."
        )
    if isinstance(val, list) and check_one_kind(val) and config.evaluate.select_by != "box":
        raise DataError(
            f"The targets of the split {config.data.val_split!r} are known by their boxes alone, which have no "
            f"{config.evaluate.select_by}; set evaluate.select_by to box, or data.val_split to a split with masks."
        )


def cache_scenes(referrals: Referrals, config: Config) -> Referrals:
    """Draw synthetic scenes once if they fit `MAX_CACHED_BYTES`; drawing takes as long as a step of a small network."""
    if isinstance(config.data, SyntheticDataConfig):
        height, width = config.data.size
        if len(referrals) * height * width * SCENE_BYTES_PER_PIXEL <= MAX_CACHED_BYTES:
            return list(referrals)
    return referrals


def collect_expressions(referrals: Iterable[Referral], expressions: list[str]) -> Iterator[Referral]:
    """Yield referrals unchanged and append their expressions to a list, so that large data are read only once."""
    for referral in referrals:
        expressions.extend(expression.text for expression in referral.expressions)
        yield referral


def warn_about_cut_expressions(expressions: Sequence[str], text: TextReader) -> None:
    """Warn once, with a count, if expressions have more words or word pieces than the model reads."""
    cut = {expression for expression in {*expressions} if is_visible(expression) and text(expression).cut}
    count = sum(expression in cut for expression in expressions)
    if count:
        message = (
            f"{count} of {len(expressions)} expressions of the training and validation data are longer than "
            f"model.max_words, {text.max_words} words or word pieces, and were cut there; raise it to read them whole."
        )
        warnings.warn(VLTWarning(message), stacklevel=2)
