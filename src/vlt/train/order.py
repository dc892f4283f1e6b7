"""Which referrals make up which optimiser step: a pure function of seed and epoch, divided among processes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vlt.train.interrupt import ignore_stop_signals
from vlt.types import Batch, Sample


def epoch_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """A permutation of 0 ... count - 1 that depends on nothing but the arguments."""
    key = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(key)).tolist()


def by_photo(order: Iterable[int], photos: Sequence[Hashable]) -> list[int]:
    """The same referrals, those of a photo behind its first one.

    Args:
        order: indices of referrals.
        photos: of each referral.

    Example:
        >>> by_photo([3, 1, 0, 2], ["a", "b", "b", "a"])
        [3, 0, 1, 2]
    """
    groups: dict[Hashable, list[int]] = {}
    for index in order:
        groups.setdefault(photos[index], []).append(index)
    return list(chain.from_iterable(groups.values()))


def readings(order: Iterable[int], count: int) -> list[int]:
    """Indices of samples, of which each referral has `count` that stand together.

    Example:
        >>> readings([3, 0], 2)
        [6, 7, 0, 1]
    """
    return [index * count + reading for index in order for reading in range(count)]


def micro_batches(
    order: Sequence[int], *, batch_size: int, accumulate: int, rank: int, world: int, skip_steps: int = 0
) -> list[list[int]]:
    """What one process passes through the model in an epoch, `accumulate` entries per optimiser step.

    The samples of a step do not depend on how many processes and passes share them. What does not fill a last
    step is left out; another order leaves out others.

    Args:
        order: of the epoch.
        batch_size: samples per optimiser step, over all processes and passes.
        accumulate: passes per optimiser step.
        rank: of this process.
        world: number of processes; `accumulate` times this divides `batch_size`.
        skip_steps: optimiser steps already done.
    """
    share = batch_size // (accumulate * world)
    starts = (
        step * batch_size + (part * world + rank) * share
        for step in range(skip_steps, len(order) // batch_size)
        for part in range(accumulate)
    )
    return [list(order[start : start + share]) for start in starts]


def batch_loader(
    samples: Dataset[Sample], indices: list[list[int]], collate: Any, *, workers: int, pin: bool
) -> DataLoader[Batch]:
    """Loads the samples at `indices`, batch by batch, in order; leaves the global random state alone.

    Args:
        samples: item i depends on nothing but i, so that workers and resumed runs agree.
        indices: of each batch.
        collate: samples to a batch.
        workers: processes that load; 0: this one.
        pin: keep batches in memory that a GPU can copy from.
    """
    return DataLoader(
        cast(Dataset[Batch], samples),  # the loader is typed by its items, but gives what `collate` makes of them
        batch_sampler=indices,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=ignore_stop_signals,
        generator=torch.Generator().manual_seed(0),  # else making an iterator draws from the global one
    )
