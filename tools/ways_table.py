"""Format the results of `vlt test --per-sample` on datasets/natural.jsonl by the way in which things are referred to.

    python tools/ways_table.py results.jsonl data/anns/natural/val_b.json --noun results.noun-alone.jsonl

Rows: terse, by looks, phrase, all of them, and with --noun the category's noun alone; columns: mIoU / Pr@0.5 of all
objects, of the only one of its category in the photo, of one of several, and of regions outside COCO's categories.
Below them, empty masks.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click

from vlt.categories import COCO_CATEGORIES

WAYS = ("terse", "by looks", "phrase")
"""The order in which `datasets/natural.jsonl` has the expressions of a target."""
ALL = "all three ways"
"""Row of all expressions."""
COLUMNS = ("objects", "only one of its category", "one of several", "regions")


def grouped(results: Sequence[dict[str, Any]], regions: Collection[int]) -> dict[tuple[str, str], list[float]]:
    """Group IoUs by way and column, without expressions that have no target and targets without three expressions.

    Args:
        results: as `vlt test --per-sample` writes them.
        regions: ref_ids of targets outside COCO's categories.
    """
    targets: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        if result["target"]:
            targets[result["ref_id"]].append(result)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for expressions in targets.values():
        if len(expressions) != len(WAYS):
            continue
        for way, result in zip(WAYS, sorted(expressions, key=lambda each: each["sent_id"]), strict=True):
            columns = COLUMNS[3:] if result["ref_id"] in regions else COLUMNS[:1]
            if columns == COLUMNS[:1] and result["standing"]:  # not known in photos that are not labelled completely
                columns = (*columns, COLUMNS[1 if result["standing"]["same"] == 1 else 2])
            for column in columns:
                for row in (way, ALL):
                    found[row, column].append(result["iou"])
    return found


def region_ids(split: Path) -> set[int]:
    """Read the ref_ids of the targets of a prepared split whose category is none of COCO's."""
    names = json.loads((split.parent / "prepare.json").read_bytes())["categories"]
    entries = json.loads(split.read_bytes())
    return {each["segment_id"] for each in entries if each["cat"] >= 0 and names[each["cat"]] not in COCO_CATEGORIES}


def table(results: Sequence[dict[str, Any]], regions: Collection[int], noun: Sequence[dict[str, Any]] = ()) -> str:
    """Format results, those of the noun alone, and the shares of empty masks with and without a target."""
    found = grouped(results, regions)
    found |= {("noun alone", column): ious for (row, column), ious in grouped(noun, regions).items() if row == ALL}
    lines = [("mIoU / Pr@0.5", *COLUMNS), ("---",) + ("---:",) * len(COLUMNS)]
    for row in (*WAYS, ALL, *(["noun alone"] if noun else [])):
        cells = []
        for column in COLUMNS:
            ious = found[row, column]
            scores = (100 * sum(ious) / len(ious), 100 * sum(iou > 0.5 for iou in ious) / len(ious)) if ious else ()
            cells.append(" / ".join(f"{score:.1f}" for score in scores) + (f" ({len(ious)})" if ious else "-"))
        lines.append((row, *cells))
    empty = {
        has_target: [
            result["intersection"] + result["union"] == result["target"]
            for result in results
            if (result["target"] > 0) == has_target
        ]
        for has_target in (True, False)
    }
    text = [f"| {' | '.join(line)} |" for line in lines] + [""]
    for has_target, masks in empty.items():
        if masks:
            share = f"{100 * sum(masks) / len(masks):.1f} %"
            text.append(f"Of {len(masks)} expressions {'with' if has_target else 'without'} a target, empty: {share}.")
    return "\n".join(text)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read a file of `vlt test --per-sample`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@click.command(help=__doc__)
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("split", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--noun", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Results of the noun alone.")
def main(results: Path, split: Path, noun: Path | None) -> None:
    """Print the table."""
    print(table(read_results(results), region_ids(split), read_results(noun) if noun else ()))


if __name__ == "__main__":
    main()
