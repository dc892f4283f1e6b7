"""The image encoder: its grid, attention within windows, and normalisations folded into convolutions."""

import pytest
import torch
from torch import nn

from vlt.refine.tiny_vit import TinyViT, WindowAttention, WindowBlock, fold


def test_the_map_has_the_stride_that_is_stated():
    torch.manual_seed(0)
    with torch.inference_mode():
        assert TinyViT().eval()(torch.rand(2, 3, 64, 96)).shape == (2, 256, 64 // TinyViT.stride, 96 // TinyViT.stride)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_attention_stays_within_its_window(size):
    """Whether the grid is a multiple of the window or has to be padded."""
    torch.manual_seed(0)
    block = WindowBlock(8, 2, 4).eval()
    x = torch.randn(1, 8, *size)
    other = x.clone()
    other[:, :, 0, 0] += torch.randn(8)
    with torch.inference_mode():
        changed = (block.attend(x) - block.attend(other)).abs().amax(dim=(0, 1)) > 1e-7
    assert changed[:4, :4].all()
    assert not changed[4:].any()
    assert not changed[:, 4:].any()


def test_attention_against_a_loop_over_pairs():
    torch.manual_seed(0)
    attention, side = WindowAttention(6, 2, 3), 3
    nn.init.normal_(attention.biases)
    x = torch.randn(1, side * side, 6)
    parts = attention.joint(attention.norm(x))[0]  # (9, 18): per head query, key, value
    expected = torch.zeros(side * side, 6)
    for head in range(2):
        query, key, value = parts[:, 9 * head : 9 * head + 9].split(3, dim=1)
        for i in range(side * side):
            scores = []
            for j in range(side * side):
                distance = abs(i // side - j // side) * side + abs(i % side - j % side)
                scores.append(query[i] @ key[j] / 3**0.5 + attention.biases[head, distance])
            expected[i, 3 * head : 3 * head + 3] = torch.stack(scores).softmax(0) @ value
    torch.testing.assert_close(attention(x)[0], attention.out(expected))


def test_folded_normalisation_is_the_same_function():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)
    norm.train()(torch.randn(4, 5, 6, 6) * 3 + 1)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.eval()
    folded = nn.Conv2d(3, 5, 3)
    weight, bias = fold(conv.weight, [norm.weight, norm.bias, norm.running_mean, norm.running_var])
    folded.load_state_dict({"weight": weight, "bias": bias})
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(folded(x), norm(conv(x)))
