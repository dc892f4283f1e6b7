"""What a run is made of, refused here where it cannot work, before anything costs time."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import parse_flag_from_env
from torch.utils.data import Dataset

from vlt.checkpoint import is_checkpoint, load_checkpoint, load_weights, read_pointer
from vlt.config import Config, Darknet53Config, DataConfig, ReferDataConfig, SyntheticDataConfig, TrainConfig
from vlt.data.dataset import fingerprint, load_referrals, photo_key
from vlt.data.expressions.chatter import ADJECTIVES, PHRASES
from vlt.data.halves import take_half
from vlt.data.prepared import photos_of_other_splits
from vlt.data.samples import READINGS, TrainSamples
from vlt.data.text import TextReader, TokenReader, build_text
from vlt.errors import CheckpointError, ConfigError
from vlt.legacy import load_keras_backbone
from vlt.model.build import build_model, resolve
from vlt.model.darknet import Darknet53
from vlt.model.vlt import VLT
from vlt.train.map_cache import MapCache
from vlt.train.order import by_photo, epoch_order, readings
from vlt.types import Referral, Referrals, Sample

if TYPE_CHECKING:
    from vlt.data.compose.fresh import FreshScenes

KEPT_BYTES = 2**29
"""Up to here the drawn scenes of a split are kept in memory; beyond, each is drawn whenever it is needed."""
SCENE_BYTES_PER_PIXEL = 4
"""Three of the picture, one of the mask."""


@dataclass(frozen=True)
class TrainData:
    """What a run learns from and is judged by.

    Attributes:
        train: one sample per referral and epoch.
        val: every expression is asked.
        text: reads the expressions of both.
        fingerprint: of all ids and expressions; the same wherever the data lie.
        fresh: scenes that are learnt from beside `train`, other ones in each epoch; None: none.
    """

    train: Referrals
    val: Referrals
    text: TextReader
    fingerprint: str
    fresh: FreshScenes | None = None

    @property
    def count(self) -> int:
        """Referrals of an epoch."""
        return len(self.train) + (len(self.fresh) if self.fresh else 0)

    def steps(self, config: Config) -> int:
        """Optimiser steps of an epoch."""
        return self.count * readings_of(config) // config.train.batch_size

    def order(self, config: Config, epoch: int) -> list[int]:
        """In which order the samples of an epoch are learnt from."""
        order = epoch_order(self.count, seed=config.seed, epoch=epoch)
        if config.train.by_photo:
            order = by_photo(order, self._photos + (self.fresh.of_epoch(epoch).photos if self.fresh else []))
        return readings(order, readings_of(config))

    @cached_property
    def _photos(self) -> list[Hashable]:
        return [photo_key(referral) for referral in self.train]

    def samples(self, config: Config, epoch: int) -> Dataset[Sample]:
        """The training samples of an epoch; item i is a pure function of (seed, epoch, i)."""
        referrals = self.fresh.beside(self.train, epoch) if self.fresh else self.train
        return TrainSamples(
            referrals,
            self.text,
            config.model.input_size,
            config.model.antialias,
            epoch=epoch,
            seed=config.seed,
            flip=config.data.flip,
            chatter=config.data.chatter,
            light=config.data.light,
            mask_ratio=config.loss.contrast.mask_ratio if readings_of(config) > 1 else None,
        )


def readings_of(config: Config) -> int:
    """How often each referral stands in a batch, with another reading each time."""
    return READINGS if config.loss.contrast.weight else 1


def start_accelerator(config: TrainConfig, readings: int = 1) -> Accelerator:
    """The one that knows devices, processes, precision and accumulation.

    Args:
        config: how to train.
        readings: samples that must share a pass.

    Raises:
        ConfigError: a precision that the device does not have; a batch that processes and passes cannot share.
    """
    # Processes launched on a machine without a GPU do not find each other unless the CPU is asked for.
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())
    _refuse_precision(config.precision, state.device)
    parts = state.num_processes * config.accumulate * readings
    if config.batch_size % parts:
        contrasted = f" x {readings} readings of loss.contrast" if readings > 1 else ""
        raise ConfigError(
            f"train.batch_size is {config.batch_size}, not a multiple of {parts} "
            f"({state.num_processes} processes x train.accumulate {config.accumulate}{contrasted}); "
            f"take {_multiple_near(config.batch_size, parts)}."
        )
    AcceleratorState._reset_state()  # it outlives a run, and refuses the next one another precision
    return Accelerator(mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate)


def make_run_dir(folder: Path) -> None:
    """Makes the run's folder.

    Raises:
        ConfigError: it cannot be made or written to, is a checkpoint itself, or holds checkpoints of a run that cannot
            be continued.
    """
    if is_checkpoint(folder):
        raise ConfigError(
            f"output_dir {folder} is a checkpoint, which answers but cannot be continued; name the folder of a run."
        )
    try:
        (folder / "resume").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"output_dir {folder} cannot be made or written to ({error.strerror}); name another."
        ) from error
    if read_pointer(folder, "last") and not any((folder / "resume").iterdir()):
        raise ConfigError(
            f"output_dir {folder} holds checkpoints but nothing in {folder / 'resume'} to continue from; "
            "name another, or move the checkpoints away."
        )


def load_data(config: Config) -> TrainData:
    """Reads both splits and builds the text reader over their expressions.

    Raises:
        DataError: data or word vectors that cannot be used.
        ConfigError: fewer training referrals than one batch; half of what has no names; words to be masked that the
            text reader cannot mask.
    """
    train, val = (load_referrals(config.data, split) for split in (config.data.train_split, config.data.val_split))
    fresh = _read_fresh(config, train)
    val = take_half(val, config.evaluate.half)
    most = (len(train) + (len(fresh) if fresh else 0)) * readings_of(config)
    if most < config.train.batch_size:
        raise ConfigError(
            f"The split {config.data.train_split!r} has {len(train)} referrals, too few for train.batch_size, "
            f"{config.train.batch_size}; take at most {most}."
        )
    train, val = _kept(train, config.data), _kept(val, config.data)
    sentences: list[str] = []
    print_of_both = fingerprint(_overheard(chain(train, val), sentences))
    if fresh:
        print_of_both = f"{print_of_both} {hashlib.sha256(fresh.description.encode()).hexdigest()}"
    if config.data.chatter:
        sentences += (*ADJECTIVES, *PHRASES)
    text = build_text(config.model, sentences)
    if config.loss.contrast.weight and config.loss.contrast.mask_ratio:
        _ = text.mask_word  # refused here rather than with the first batch
    return TrainData(train, val, text, print_of_both, fresh)


def _read_fresh(config: Config, train: Referrals) -> FreshScenes | None:
    """The scenes composed for each epoch, where there are any; no photo of another split is in them."""
    data = config.data
    if not isinstance(data, ReferDataConfig) or data.compose is None:
        return None
    from vlt.data.compose.fresh import read_fresh_scenes  # noqa: PLC0415 (most runs need nothing of that room)

    return read_fresh_scenes(
        data.compose,
        epochs=config.train.epochs,
        seed=config.seed,
        judged=photos_of_other_splits(data.root, data.dataset, data.train_split),
        first_id=1 + max(referral.ref_id for referral in train),
    )


def build_network(config: Config, text: TextReader | None = None) -> VLT:
    """The network with its pretrained parts, or with the weights it starts from.

    Args:
        config: of the run.
        text: reads the run's expressions; None: the network's own reader is not looked at.

    Raises:
        CheckpointError: pretrained parts that cannot be loaded; weights to start from that do not fit, or that were
            trained with another vocabulary.
        ConfigError: a cache for maps that do not stay the same.
        DataError: a folder for the cache that cannot be made.
    """
    model = build_model(config.model)
    backbone = config.model.backbone
    if isinstance(backbone, Darknet53Config) and backbone.pretrained is not None:
        load_keras_backbone(backbone.pretrained, cast(Darknet53, model.backbone))
    if config.train.start_from is not None:
        _start_from(config.train.start_from, model, text)
    if config.train.map_cache is not None:
        described = resolve(config.model).backbone  # by what it is, not by where its weights lay
        shape = described.model_dump_json(exclude={"pretrained", "trainable_blocks"})
        model.backbone.recall = MapCache(
            config.train.map_cache,
            model.backbone,
            f"{shape} at {config.model.input_size}, precision {config.train.precision}",
        )
    return model


def _start_from(path: Path, model: VLT, text: TextReader | None) -> None:
    before = load_checkpoint(path, refine=False)
    if isinstance(text, TokenReader) and before.text.fingerprint != text.fingerprint:  # vectors mean the same anywhere
        raise CheckpointError(
            f"train.start_from {path} was trained with another tokenizer than this run's (fingerprints "
            f"{before.text.fingerprint[:12]} and {text.fingerprint[:12]}); name a checkpoint of the same one."
        )
    load_weights(model, before.model.state_dict(), f"of train.start_from, {path},", "this run's configuration")


def _kept(referrals: Referrals, config: DataConfig) -> Referrals:
    """Synthetic scenes drawn once and for all where memory allows: drawing takes as long as a small network's step."""
    if isinstance(config, SyntheticDataConfig):
        height, width = config.size
        if len(referrals) * height * width * SCENE_BYTES_PER_PIXEL <= KEPT_BYTES:
            return list(referrals)
    return referrals


def _overheard(referrals: Iterable[Referral], sentences: list[str]) -> Iterator[Referral]:
    """The referrals, their sentences noted down in passing, so that the data are gone through only once."""
    for referral in referrals:
        sentences.extend(expression.text for expression in referral.expressions)
        yield referral


def _refuse_precision(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError(
            "train.precision is 'fp16', which needs a GPU, but this run is on the CPU; take 'no' or 'bf16'."
        )
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            f"train.precision is 'bf16', which {torch.cuda.get_device_name(device)} does not have; take 'fp16' or 'no'."
        )


def _multiple_near(number: int, of: int) -> str:
    """The multiples below and above, as text."""
    below = number // of * of
    return f"{below} or {below + of}" if below else str(of)
