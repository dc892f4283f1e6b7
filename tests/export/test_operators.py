"""What takes the place of a module in a graph computes the same."""

import pytest
import torch
from torch import nn

from vlt.export.operators import EnlargedConv
from vlt.model.layers import BatchConv


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_a_convolution_of_an_enlarged_map(size):
    torch.manual_seed(0)
    conv = BatchConv(3, 5, 3)
    for value in (conv.norm.weight, conv.norm.bias, conv.norm.running_mean, conv.norm.running_var):
        value.data = torch.rand_like(value) + 0.5
    conv, x = conv.eval(), torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = conv(nn.Upsample(scale_factor=2, mode="nearest")(x))
        found = EnlargedConv(conv)(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)
