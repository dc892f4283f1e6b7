"""Modules that take the place of others in a graph: recurrent encoders, and convolutions of enlarged maps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

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
            replace_enlarged(parent)
    return twin


def replace_enlarged(layers: nn.Sequential) -> None:
    """Replace each enlargement and the convolution after it, and one at the end that reads the result."""
    for place, (enlarge, conv) in enumerate(pairwise(list(layers))):
        if isinstance(enlarge, nn.Upsample) and isinstance(conv, BatchConv):
            layers[place], layers[place + 1] = EnlargedConv(conv), InOrder()
    if len(layers) > 2 and isinstance(layers[-2], InOrder) and isinstance(layers[-1], nn.Conv2d):
        layers[-2], layers[-1] = nn.Identity(), ConvOfPhases(layers[-1])


Phases: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""A map (B, C, 2 h, 2 w) as four of (B, C, h, w): even rows and columns, even rows and odd columns, odd rows and even
columns, odd rows and columns."""


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

    def forward(self, x: Tensor) -> Phases:
        """Map (B, in_channels, h, w) to (B, out_channels, 2 h, 2 w), in four parts."""
        norm: Any = self.module.norm
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernel, bias = self.module.conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale

        def phase(below: int, right: int) -> Tensor:
            part = halves(halves(kernel, 2)[below], 3)[right]
            y: Tensor = self.module.act(F.conv2d(F.pad(x, (1 - right, right, 1 - below, below)), part, bias))
            return y

        return phase(0, 0), phase(0, 1), phase(1, 0), phase(1, 1)


def halves(kernel: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Sum a kernel of three rows (or columns) to two: those that even and that odd rows of the enlarged map meet."""
    first, middle, last = kernel.split(1, dim=axis)
    return torch.cat([first, middle + last], dim=axis), torch.cat([first + middle, last], dim=axis)


class InOrder(nn.Module):
    """Join the four parts of a map."""

    def forward(self, phases: Phases) -> Tensor:
        """Four of (B, C, h, w) to (B, C, 2 h, 2 w)."""
        even_even, even_odd, odd_even, odd_odd = phases
        even = torch.stack([even_even, even_odd], dim=4).flatten(3)
        odd = torch.stack([odd_even, odd_odd], dim=4).flatten(3)
        return torch.stack([even, odd], dim=3).flatten(2, 3)


class ConvOfPhases(nn.Module):
    """A 3 x 3 convolution of a map in four parts to one channel.

    Each position is multiplied with the nine columns of the kernel; only these products are put in order, and summed.

    Args:
        module: of one output channel.
    """

    def __init__(self, module: nn.Conv2d) -> None:
        super().__init__()
        self.module, self.in_order = module, InOrder()

    def forward(self, phases: Phases) -> Tensor:
        """Four of (B, in_channels, h, w) to (B, 1, 2 h, 2 w)."""
        weight, bias = self.module.weight, self.module.bias
        kernel = weight[0].flatten(1).transpose(0, 1)[..., None, None]  # (9, in_channels, 1, 1)
        even_even, even_odd, odd_even, odd_odd = (F.conv2d(phase, kernel) for phase in phases)
        products = self.in_order((even_even, even_odd, odd_even, odd_odd))
        height, width = products.shape[2:]
        around = F.pad(products, (1, 1, 1, 1))
        shifted = [
            around[:, i : i + 1, i // 3 : i // 3 + height, i % 3 : i % 3 + width] for i in range(kernel.shape[0])
        ]
        return sum(shifted[1:], shifted[0]) + (0 if bias is None else bias)


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
