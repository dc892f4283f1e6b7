"""Activation checkpointing and compilation: the same loss and gradients, less that is kept."""

import copy

import pytest
import torch
from torch import nn

from vlt.train.regions import UNITS, compile_regions, recompute_activations


@pytest.fixture
def network(tiny_model):
    """In training mode, except that batch statistics stay as they are."""
    network = copy.deepcopy(tiny_model)
    for module in network.modules():
        module.training = not isinstance(module, nn.BatchNorm2d)
    return network


def learn(network):
    """One forward and backward pass: the logits, the gradients, and the bytes kept between the two."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 64, 64, generator=generator)
    words = torch.randn(2, 5, 16, generator=generator)
    kept = {}

    def keep(tensor):
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    network.zero_grad()
    torch.manual_seed(1)  # of dropout
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(images, words)
    bytes_kept = sum(kept.values())
    logits.square().mean().backward()
    return logits.detach(), {name: x.grad for name, x in network.named_parameters()}, bytes_kept


def assert_alike(one, other):
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], rtol=1e-3, atol=1e-6, msg=name)


def test_recomputed_activations_change_nothing_but_what_is_kept(network):
    plain, names = learn(network), list(network.state_dict())
    recompute_activations(network)
    assert sum("forward" in vars(module) for module in network.modules()) > 3
    less = learn(network)
    assert_alike(plain, less)
    assert less[2] < 0.8 * plain[2]
    assert list(network.state_dict()) == names


def test_a_copy_of_the_network_computes_with_its_own_weights(network):
    """The moving average is one."""
    recompute_activations(network)
    copied, before = copy.deepcopy(network), learn(network)[0]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    torch.testing.assert_close(learn(copied)[0], before)
    assert not torch.allclose(learn(network)[0], before)


def test_frozen_parts_are_left_alone(network):
    network.requires_grad_(False)
    recompute_activations(network)
    assert not any("forward" in vars(module) for module in network.modules())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # read by the tracer
def test_compiled_regions_change_nothing(network, monkeypatch):
    """Without generating code, which takes minutes: the regions are traced and run as traced."""
    compile_module, compiled = nn.Module.compile, []

    def compile_quickly(module, **settings):
        compiled.append(module)
        compile_module(module, backend="aot_eager", **settings)

    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    plain, names = learn(network), list(network.state_dict())
    compile_regions(network)
    assert compiled[0] is network.backbone
    assert len(compiled) == 1 + sum(isinstance(module, UNITS) for module in network.modules())
    assert_alike(plain, learn(network))
    assert list(network.state_dict()) == names
