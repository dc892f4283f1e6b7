"""Let a graph read its weights from the weight file of the checkpoint, so that they are stored once."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from vlt.checkpoint.opened import SCALE

SMALLEST = 64
"""Smallest number of values that are read from the file; fewer are written into the graph."""
LARGEST_BLOCK = 128
"""Largest number of values of a row that `MatMulNBits` takes as a block with a scale of its own."""
SMALLEST_BLOCK = 16
ZERO = 128
"""The byte that stands for 0 in `MatMulNBits`."""
RUNTIME = "com.microsoft"
"""Domain of the operators of ONNX Runtime that are no standard."""
DTYPES = {"F32": ir.DataType.FLOAT, "I8": ir.DataType.INT8}


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a weight file.

    Attributes:
        name: its name.
        dtype: float32 or int8.
        shape: its shape.
        offset: of its first byte in the file.
        length: its bytes.
    """

    name: str
    dtype: ir.DataType
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Found:
    """The tensor of a file that an initializer of a graph holds.

    Attributes:
        name: of the tensor.
        transposed: whether the initializer is its transpose.
    """

    name: str
    transposed: bool


def read_layout(path: Path) -> dict[str, Stored]:
    """Read where each tensor of a safetensors file lies, by name; those of other types are left out."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    begin = 8 + size
    return {
        name: Stored(name, DTYPES[entry["dtype"]], tuple(entry["shape"]), begin + first, last - first)
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] in DTYPES
        for first, last in [entry["data_offsets"]]
    }


class SharedWeights:
    """The weights of a file, which graphs refer to instead of holding copies.

    Args:
        path: a safetensors file of float32 tensors and of int8 matrices with a scale per row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout = read_layout(path)
        content = np.memmap(path, np.uint8, "r")
        self.by_content: dict[bytes, Found] = {}
        for stored in self.layout.values():
            if stored.name.endswith(SCALE):
                continue
            values = self.values(content, stored)
            self.by_content.setdefault(key_of(values), Found(stored.name, False))
            if values.ndim == 2:
                self.by_content.setdefault(key_of(np.ascontiguousarray(values.T)), Found(stored.name, True))

    def values(self, content: npt.NDArray[np.uint8], stored: Stored) -> npt.NDArray[np.float32]:
        """Read a tensor, int8 restored to float32 as `vlt.checkpoint.scaling.from_bytes` does."""
        raw = content[stored.offset : stored.offset + stored.length]
        if stored.dtype is ir.DataType.FLOAT:
            return raw.view(np.float32).reshape(stored.shape)
        scale = self.values(content, self.layout[stored.name + SCALE])
        restored: npt.NDArray[np.float32] = raw.view(np.int8).reshape(stored.shape) * scale.reshape(
            -1, *[1] * (len(stored.shape) - 1)
        )
        return restored

    def share(self, model: ir.Model, *, packed: bool = False) -> None:
        """Make a graph read its weights from the file.

        An int8 matrix is multiplied by its scales, which a runtime does once, when it loads the graph.

        Args:
            model: changed in place.
            packed: keep int8 matrices in memory as they are, and multiply them by their scales in every run: a quarter
                of the memory, and soon loaded. Each run takes a nanosecond more per weight, which is little beside the
                products with the positions of an image, but much beside those with a few words.
        """
        writer = GraphWriter(model.graph, self.path.name)
        for value in list(model.graph.initializers.values()):
            tensor = value.const_value
            if tensor is None or tensor.dtype is not ir.DataType.FLOAT or tensor.size < SMALLEST:
                continue
            if found := self.by_content.get(key_of(tensor.numpy())):
                self.share_value(writer, value, found, packed=packed)

    def share_value(self, writer: GraphWriter, value: ir.Value, found: Found, *, packed: bool) -> None:
        """Replace an initializer by the tensor of the file that it holds; see `share`."""
        stored, scale = self.layout[found.name], self.layout.get(found.name + SCALE)
        block = block_of(stored)
        if scale and not found.transposed and is_always(value, takes_rows):
            writer.look_up(value, stored, scale)
        elif scale and found.transposed and packed and block and is_always(value, multiplies_by):
            writer.multiply(value, stored, scale, block)
        else:
            shared = writer.matrix(stored, scale)
            writer.replace(value, writer.add("Transpose", [shared], perm=[1, 0]) if found.transposed else shared)


