import pytest
import torch

from vlt.losses.candidate import candidate_loss, right_outcomes, target_boxes

BOXES = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.02, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
VALID = torch.tensor([[True, True, True, False]])


def _loss(best: int, targets: torch.Tensor, *, present: bool, smoothing: float) -> float:
    logits = torch.zeros(1, 6)
    logits[:, best] = 9
    logits[:, 3] = -1e4  # as the network does where there is no candidate
    return candidate_loss(logits, BOXES, VALID, targets, torch.tensor([present]), smoothing).item()


def test_right_outcomes_of_each_kind() -> None:
    targets = torch.tensor(
        [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.95], [0.0, 0.5, 0.4, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    )
    present = torch.tensor([True, True, True, False, True])  # the last is too small to be seen at the input's size
    found = right_outcomes(BOXES.expand(5, -1, -1), VALID.expand(5, -1), targets, present)
    expected = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    assert found.tolist() == expected


def test_the_loss_is_least_for_the_right_choice() -> None:
    targets = torch.zeros(1, 1, 20, 20)
    targets[..., 10:, 10:] = 1
    losses = [_loss(best, targets, present=True, smoothing=0.1) for best in (0, 2, 4, 5)]
    assert min(losses) == losses[1]
    assert all(loss < float("inf") for loss in losses)


def test_without_smoothing_a_certain_right_choice_costs_nothing() -> None:
    found = _loss(4, torch.zeros(1, 1, 20, 20), present=False, smoothing=0.0)
    assert found == pytest.approx(0, abs=1e-2)


def test_the_box_around_a_target_is_exact() -> None:
    targets = torch.zeros(2, 1, 10, 20)
    targets[0, 0, 2:5, 4:16] = 1
    targets[0, 0, 9, 0] = 0.4  # less than half
    assert target_boxes(targets).tolist() == [pytest.approx([0.2, 0.2, 0.8, 0.5]), [0, 0, 0, 0]]
