"""Format the results of `vlt test --per-sample` on datasets/natural.jsonl by the way in which things are referred to.

    python tools/ways_table.py results.jsonl data/anns/natural/val_b.json

Rows: terse, by looks, phrase, and all of them; columns: mIoU / Pr@0.5 of all objects, of the only one of its category
in the photo, of one of several, and of regions outside COCO's categories. Below them, empty masks.
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
                for row in (way, "all three ways"):
                    found[row, column].append(result["iou"])
    return found


def region_ids(split: Path) -> set[int]:
    """Read the ref_ids of the targets of a prepared split whose category is none of COCO's."""
    names = json.loads((split.parent / "prepare.json").read_bytes())["categories"]
    entries = json.loads(split.read_bytes())
    return {each["segment_id"] for each in entries if each["cat"] >= 0 and names[each["cat"]] not in COCO_CATEGORIES}


def table(results: Sequence[dict[str, Any]], regions: Collection[int]) -> str:
    """Format results, and the shares of empty masks with and without a target."""
    found = grouped(results, regions)
    lines = [("mIoU / Pr@0.5", *COLUMNS), ("---",) + ("---:",) * len(COLUMNS)]
    for row in (*WAYS, "all three ways"):
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


@click.command(help=__doc__)
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("split", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(results: Path, split: Path) -> None:
    """Print the table."""
    lines = results.read_text(encoding="utf-8").splitlines()
    print(table([json.loads(line) for line in lines], region_ids(split)))


if __name__ == "__main__":
    main()
