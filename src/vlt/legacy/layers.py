"""The Keras layers of the original network, in the order of creation, and where their weights go in ours.

Keras numbers automatic layer names in that order, which is docs/model.md from top to bottom. Sorting a file's layers by
number therefore gives this list, whatever number the counting began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from vlt.legacy.hdf5 import Shape
from vlt.model.fusion import ReferenceFusion
from vlt.model.language import SummedGRU
from vlt.model.layers import BatchConv, DownConv
from vlt.model.mask_decoder import ReferenceMaskDecoder
from vlt.model.query import QueryBalance, ReferenceQueryGenerator
from vlt.model.transformer import FeedForward, MultiHeadAttention
from vlt.model.vlt import VLT

CONV_AXES = (3, 2, 0, 1)  # Keras (height, width, in, out) to (out, in, height, width)
DENSE_AXES = (1, 0)  # Keras (in, out) to (out, in)

KERAS_CLASSES: dict[type[nn.Module], str] = {
    nn.Conv2d: "conv2d",
    nn.Linear: "dense",
    nn.BatchNorm1d: "batch_normalization",
    nn.BatchNorm2d: "batch_normalization",
    MultiHeadAttention: "multi_head_attention",
    SummedGRU: "bidirectional",
}
"""Keras' name, without its number, of each kind of module that has weights; a GRU in one direction is called gru."""

ENCODER_PARTS = {
    "MultiHeadSelfAttention": "attention",
    "MultiHeadSelfAttention-Norm": "attention_residual.norm",
    "FeedForward": "feedforward",
    "FeedForward-Norm": "feedforward_residual.norm",
}
"""Names of the parts of an encoder layer: in the original -> in this package."""

DECODER_PARTS = {
    "MultiHeadSelfAttention": "self_attention",
    "MultiHeadSelfAttention-Norm": "self_residual.norm",
    "MultiHeadQueryAttention": "memory_attention",
    "MultiHeadQueryAttention-Norm": "memory_residual.norm",
    "FeedForward": "feedforward",
    "FeedForward-Norm": "feedforward_residual.norm",
}
"""Names of the parts of a decoder layer: in the original -> in this package."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Place of one weight of a Keras layer in our model.

    Attributes:
        leaf: Keras' name of the weight, such as kernel.
        tensors: tensors of our model; several where our model splits one weight of Keras along its first axis.
        axes: the permutation from Keras' layout to ours.
    """

    leaf: str
    tensors: tuple[Tensor, ...]
    axes: tuple[int, ...] = (0,)

    @property
    def shape(self) -> Shape:
        """Shape of the weight in Keras' layout."""
        ours = (sum(len(tensor) for tensor in self.tensors), *self.tensors[0].shape[1:])
        return tuple(ours[self.axes.index(axis)] for axis in range(len(ours)))

    def fill(self, values: Tensor) -> None:
        """Copy `values`, of shape `shape` and in Keras' layout, into the model."""
        parts = values.permute(self.axes).split([len(tensor) for tensor in self.tensors])
        for tensor, part in zip(self.tensors, parts, strict=True):
            tensor.detach().copy_(part)


@dataclass(frozen=True, slots=True)
class ExpectedLayer:
    """One layer that a file must hold.

    Attributes:
        name: its class such as conv2d, or its full name where it has one of its own.
        module: module of our model, as a dotted path.
        destinations: destinations of its weights, in Keras' order.
    """

    name: str
    module: str
    destinations: tuple[Destination, ...]

    @property
    def weights(self) -> tuple[tuple[str, Shape], ...]:
        """Name and shape of each weight, to compare with a `KerasLayer`'s."""
        return tuple((destination.leaf, destination.shape) for destination in self.destinations)


