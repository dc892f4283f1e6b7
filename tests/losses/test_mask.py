import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlt.config import LossConfig
from vlt.losses.mask import DICE_SMOOTHING, bce_loss, dice_loss, resize_targets, segmentation_loss

ORIGINAL = LossConfig(bce=1.0, dice=0.0, reduction="sum", conv_l2=5e-4)


def random_batch(seed, batch=2, size=(3, 4), target_size=None, soft=True):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, 1, *size, generator=generator)
    targets = torch.rand(batch, 1, *(target_size or size), generator=generator)
    return logits, targets if soft else targets.round()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def brute_bce(logits, targets):
    """Per sample, the cross-entropy of each pixel added up."""
    return [
        sum(-t * math.log(sigmoid(x)) - (1 - t) * math.log(1 - sigmoid(x)) for x, t in zip(xs, ts, strict=True))
        for xs, ts in zip(logits.flatten(1).tolist(), targets.flatten(1).tolist(), strict=True)
    ]


def brute_dice(logits, targets):
    losses = []
    for xs, ts in zip(logits.flatten(1).tolist(), targets.flatten(1).tolist(), strict=True):
        count, ps = len(xs), [sigmoid(x) for x in xs]
        overlap = sum(p * t for p, t in zip(ps, ts, strict=True)) / count
        losses.append(1 - (2 * overlap + DICE_SMOOTHING) / (sum(ps) / count + sum(ts) / count + DICE_SMOOTHING))
    return sum(losses) / len(losses)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 3), height=st.integers(1, 5), width=st.integers(1, 5))
def test_each_part_equals_its_brute_force_twin(seed, batch, height, width):
    logits, targets = random_batch(seed, batch, (height, width))
    summed = brute_bce(logits, targets)
    assert bce_loss(logits, targets, "sum").item() == pytest.approx(sum(summed) / batch, rel=1e-4)
    assert bce_loss(logits, targets, "mean").item() == pytest.approx(sum(summed) / (batch * height * width), rel=1e-4)
    assert dice_loss(logits, targets).item() == pytest.approx(brute_dice(logits, targets), rel=1e-4, abs=1e-6)


def test_the_original_loss_is_the_sum_over_pixels_by_the_batch_and_the_kernels_squares():
    logits, full = random_batch(1, batch=3, size=(4, 4), target_size=(8, 8), soft=False)
    kernels = [torch.randn(2, 3, 3, 3), torch.randn(5, 1, 1, 1)]
    nearest = full[:, :, ::2, ::2]  # OpenCV's INTER_NEAREST at stride 2: the pixel above and left
    expected = sum(brute_bce(logits, nearest)) / 3 + 5e-4 * sum(float((k.double() ** 2).sum()) for k in kernels)
    parts = segmentation_loss(logits, full, ORIGINAL, iter(kernels))
    assert parts["total"].item() == pytest.approx(expected, rel=1e-5)
    assert set(parts) == {"total", "bce", "conv_l2"}


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_nearest_targets_are_opencvs(stride):
    targets = torch.arange(32 * 32).reshape(1, 1, 32, 32) / 1024
    size = (32 // stride, 32 // stride)
    assert torch.equal(resize_targets(targets, size, "sum"), targets[:, :, ::stride, ::stride])


def test_area_targets_keep_the_share_of_the_object():
    targets = random_batch(2, size=(12, 20))[1]
    for size in [(6, 10), (3, 5), (1, 1)]:
        resized = resize_targets(targets, size, "mean")
        assert torch.allclose(resized.mean((1, 2, 3)), targets.mean((1, 2, 3)))
        assert resized[0, 0, 0, 0].item() == pytest.approx(
            targets[0, 0, : 12 // size[0], : 20 // size[1]].mean().item(), rel=1e-5
        )


def test_the_total_weighs_the_parts():
    logits, targets = random_batch(3)
    kernel = torch.ones(2, 2)
    parts = segmentation_loss(logits, targets, LossConfig(bce=2, dice=3, conv_l2=0.5), [kernel])
    assert parts["conv_l2"] == 4
    assert parts["total"].item() == pytest.approx(2 * parts["bce"].item() + 3 * parts["dice"].item() + 0.5 * 4)


def test_without_weights_the_loss_is_zero():
    logits, targets = random_batch(4)
    parts = segmentation_loss(logits, targets, LossConfig(bce=0, dice=0))
    assert parts == {"total": torch.tensor(0.0)}


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), factor=st.integers(2, 4))
def test_the_mean_does_not_depend_on_the_masks_resolution(seed, factor):
    logits, targets = random_batch(seed, size=(4, 6))

    def fine(x):
        return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)

    config = LossConfig()
    coarse = segmentation_loss(logits, targets, config)["total"]
    assert segmentation_loss(fine(logits), fine(targets), config)["total"].item() == pytest.approx(
        coarse.item(), rel=1e-5
    )
    # coarse logits against the fine target: its area average is the coarse target again
    assert segmentation_loss(logits, fine(targets), config)["total"].item() == pytest.approx(coarse.item(), rel=1e-5)


def test_the_sum_does_depend_on_it():
    logits, targets = random_batch(5)
    fine = [x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (logits, targets)]
    coarse = segmentation_loss(logits, targets, ORIGINAL)["bce"]
    assert segmentation_loss(*fine, ORIGINAL)["bce"].item() == pytest.approx(4 * coarse.item(), rel=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("value", [-1e4, -30.0, 0.0, 30.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_loss_and_gradient_are_finite_even_for_sure_answers(reduction, value, target):
    logits = torch.full((2, 1, 4, 4), value, requires_grad=True)
    targets = torch.full((2, 1, 8, 8), target)
    loss = segmentation_loss(logits, targets, LossConfig(reduction=reduction))["total"]
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    sure_and_right = abs(value) > 20 and (value > 0) == bool(target)
    assert (loss.item() < 1e-5) == sure_and_right


def test_empty_targets_pull_the_answer_down():
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    dice = dice_loss(logits, torch.zeros(1, 1, 4, 4))
    dice.backward()
    assert dice.item() == pytest.approx(1, abs=1e-3)
    assert (logits.grad > 0).all()


def test_small_objects_weigh_as_much_as_large_ones():
    small, large = torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10)
    small[..., :1, :1], large[..., :9, :9] = 1, 1
    missed = torch.full((1, 1, 10, 10), -30.0)
    assert dice_loss(missed, small).item() == pytest.approx(dice_loss(missed, large).item(), abs=0.02)
    alone = (dice_loss(missed, small) + dice_loss(missed, large)) / 2
    together = dice_loss(missed.expand(2, 1, 10, 10), torch.cat([small, large]))
    assert together.item() == pytest.approx(alone.item())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_half_precision_logits_are_lifted_first(reduction):
    logits, targets = random_batch(6, size=(64, 64))
    low, config = logits.half(), LossConfig(reduction=reduction)
    lifted = segmentation_loss(low, targets, config)
    assert lifted == segmentation_loss(low.float(), targets, config)
    assert lifted["total"].dtype == torch.float32


def test_a_step_down_the_gradient_lowers_the_loss():
    logits, targets = random_batch(7, soft=False)
    logits.requires_grad_()
    loss = segmentation_loss(logits, targets, LossConfig())["total"]
    (gradient,) = torch.autograd.grad(loss, logits)
    assert segmentation_loss(logits - 0.5 * gradient, targets, LossConfig())["total"] < loss
    assert np.isfinite(gradient.numpy()).all()
