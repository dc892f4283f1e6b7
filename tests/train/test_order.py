import multiprocessing
from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlt.train.data import RunBatches, RunSamples, load_data
from vlt.train.order import epoch_order, group_by_image, micro_batches, repeat_views, streamed_order


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    torch.manual_seed(1)
    order = epoch_order(50, seed=3, epoch=7)
    torch.manual_seed(2)
    assert order == epoch_order(50, seed=3, epoch=7)
    assert sorted(order) == list(range(50))
    others = [epoch_order(50, seed=seed, epoch=epoch) for seed, epoch in ((3, 8), (4, 7), (7, 3))]
    assert all(order != other for other in others)


@given(st.lists(st.sampled_from("abcde")), st.integers(0, 9))
def test_grouping_keeps_all_referrals_and_those_of_a_photo_together(photos, epoch):
    order = group_by_image(epoch_order(len(photos), seed=0, epoch=epoch), photos)
    assert sorted(order) == list(range(len(photos)))
    runs = [
        photo for place, photo in enumerate(photos[i] for i in order) if not place or photos[order[place - 1]] != photo
    ]
    assert len(runs) == len(set(photos))


@given(
    share=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    world=st.integers(1, 3),
    count=st.integers(0, 80),
)
def test_processes_and_passes_together_see_what_one_pass_sees(share, accumulate, world, count):
    order = epoch_order(count, seed=0, epoch=0)
    batch_size = share * accumulate * world
    whole = micro_batches(order, batch_size=batch_size, accumulate=1, rank=0, world=1)
    ranks = [
        micro_batches(order, batch_size=batch_size, accumulate=accumulate, rank=rank, world=world)
        for rank in range(world)
    ]
    assert all(len(batches) == len(whole) * accumulate for batches in ranks)
    for step, samples in enumerate(whole):
        parts = [ranks[rank][step * accumulate + part] for part in range(accumulate) for rank in range(world)]
        assert list(chain(*parts)) == samples
        assert {len(part) for part in parts} == {share}


