"""Facts about a checkpoint, for `vlt info` and for model cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vlt.checkpoint.directory import REFINER, WEIGHTS
from vlt.checkpoint.opened import OpenedCheckpoint, count_parameters


def describe_checkpoint(checkpoint: OpenedCheckpoint) -> dict[str, Any]:
    """Collect the facts about a checkpoint.

    Returns:
        JSON values. `architecture`: the network's name, its parts, its sizes; `input_size` is (height, width) in
        pixels. `inference`: how predictions are made. `parameters`: their number, in all and in each box of the
        figure. `training`: command, commit, seed, data, and the metric, split and score that selected the checkpoint;
        null if the checkpoint does not say. `backbone_seen_coco_labels`: of the backbone's usual weights, before this
        training. `reports`: of `vlt test`, as they were packed. `licences`: as stated when packing. `files`: size of
        each in bytes.
    """
    meta, config = checkpoint.meta, checkpoint.config
    counts = count_parameters(checkpoint.path / WEIGHTS)
    has_refiner = (checkpoint.path / REFINER).is_file()
    if has_refiner:
        counts["refiner"] = sum(count_parameters(checkpoint.path / REFINER).values())
    language = getattr(config.model, "language", None)
    split, selecting = meta.get("split"), config.data.val_split
    if selecting in (f"{split}_a", f"{split}_b"):  # version 0.1 named the whole split, and its half elsewhere
        split = selecting
    paths = [path for path in sorted(checkpoint.path.rglob("*")) if path.is_file()]
    return {
        "checkpoint": str(checkpoint.path),
        "packed": bool(meta.get("packed")),
        "architecture": {
            "name": config.model.name,
            "backbone": config.model.backbone.name,
            "language": language.name if language else "gru",  # the reference network has no other
            "input_size": list(config.input_size),
            "max_words": config.model.max_words,
            "queries": config.model.num_queries,
            "threshold": config.inference.threshold,
        },
        "inference": {
            "threshold": config.inference.threshold,
            "presence": config.inference.presence,
            "temperature": config.inference.temperature,
            "agreement": config.inference.agreement,
            "several": config.inference.several,
            "flip": config.inference.flip,
            "refine": config.inference.refine and has_refiner,
            "input_size": list(config.input_size),
        },
        "parameters": {"total": sum(counts.values()), **counts},
        "backbone_seen_coco_labels": config.model.backbone.seen_coco_labels,
        "detector_seen_coco_labels": "detector" in counts,
        "training": {
            **{key: meta.get(key) for key in ("command", "commit", "version", "seed", "epoch", "step")},
            "data": config.data.model_dump(mode="json"),
            **{key: meta.get(key) for key in ("data_fingerprint", "metric", "score")},
            "split": split,
        },
        "reports": meta.get("reports", []),
        "licences": meta.get("licences", []),
        "files": {str(path.relative_to(checkpoint.path)): path.stat().st_size for path in paths},
    }


def info_lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Format the facts about a checkpoint as lines: yields the title and the text of each."""
    network, inference, training = facts["architecture"], facts["inference"], facts["training"]
    counts, files = dict(facts["parameters"]), facts["files"]
    height, width = network["input_size"]
    yield "checkpoint", facts["checkpoint"]
    yield "network", f"{network['name']}: {network['backbone']}, {network['language']}, {network['queries']} queries"
    yield "input", f"{height} x {width} pixels, {network['max_words']} words or word pieces"
    flip = "averaged with the flipped image" if inference["flip"] else "no test-time augmentation"
    refine = "outlines refined" if inference["refine"] else "outlines not refined"
    yield "prediction", f"threshold {inference['threshold']:g}, {flip}, {refine}"
    if inference["presence"] or inference["temperature"] != 1:
        below = f"nothing matches below a presence of {inference['presence']:g}"
        yield "presence", f"{below}, temperature {inference['temperature']:g}"
    if inference["agreement"]:
        weight = f"{inference['agreement']:g}"
        yield "selection", f"outlines rated by their agreement with the network's mask, to the power of {weight}"
    if inference["several"]:
        yield "several", f"candidates from {inference['several']:g} times the most probable one's probability"
    boxes = ", ".join(f"{box} {count / 1e6:.2f} M" for box, count in counts.items() if box != "total")
    yield "parameters", f"{counts['total'] / 1e6:.2f} M: {boxes}"
    commit = training["commit"] or "not stated"
    if commit.endswith("-dirty"):
        commit = f"{commit.removesuffix('-dirty')} with uncommitted changes"
    yield "trained by", f"{training['command'] or 'not stated'}; commit {commit}, seed {training['seed']}"
    data, fingerprint = training["data"], (training["data_fingerprint"] or "not stated")[:12]
    sets = [data["dataset"], *(mixed["dataset"] for mixed in data["mixed_with"])] if data["name"] == "refer" else []
    name = " and ".join(f'data set "{each}"' for each in sets) or "drawn shapes"
    yield "trained on", f"{name}, split {data['train_split']}; fingerprint {fingerprint}"
    if training["score"] is not None:
        score = f"{training['metric']} {100 * training['score']:.1f}"
        when = f"epoch {training['epoch']}, step {training['step']}"
        yield "selected", f"on split {training['split']}, by {score} ({when})"
    for report in facts["reports"]:
        scores, origin = report["scores"], report["provenance"]
        split = "_".join(part for part in (origin.get("split"), origin.get("half")) if part) or "not stated"
        ways = {"refined": origin.get("refined"), "with flip": origin.get("flip", origin.get("mirrored"))}
        how = "".join(f", {way}" for way, is_used in ways.items() if is_used)
        if "accuracy" in scores:  # of targets that are known by their boxes alone
            numbers = {"Acc@0.5": scores["box"], "mAcc": scores["macc"]}
        else:
            numbers = {"mIoU": scores["miou"], "oIoU": scores["oiou"], "Pr@0.5": scores["precision"]["0.5"]}
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in numbers.items())
        where = f'data set "{origin.get("dataset", "not stated")}", split {split}, {scores["count"]} expressions'
        yield "tested", f"on {where}{how}: {shown}"
    seen = "seen" if facts["backbone_seen_coco_labels"] else "none seen"
    detector = "; the detector was trained on those of train2017" if facts["detector_seen_coco_labels"] else ""
    yield "COCO labels", f"{seen} in the backbone's pretraining{detector}"
    for licence in facts["licences"] or ["not stated"]:
        yield "licence", licence
    total = sum(files.values())
    largest = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in files.items() if size > total / 200)
    yield "size", f"{total / 1e6:.1f} MB{', packed' if facts['packed'] else ''} ({largest})"
