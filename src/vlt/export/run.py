"""Export a checkpoint: add graphs that ONNX Runtime runs without PyTorch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir

from vlt.checkpoint.directory import IMAGE_GRAPH, META, sha256, whole_directory
from vlt.checkpoint.read import load_checkpoint
from vlt.export.check import compare
from vlt.export.parts import list_parts
from vlt.export.trace import trace
from vlt.export.weights import SharedWeights
from vlt.infer.onnx_session import WEIGHTS_KEY
from vlt.version import __version__


def export_checkpoint(
    source: Path | str | None, folder: Path | str, *, say: Callable[[str], Any] = print
) -> dict[str, float]:
    """Write a checkpoint with graphs beside its weights, which they read from the same files.

    Each graph is compared with the network at many sizes before the folder appears.

    Args:
        source: a checkpoint or a run; None: the model in the package.
        folder: the directory to write; an empty directory or an earlier checkpoint there is replaced.
        say: called with a line about each graph.

    Returns:
        By graph, the largest difference from PyTorch, see `vlt.export.check.compare`.

    Raises:
        CheckpointError: `source` cannot be loaded; `folder` cannot be written or holds something else; a graph differs
            from the network.
    """
    loaded = load_checkpoint(source)
    differences = {}
    with whole_directory(Path(folder)) as temporary:
        shutil.copytree(loaded.path, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.onnx"))
        for part in list_parts(loaded):
            weights = temporary / part.weights
            model = trace(part.module, part.inputs(*part.sizes[0]), part.dynamic)
            SharedWeights(weights).share(model, packed=part.graph == IMAGE_GRAPH)
            model.metadata_props[WEIGHTS_KEY] = sha256(weights)
            model.producer_name, model.producer_version = "vlt", __version__
            ir.save(model, temporary / part.graph)
            differences[part.graph] = compare(part, temporary, sha256(weights))
            say(
                f"{part.graph}: at most {differences[part.graph]:.1e} standard deviations from PyTorch in "
                f"{len(part.sizes)} runs of different sizes"
            )
        meta = json.loads((temporary / META).read_bytes())
        files = [*temporary.glob("*.onnx"), *temporary.glob("*.safetensors")]
        meta["sha256"] = meta.get("sha256", {}) | {path.name: sha256(path) for path in sorted(files)}
        (temporary / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return differences
