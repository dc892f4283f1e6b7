"""Which Keras layers the reference network was made of, in the order it created them.

That order, docs/model.md read from top to bottom, is what automatic layer names count, so that a sort by
number puts a file's layers beside this list, whatever number the counting began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from vlt.legacy.hdf5 import Shape
from vlt.model.convolution import BatchConv, DownConv
from vlt.model.fusion import ReferenceFusion
from vlt.model.language import ResetBeforeGRU, SummedGRU
from vlt.model.mask_decoder import ReferenceMaskDecoder
from vlt.model.query import QueryBalance, ReferenceQueryGenerator
from vlt.model.transformer import FeedForward, MultiHeadAttention, Transformer
from vlt.model.vlt import VLT

CONV_AXES = (3, 2, 0, 1)  # Keras (height, width, in, out) to (out, in, height, width)
DENSE_AXES = (1, 0)  # Keras (in, out) to (out, in)

ENCODER_PARTS = {
    "MultiHeadSelfAttention": "attention",
    "MultiHeadSelfAttention-Norm": "attention_residual.norm",
    "FeedForward": "feedforward",
    "FeedForward-Norm": "feedforward_residual.norm",
}
"""What the original calls the parts of an encoder layer, and what we call them."""

DECODER_PARTS = {
    "MultiHeadSelfAttention": "self_attention",
    "MultiHeadSelfAttention-Norm": "self_residual.norm",
    "MultiHeadQueryAttention": "memory_attention",
    "MultiHeadQueryAttention-Norm": "memory_residual.norm",
    "FeedForward": "feedforward",
    "FeedForward-Norm": "feedforward_residual.norm",
}
"""The same of a decoder layer."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one weight of a Keras layer goes.

    Attributes:
        leaf: what Keras calls it, such as kernel.
        tensors: of the model; several where the model splits, along its first axis, what Keras keeps in one.
        axes: the permutation from Keras' layout to ours.
    """

    leaf: str
    tensors: tuple[Tensor, ...]
    axes: tuple[int, ...] = (0,)

    @property
    def shape(self) -> Shape:
        """In Keras' layout."""
        ours = (sum(len(tensor) for tensor in self.tensors), *self.tensors[0].shape[1:])
        return tuple(ours[self.axes.index(axis)] for axis in range(len(ours)))

    def fill(self, values: Tensor) -> None:
        """Copies `values`, in Keras' layout, into the model."""
        parts = values.permute(self.axes).split([len(tensor) for tensor in self.tensors])
        for tensor, part in zip(self.tensors, parts, strict=True):
            tensor.detach().copy_(part)


@dataclass(frozen=True, slots=True)
class ExpectedLayer:
    """One layer that a file must hold.

    Attributes:
        name: its class such as conv2d, or its full name where it has one of its own.
        module: of the model, as a dotted path.
        slots: its weights in Keras' order.
    """

    name: str
    module: str
    slots: tuple[Slot, ...]

    @property
    def weights(self) -> tuple[tuple[str, Shape], ...]:
        """Leaf and shape of each weight, to compare with a `KerasLayer`'s."""
        return tuple((slot.leaf, slot.shape) for slot in self.slots)


def expected_layers(root: nn.Module, modules: Iterable[nn.Module]) -> list[ExpectedLayer]:
    """The layers with automatic names that `modules`, parts of `root` in creation order, were in Keras."""
    paths = {module: path for path, module in root.named_modules()}
    return [
        ExpectedLayer(name, paths[part], slots) for module in modules for name, part, slots in _keras_layers(module)
    ]


def named_layers(model: VLT) -> list[ExpectedLayer]:
    """The reference transformer's layers, which carry names of their own."""
    paths = {module: path for path, module in model.named_modules()}
    return [
        ExpectedLayer(name, paths[module], _named_slots(module)) for name, module in _named_modules(model.transformer)
    ]


def creation_order(model: VLT) -> list[nn.Module]:
    """The reference network's modules whose Keras layers have automatic names, as the original created them."""
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


def _named_modules(transformer: Transformer) -> Iterator[tuple[str, nn.Module]]:
    for kind, layers, parts in (
        ("Encoder", transformer.encoder, ENCODER_PARTS),
        ("Decoder", transformer.decoder, DECODER_PARTS),
    ):
        for number, layer in enumerate(layers, start=1):
            for name, path in parts.items():
                yield f"{kind}-{number}-{name}", layer.get_submodule(path)


# ---------------------------------------------------------------- one module in Keras' terms


def _keras_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module, tuple[Slot, ...]]]:
    """Class, module and weights of each Keras layer that `module` stands for; none where it has no weights."""
    if isinstance(module, BatchConv | DownConv):
        yield from _keras_layers(module.conv)
        yield from _keras_layers(module.norm)
    elif isinstance(module, nn.Conv2d):
        yield "conv2d", module, _affine(module, CONV_AXES)
    elif isinstance(module, nn.Linear):
        yield "dense", module, _affine(module, DENSE_AXES)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        yield "batch_normalization", module, _batch_norm(module)
    elif isinstance(module, MultiHeadAttention):
        yield "multi_head_attention", module, _attention(module)
    elif isinstance(module, SummedGRU) and module.backward_gru is not None:
        yield "bidirectional", module, (*_gru(module.forward_gru), *_gru(module.backward_gru))
    elif isinstance(module, SummedGRU):
        yield "gru", module, _gru(module.forward_gru)


def _named_slots(module: nn.Module) -> tuple[Slot, ...]:
    if isinstance(module, MultiHeadAttention):
        return _attention(module)
    if isinstance(module, FeedForward):
        first, second = (layer for layer in module if isinstance(layer, nn.Linear))
        return (*_dense(first, "1"), *_dense(second, "2"))
    assert isinstance(module, nn.LayerNorm)
    return Slot("gamma", (module.weight,)), Slot("beta", (module.bias,))


def _affine(module: nn.Conv2d | nn.Linear, axes: tuple[int, ...]) -> tuple[Slot, ...]:
    kernel = Slot("kernel", (module.weight,), axes)
    return (kernel,) if module.bias is None else (kernel, Slot("bias", (module.bias,)))


def _batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Slot, ...]:
    tensors = {
        "gamma": norm.weight,
        "beta": norm.bias,
        "moving_mean": norm.running_mean,
        "moving_variance": norm.running_var,
    }
    return tuple(Slot(leaf, (tensor,)) for leaf, tensor in tensors.items() if tensor is not None)


def _attention(attention: MultiHeadAttention) -> tuple[Slot, ...]:
    parts = {"q": attention.query, "k": attention.key, "v": attention.value, "o": attention.output}
    return tuple(slot for name, linear in parts.items() for slot in _dense(linear, name))


def _dense(linear: nn.Linear, name: str) -> tuple[Slot, Slot]:
    """A weight and a bias of one of the original's own layers, which calls them Wq, bq and the like."""
    return Slot(f"W{name}", (linear.weight,), DENSE_AXES), Slot(f"b{name}", (linear.bias,))


def _gru(gru: ResetBeforeGRU) -> tuple[Slot, ...]:
    return (
        Slot("kernel", (gru.input.weight,), DENSE_AXES),
        Slot("recurrent_kernel", (gru.recurrent_gates.weight, gru.recurrent_candidate.weight), DENSE_AXES),
        Slot("bias", (gru.input.bias,)),
    )
