"""The parts of a checkpoint that become graphs, each with inputs to trace and to compare it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from vlt.checkpoint.directory import EXPRESSION_GRAPH, IMAGE_GRAPH, OUTLINE_GRAPH, OUTLINE_IMAGE_GRAPH, REFINER, WEIGHTS
from vlt.checkpoint.read import Checkpoint
from vlt.config.model import ReferenceConfig
from vlt.export.graphs import ExpressionGraph, ImageGraph, OutlineGraph, OutlineImageGraph
from vlt.refine.promptable import PromptableSegmenter
from vlt.refine.refiner import SIDE
from vlt.refine.tiny_vit import OUT_CHANNELS, TinyViT
from vlt.refine.torch_segmenter import TorchSegmenter
from vlt.text.reader import TokenReader, padded_length

Inputs: TypeAlias = dict[str, Any]
"""Tensors by name, in the order of a module's arguments; a dict of tensors is one argument."""

MOST = 1 << 16
"""Largest number of images, expressions or prompts of one run of a graph."""
COUNTS = (3, 1, 2, 16, 64)
"""Numbers of expressions that are compared; with the first one, the graph is traced."""
MOST_WIDE = 16
"""Largest of them for the reference network, which needs some 200 MB per expression."""
LENGTHS = 5
"""Number of lengths of expressions that are compared, from the shortest to the longest."""
PROMPTS = (3, 1, 2, 7)
"""Numbers of prompts that are compared."""
MAPS = ((48, 63), (64, 64), (43, 64), (40, 30))
"""Rows and columns of the refiner's feature map that are compared."""
PROMPT_KINDS = ((2, 3), (1, 0))
"""A box and a point, see `vlt.refine.refiner.prompts`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a network.

    Attributes:
        graph: name of the file that it becomes.
        weights: name of the file that has its weights.
        module: in eval mode; takes the values of `inputs` by position and returns a dict of tensors.
        inputs: makes random inputs of a size.
        sizes: those that are compared; with the first one, the graph is traced.
        dynamic: by input and axis, the sizes that may vary.
    """

    graph: str
    weights: str
    module: nn.Module
    inputs: Callable[..., Inputs]
    sizes: Sequence[tuple[int, ...]]
    dynamic: Mapping[str, Mapping[int, Any]]

    def run(self, inputs: Inputs) -> dict[str, Tensor]:
        """Run the module."""
        with torch.inference_mode():
            outputs: dict[str, Tensor] = self.module(*inputs.values())
        return outputs


def list_parts(checkpoint: Checkpoint) -> list[Part]:
    """List the parts of a checkpoint: image encoder, the rest of the network, and both parts of a refiner."""
    parts = [image_part(checkpoint), expression_part(checkpoint)]
    if checkpoint.refiner is not None and isinstance(checkpoint.refiner.segmenter, TorchSegmenter):
        network = checkpoint.refiner.segmenter.network
        parts += [outline_image_part(network), outline_part(network)]
    return parts


def image_part(checkpoint: Checkpoint) -> Part:
    """Describe the image encoder."""
    count = torch.export.Dim("count", min=1, max=MOST)

    def inputs(count: int) -> Inputs:
        return {"images": torch.rand(count, 3, *checkpoint.config.input_size)}

    return Part(IMAGE_GRAPH, WEIGHTS, ImageGraph(checkpoint.model), inputs, [(2,), (1,), (3,)], {"images": {0: count}})


def expression_part(checkpoint: Checkpoint) -> Part:
    """Describe what follows: features of one image and words to logits."""
    image = image_part(checkpoint)
    features = image.run(image.inputs(1))
    padded, longest = padded_length(checkpoint.config.model), checkpoint.text.max_words
    lengths = [padded] if padded else [round(each) for each in np.linspace(longest, 2, LENGTHS)]
    axes: dict[int, Any] = {0: torch.export.Dim("expressions", min=1, max=MOST)}
    if padded is None:
        axes[1] = torch.export.Dim("length", min=2, max=longest)

    def inputs(count: int, length: int) -> Inputs:
        mask = torch.arange(length) < torch.randint(min(2, length), length + 1, (count, 1))
        mask[0] = True
        return {"words": random_words(checkpoint, mask), "word_mask": mask, "features": features}

    module = ExpressionGraph(checkpoint.model, checkpoint.config.input_size)
    most = MOST_WIDE if isinstance(checkpoint.config.model, ReferenceConfig) else max(COUNTS)
    sizes = list(product([count for count in COUNTS if count <= most], lengths))
    return Part(EXPRESSION_GRAPH, WEIGHTS, module, inputs, sizes, {"words": axes, "word_mask": axes})


def random_words(checkpoint: Checkpoint, mask: Tensor) -> Tensor:
    """Draw token ids (B, T) or word vectors (B, T, D); zero where `mask` (B, T) is False."""
    if isinstance(checkpoint.text, TokenReader):
        return torch.randint(checkpoint.text.tokenizer.get_vocab_size(), mask.shape) * mask
    width = checkpoint.text("word").values.shape[-1]
    return torch.randn(*mask.shape, width) * mask[..., None]


def outline_image_part(network: PromptableSegmenter) -> Part:
    """Describe the refiner's image encoder."""

    def inputs(rows: int, columns: int) -> Inputs:
        return {"image": torch.rand(1, 3, rows * TinyViT.stride, columns * TinyViT.stride)}

    sides = (torch.export.Dim(name, min=2, max=SIDE // TinyViT.stride) for name in ("rows", "columns"))
    axes = {axis: TinyViT.stride * side for axis, side in enumerate(sides, start=2)}
    return Part(OUTLINE_IMAGE_GRAPH, REFINER, OutlineImageGraph(network), inputs, MAPS, {"image": axes})


def outline_part(network: PromptableSegmenter) -> Part:
    """Describe the refiner's mask decoder."""
    axes = {0: torch.export.Dim("prompts", min=1, max=MOST)}
    sides = {
        axis: torch.export.Dim(name, min=2, max=SIDE // TinyViT.stride) for axis, name in ((2, "rows"), (3, "columns"))
    }

    def inputs(count: int, rows: int, columns: int) -> Inputs:
        kinds = torch.tensor(PROMPT_KINDS)[torch.arange(count) % len(PROMPT_KINDS)]
        encoded = torch.randn(1, OUT_CHANNELS, rows, columns)
        return {"encoded": encoded, "places": SIDE * torch.rand(count, 2, 2), "kinds": kinds}

    sizes = [(count, *shape) for count, shape in zip(PROMPTS, MAPS, strict=True)]
    dynamic = {"encoded": sides, "places": axes, "kinds": axes}
    return Part(OUTLINE_GRAPH, REFINER, OutlineGraph(network), inputs, sizes, dynamic)