@given(count=st.integers(0, 40), share=st.integers(1, 4), accumulate=st.integers(1, 2), world=st.integers(1, 3))
def test_every_pass_holds_both_readings_of_whatever_it_holds(count, share, accumulate, world):
    order = repeat_views(epoch_order(count, seed=0, epoch=0), 2)
    assert sorted(order) == list(range(2 * count))
    options = {"batch_size": 2 * share * accumulate * world, "accumulate": accumulate, "world": world}
    for batch in chain(*(micro_batches(order, rank=rank, **options) for rank in range(world))):
        assert {index // 2 for index in batch[::2]} == {index // 2 for index in batch[1::2]}
        assert len({index // 2 for index in batch}) == len(batch) / 2


@given(
    referrals=st.integers(1, 9),
    accumulate=st.integers(1, 3),
    world=st.integers(1, 4),
    views=st.integers(1, 2),
    count=st.integers(0, 40),
)
def test_a_step_that_cannot_be_divided_evenly_has_the_same_samples(referrals, accumulate, world, views, count):
    order = repeat_views(epoch_order(count, seed=0, epoch=0), views)
    batch_size = max(referrals, accumulate * world) * views
    options = {"batch_size": batch_size, "accumulate": accumulate, "world": world, "views": views}
    ranks = [micro_batches(order, rank=rank, **options) for rank in range(world)]
    whole = micro_batches(order, batch_size=batch_size, accumulate=1, rank=0, world=1)
    for step, samples in enumerate(whole):
        parts = [ranks[rank][step * accumulate + part] for part in range(accumulate) for rank in range(world)]
        assert list(chain(*parts)) == samples
        sizes = {len(part) for part in parts}
        assert min(sizes) >= views
        assert max(sizes) - min(sizes) <= views
        assert all(size % views == 0 for size in sizes)


def test_an_epoch_leaves_out_less_than_a_batch_and_repeats_nothing():
    batches = micro_batches(epoch_order(23, seed=0, epoch=0), batch_size=4, accumulate=1, rank=0, world=1)
    seen = list(chain(*batches))
    assert len(seen) == len(set(seen)) == 20


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_batches_of_a_run_are_those_of_its_epochs_one_after_the_other(small, tmp_path, accumulate):
    config = small(tmp_path, train={"epochs": 3, "batch_size": 4, "accumulate": accumulate})
    data = load_data(config)
    options = {"batch_size": 4, "accumulate": accumulate, "rank": 0, "world": 1}
    expected = [
        [epoch * data.count + index for index in batch]
        for epoch in range(3)
        for batch in micro_batches(data.order(config, epoch), **options)
    ]
    whole = RunBatches(data, config, 0, 0, 1)
    assert len(whole) == len(expected)
    assert list(whole) == expected
    assert whole[1:3] == expected[1:3]
    for done in (1, data.steps_per_epoch(config), 2 * data.steps_per_epoch(config) + 1):
        assert list(RunBatches(data, config, done, 0, 1)) == expected[done * accumulate :]


def test_a_sample_of_a_run_is_that_of_its_epoch(small, tmp_path):
    config = small(tmp_path, train={"epochs": 3}, data={"flip": 0.5})
    data = load_data(config)
    samples = RunSamples(data, config)
    for epoch, index in ((0, 2), (2, 2), (1, 0), (2, 1)):
        one, other = samples[epoch * data.count + index], data.samples(config, epoch)[index]
        assert one.expression == other.expression
        assert (one.image == other.image).all()


def test_the_processes_that_load_live_as_long_as_the_run(small, tmp_path):
    """Those of the first step are there after the last epoch has begun."""
    config = small(tmp_path, train={"epochs": 3, "workers": 2})
    data = load_data(config)
    steps = data.batches(config, rank=0, world=1)
    next(steps)
    first = {process.pid for process in multiprocessing.active_children()}
    assert len(first) == 2
    for _ in range(2 * data.steps_per_epoch(config)):
        next(steps)
    assert {process.pid for process in multiprocessing.active_children()} == first
    steps.close()


# ---------------------------------------------------------------- shards


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 12),
    st.booleans(),
)
def test_a_streamed_order_is_a_permutation_that_depends_on_seed_and_epoch_only(
    lengths, streams, window, batch_size, by_photo
):
    blocks = [block for block, length in enumerate(lengths) for _ in range(length)]
    images = [index // 2 for index in range(len(blocks))] if by_photo else None
    options = {"streams": streams, "window": window, "batch_size": batch_size}
    orders = [streamed_order(blocks, images, seed=0, epoch=epoch, **options) for epoch in (0, 0, 1)]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(len(blocks)))


def test_streamed_epochs_differ():
    blocks = [index // 10 for index in range(200)]
    options = {"seed": 0, "streams": 2, "window": 2, "batch_size": 4}
    assert streamed_order(blocks, None, epoch=0, **options) != streamed_order(blocks, None, epoch=1, **options)


def test_blocks_come_in_another_order_in_each_epoch():
    blocks = [index // 10 for index in range(200)]
    options = {"seed": 0, "streams": 1, "window": 1, "batch_size": 4}
    orders = [
        list(dict.fromkeys(blocks[index] for index in streamed_order(blocks, None, epoch=epoch, **options)))
        for epoch in (0, 1)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]
    assert list(range(20)) not in orders


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (4, 1), (2, 2), (4, 2)])
def test_processes_read_blocks_of_their_own(world, accumulate):
    blocks = [index // 5 for index in range(800)]
    order = streamed_order(blocks, None, seed=0, epoch=0, streams=8, window=2, batch_size=16)
    read = [
        {blocks[index] for batch in micro_batches(order, batch_size=16, accumulate=accumulate, rank=rank, world=world)
         for index in batch}
        for rank in range(world)
    ]  # fmt: skip
    assert sum(map(len, read)) - len(set.union(*read)) <= 8, "a block at the end of a stream may be divided"


@pytest.mark.parametrize("by_photo", [False, True])
def test_few_blocks_are_in_use_at_a_time(by_photo):
    blocks = [index // 20 for index in range(1600)]
    images = [index // 4 for index in range(1600)] if by_photo else None
    streams, window = 4, 3
    order = streamed_order(blocks, images, seed=0, epoch=0, streams=streams, window=window, batch_size=8)
    first, last = {}, {}
    for place, index in enumerate(order):
        first.setdefault(blocks[index], place)
        last[blocks[index]] = place
    most = max(sum(first[block] <= place <= last[block] for block in first) for place in range(len(order)))
    assert most <= streams * (window + 1)
    begun = [sum(place <= 200 + 8 * step for place in first.values()) for step in range(100)]
    assert max(after - before for before, after in pairwise(begun)) <= window + 1, "not all at once"


def test_samples_of_a_window_are_mixed_and_those_of_a_photo_stay_together_where_wanted():
    blocks = [index // 20 for index in range(800)]
    images = [index // 4 for index in range(800)]
    options = {"seed": 0, "epoch": 0, "streams": 1, "window": 4, "batch_size": 8}
    mixed = streamed_order(blocks, None, **options)
    together = streamed_order(blocks, images, **options)
    neighbours = [sum(images[one] == images[other] for one, other in pairwise(order)) for order in (mixed, together)]
    assert neighbours[0] < 60
    assert neighbours[1] > 590
