import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlt.config import LossConfig
from vlt.losses.auxiliary import auxiliary_loss, box_loss, discrimination_loss, generalised_iou, target_boxes
from vlt.losses.mask import bce_loss, dice_loss

SIZE = 16
"""Side of the targets; the grid of logits and boxes is a quarter of it."""


def target(*boxes):
    """(1, SIZE, SIZE), ones in boxes x0, y0, x1, y1 in pixels."""
    mask = torch.zeros(1, SIZE, SIZE)
    for x0, y0, x1, y1 in boxes:
        mask[0, y0:y1, x0:x1] = 1
    return mask


LEFT, RIGHT, BELOW, NOTHING = target((0, 0, 8, 8)), target((8, 0, 16, 8)), target((0, 8, 8, 16)), target()
ONE = torch.ones(1, 1, dtype=torch.bool)


def logits(value, *targets):
    """(1, 4, 4): `value` where a target is, 0 elsewhere."""
    return sum(torch.nn.functional.avg_pool2d(one, 4) for one in targets) * value


def told(box):
    """The same box (4,) at every position."""
    return torch.tensor(box)[:, None, None].expand(4, 4, 4)


# ---------------------------------------------------------------- choice


def test_choosing_is_a_softmax_over_the_things_of_a_photo():
    scores = torch.stack([logits(2.0, LEFT), logits(0.0, LEFT), logits(5.0, BELOW)])
    targets, photos = torch.stack([LEFT, RIGHT, BELOW]), torch.tensor([0, 0, 1])
    first = -math.log(math.exp(2) / (math.exp(2) + 1))
    second = math.log(2)  # undecided; the third has no rival in its photo
    assert discrimination_loss(scores, targets, photos).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_same_thing_a_part_of_it_and_nothing_are_no_rivals():
    part = target((2, 2, 8, 8))
    for other in (LEFT, part, NOTHING):
        scores, targets = torch.randn(2, 1, 4, 4, requires_grad=True), torch.stack([LEFT, other])
        loss = discrimination_loss(scores, targets, torch.zeros(2, dtype=torch.long))
        assert loss == 0
        loss.backward()  # a batch without rivals still trains


def test_choosing_does_not_care_about_sizes():
    small = target((0, 0, 4, 4))
    photos = torch.zeros(2, dtype=torch.long)
    large = discrimination_loss(torch.stack([logits(1.0, LEFT)] * 2), torch.stack([LEFT, RIGHT]), photos)
    assert discrimination_loss(torch.stack([logits(1.0, small)] * 2), torch.stack([small, RIGHT]), photos) == large


# ---------------------------------------------------------------- boxes


def test_boxes_around_targets():
    boxes = target_boxes(torch.stack([target((1, 2, 5, 9)), target((0, 0, 16, 16)), NOTHING]))
    assert (boxes * SIZE).tolist() == [[1, 2, 5, 9], [0, 0, 16, 16], [0, 0, 0, 0]]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 7), min_size=8, max_size=8))
def test_generalised_iou_equals_its_brute_force_twin(numbers):
    one, other = (
        [*numbers[i : i + 2], numbers[i] + numbers[i + 2] + 1, numbers[i + 1] + numbers[i + 3] + 1] for i in (0, 4)
    )

    def cells(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    corners = [*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:])]
    both, union, hull = cells(one) & cells(other), cells(one) | cells(other), cells(corners)
    expected = len(both) / len(union) - (len(hull) - len(union)) / len(hull)
    found = generalised_iou(torch.tensor([one]).float(), torch.tensor([other]).float())
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_true_boxes_cost_nothing_and_others_something():
    targets, photos = torch.stack([LEFT, BELOW]), torch.tensor([0, 1])
    true = torch.stack([told([0.0, 0.0, 0.5, 0.5]), told([0.0, 0.5, 0.5, 1.0])])
    assert box_loss(true, targets, photos).item() == pytest.approx(0, abs=1e-6)
    assert box_loss(true.flip(0), targets, photos) > 1


def test_only_positions_of_things_tell_boxes():
    boxes = told([0.0, 0.0, 0.5, 0.5])[None].clone()
    boxes[:, :, 2:] = 0.9  # below, where nothing is asked about
    assert box_loss(boxes, LEFT[None], torch.tensor([0])).item() == pytest.approx(0, abs=1e-6)
    assert box_loss(boxes, NOTHING[None], torch.tensor([0])) == 0


def test_where_a_dress_and_its_woman_overlap_the_woman_counts():
    woman, dress = target((0, 0, 8, 16)), target((0, 4, 8, 12))
    boxes = told([0.0, 0.0, 0.5, 1.0]).expand(2, 4, 4, 4)
    targets = torch.stack([dress, woman])
    assert box_loss(boxes, targets, torch.tensor([0, 0])).item() == pytest.approx(0, abs=1e-6)
    assert box_loss(boxes, targets, torch.tensor([0, 1])) > 0.1  # another photo's woman hides nothing


# ---------------------------------------------------------------- all of them


def test_the_total_weighs_the_parts():
    config = LossConfig(bce=2, dice=3, coarse=0.5, choice=4, box=5)
    responses, boxes = torch.randn(2, 3, 4, 4), torch.rand(2, 4, 4, 4).sort(dim=1).values
    targets, photos = torch.stack([LEFT, RIGHT]), torch.tensor([0, 0])
    parts = auxiliary_loss(responses, boxes, targets, ONE.expand(2, 1), photos, config)
    mean = responses.mean(1, keepdim=True)
    small = torch.nn.functional.avg_pool2d(targets, 4)
    assert parts["coarse"].item() == pytest.approx(
        (2 * bce_loss(mean, small, "mean") + 3 * dice_loss(mean, small)).item()
    )
    assert parts["choice"] == discrimination_loss(mean, targets, photos)
    assert parts["box"] == box_loss(boxes, targets, photos)
    expected = 0.5 * parts["coarse"] + 4 * parts["choice"] + 5 * parts["box"]
    assert parts["total"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_boxes_are_trained_on_expressions_with_one_target():
    responses, boxes = torch.randn(3, 2, 4, 4), torch.rand(3, 4, 4, 4, requires_grad=True)
    sorted_boxes, config = boxes.sort(dim=1).values, LossConfig(box=1)
    targets, photos = torch.stack([LEFT, NOTHING, torch.maximum(LEFT, RIGHT)]), torch.tensor([0, 1, 2])
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    parts = auxiliary_loss(responses, sorted_boxes, targets, mask, photos, config)
    assert parts["box"] == box_loss(sorted_boxes[:1], targets[:1], photos[:1])
    none = auxiliary_loss(responses, sorted_boxes, targets, torch.ones(3, 2, dtype=torch.bool), photos, config)
    none["total"].backward()
    assert none["box"] == 0
    assert not boxes.grad.any()


def test_what_has_no_weight_is_not_computed():
    parts = auxiliary_loss(torch.randn(1, 2, 4, 4), None, LEFT[None], ONE, torch.tensor([0]), LossConfig())
    assert parts.keys() == {"total"}
    assert parts["total"] == 0
