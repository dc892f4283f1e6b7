from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st

from vlt.train.data import epoch_order, group_by_image, micro_batches, repeat_views


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
    skip=st.integers(0, 5),
)
def test_processes_and_passes_together_see_what_one_pass_sees(share, accumulate, world, count, skip):
    order = epoch_order(count, seed=0, epoch=0)
    batch_size = share * accumulate * world
    whole = micro_batches(order, batch_size=batch_size, accumulate=1, rank=0, world=1, skip_steps=skip)
    ranks = [
        micro_batches(order, batch_size=batch_size, accumulate=accumulate, rank=rank, world=world, skip_steps=skip)
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


def test_an_epoch_leaves_out_less_than_a_batch_and_repeats_nothing():
    batches = micro_batches(epoch_order(23, seed=0, epoch=0), batch_size=4, accumulate=1, rank=0, world=1)
    seen = list(chain(*batches))
    assert len(seen) == len(set(seen)) == 20


def test_skipping_steps_gives_the_tail():
    options = {"batch_size": 4, "accumulate": 2, "rank": 0, "world": 1}
    order = epoch_order(23, seed=0, epoch=0)
    assert micro_batches(order, **options, skip_steps=2) == micro_batches(order, **options)[4:]
