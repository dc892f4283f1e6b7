"""Order of training samples: a pure function of seed and epoch, whatever the number of processes and of passes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice, pairwise

import numpy as np
import torch


def epoch_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """Return a permutation of 0 ... count - 1 that depends on nothing but the arguments."""
    key = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(key)).tolist()


def streamed_order(
    blocks: Sequence[Hashable],
    images: Sequence[Hashable] | None,
    *,
    seed: int,
    epoch: int,
    streams: int,
    window: int,
    batch_size: int,
) -> list[int]:
    """Return an order of the referrals of an epoch in which only a few blocks of photos are in use at a time.

    The blocks are shuffled and divided into streams of equal length. Within a stream, the referrals of each `window`
    neighbouring blocks are shuffled; the first window of each stream has another length, so that the streams do not
    all read new blocks at once. Each batch takes its share from every stream, the shares in the order of the streams,
    so that processes that divide batches as `micro_batches` does read other streams.

    Args:
        blocks: block of each referral.
        images: image of each referral, whose referrals become neighbours within their window; None: they do not.
        seed: seed of the run.
        epoch: counted from 0.
        streams: number of streams.
        window: blocks whose referrals are mixed.
        batch_size: referrals per batch.

    Returns:
        The indices of all referrals; those that do not fill a last batch come last.
    """
    draw = np.random.default_rng((seed, epoch))
    members: dict[Hashable, list[int]] = {}
    for index, block in enumerate(blocks):
        members.setdefault(block, []).append(index)
    shuffled = list(members.values())
    draw.shuffle(shuffled)
    sequence = list(chain.from_iterable(shuffled))
    steps = len(sequence) // batch_size
    bounds = [batch_size * number // streams for number in range(streams + 1)]
    lanes = []
    for number, (first, last) in enumerate(pairwise(bounds)):
        stream = sequence[steps * first : steps * last]
        lane: list[int] = []
        for part in windows(stream, blocks, first=1 + number % window, window=window):
            mixed = draw.permutation(part).tolist()
            lane += mixed if images is None else group_by_image(mixed, images)
        lanes.append(iter(lane))
    shares = [last - first for first, last in pairwise(bounds)]
    order = [
        index for _ in range(steps) for lane, share in zip(lanes, shares, strict=True) for index in islice(lane, share)
    ]
    return order + sequence[steps * batch_size :]


def windows(stream: Sequence[int], blocks: Sequence[Hashable], *, first: int, window: int) -> Iterator[list[int]]:
    """Divide a stream of referrals into parts of `window` blocks; the first part has `first` blocks.

    Example:
        >>> list(windows([0, 1, 2, 3, 4, 5], "aabbcd", first=1, window=2))
        [[0, 1], [2, 3, 4], [5]]
    """
    whole = [list(members) for _, members in groupby(stream, key=lambda index: blocks[index])]
    bounds = [0, *range(first, len(whole), window), len(whole)]
    for start, end in pairwise(bounds):
        yield list(chain.from_iterable(whole[start:end]))


def group_by_image(order: Iterable[int], images: Sequence[Hashable]) -> list[int]:
    """Move the referrals of each image behind the first of them.

    Args:
        order: indices of referrals.
        images: key of the image of each referral.

    Example:
        >>> group_by_image([3, 1, 0, 2], ["a", "b", "b", "a"])
        [3, 0, 1, 2]
    """
    groups: dict[Hashable, list[int]] = {}
    for index in order:
        groups.setdefault(images[index], []).append(index)
    return list(chain.from_iterable(groups.values()))


def repeat_views(order: Iterable[int], count: int) -> list[int]:
    """Turn indices of referrals into indices of samples, `count` neighbouring ones per referral.

    Example:
        >>> repeat_views([3, 0], 2)
        [6, 7, 0, 1]
    """
    return [index * count + view for index in order for view in range(count)]


def micro_batches(
    order: Sequence[int], *, batch_size: int, accumulate: int, rank: int, world: int, views: int = 1
) -> list[list[int]]:
    """Divide an epoch among processes and forward passes.

    The samples of an optimiser step do not depend on how many processes and passes share them. Where they cannot be
    divided evenly, some passes have `views` more than others. Samples that do not fill a last step are left out; the
    order of another epoch leaves out others.

    Args:
        order: indices of samples of the epoch.
        batch_size: samples per optimiser step, over all processes and passes.
        accumulate: passes per optimiser step.
        rank: number of this process.
        world: number of processes; `batch_size` holds at least `accumulate` times this, times `views`.
        views: number of neighbouring samples that stay in one pass; divides `batch_size`.

    Returns:
        The indices of this process's passes, `accumulate` entries per optimiser step.
    """
    parts = accumulate * world
    bounds = [batch_size // views * part // parts * views for part in range(parts + 1)]
    return [
        list(order[start + bounds[part] : start + bounds[part + 1]])
        for start in range(0, len(order) // batch_size * batch_size, batch_size)
        for part in range(rank, parts, world)
    ]
