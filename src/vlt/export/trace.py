"""Trace a module to an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import opset23
from onnxscript.optimizer import fold_constants_ir
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vlt.export.operators import with_operators
from vlt.export.weights import RUNTIME

op: Any = opset23  # its signatures do not know the values of a graph
OPSET = 23
"""Version of the operators; the first with `Attention`, which a runtime can compute without a matrix per pair."""


def trace(
    module: nn.Module, inputs: Mapping[str, Tensor | dict[str, Tensor]], dynamic: Mapping[str, Mapping[int, Any]]
) -> ir.Model:
    """Trace a module in eval mode.

    Args:
        module: takes `inputs` by position and returns a dict of tensors, which are the outputs by name.
        inputs: examples, by name; those in a dict are inputs of the graph of their own.
        dynamic: by input and axis, the sizes that may vary, as `torch.export.Dim`.

    Returns:
        The graph. Its weights are named as in the module, those that are transposed are not.
    """
    shapes = tuple(
        dict.fromkeys(example) if isinstance(example, dict) else dict(dynamic.get(name, {}))
        for name, example in inputs.items()
    )
    names = [each for name, example in inputs.items() for each in (example if isinstance(example, dict) else [name])]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # the others record strides that do not hold for every size
        stack.enter_context(warnings.catch_warnings(action="ignore"))  # of torch, about torch
        outputs = list(module(*inputs.values()))
        program = torch.export.export(
            with_operators(module), tuple(inputs.values()), dynamic_shapes=shapes, strict=False
        )
        traced = torch.onnx.export(
            program,
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
            custom_translation_table={
                torch.ops.aten.scaled_dot_product_attention.default: attention,
                torch.ops.aten.sort.stable: stable_sort,
            },
        )
    assert traced is not None, "only a tracer of old returns nothing"
    simplify(traced.model)
    return traced.model


def simplify(model: ir.Model) -> None:
    """Compute what is constant, and remove what is not used, what is there twice, and notes on the source.

    Weights stay as they are, so that they can be found in the weight file: ONNX Runtime folds normalisations into them.
    """
    passes.InlinePass()(model)
    fold_constants_ir(model, should_fold=lambda node: False if permutes(node) else None)
    drop_full_masks(model)
    use_runtime_attention(model)
    for each in (
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.NameFixPass(),
    ):
        each(model)
    for node in model.graph:
        node.metadata_props.clear()


def permutes(node: ir.Node) -> bool:
    """Whether a node permutes more than two axes; a weight that was permuted so would not be found in the file."""
    permutation = node.attributes.get("perm")
    return node.op_type == "Transpose" and permutation is not None and len(permutation.as_ints()) > 2


def drop_full_masks(model: ir.Model) -> None:
    """Remove constant masks that forbid nothing from attention: `transformers` adds one while it is traced."""
    for node in model.graph:
        mask = node.inputs[3] if node.op_type == "Attention" and len(node.inputs) > 3 else None
        source = mask
        while source is not None and (expand := source.producer()) is not None and expand.op_type == "Expand":
            source = expand.inputs[0]
        value = None if source is None else ir.convenience.get_const_tensor(source)
        if value is not None and value.dtype is ir.DataType.BOOL and value.numpy().all():
            node.replace_input_with(3, None)


def use_runtime_attention(model: ir.Model) -> None:
    """Replace attention without a mask by ONNX Runtime's own, which needs no memory for each pair of positions."""
    for node in list(model.graph):
        if node.op_type != "Attention" or node.domain or any(node.inputs[3:]) or node.attributes["is_causal"].as_int():
            continue
        settings: dict[str, Any] = {"num_heads": node.attributes["q_num_heads"].as_int()}
        if scale := node.attributes.get("scale"):
            settings["scale"] = scale.as_float()
        own = ir.node("MultiHeadAttention", node.inputs[:3], settings, domain=RUNTIME)
        model.graph.insert_before(node, own)
        ir.convenience.replace_all_uses_with(node.outputs[0], own.outputs[0])
        model.graph.remove(node, safe=True)
        model.graph.opset_imports[RUNTIME] = 1


def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Translate scaled dot-product attention of (B, heads, N, C), of (B, N, C), or of (1, B, heads, N, C).

    The operator gets heads side by side, (B, N, heads * C): ONNX Runtime is faster so, and removes the transpositions
    before and after against those of the network.
    """
    rank = len(query.shape)
    heads, width, value_width = (1 if rank == 3 else query.shape[-3]), query.shape[-1], value.shape[-1]
    if attn_mask is not None:  # ONNX Runtime does not repeat the mask for every query by itself
        repeats = op.Concat(op.Shape(query, start=-2, end=-1), op.Constant(value_ints=[1]), axis=0)
        attn_mask = op.Expand(attn_mask, repeats)
        attn_mask = op.Unsqueeze(attn_mask, op.Constant(value_ints=[1])) if rank == 3 else attn_mask
    first = op.Constant(value_ints=[0])
    if rank == 5:
        query, key, value = (op.Squeeze(x, first) for x in (query, key, value))
    if rank > 3:
        query, key = (beside(x, heads * width) for x in (query, key))
        value = beside(value, heads * value_width)
    settings = {"q_num_heads": heads, "kv_num_heads": heads, "is_causal": int(is_causal), "scale": scale}
    attended = op.Attention(query, key, value, attn_mask, **settings)[0]
    if rank > 3:
        apart = op.Reshape(attended, op.Constant(value_ints=[0, 0, heads, value_width]))
        attended = op.Transpose(apart, perm=[0, 2, 1, 3])
    return op.Unsqueeze(attended, first) if rank == 5 else attended


def beside(x: Any, width: int) -> Any:
    """Arrange the heads of (B, heads, N, C) side by side, (B, N, width)."""
    return op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), op.Constant(value_ints=[0, 0, width]))


def stable_sort(x: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """Translate a stable sort: of equal values, `TopK` returns the first one first."""
    size = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]))
    return op.TopK(x, size, axis=dim, largest=int(descending), sorted=1)
