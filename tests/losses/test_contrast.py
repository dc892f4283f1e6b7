import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlt.losses import contrast_loss


def brute_contrast(features, things, temperature, photos=None):
    def cosine(i, j):
        return float(torch.nn.functional.cosine_similarity(features[i], features[j], dim=0))

    losses = []
    for i in range(len(things)):
        positives = [j for j in range(len(things)) if j != i and things[j] == things[i]]
        rivals = [j for j in range(len(things)) if things[j] != things[i] and (not photos or photos[j] == photos[i])]
        total = sum(math.exp(cosine(i, a) / temperature) for a in positives + rivals)
        shares = [-math.log(math.exp(cosine(i, p) / temperature) / total) for p in positives]
        losses += [sum(shares) / len(shares)] if shares else []
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), things=st.lists(st.integers(0, 3), min_size=1, max_size=8), warm=st.floats(0.1, 2))
def test_it_equals_its_brute_force_twin(seed, things, warm):
    features = torch.randn(len(things), 5, generator=torch.Generator().manual_seed(seed))
    found = contrast_loss(features, torch.tensor(things), warm)
    assert found.item() == pytest.approx(brute_contrast(features, things, warm), rel=1e-4, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), readings=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1))
def test_within_photos_it_equals_its_brute_force_twin(seed, readings):
    things, photos = map(list, zip(*readings, strict=True))
    features = torch.randn(len(things), 5, generator=torch.Generator().manual_seed(seed))
    found = contrast_loss(features, torch.tensor(things), 0.5, torch.tensor(photos))
    assert found.item() == pytest.approx(brute_contrast(features, things, 0.5, photos), rel=1e-4, abs=1e-6)


def test_within_photos_nothing_is_learnt_from_telling_photos_apart():
    features, things = torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    assert contrast_loss(features[[0, 0, 0, 0]], things, 0.1, torch.tensor([0, 0, 1, 1])) == 0
    assert contrast_loss(features[[0, 0, 0, 0]], things, 0.1, torch.tensor([0, 0, 0, 0])) > 1


def test_like_readings_of_one_thing_cost_less_than_like_readings_of_two():
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    features = torch.stack([one, one, other, other])
    good = contrast_loss(features, torch.tensor([0, 0, 1, 1]), 0.1)
    bad = contrast_loss(features, torch.tensor([0, 1, 0, 1]), 0.1)
    assert good < 0.01
    assert bad > 5


def test_it_does_not_depend_on_scale_and_pulls_together():
    features, things = torch.randn(6, 4, requires_grad=True), torch.tensor([0, 0, 1, 1, 2, 2])
    loss = contrast_loss(features, things, 0.1)
    assert contrast_loss(features * 7, things, 0.1).item() == pytest.approx(loss.item(), rel=1e-5)
    [gradient] = torch.autograd.grad(loss, features)
    assert contrast_loss(features - 0.01 * gradient, things, 0.1) < loss


def test_without_a_second_reading_there_is_nothing_to_learn():
    features = torch.randn(3, 4, requires_grad=True)
    loss = contrast_loss(features, torch.tensor([0, 1, 2]), 0.1)
    assert loss == 0
    loss.backward()  # a batch without pairs still trains
