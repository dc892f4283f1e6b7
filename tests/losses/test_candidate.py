"""The choice among candidates: right outcomes, their loss, and the boxes of targets."""

import pytest
import torch

from vlt.losses.auxiliary import target_boxes
from vlt.losses.candidate import (
    MIN_IOU,
    TIE,
    candidate_ious,
    candidate_loss,
    foreign_images,
    outcomes_of_targets,
    right_outcomes,
)

BOXES = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.02, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
VALID = torch.tensor([[True, True, True, False]])
LOWER_RIGHT = torch.tensor([[0.5, 0.5, 1.0, 1.0]])


def _loss(best: int, target: torch.Tensor, *, present: bool, smoothing: float) -> float:
    logits = torch.zeros(1, 6)
    logits[:, best] = 9
    logits[:, 3] = -1e4  # as the network does where there is no candidate
    return candidate_loss(logits, BOXES, VALID, target[:, None], torch.tensor([[present]]), smoothing).item()


def _right(boxes: torch.Tensor, valid: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return right_outcomes(outcomes_of_targets(boxes, valid, targets), mask)


def test_right_outcomes_of_each_kind() -> None:
    targets = torch.tensor(
        [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.95], [0.0, 0.5, 0.4, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    )
    present = torch.tensor([True, True, True, False, True])  # the last is too small to be seen at the input's size
    found = _right(BOXES.expand(5, -1, -1), VALID.expand(5, -1), targets[:, None], present[:, None])
    expected = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    assert found.tolist() == expected


def test_several_targets_have_equal_shares_of_the_probability() -> None:
    upper_left, lower_right, elsewhere = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.5, 0.4, 1.0]
    padding = [0.0, 0.0, 0.0, 0.0]
    cases = [
        ([upper_left, lower_right, padding], 2, [0.25, 0.25, 0.5, 0, 0, 0]),
        ([lower_right, upper_left, elsewhere], 3, [1 / 6, 1 / 6, 1 / 3, 0, 0, 1 / 3]),
        ([lower_right, lower_right, padding], 2, [0, 0, 1, 0, 0, 0]),  # one candidate fits both
        ([elsewhere, padding, padding], 2, [0, 0, 0, 0, 0, 1]),  # the second is too small to be seen
        ([lower_right, padding, padding], 1, [0, 0, 1, 0, 0, 0]),
        ([padding, padding, padding], 0, [0, 0, 0, 0, 1, 0]),
    ]
    targets = torch.tensor([boxes for boxes, _, _ in cases])
    mask = torch.arange(3) < torch.tensor([[count] for _, count, _ in cases])
    found = _right(BOXES.expand(len(cases), -1, -1), VALID.expand(len(cases), -1), targets, mask)
    for row, (_, _, expected) in zip(found.tolist(), cases, strict=True):
        assert row == pytest.approx(expected)


def test_a_second_expression_with_more_targets_changes_no_digit_of_the_loss_of_one_target() -> None:
    generator = torch.Generator().manual_seed(4)
    for present in (True, False):
        targets = _random_boxes(1, 1, generator=generator)
        boxes = targets + 0.1 * torch.randn(1, 8, 4, generator=generator)
        valid, logits = torch.rand(1, 8, generator=generator) > 0.3, torch.randn(1, 10, generator=generator)
        mask = torch.tensor([[present]])
        overlaps = candidate_ious(boxes, targets)[:, 0] * valid  # the formula for one target alone
        fits = (overlaps >= MIN_IOU) & (overlaps > overlaps.max(dim=1, keepdim=True).values - TIE)
        right = torch.cat([fits & mask, ~mask, mask & ~fits.any(dim=1, keepdim=True)], dim=1).float()
        expected = right / right.sum(dim=1, keepdim=True)
        padded, padded_mask = (torch.cat([x, torch.zeros_like(x)], dim=1) for x in (targets, mask))
        assert torch.equal(_right(boxes, valid, padded, padded_mask), expected)
        alone, beside = (
            candidate_loss(logits, boxes, valid, *each, 0.05) for each in ((targets, mask), (padded, padded_mask))
        )
        assert torch.equal(alone, beside)


def test_the_loss_is_least_for_the_right_choice() -> None:
    losses = [_loss(best, LOWER_RIGHT, present=True, smoothing=0.1) for best in (0, 2, 4, 5)]
    assert min(losses) == losses[1]
    assert all(loss < float("inf") for loss in losses)


def test_without_smoothing_a_certain_right_choice_costs_nothing() -> None:
    found = _loss(4, torch.zeros(1, 4), present=False, smoothing=0.0)
    assert found == pytest.approx(0, abs=1e-2)


def test_the_box_around_a_target_is_exact() -> None:
    targets = torch.zeros(2, 1, 10, 20)
    targets[0, 0, 2:5, 4:16] = 1
    targets[0, 0, 9, 0] = 0.4  # less than half
    assert target_boxes(targets).tolist() == [pytest.approx([0.2, 0.2, 0.8, 0.5]), [0, 0, 0, 0]]


def _random_boxes(*shape: int, generator: torch.Generator) -> torch.Tensor:
    corner, extent = torch.rand(2, *shape, 2, generator=generator) / 2
    return torch.cat([corner, corner + extent], dim=-1)


def _iou(one: list[float], other: list[float]) -> float:
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)]
    return shared / (sum(areas) - shared)


