"""Modules that take the place of others in a graph: recurrent encoders, and convolutions of enlarged maps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.language import GRUEncoder, ResetBeforeGRU, TextFeatures
from vlt.model.layers import BatchConv, copy_sharing_weights


def with_operators(module: nn.Module) -> nn.Module:
    """Copy a module with the modules of this file in place of what they stand for; weights are shared, not copied.

    Recurrent encoders become single operators, since a loop over the words would be traced for one number of words; so
    the copy can be traced, but not run.
    """
    twin = copy_sharing_weights(module)
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, ResetBeforeGRU):
                setattr(parent, name, ResetBeforeOperator(child))
            elif isinstance(child, GRUEncoder):
                setattr(parent, name, EncoderOperator(child))
        if isinstance(parent, nn.Sequential):
            for place, (enlarge, conv) in enumerate(pairwise(list(parent))):
                if isinstance(enlarge, nn.Upsample) and isinstance(conv, BatchConv):
                    parent[place], parent[place + 1] = nn.Identity(), EnlargedConv(conv)
    return twin


class EnlargedConv(nn.Module):
    """`BatchConv` of a map of which every position was repeated twice in both directions, computed from the map itself.

    The 3 x 3 kernel meets at most 2 x 2 different positions, which ones depends on whether row and column are even: so
    four 2 x 2 kernels, sums of its rows and columns, give the same with 4/9 of the products.

    Args:
        module: of a 3 x 3 kernel, in eval mode.
    """

    def __init__(self, module: BatchConv) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, 2 h, 2 w)."""
        norm: Any = self.module.norm
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernel = self.module.conv.weight * scale[:, None, None, None]
        kernels = [columns for rows in halves(kernel, 2) for columns in halves(rows, 3)]  # even, odd rows and columns
        bias = (norm.bias - norm.running_mean * scale).repeat(4)
        y = self.module.act(F.conv2d(x, torch.cat(kernels), bias, padding=1))  # (B, 4 out_channels, h + 1, w + 1)
        height, width = x.shape[2], x.shape[3]
        even_even, even_odd, odd_even, odd_odd = y.chunk(4, dim=1)
        even = torch.stack([even_even[:, :, :height, :width], even_odd[:, :, :height, 1:]], dim=4).flatten(3)
        odd = torch.stack([odd_even[:, :, 1:, :width], odd_odd[:, :, 1:, 1:]], dim=4).flatten(3)
        return torch.stack([even, odd], dim=3).flatten(2, 3)


def halves(kernel: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Sum a kernel of three rows (or columns) to two: those that even and that odd rows of the enlarged map meet."""
    first, middle, last = kernel.split(1, dim=axis)
    return torch.cat([first, middle + last], dim=axis), torch.cat([first + middle, last], dim=axis)


def gru(words: Tensor, weights: list[Tensor], lengths: Tensor | None, *, hidden: int, reset_before: bool) -> Tensor:
    """Stand for ONNX's GRU.

    Args:
        words: (T, B, input).
        weights: of the input (D, 3 * hidden, input), of the state (D, 3 * hidden, hidden), and biases of both
            (D, 6 * hidden); D directions, gates in the order update, reset, proposal.
        lengths: (B,) int32, words of each expression; None: all.
        hidden: width of the state.
        reset_before: the reset gate acts before the product with the weights of the state.

    Returns:
        (T, D, B, hidden).
    """
    directions = weights[0].shape[0]
    return torch.onnx.ops.symbolic(
        "GRU",
        (words, *weights, lengths) if lengths is not None else (words, *weights),
        {
            "hidden_size": hidden,
            "linear_before_reset": int(not reset_before),
            "direction": "bidirectional" if directions == 2 else "forward",
        },
        dtype=words.dtype,
        shape=(words.shape[0], directions, words.shape[1], hidden),
        version=22,
    )


class ResetBeforeOperator(nn.Module):
    """`ResetBeforeGRU` as one operator.

    Args:
        module: has the weights.
    """

    def __init__(self, module: ResetBeforeGRU) -> None:
        super().__init__()
        self.module = module

    def forward(self, words: Tensor) -> Tensor:
        """Words (B, T, input) to states (B, T, hidden)."""
        module = self.module
        state = torch.cat([module.recurrent_gates.weight, module.recurrent_candidate.weight])
        bias = torch.cat([module.input.bias, torch.zeros_like(module.input.bias)])
        weights = [module.input.weight[None], state[None], bias[None]]
        states = gru(words.transpose(0, 1), weights, None, hidden=module.hidden_dim, reset_before=True)
        return states[:, 0].transpose(0, 1)


class EncoderOperator(nn.Module):
    """`GRUEncoder` as one operator per layer.

    Args:
        module: has the weights.
    """

    def __init__(self, module: GRUEncoder) -> None:
        super().__init__()
        self.module = module

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Encode word vectors; see `GRUEncoder.forward`."""
        layers, lengths = self.module.gru, None if word_mask is None else word_mask.sum(1).int()
        x = words.transpose(0, 1)
        for layer in range(layers.num_layers):
            weights = [stack_directions(layers, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh")]
            biases = [stack_directions(layers, f"{kind}_l{layer}") for kind in ("bias_ih", "bias_hh")]
            states = gru(
                x, [*weights, torch.cat(biases, dim=1)], lengths, hidden=layers.hidden_size, reset_before=False
            )
            x = states.transpose(1, 2).flatten(2)
        states = x.transpose(0, 1)
        return TextFeatures(self.module.project(states), word_mask, states)


def stack_directions(layers: nn.GRU, name: str) -> Tensor:
    """Stack a parameter of both directions, with the gates in ONNX's order: PyTorch has reset, update, proposal."""
    stacked = []
    for suffix in ("", "_reverse"):
        reset, update, proposal = getattr(layers, name + suffix).chunk(3)
        stacked.append(torch.cat([update, reset, proposal]))
    return torch.stack(stacked)
