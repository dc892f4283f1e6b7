"""What takes the place of a module in a graph computes the same."""

import pytest
import torch
from torch import nn

from vlt.export.operators import EnlargedConv, with_operators
from vlt.model.layers import BatchConv


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
@pytest.mark.parametrize(
    "layers",
    [
        [nn.Upsample(scale_factor=2), BatchConv(3, 5, 3)],
        [nn.Upsample(scale_factor=2), BatchConv(3, 5, 3), nn.Conv2d(5, 1, 3, padding=1)],
        [nn.Upsample(scale_factor=2), BatchConv(3, 5, 3), nn.Upsample(scale_factor=2), BatchConv(5, 4, 3)],
        [
            *(nn.Upsample(scale_factor=2), BatchConv(3, 5, 3)),
            *(nn.Upsample(scale_factor=2), BatchConv(5, 4, 3)),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        ],
        [BatchConv(3, 5, 3), nn.Conv2d(5, 1, 3, padding=1)],
    ],
    ids=["one", "one and the last", "two", "two and the last", "none"],
)
def test_convolutions_of_enlarged_maps(layers, size):
    torch.manual_seed(0)
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                value.data = torch.rand_like(value) + 0.5
    network, x = network.eval(), torch.randn(2, 3, *size)
    quick = with_operators(network)
    with torch.no_grad():
        expected, found = network(x), quick(x)
    enlarged = [module for module in quick.modules() if isinstance(module, EnlargedConv)]
    assert len(enlarged) == sum(isinstance(module, nn.Upsample) for module in layers)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)
