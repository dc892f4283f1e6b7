"""Reports of `vlt test` as one table in Markdown, as docs/card.md has them.

    python tools/report_table.py results/default.val-b.json

Shares are in percent. Rows are what the report has: all, its groups, then the dummies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

GROUPINGS = ("by_referent", "by_cue", "by_standing", "by_size", "by_length")
HEAD = ("", "sentences", "mIoU", "oIoU", "Pr@0.5", "boundary F")


def table(report: dict[str, Any]) -> str:
    """The report's scores as Markdown, with what else it found below."""
    lines = [HEAD, ("---",) + ("---:",) * (len(HEAD) - 1), *_rows(report)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *_findings(report)])


def _rows(report: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield _row("**all**", report["scores"])
    for grouping in GROUPINGS:
        for name, scores in report.get(grouping, {}).items():
            yield _row(name, scores)
    for name, scores in report["dummies"].items():
        yield _row(f"*{name}*", scores)


def _row(name: str, scores: dict[str, Any]) -> tuple[str, ...]:
    shares = (scores["miou"], scores["oiou"], scores["precision"]["0.5"], scores["boundary"])
    return (name, f"{scores['count']:,}", *(f"{100 * share:.1f}" for share in shares))


def _findings(report: dict[str, Any]) -> Iterator[str]:
    if presence := report["presence"]:
        yield f"Of {presence['absent']} sentences without a referent {100 * presence['n_acc']:.0f} % got an empty mask."
    if gain := report["noun_gain"]:
        yield (
            f"Where the photo has several of the category ({gain['count']} sentences): whole sentence "
            f"{100 * gain['full']:.1f}, noun alone {100 * gain['noun']:.1f}."
        )
    origin = report["provenance"]
    half = f", half {origin['half']}" if origin["half"] else ""
    yield f"{origin['dataset']} {origin['split']}{half}; `{origin['command']}`; {origin['hardware']}."


@click.command(help=__doc__)
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(report: Path) -> None:
    """Prints the table."""
    print(table(json.loads(report.read_bytes())))


if __name__ == "__main__":
    main()
