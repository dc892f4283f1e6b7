import math

import pytest
import torch

from vlt.data.collate import Collate
from vlt.train.data import load_data
from vlt.train.learner import Gradient, Learner
from vlt.train.resume import StopRequest
from vlt.train.setup import build_network, start_accelerator

SWIN = {
    "name": "swin",
    "architecture": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "drop_path_rate": 0.0},
}
"""A backbone without batch statistics and without chance, so that a batch may be cut without changing the step."""


def make(config):
    torch.manual_seed(0)
    return Learner(build_network(config), config, start_accelerator(config), steps_per_epoch=3)


def batches(config, sizes):
    data = load_data(config)
    samples = data.samples(config, epoch=0)
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [Collate(None)([samples[start + i] for i in range(size)]) for start, size in zip(starts, sizes, strict=True)]


def test_pretrained_parts_come_in_eval_mode_and_are_set_to_train(small, tmp_path):
    config = small(tmp_path)
    network = build_network(config).eval()
    Learner(network, config, start_accelerator(config), steps_per_epoch=3)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("parts", [[2, 2], [1, 3], [1, 1, 2]])
def test_accumulated_passes_make_the_step_of_one_pass(small, tmp_path, parts):
    options = {"model": {"backbone": SWIN, "dropout": 0.0}, "loss": {"conv_l2": 1e-3}}
    whole, parted = small(tmp_path, **options), small(tmp_path, **options, train={"accumulate": len(parts)})
    found = []
    for config, sizes in ((whole, [4]), (parted, parts)):
        learner = make(config)
        gradient = learner.gradient(batches(config, sizes), StopRequest())
        gradients = {name: p.grad for name, p in learner.network.named_parameters()}
        found.append((gradient, gradients))
    (one, one_gradients), (two, two_gradients) = found
    assert one.losses == pytest.approx(two.losses, rel=1e-5)
    assert one.losses.keys() == {"total", "bce", "dice", "conv_l2"}
    assert one.norm == pytest.approx(two.norm, rel=1e-4)
    for name, gradient in one_gradients.items():
        torch.testing.assert_close(gradient, two_gradients[name], rtol=1e-3, atol=1e-6)


GUIDED = {
    "model": {"boxes": True, "fusion_stride": 2, "photo_layers": 1},
    "loss": {"coarse": 0.5, "choice": 0.5, "box": 1.0},
    "train": {"by_photo": True},
}


CONTRASTED = [
    {"loss": {"contrast": {"weight": 0.5, "feature": "answers"}}},
    {"loss": {"contrast": {"weight": 0.5, "feature": "queries"}}},
    {"loss": {"contrast": {"weight": 0.5, "feature": "words", "negatives": "photo"}}, "train": {"by_photo": True}},
]


@pytest.mark.parametrize("options", [{}, GUIDED, *CONTRASTED])
def test_everything_that_trains_gets_a_gradient(small, tmp_path, options):
    """Distributed training waits for ever for a parameter that no loss depends on."""
    config = small(tmp_path, **options)
    learner = make(config)
    learner.gradient(batches(config, [4]), StopRequest())
    assert [name for name, p in learner.network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_gradient_is_clipped_and_its_norm_is_from_before(small, tmp_path):
    config = small(tmp_path, train={"clip_norm": 1e-3})
    learner = make(config)
    gradient = learner.gradient(batches(config, [4]), StopRequest())
    after = torch.stack([p.grad.norm() for p in learner.network.parameters() if p.grad is not None]).norm()
    assert gradient.norm > 1e-2
    assert after.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_gradient_changes_nothing_until_the_update(small, tmp_path):
    config = small(tmp_path, train={"schedule": {"name": "constant", "warmup_steps": 2}})
    learner = make(config)
    before = {name: p.clone() for name, p in learner.network.named_parameters()}
    learner.gradient(batches(config, [4]), StopRequest())
    assert all(torch.equal(before[name], p) for name, p in learner.network.named_parameters())
    assert learner.rate == pytest.approx(config.train.lr / 2)
    learner.update()
    assert any(not torch.equal(before[name], p) for name, p in learner.network.named_parameters())
    assert learner.rate == pytest.approx(config.train.lr)
    assert all(p.grad is None for p in learner.network.parameters())


def test_the_moving_average_follows_at_its_distance(small, tmp_path):
    config = small(tmp_path, train={"ema": 0.75})
    learner = make(config)
    expected = None
    for _ in range(3):
        learner.gradient(batches(config, [4]), StopRequest())
        learner.update()
        weight = learner.network.fusion.attention.key.weight.detach().clone()
        expected = weight if expected is None else 0.75 * expected + 0.25 * weight
    torch.testing.assert_close(learner.averaged_network.fusion.attention.key.weight, expected)
    assert learner.averaged_network is not learner.network


def test_without_a_moving_average_the_network_is_validated(small, tmp_path):
    learner = make(small(tmp_path))
    assert learner.averaged_network is learner.network


@pytest.mark.parametrize(
    ("loss", "norm", "sound"),
    [(1.0, 2.0, True), (math.nan, 2.0, False), (math.inf, 2.0, False), (1.0, math.inf, False)],
)
def test_a_step_is_sound_where_loss_and_gradient_are_finite(small, tmp_path, loss, norm, sound):
    assert make(small(tmp_path)).is_sound(Gradient({"total": loss}, norm, stop=False)) is sound


def test_contrast_is_a_part_of_the_loss(small, tmp_path):
    """The readings of a thing share a batch, and what they cost is weighed into the total."""
    config = small(tmp_path, **CONTRASTED[0])
    losses = make(config).gradient(batches(config, [4]), StopRequest()).losses
    assert losses["contrast"] > 0
    expected = losses["bce"] + losses["dice"] + 0.5 * losses["contrast"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_contrast_within_photos_needs_several_things_of_one(small, tmp_path):
    """Scenes of one thing have nothing to push apart; a drawn scene's things share a photo and a batch."""
    options = {
        "loss": {"contrast": {"weight": 0.5, "negatives": "photo"}},
        "train": {"by_photo": True},
    }
    one, two = (
        small(tmp_path / str(referents), **options, data={"referents": referents, "train_scenes": 12 // referents})
        for referents in (1, 2)
    )
    lost = [make(each).gradient(batches(each, [4]), StopRequest()).losses["contrast"] for each in (one, two)]
    assert lost[0] == 0
    assert lost[1] > 0


@pytest.mark.filterwarnings("ignore:.*keeps the others at random weights")
def test_the_average_follows_what_trains_and_shares_what_is_frozen(small, tmp_path):
    frozen = {"name": "darknet53", "width": 0.0625, "blocks": [1, 1, 1, 1, 1], "trainable_blocks": 1}
    config = small(tmp_path, model={"backbone": frozen}, train={"ema": 0.9})
    learner = make(config)
    expected: dict[str, torch.Tensor] = {}
    for step in range(3):
        learner.gradient(batches(config, [4]), StopRequest())
        learner.update()
        for name, now in learner.network.named_parameters():
            past = expected.get(name)
            expected[name] = now.detach().clone() if step == 0 else 0.9 * past + 0.1 * now.detach()
    shared = {name for name, p in learner.network.named_parameters() if not p.requires_grad}
    assert shared
    for (name, average), own in zip(
        learner.averaged_network.named_parameters(), learner.network.parameters(), strict=True
    ):
        assert (average.data_ptr() == own.data_ptr()) == (name in shared)
        torch.testing.assert_close(average, expected[name], rtol=1e-4, atol=1e-6)
