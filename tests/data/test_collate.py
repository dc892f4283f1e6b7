"""Batches: each image once, every value in the row of its sample, and samples independent of each other."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlt.data.collate import Collate
from vlt.geometry import Letterbox
from vlt.types import Expression, Referral, Sample

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
IMAGES = st.lists(st.integers(0, 3), min_size=1, max_size=8)


def referral(ref_id: int, *, targets: int = 1) -> Referral:
    masks = (np.ones((4, 4), bool),) * targets
    return Referral(ref_id, np.zeros((4, 4, 3), np.uint8), masks, (Expression(ref_id, "dog"),))


def sample(number: int, words: np.ndarray, *, image: np.ndarray | None = None, targets: int = 1) -> Sample:
    """A sample whose first target has the box (number, ...), the second (number + 0.25, ...), and so on."""
    return Sample(
        image=np.full((3, 4, 4), number, np.float32) if image is None else image,
        words=words,
        target=np.full((1, 4, 4), number, np.float32),
        target_boxes=np.full((targets, 4), number, np.float32) + np.arange(targets, dtype=np.float32)[:, None] / 4,
        letterbox=Letterbox((4, 4 + number), (4, 4)),
        referral=referral(number, targets=targets),
        expression=Expression(number, "dog"),
    )


def some_words(lengths: list[int], *, dim: int | None) -> list[np.ndarray]:
    """Words none of which is zero, different for each expression."""
    if dim is None:
        return [np.arange(length) + 1 + 100 * number for number, length in enumerate(lengths)]
    return [np.full((length, dim), number + 1, np.float32) for number, length in enumerate(lengths)]


@given(IMAGES)
def test_each_image_appears_once_and_every_sample_finds_its_own(chosen):
    images = [np.full((3, 4, 4), number, np.float32) for number in range(4)]
    batch = Collate(None)([sample(0, np.array([1]), image=images[number]) for number in chosen])
    assert batch.images.shape == (len(set(chosen)), 3, 4, 4)
    assert batch.images.dtype == torch.float32
    assert batch.image_index.dtype == torch.int64
    assert batch.images[batch.image_index, 0, 0, 0].tolist() == chosen


def test_equal_images_in_different_arrays_stay_apart():
    """Identity is compared, not pixels, which would cost more than it saves."""
    image = np.zeros((3, 4, 4), np.float32)
    batch = Collate(None)([sample(0, np.array([1]), image=one) for one in (image, image.copy(), image)])
    assert batch.image_index.tolist() == [0, 1, 0]


@given(LENGTHS, st.sampled_from([None, 2]), st.sampled_from([None, 9]))
def test_every_value_of_a_sample_stands_in_its_row(lengths, dim, length):
    samples = [sample(number, words) for number, words in enumerate(some_words(lengths, dim=dim))]
    batch = Collate(length)(samples)
    assert len(batch) == len(samples)
    assert batch.words.dtype == (torch.int64 if dim is None else torch.float32)
    for row, one in enumerate(samples):
        assert np.array_equal(batch.images[batch.image_index[row]], one.image)
        assert np.array_equal(batch.words[row][batch.word_mask[row]], one.words)
        assert np.array_equal(batch.targets[row], one.target)
        assert batch.letterboxes[row] is one.letterbox
        assert batch.referrals[row] is one.referral
        assert batch.expressions[row] is one.expression


@given(LENGTHS)
def test_samples_of_a_batch_do_not_change_each_other_where_padding_is_seen(lengths):
    samples = [sample(number, words) for number, words in enumerate(some_words(lengths, dim=2))]
    together = Collate(9)(samples)
    for row, one in enumerate(samples):
        alone = Collate(9)([one])
        assert torch.equal(alone.words[0], together.words[row])
        assert torch.equal(alone.word_mask[0], together.word_mask[row])


def test_presence_follows_the_referral_and_not_the_size_of_its_target():
    """A small target may vanish from the network's input; the expression refers to something all the same."""
    counts = [1, 0, 2]
    batch = Collate(None)([sample(0, np.array([1]), targets=count) for count in counts])
    assert not batch.targets.any()
    assert batch.presence.dtype == torch.bool
    assert batch.presence.tolist() == [True, False, True]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_every_expression_has_the_boxes_of_its_own_targets_and_zeros_as_padding(counts):
    batch = Collate(None)([sample(number, np.array([1]), targets=count) for number, count in enumerate(counts)])
    assert batch.target_boxes.shape == (len(counts), max(counts), 4)
    assert batch.target_boxes.dtype == torch.float32
    assert batch.target_mask.sum(dim=1).tolist() == counts
    for number, count in enumerate(counts):
        expected = [number + place / 4 for place in range(count)] + [0.0] * (max(counts) - count)
        assert batch.target_boxes[number].tolist() == [[side] * 4 for side in expected]


def test_a_batch_moves_with_all_its_tensors():
    batch = Collate(None)([sample(1, np.array([1, 2]))])
    moved = batch.to("meta")
    tensors = ("images", "image_index", "words", "word_mask", "targets", "target_boxes", "target_mask", "presence")
    assert all(getattr(moved, name).device.type == "meta" for name in tensors)
    assert all(getattr(moved, name).shape == getattr(batch, name).shape for name in tensors)
    assert (moved.letterboxes, moved.referrals, moved.expressions) == (
        batch.letterboxes,
        batch.referrals,
        batch.expressions,
    )
