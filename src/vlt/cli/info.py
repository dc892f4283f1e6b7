"""`vlt info`: what a model is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from vlt.cli.shell import PATH, Command, examples


@click.command(cls=Command, epilog=examples("vlt info runs/tiny", "vlt info runs/tiny --json"))
@click.argument("checkpoint", type=PATH, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: all figures of the reports, too.")
def info(checkpoint: Path | None, as_json: bool) -> None:
    """Say what the model in CHECKPOINT is: its parts and sizes, what it learnt from, how good it was found.

    CHECKPOINT is a run or a checkpoint; without it, the model that comes with the package. It is loaded, so that a
    damaged one is noticed.
    """
    from vlt.checkpoint import describe_checkpoint, load_checkpoint

    facts = describe_checkpoint(load_checkpoint(checkpoint))
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for title, line in _lines(facts):
        click.echo(f"{title:<11} {line}")


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and text of each line."""
    training = facts["training"]
    yield from _network(facts)
    yield "trained by", f"{_stated(training['command'])}; commit {_stated(training['commit'])}, seed {training['seed']}"
    yield "trained on", f"{_data(training['data'])}, fingerprint {_stated(training['data_fingerprint'])[:12]}"
    if training["score"] is not None:
        when = f"epoch {training['epoch']}, step {training['step']}"
        yield "chosen", f"by {training['metric']} on {training['split']}: {100 * training['score']:.1f} ({when})"
    for report in facts["reports"]:
        yield "measured", _report(report)
    yield "COCO labels", f"{'seen' if facts['backbone_seen_coco_labels'] else 'none seen'} by the backbone beforehand"
    for licence in facts["licences"] or ["not stated"]:
        yield "licence", licence
    files = facts["files"]
    largest = ", ".join(
        f"{name} {_megabytes(size)}" for name, size in files.items() if size > sum(files.values()) / 200
    )
    yield "size", f"{_megabytes(sum(files.values()))}{', packed' if facts['packed'] else ''} ({largest})"


def _network(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    network, counts = facts["architecture"], dict(facts["parameters"])
    height, width = network["input_size"]
    yield "checkpoint", facts["checkpoint"]
    yield "network", f"{network['name']}: {network['backbone']}, {network['language']}, {network['queries']} queries"
    yield "input", f"{height} x {width} pixels, {network['max_words']} words or word pieces"
    yield "threshold", f"{network['threshold']:g}"
    total = counts.pop("total")
    yield "parameters", f"{_millions(total)}: {', '.join(f'{box} {_millions(n)}' for box, n in counts.items())}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _stated(value: Any) -> str:
    return "not stated" if value is None else str(value)


def _data(data: Mapping[str, Any]) -> str:
    return f"{data.get('dataset', data['name'])}, split {data['train_split']}"


def _report(report: Mapping[str, Any]) -> str:
    scores, origin = report["scores"], report["provenance"]
    half = f", half {origin['half']}" if origin.get("half") else ""
    ways = "".join(f", {way}" for way in ("refined", "mirrored") if origin.get(way))
    return (
        f"{origin['dataset']} {origin['split']}{half}{ways}: "
        f"mIoU {100 * scores['miou']:.1f}, oIoU {100 * scores['oiou']:.1f}, "
        f"Pr@0.5 {100 * scores['precision']['0.5']:.1f} over {scores['count']} sentences"
    )