class GraphWriter:
    """Add nodes to a graph.

    Args:
        graph: changed in place.
        location: name of the weight file.
    """

    def __init__(self, graph: ir.Graph, location: str) -> None:
        self.graph = graph
        self.location = location
        self.first = next(iter(graph))

    def stored(self, stored: Stored) -> ir.Value:
        """Return the initializer that is a tensor of the file."""
        if stored.name in self.graph.initializers:
            known = self.graph.initializers[stored.name]
            if isinstance(known.const_value, ir.ExternalTensor):
                return known
            known.name = f"{stored.name}.copy"
        shape = ir.Shape(stored.shape)
        tensor = ir.ExternalTensor(
            self.location, stored.offset, stored.length, stored.dtype, shape=shape, name=stored.name
        )
        value = ir.Value(name=stored.name, shape=shape, type=ir.TensorType(stored.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def constant(self, name: str, values: list[int], dtype: ir.DataType = ir.DataType.INT64) -> ir.Value:
        """Return an initializer of some integers."""
        value = ir.Value(name=name, const_value=ir.tensor(values, dtype=dtype, name=name))
        self.graph.register_initializer(value)
        return value

    def add(self, op: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
        """Add a node of one output before those of the traced network."""
        node = ir.node(op, inputs, attributes)
        self.graph.insert_before(self.first, node)
        return node.outputs[0]

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Replace an initializer by another value wherever it is used."""
        ir.convenience.replace_all_uses_with(old, new)
        del self.graph.initializers[str(old.name)]

    def matrix(self, stored: Stored, scale: Stored | None) -> ir.Value:
        """Return a tensor of the file, an int8 matrix times its scales."""
        if scale is None or stored.dtype is ir.DataType.FLOAT:
            return self.stored(stored)
        values = self.add("Cast", [self.stored(stored)], to=ir.DataType.FLOAT)
        shape = self.constant(f"{stored.name}.rows", [-1, *[1] * (len(stored.shape) - 1)])
        return self.add("Mul", [values, self.add("Reshape", [self.stored(scale), shape])])

    def look_up(self, old: ir.Value, stored: Stored, scale: Stored) -> None:
        """Replace an initializer that nodes take rows of, so that only these are multiplied by their scales.

        Args:
            old: the initializer.
            stored: the int8 matrix that it is.
            scale: its scales.
        """
        last = self.constant(f"{stored.name}.last", [-1])
        for taken in list(old.consumers()):
            rows = ir.node("Gather", [self.stored(stored), taken.inputs[1]])
            scales = ir.node("Gather", [self.stored(scale), taken.inputs[1]])
            values = ir.node("Cast", rows.outputs, {"to": ir.DataType.FLOAT})
            factors = ir.node("Unsqueeze", [*scales.outputs, last])
            product = ir.node("Mul", [*values.outputs, *factors.outputs])
            self.graph.insert_before(taken, [rows, scales, values, factors, product])
            ir.convenience.replace_all_uses_with(taken.outputs[0], product.outputs[0])
            self.graph.remove(taken, safe=True)
        del self.graph.initializers[str(old.name)]

    def multiply(self, old: ir.Value, stored: Stored, scale: Stored, block: int) -> None:
        """Replace products with the transpose of an int8 matrix by `MatMulNBits`, which multiplies by the scales.

        Args:
            old: the initializer.
            stored: the int8 matrix (outputs, inputs) whose transpose it is.
            scale: its scales.
            block: see `block_of`.
        """
        outputs, inputs = stored.shape
        name = stored.name
        signed = self.stored(replace(stored, name=f"{name}.bytes", dtype=ir.DataType.UINT8))
        shifted = self.add("BitwiseXor", [signed, self.constant(f"{name}.zero", [ZERO], ir.DataType.UINT8)])
        shape = self.constant(f"{name}.blocks", [outputs, inputs // block, block])
        values = self.add("Reshape", [shifted, shape])
        column = self.add("Reshape", [self.stored(scale), self.constant(f"{name}.column", [outputs, 1])])
        scales = self.add("Expand", [column, self.constant(f"{name}.scales", [outputs, inputs // block])])
        settings = {"K": inputs, "N": outputs, "bits": 8, "block_size": block}
        for product in list(old.consumers()):
            node = ir.node("MatMulNBits", [product.inputs[0], values, scales], settings, domain=RUNTIME)
            self.graph.insert_before(product, node)
            ir.convenience.replace_all_uses_with(product.outputs[0], node.outputs[0])
            self.graph.remove(product, safe=True)
        self.graph.opset_imports[RUNTIME] = 1
        del self.graph.initializers[str(old.name)]


def is_always(value: ir.Value, use: Callable[[ir.Node, ir.Value], bool]) -> bool:
    """Whether every node that uses a value uses it in one way."""
    return all(use(node, value) for node in value.consumers())


def takes_rows(node: ir.Node, value: ir.Value) -> bool:
    """Whether a node takes rows of a value."""
    axis = node.attributes.get("axis")
    return node.op_type == "Gather" and node.inputs[0] is value and (axis is None or axis.as_int() == 0)


def multiplies_by(node: ir.Node, value: ir.Value) -> bool:
    """Whether a node multiplies something by a value from the right."""
    return node.op_type == "MatMul" and node.inputs[1] is value and node.inputs[0] is not value


def block_of(stored: Stored) -> int | None:
    """Return the length of the blocks that `MatMulNBits` can cut the rows of a matrix into; None: it cannot."""
    block = LARGEST_BLOCK
    while len(stored.shape) == 2 and block >= SMALLEST_BLOCK:
        if stored.shape[1] % block == 0:
            return block
        block //= 2
    return None


def key_of(values: npt.NDArray[np.float32]) -> bytes:
    """Hash shape and content of an array."""
    digest = hashlib.blake2b(repr(values.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).data)
    return digest.digest()