def test_overlaps_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, targets = _random_boxes(20, 5, generator=generator), _random_boxes(20, generator=generator)
    found = candidate_ious(boxes, targets[:, None])[:, 0]
    for row, candidates, target in zip(found, boxes.tolist(), targets.tolist(), strict=True):
        assert row.tolist() == pytest.approx([_iou(each, target) for each in candidates], abs=1e-6)
    assert candidate_ious(torch.zeros(1, 2, 4), torch.zeros(1, 1, 4)).tolist() == [[[0, 0]]]


def test_right_outcomes_are_a_distribution_over_what_fits_best() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        target = _random_boxes(4, generator=generator)
        boxes = target[:, None] + 0.1 * torch.randn(4, 6, 4, generator=generator)  # some fit, some do not
        valid, presence = torch.rand(4, 6, generator=generator) > 0.3, torch.rand(4, generator=generator) > 0.2
        found = _right(boxes, valid, target[:, None], presence[:, None])
        assert found.sum(dim=1).tolist() == pytest.approx([1] * 4)
        overlaps = candidate_ious(boxes, target[:, None])[:, 0]
        for row, given, exists, there in zip(found, overlaps.tolist(), valid.tolist(), presence.tolist(), strict=True):
            usable = [iou if real else 0.0 for iou, real in zip(given, exists, strict=True)]
            fitting = {i for i, iou in enumerate(usable) if iou >= MIN_IOU and iou > max(usable) - TIE}
            expected = {6} if not there else fitting or {7}
            assert set(row.nonzero().flatten().tolist()) == expected


def test_a_candidate_that_is_not_valid_is_never_right() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.4]]])
    valid = torch.tensor([[False, True]])
    found = _right(boxes, valid, torch.tensor([[[0.0, 0.0, 0.5, 0.5]]]), torch.tensor([[True]]))
    assert found.tolist() == [[0, 1, 0, 0]]


def test_smoothing_spreads_its_share_over_the_outcomes_that_exist() -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0, -1e4, 0.0, 1.0]])
    logs = logits[0, [0, 1, 2, 4, 5]].log_softmax(dim=0)
    for smoothing in (0.0, 0.2, 1.0):
        found = candidate_loss(logits, BOXES, VALID, LOWER_RIGHT[:, None], torch.tensor([[True]]), smoothing)
        expected = -((1 - smoothing) * logs[2] + smoothing * logs.mean())
        torch.testing.assert_close(found, expected)


def test_the_loss_is_the_mean_over_expressions() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, targets = torch.randn(3, 6, generator=generator), _random_boxes(3, 1, generator=generator)
    boxes, valid, presence = BOXES.expand(3, -1, -1), VALID.expand(3, -1), torch.tensor([[True], [False], [True]])
    each = [
        candidate_loss(*(x[i, None] for x in (logits, boxes, valid, targets, presence)), 0.1).item() for i in range(3)
    ]
    together = candidate_loss(logits, boxes, valid, targets, presence, 0.1).item()
    assert together == pytest.approx(sum(each) / 3, abs=1e-5)


def test_boxes_around_targets_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    targets = (torch.rand(30, 1, 6, 9, generator=generator) > 0.95).float()
    for target, found in zip(targets[:, 0], target_boxes(targets).tolist(), strict=True):
        rows, columns = target.nonzero(as_tuple=True)
        expected = [0.0] * 4
        if len(rows):
            expected = [columns.min() / 9, rows.min() / 6, (columns.max() + 1) / 9, (rows.max() + 1) / 6]
        assert found == pytest.approx([float(side) for side in expected])


def test_foreign_images_lack_the_category_of_the_target() -> None:
    scores = torch.zeros(4, 2, 3)
    scores[0, 0, 1] = 0.9  # a photo of a surely detected object of category 1, and a doubtful one of category 2
    scores[0, 1, 2] = 0.2
    scores[1, 1, 1] = 0.5  # has one, too
    scores[2, 0, 1] = 0.1  # may have one
    scores[3, 0, 0] = 0.9  # has none
    right = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1.0]])[:, None]
    there = torch.tensor([[True], [True], [False], [True]])
    found = foreign_images(right, there, scores, torch.zeros(4, dtype=torch.int64))
    assert found.tolist() == [[False, False, False, True], *3 * [[False] * 4]]  # doubtful, nothing, no candidate


def test_foreign_images_lack_the_categories_of_all_targets() -> None:
    scores = torch.zeros(4, 2, 3)
    scores[0, 0, 1] = scores[0, 1, 2] = 0.9  # a photo of a 1 and a 2
    scores[1, 0, 1] = 0.9  # of a 1 alone
    scores[2, 0, 2] = 0.9  # of a 2 alone
    first, second, none = [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.0, 0, 0, 1.0]
    right = torch.tensor([[first, second], [first, none], [first, first]])
    mask = torch.tensor([[True, True], [True, True], [True, False]])
    found = foreign_images(right, mask, scores, torch.zeros(3, dtype=torch.int64))
    assert found.tolist() == [[False, False, False, True], [False] * 4, [False, False, True, True]]
