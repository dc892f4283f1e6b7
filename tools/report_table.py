"""Format a report of `vlt test` as the Markdown table that docs/card.md shows.

    python tools/report_table.py results/default.val-b.json

Scores are in percent. Rows: all expressions, each group of the report, then the baselines. Reports of version 0.1 are
read, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

GROUPINGS = ("by_referent", "by_cue", "by_standing", "by_size", "by_length")
HEAD = ("", "expressions", "mIoU", "oIoU", "Pr@0.5", "boundary F")
RENAMED = {"whole photo": "whole image"}
"""Names of baselines in version 0.1 -> present names."""


def table(report: dict[str, Any]) -> str:
    """Format the scores of a report, and below them the sentences on absent referents and on the gain over the noun."""
    named = {"**all**": report["scores"]}
    for grouping in GROUPINGS:
        named |= report.get(grouping, {})
    baselines = report["baselines"] if "baselines" in report else report["dummies"]  # version 0.1
    named |= {f"*{RENAMED.get(name, name)}*": scores for name, scores in baselines.items()}
    lines = [HEAD, ("---",) + ("---:",) * (len(HEAD) - 1)]
    for name, scores in named.items():
        shares = (scores["miou"], scores["oiou"], scores["precision"]["0.5"], scores["boundary"])
        lines.append((name, f"{scores['count']:,}", *(f"{100 * share:.1f}" for share in shares)))
    text = [f"| {' | '.join(line)} |" for line in lines] + [""]
    if presence := report.get("presence"):
        share = f"{100 * presence['n_acc']:.0f} %"
        text.append(f"Of {presence['absent']} expressions without a referent {share} got an empty mask.")
    if gain := report.get("noun_gain"):
        text.append(
            f"Where the photo has several of the category ({gain['count']} expressions): whole expression "
            f"{100 * gain['full']:.1f}, noun alone {100 * gain['noun']:.1f}."
        )
    return "\n".join(text)


def origin(report: dict[str, Any]) -> tuple[str, str]:
    """Name the data set and the split of a report; `half: b` of version 0.1 is the split val_b today."""
    provenance = report["provenance"]
    half = provenance.get("half")
    return provenance["dataset"], f"{provenance['split']}_{half}" if half else provenance["split"]


@click.command(help=__doc__)
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(report: Path) -> None:
    """Print the table and its provenance."""
    values = json.loads(report.read_bytes())
    dataset, split = origin(values)
    provenance = values["provenance"]
    print(table(values))
    print(f"Data set {dataset}, split {split}; `{provenance['command']}`; recorded in `{report}`; ", end="")
    print(f"{provenance['hardware']}.")


if __name__ == "__main__":
    main()
