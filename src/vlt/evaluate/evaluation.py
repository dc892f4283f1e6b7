"""The loop: every sentence to the model, every answer back to its photo's size and against the truth."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from accelerate.utils import gather_object
from torch import nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from vlt.data.collate import Collate, pad_to
from vlt.data.dataset import photo_key, without_blanks
from vlt.data.masks import read_target
from vlt.data.mirrored import mirror_words, second_opinion
from vlt.data.photo import read_image
from vlt.data.samples import EvaluateSamples
from vlt.errors import ConfigError, DataError
from vlt.evaluate.record import Record
from vlt.evaluate.report import Provenance, Report
from vlt.metrics import PROTOCOLS, Protocol, boundary_f, overlap
from vlt.types import Batch, Expression, Referral

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from vlt.config import Config
    from vlt.data.text import TextReader
    from vlt.geometry import Letterbox
    from vlt.refine import Outlines, Refiner
    from vlt.types import Mask, Referrals

Answerer: TypeAlias = Callable[[Batch], "Iterable[Mask]"]
"""Gives one mask per expression of a batch, each of its photo's size: what a model is to an evaluation."""


class Outcome(NamedTuple):
    """One answer, judged.

    Attributes:
        record: its numbers.
        referral: what was asked about.
        mask: (H, W) bool, the answer.
        target: (H, W) bool, the truth.
    """

    record: Record
    referral: Referral
    mask: Mask
    target: Mask