def expected_layers(root: nn.Module, modules: Iterable[nn.Module]) -> list[ExpectedLayer]:
    """List the Keras layers with automatic names that correspond to modules of a network.

    Args:
        root: the network.
        modules: parts of `root` in the order in which the original created them; those without weights are skipped.
    """
    paths = {module: path for path, module in root.named_modules()}
    expected = []
    for module in modules:
        for part in (module.conv, module.norm) if isinstance(module, BatchConv | DownConv) else (module,):
            name = KERAS_CLASSES.get(type(part))
            if isinstance(part, SummedGRU) and part.backward_gru is None:
                name = "gru"
            if name is not None:
                expected.append(ExpectedLayer(name, paths[part], tuple(destinations(part))))
    return expected


def named_layers(model: VLT) -> list[ExpectedLayer]:
    """List the layers of the reference transformer, which have names of their own in Keras."""
    paths = {module: path for path, module in model.named_modules()}
    expected = []
    for kind, layers, parts in (
        ("Encoder", model.transformer.encoder, ENCODER_PARTS),
        ("Decoder", model.transformer.decoder, DECODER_PARTS),
    ):
        for number, layer in enumerate(layers, start=1):
            for name, path in parts.items():
                part = layer.get_submodule(path)
                expected.append(ExpectedLayer(f"{kind}-{number}-{name}", paths[part], tuple(destinations(part))))
    return expected


def creation_order(model: VLT) -> list[nn.Module]:
    """List the modules of the reference network whose Keras layers have automatic names, in the order of creation."""
    fusion, generator, balance, decoder = model.fusion, model.query_generator, model.query_balance, model.mask_decoder
    assert isinstance(fusion, ReferenceFusion)
    assert isinstance(generator, ReferenceQueryGenerator)
    assert isinstance(balance, QueryBalance)
    assert isinstance(decoder, ReferenceMaskDecoder)
    attend = generator.attend
    return [
        *model.backbone.blocks(),
        model.language,
        fusion.pooling.score,
        *fusion.coarse_residual,
        *(fusion.gate, fusion.gate_norm, fusion.product_norm),
        *(fusion.middle_lateral, fusion.middle_join),
        *(fusion.fine_lateral, fusion.query_join),
        *(*fusion.refine, fusion.refine_join),
        *fusion.encoder_join,
        *(*generator.read, generator.visual, generator.words),
        *(attend.query, attend.key, attend.value, attend.attention),
        *(balance.query, balance.answer, balance.join, balance.confidence),
        *(decoder.paint, *decoder.grow),
    ]


def destinations(module: nn.Module) -> Iterator[Destination]:
    """Yield the destination of each weight of the Keras layer that corresponds to a module, in Keras' order.

    Args:
        module: a convolution, dense layer, normalisation, attention, feed-forward network or `SummedGRU`.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        yield Destination("kernel", (module.weight,), CONV_AXES if isinstance(module, nn.Conv2d) else DENSE_AXES)
        if module.bias is not None:
            yield Destination("bias", (module.bias,))
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
        yield Destination("gamma", (module.weight,))
        yield Destination("beta", (module.bias,))
        if not isinstance(module, nn.LayerNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            yield Destination("moving_mean", (module.running_mean,))
            yield Destination("moving_variance", (module.running_var,))
    elif isinstance(module, MultiHeadAttention | FeedForward):
        if isinstance(module, MultiHeadAttention):
            linears = {"q": module.query, "k": module.key, "v": module.value, "o": module.output}
        else:
            linears = dict(zip("12", (layer for layer in module if isinstance(layer, nn.Linear)), strict=True))
        for letter, linear in linears.items():  # the original's own layers call their weights Wq, bq and the like
            yield Destination(f"W{letter}", (linear.weight,), DENSE_AXES)
            yield Destination(f"b{letter}", (linear.bias,))
    elif isinstance(module, SummedGRU):
        for gru in (module.forward_gru, module.backward_gru):
            if gru is not None:
                recurrent = (gru.recurrent_gates.weight, gru.recurrent_candidate.weight)
                yield Destination("kernel", (gru.input.weight,), DENSE_AXES)
                yield Destination("recurrent_kernel", recurrent, DENSE_AXES)
                yield Destination("bias", (gru.input.bias,))
