"""What a model is and where it comes from, as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlt.checkpoint.read import Checkpoint


def describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Collects what a checkpoint says about itself.

    Returns:
        JSON values. `architecture`: the network's name, the parts that were chosen, its sizes; `input_size` is
        (height, width) in pixels. `parameters`: how many, in all and of each box of the figure. `training`: command,
        commit, seed, data and how the checkpoint was chosen; null where the checkpoint does not say.
        `backbone_seen_coco_labels`: of the backbone's usual weights, before this training. `reports`: what `vlt test`
        wrote, as it was packed. `licences`: as stated by who packed it. `files`: bytes of each file.
    """
    meta, config = checkpoint.meta, checkpoint.config
    return {
        "checkpoint": str(checkpoint.path),
        "packed": bool(meta.get("packed")),
        "architecture": _architecture(checkpoint),
        "parameters": _parameters(checkpoint),
        "backbone_seen_coco_labels": checkpoint.model.backbone.seen_coco_labels,
        "training": {
            **{key: meta.get(key) for key in ("command", "commit", "version", "seed", "epoch", "step")},
            "data": config.data.model_dump(mode="json"),
            **{key: meta.get(key) for key in ("data_fingerprint", "metric", "split", "score")},
        },
        "reports": meta.get("reports", []),
        "licences": meta.get("licences", []),
        "files": _files(checkpoint.path),
    }


def _architecture(checkpoint: Checkpoint) -> dict[str, Any]:
    config = checkpoint.config
    backbone, language = config.model.backbone, getattr(config.model, "language", None)
    return {
        "name": config.model.name,
        "backbone": backbone.name,
        "language": language.name if language else "gru",  # the reference network knows no other
        "input_size": list(config.model.input_size),
        "max_words": config.model.max_words,
        "queries": config.model.num_queries,
        "threshold": config.evaluate.threshold,
    }


def _parameters(checkpoint: Checkpoint) -> dict[str, int]:
    parts = dict(checkpoint.model.named_children())
    if checkpoint.refiner is not None:
        parts["refiner"] = checkpoint.refiner.segmenter
    boxes = {name: sum(one.numel() for one in box.parameters()) for name, box in parts.items()}
    return {"total": sum(boxes.values()), **boxes}


def _files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