@dataclass(frozen=True, slots=True)
class Shard:
    """One process's share of an evaluation.

    A share is a run of neighbouring sentences, so that those about one photo stay together; shares differ by at most
    one sentence and none is padded, so nothing counts twice.

    Attributes:
        rank: of this process, 0-based.
        world: how many processes share the work.
        gather: takes the list of one process and gives those of all, joined in the order of ranks, to each.
    """

    rank: int = 0
    world: int = 1
    gather: Callable[[list[Any]], list[Any]] = list

    @classmethod
    def of(cls, accelerator: Any) -> Shard:
        """The share of the process that `accelerator` (an `accelerate.Accelerator`) speaks for."""
        return cls(accelerator.process_index, accelerator.num_processes, gather_object)

    def indices(self, count: int) -> range:
        """Which of `count` sentences are this process's."""
        return range(count * self.rank // self.world, count * (self.rank + 1) // self.world)


def evaluate(
    model: nn.Module | Answerer,
    text: TextReader,
    referrals: Referrals,
    config: Config,
    *,
    device: torch.device | str = "cpu",
    refiner: Refiner | None = None,
    protocol: str | Protocol = "vlt",
    on_sample: Callable[[Outcome], None] | None = None,
    shard: Shard | None = None,
    provenance: Provenance | None = None,
    progress: bool = False,
) -> Report:
    """Asks every sentence of `referrals` and judges the masks at the photos' own size.

    The visual backbone sees each photo of a batch once. A model is set to evaluation and, in each of its modules, back
    to what it was; it must not be wrapped for distributed training, whose wrappers wait for each other at every batch.

    Args:
        model: the network, or anything that gives masks for a batch (see `vlt.evaluate.dummies`).
        text: reads words the way the model was trained on.
        referrals: who is meant, where.
        config: of the run; `model` for the input's size, `evaluate` for the threshold and the batch size.
        device: where the model is.
        refiner: sharpens the network's answers; None: they are judged as they are, and so they are under a protocol
            that says so.
        protocol: a name in `vlt.metrics.PROTOCOLS`, or one of your own. "vlt" takes the threshold from `config`.
        on_sample: called with each answer of this process, in order; for pictures.
        shard: this process's share; None: all. The report covers the shares of all processes.
        provenance: where the numbers come from; what it leaves open and `config` or `device` tell is filled in.
        progress: a progress bar on stderr, in the first process.

    Raises:
        ConfigError: there is no such protocol.
        DataError: there is nothing to ask, or a target is not of its photo's size.
    """
    shard, protocol = shard or Shard(), _resolve(protocol, config)
    if protocol.is_bare:
        judged = config.evaluate.model_copy(update={"mirror": False})
        config, refiner = config.model_copy(update={"evaluate": judged}), None
    asked, blank_sentences = without_blanks(referrals)
    samples = EvaluateSamples(asked, text, config.model.input_size, config.model.antialias)
    if not len(samples):
        raise DataError(
            f"There is no sentence to evaluate: {len(referrals)} referrals, {blank_sentences} blank sentences."
        )
    loader = _loader(Subset(samples, shard.indices(len(samples))), config)
    records = []
    with (
        _answering(model, _Asking(text, config, device), protocol.threshold, refiner) as answer,
        _bar(loader, shown=progress and not shard.rank) as bar,
    ):
        for batch in loader:
            for outcome in _judge(batch, answer, protocol):
                records.append(outcome.record)
                if on_sample is not None:
                    on_sample(outcome)
            bar.update(len(batch))
    return Report.of(
        shard.gather(records),
        protocol,
        input_size=config.model.input_size,
        blank_sentences=blank_sentences,
        provenance=_complete(provenance or Provenance(), config, device, refined=refiner is not None),
    )


def describe_device(device: torch.device | str) -> str:
    """What a device is, in words, such as "x86_64 CPU, 2 cores" or the name of a GPU."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type.upper()}, {os.cpu_count()} cores"


def _resolve(protocol: str | Protocol, config: Config) -> Protocol:
    """The protocol of that name, ours with the configuration's threshold."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ConfigError(f"There is no evaluation protocol {protocol!r}; known: {', '.join(PROTOCOLS)}.")
    named = PROTOCOLS[protocol]
    return replace(named, threshold=config.evaluate.threshold) if protocol == "vlt" else named


def _loader(samples: Subset[Any], config: Config) -> DataLoader[Any]:
    """Batches in order. Has a generator of its own, so that evaluating does not move the random state of training."""
    return DataLoader(
        samples,
        batch_size=config.evaluate.batch_size,
        collate_fn=Collate(pad_to(config.model)),
        num_workers=config.train.workers,
        generator=torch.Generator(),
    )


def _bar(loader: DataLoader[Any], *, shown: bool) -> tqdm[Any]:
    return tqdm(total=len(loader.dataset), desc="evaluate", unit="sentence", disable=not shown)  # type: ignore[arg-type]


class _Asking(NamedTuple):
    """How a network is asked."""

    text: TextReader
    config: Config
    device: torch.device | str

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """What a network answers to a batch: (B, 1, h, w) on the CPU."""
        batch = batch.to(self.device)
        logits: Tensor = model(batch.images, batch.words, batch.word_mask, batch.image_index)
        if self.config.evaluate.mirror:
            texts = [expression.text for expression in batch.expressions]
            words, word_mask, is_known = mirror_words(texts, self.text, pad_to(self.config.model))
            asked = words.to(self.device), word_mask.to(self.device), batch.image_index
            logits = second_opinion(logits, model(batch.images.flip(-1), *asked), is_known)
        return logits.float().cpu()


@contextmanager
def _answering(
    model: nn.Module | Answerer, asking: _Asking, threshold: float, refiner: Refiner | None
) -> Iterator[Answerer]:
    """Makes an answerer of a network for as long as the block lasts."""
    if not isinstance(model, nn.Module):
        yield model
        return

    sharpened = None if refiner is None else _Sharpened(refiner, threshold)

    def answer(batch: Batch) -> Iterator[Mask]:
        logits = asking.logits(model, batch)
        if sharpened is not None:
            return map(sharpened, batch.referrals, batch.letterboxes, logits)
        return (box.mask(one, threshold) for box, one in zip(batch.letterboxes, logits, strict=True))

    training = [module for module in model.modules() if module.training]  # frozen parts may be in evaluation already
    try:
        with torch.inference_mode():
            model.eval()
            yield answer
    finally:
        for module in training:
            module.training = True


class _Sharpened:
    """Answers to masks by way of a refiner, which sees each photo once where those about it stand together."""

    def __init__(self, refiner: Refiner, threshold: float) -> None:
        self._refiner = refiner
        self._threshold = threshold
        self._last: tuple[Path | int, Outlines] | None = None

    def __call__(self, referral: Referral, letterbox: Letterbox, logits: Tensor) -> Mask:
        key = photo_key(referral)
        if self._last is None or self._last[0] != key:
            self._last = key, self._refiner.see(read_image(referral.image))
        own = letterbox.mask(logits, self._threshold)
        return self._refiner.mask(self._last[1], logits, letterbox, self._threshold, otherwise=own)


def _judge(batch: Batch, answer: Answerer, protocol: Protocol) -> Iterator[Outcome]:
    """Answers a batch and lays each mask over its target."""
    for referral, expression, mask in zip(batch.referrals, batch.expressions, answer(batch), strict=True):
        target = read_target(referral.target)
        if target.shape != mask.shape:
            raise DataError(
                f"The target of referral {referral.ref_id} has {target.shape} pixels but its photo {mask.shape}; "
                "run `vlt prepare` again."
            )
        yield Outcome(_record(referral, expression, mask, target, protocol), referral, mask, target)


def _record(referral: Referral, expression: Expression, mask: Mask, target: Mask, protocol: Protocol) -> Record:
    intersection, union = overlap(mask, target)
    return Record(
        ref_id=referral.ref_id,
        sent_id=expression.sent_id,
        expression=expression.text,
        iou=protocol.iou(torch.tensor(intersection), torch.tensor(union)).item(),
        intersection=intersection,
        union=union,
        boundary=boundary_f(mask, target),
        target=int(target.sum()),
        photo=target.size,
        standing=referral.standing,
    )


def _complete(provenance: Provenance, config: Config, device: torch.device | str, *, refined: bool) -> Provenance:
    """Fills in what the configuration, the device and the way of answering tell."""
    dataset = config.data.dataset if config.data.name == "refer" else config.data.name
    return replace(
        provenance,
        dataset=provenance.dataset or dataset,
        refined=refined,
        mirrored=config.evaluate.mirror,
        seed=config.seed if provenance.seed is None else provenance.seed,
        hardware=provenance.hardware or describe_device(device),
    )
