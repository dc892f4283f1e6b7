"""Batches: padding is zero and masked, photos appear once, companions change nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlt.config import ReferenceConfig, VLTConfig
from vlt.data.collate import Collate, pad_to, pad_words
from vlt.geometry import Letterbox
from vlt.types import Expression, Referral, Sample

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
PHOTOS = st.lists(st.integers(0, 3), min_size=1, max_size=8)


def referral(ref_id: int) -> Referral:
    return Referral(ref_id, np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool), (Expression(ref_id, "dog"),))


def sample(number: int, words: torch.Tensor, *, image: torch.Tensor | None = None, target: bool = True) -> Sample:
    return Sample(
        image=torch.full((3, 4, 4), float(number)) if image is None else image,
        words=words,
        target=torch.full((1, 4, 4), float(number)) if target else None,
        letterbox=Letterbox((4, 4 + number), (4, 4)),
        referral=referral(number),
        expression=Expression(number, "dog"),
    )


def some_words(lengths: list[int], *, dim: int | None) -> list[torch.Tensor]:
    """Words none of which is zero, each expression's its own."""
    if dim is None:
        return [torch.arange(length) + 1 + 100 * number for number, length in enumerate(lengths)]
    return [torch.rand(length, dim) + 1 for length in lengths]


@given(LENGTHS, st.sampled_from([None, 3]), st.sampled_from([None, 9, 12]))
def test_padding_is_zero_and_masked_and_words_are_untouched(lengths, dim, length):
    words = some_words(lengths, dim=dim)
    padded, mask = pad_words(words, length)
    expected = (len(lengths), length or max(lengths))
    assert tuple(mask.shape) == expected
    assert mask.dtype == torch.bool
    assert padded.shape == expected + (() if dim is None else (dim,))
    assert padded.dtype == words[0].dtype
    assert not padded[~mask].any()
    for row, row_mask, original in zip(padded, mask, words, strict=True):
        assert torch.equal(row[row_mask], original)
        assert row_mask.tolist() == [position < len(original) for position in range(len(row))]


@given(PHOTOS)
def test_each_photo_appears_once_and_every_sample_finds_its_own(photos):
    images = [torch.full((3, 4, 4), float(number)) for number in range(4)]
    batch = Collate(None)([sample(0, torch.tensor([1]), image=images[photo]) for photo in photos])
    assert batch.images.shape == (len(set(photos)), 3, 4, 4)
    assert batch.image_index.dtype == torch.int64
    assert batch.images[batch.image_index, 0, 0, 0].tolist() == photos


def test_equal_photos_of_different_tensors_stay_apart():
    """Only sharing is looked at, never pixels: comparing them would cost more than it saves."""
    image = torch.zeros(3, 4, 4)
    batch = Collate(None)([sample(0, torch.tensor([1]), image=one) for one in (image, image.clone(), image)])
    assert batch.image_index.tolist() == [0, 1, 0]


@given(LENGTHS, st.sampled_from([None, 9]))
def test_everything_of_a_sample_stands_in_its_row(lengths, length):
    samples = [sample(number, words) for number, words in enumerate(some_words(lengths, dim=None))]
    batch = Collate(length)(samples)
    assert len(batch) == len(samples)
    for row, one in enumerate(samples):
        assert torch.equal(batch.images[batch.image_index[row]], one.image)
        assert torch.equal(batch.words[row][batch.word_mask[row]], one.words)
        assert torch.equal(batch.targets[row], one.target)
        assert batch.letterboxes[row] is one.letterbox
        assert batch.referrals[row] is one.referral
        assert batch.expressions[row] is one.expression


@given(LENGTHS)
def test_companions_change_nothing_where_padding_is_seen(lengths):
    samples = [sample(number, words) for number, words in enumerate(some_words(lengths, dim=2))]
    together = Collate(9)(samples)
    for row, one in enumerate(samples):
        alone = Collate(9)([one])
        assert torch.equal(alone.words[0], together.words[row])
        assert torch.equal(alone.word_mask[0], together.word_mask[row])


def test_without_targets_there_are_none():
    assert Collate(None)([sample(1, torch.tensor([1]), target=False)] * 2).targets is None


def test_who_sees_padding_is_padded_to_max_words():
    assert pad_to(ReferenceConfig()) == 15
    assert pad_to(ReferenceConfig(max_words=20)) == 20
    assert pad_to(VLTConfig(mask_padding=False, max_words=7)) == 7
    assert pad_to(VLTConfig()) is None


def test_longer_than_pad_to_is_an_error_not_a_cut():
    with pytest.raises(RuntimeError):
        pad_words([torch.arange(5)], 3)
