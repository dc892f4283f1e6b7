"""The mirrored photo as a second opinion: what it is asked, and how two answers become one."""

import pytest
import torch

from vlt.data.mirrored import mirror_words, second_opinion
from vlt.data.text import Words

KNOWN = torch.tensor([True])


class Lengths:
    """Reads a word as its number of letters."""

    def __call__(self, expression):
        return Words(torch.tensor([len(word) for word in expression.split()]), (), 0)


def logits_of(*probabilities):
    """A row of probabilities as an answer (1, 1, 1, W)."""
    return torch.tensor(probabilities).logit()[None, None, None]


def test_left_and_right_are_swapped_where_they_are_sides():
    asked = mirror_words(["cat on the left", "red cat", "number 12"], Lengths(), None)
    assert asked.words.tolist() == [[3, 2, 3, 5], [3, 3, 0, 0], [6, 2, 0, 0]]
    assert asked.word_mask.sum(dim=1).tolist() == [4, 2, 2]
    assert asked.is_known.tolist() == [True, True, False]
    assert mirror_words(["cat"], Lengths(), 5).words.shape == (1, 5)


def test_two_that_find_something_are_averaged():
    both = second_opinion(logits_of(0.9, 0.2, 0.4), logits_of(0.6, 0.4, 0.7), KNOWN)
    assert both.sigmoid().flatten().tolist() == pytest.approx([0.8, 0.3, 0.5])


def test_two_that_find_nothing_are_averaged():
    both = second_opinion(logits_of(0.4, 0.2), logits_of(0.1, 0.2), KNOWN)
    assert both.sigmoid().flatten().tolist() == pytest.approx([0.3, 0.15])


def test_one_that_alone_finds_something_is_heard_alone():
    finds, does_not = logits_of(0.9, 0.2), logits_of(0.3, 0.1)
    assert torch.allclose(second_opinion(finds, does_not, KNOWN), finds)
    assert torch.allclose(second_opinion(does_not, finds, KNOWN), finds.flip(-1))


def test_two_that_are_sure_of_different_places_do_not_cancel_out():
    surer, other = logits_of(0.1, 0.9), logits_of(0.1, 0.8)  # the second is of the mirrored photo
    assert torch.allclose(second_opinion(surer, other, KNOWN), surer)
    assert torch.allclose(second_opinion(other, surer, KNOWN), surer.flip(-1))


def test_what_the_mirrored_photo_cannot_be_asked_stays():
    logits = torch.cat([logits_of(0.9, 0.2)] * 2)
    both = second_opinion(logits, torch.cat([logits_of(0.8, 0.6)] * 2), torch.tensor([False, True]))
    assert torch.equal(both[0], logits[0])
    assert not torch.allclose(both[1], logits[1])


def test_certainty_stays_finite():
    both = second_opinion(torch.full((1, 1, 2, 2), 200.0), torch.full((1, 1, 2, 2), 150.0), KNOWN)
    assert both.isfinite().all()
    assert (both > 10).all()
