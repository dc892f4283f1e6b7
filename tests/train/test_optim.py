import math

import pytest
import torch
from torch import nn

from vlt.config import ScheduleConfig, TrainConfig
from vlt.errors import ConfigError
from vlt.train.optim import build_optimizer, build_scheduler, parameter_groups, rate_factor


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.language = nn.GRU(3, 4)
        self.fusion = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))


def rates_and_decays(network, config):
    names = {parameter: name for name, parameter in network.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(network, config)
        for parameter in group["params"]
    }


def test_every_part_has_its_rate_and_only_matrices_and_kernels_decay():
    network = Network()
    config = TrainConfig(lr=1e-3, backbone_lr=1e-4, language_lr=1e-5, weight_decay=0.1)
    found = rates_and_decays(network, config)
    assert found.keys() == dict(network.named_parameters()).keys()
    assert found["backbone.0.weight"] == (1e-4, 0.1)
    assert found["backbone.0.bias"] == found["backbone.1.weight"] == (1e-4, 0.0)
    assert found["language.weight_hh_l0"] == (1e-5, 0.1)
    assert found["language.bias_hh_l0"] == (1e-5, 0.0)
    assert found["fusion.0.weight"] == (1e-3, 0.1)
    assert found["fusion.1.weight"] == found["fusion.1.bias"] == (1e-3, 0.0)


def test_rates_of_parts_default_to_the_rate():
    assert {rate for rate, _ in rates_and_decays(Network(), TrainConfig(lr=1e-3)).values()} == {1e-3}


def test_frozen_parameters_are_left_out():
    network = Network()
    network.backbone.requires_grad_(False)
    assert not any(name.startswith("backbone") for name in rates_and_decays(network, TrainConfig()))


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_optimizer_by_name(name, kind):
    assert type(build_optimizer(Network(), TrainConfig(optimizer=name))) is kind


def factors(total=100, steps_per_epoch=10, **schedule):
    config = ScheduleConfig(**schedule)
    return [rate_factor(step, config, steps_per_epoch=steps_per_epoch, total_steps=total) for step in range(total + 1)]


def test_warm_up_is_linear_and_reaches_the_full_rate():
    assert factors(name="constant", warmup_steps=4)[:6] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_constant_stays():
    assert set(factors(name="constant")) == {1.0}


def test_step_multiplies_after_each_milestone_epoch():
    found = factors(name="step", milestones=(4, 9), factor=0.1)
    assert found[39] == 1.0
    assert found[40] == found[89] == pytest.approx(0.1)
    assert found[90] == pytest.approx(0.01)


def test_cosine_falls_from_one_through_the_middle_to_the_final_share():
    found = factors(name="cosine", final=0.2)
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.6)
    assert found[25] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert found[100] == pytest.approx(0.2)
    assert found == sorted(found, reverse=True)


def test_polynomial_falls_with_its_power():
    found = factors(name="polynomial", power=2.0, warmup_steps=20, total=120)
    assert found[20] == 1.0
    assert found[70] == pytest.approx(0.25)
    assert found[120] == 0.0


def test_scheduler_moves_all_groups_alike():
    config = TrainConfig(lr=1.0, backbone_lr=0.1, epochs=2, schedule=ScheduleConfig(name="constant", warmup_steps=2))
    optimizer = build_optimizer(Network(), config)
    scheduler = build_scheduler(optimizer, config, steps_per_epoch=5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5, 0.05}
    optimizer.step()
    scheduler.step()
    assert {group["lr"] for group in optimizer.param_groups} == {1.0, 0.1}


def test_a_warm_up_longer_than_the_run_is_refused():
    config = TrainConfig(epochs=2, schedule=ScheduleConfig(warmup_steps=10))
    with pytest.raises(ConfigError, match=r"warmup_steps is 10, but the run has only 10 steps \(2 epochs of 5\)"):
        build_scheduler(build_optimizer(Network(), config), config, steps_per_epoch=5)
