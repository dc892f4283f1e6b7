"""Format a report of `vlt test` as the Markdown tables that docs/card.md shows.

    python tools/report_table.py results/default.val-b.json
    python tools/report_table.py results/default.val-b.json --page docs/card.md

With --page, the tables replace what the page has between `<!-- REPORT -->` and `<!-- /REPORT -->`. Scores are in
percent. First the scores among distractors, by cue, beside those of the baselines, if the report has any; then all
expressions, each group of the report, and the baselines; then the reliability of scores. Reports of version 0.1 are
read, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

GROUPINGS = ("by_referent", "by_cue", "by_standing", "by_size", "by_length")
HEAD = ("", "expressions", "mIoU", "oIoU", "Pr@0.5", "boundary F")
RENAMED = {"whole photo": "whole image"}
"""Names of baselines in version 0.1 -> present names."""


def table(report: dict[str, Any]) -> str:
    """Format a report: distractors, groups, reliability."""
    parts = [distractors_table(report.get("distractors", {})), groups_table(report), bins_table(report)]
    return "\n\n".join(part for part in parts if part)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Join the head and the rows of a table; all columns but the first are numbers."""
    head, *rows = lines
    rule = ("---",) + ("---:",) * (len(head) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


def distractors_table(distractors: dict[str, Any]) -> str:
    """Format the scores among distractors, a row per cue; empty without any."""
    if not distractors:
        return ""
    names = list(next(iter(distractors.values())))
    lines = [("several of the category: mIoU / Pr@0.5", "expressions", *names)]
    for cue, rows in distractors.items():
        pairs = [f"{100 * rows[name]['miou']:.1f} / {100 * rows[name]['precision']['0.5']:.1f}" for name in names]
        lines.append((f"**{cue}**" if cue == "all" else cue, f"{rows[names[0]]['count']:,}", *pairs))
    return markdown(lines)


def bins_table(report: dict[str, Any]) -> str:
    """Format the reliability of scores, a row per interval; empty without any."""
    bins = report.get("reliability")
    if not bins:
        return ""
    lines = [("score of a mask", "masks", "mean score", "right (IoU > 0.5)")]
    for each in bins:
        shares = (f"{100 * share:.0f} %" for share in (each["score"], each["right"]))
        lines.append((f"{each['low']:.1f} to {each['high']:.1f}", f"{each['count']:,}", *shares))
    return markdown(lines)


def groups_table(report: dict[str, Any]) -> str:
    """Format the scores of all expressions, of groups and of baselines, and below them those of absent referents."""
    named = {"**all**": report["scores"]}
    for grouping in GROUPINGS:
        named |= report.get(grouping, {})
    baselines = report["baselines"] if "baselines" in report else report["dummies"]  # version 0.1
    named |= {f"*{RENAMED.get(name, name)}*": scores for name, scores in baselines.items()}
    lines = [HEAD]
    for name, scores in named.items():
        shares = (scores["miou"], scores["oiou"], scores["precision"]["0.5"], scores["boundary"])
        lines.append((name, f"{scores['count']:,}", *(f"{100 * share:.1f}" for share in shares)))
    text = markdown(lines)
    if presence := report.get("presence"):
        share = f"{100 * presence['n_acc']:.1f} %"
        text += f"\n\nOf {presence['absent']} expressions without a referent {share} got an empty mask (N-acc)"
        kept = presence["t_acc"]
        text += "." if kept is None else f"; of those with one {100 * kept:.1f} % a mask that is not empty (T-acc)."
    return text


def origin(report: dict[str, Any]) -> tuple[str, str]:
    """Name the data set and the split of a report; `half: b` of version 0.1 is the split val_b today."""
    provenance = report["provenance"]
    half = provenance.get("half")
    return provenance["dataset"], f"{provenance['split']}_{half}" if half else provenance["split"]


def section(report: Path) -> str:
    """Format the tables of a report, and below them where they come from."""
    values = json.loads(report.read_bytes())
    dataset, split = origin(values)
    provenance = values["provenance"]
    source = f"Data set {dataset}, split {split}; `{provenance['command']}`; recorded in `{report}`; "
    return f"{table(values)}\n\n{source}{provenance['hardware']}."


def put(text: str, section: str, name: str) -> str:
    """Replace the section of a page between the marks of a report.

    Raises:
        click.ClickException: the page has no such marks.
    """
    first, last = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, mark, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (mark and end):
        raise click.ClickException(f"The page has no section between {first.strip()} and {last.strip()}; add both.")
    return before + mark + section + end + after


@click.command(help=__doc__)
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--page", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(report: Path, page: Path | None) -> None:
    """Print the section, or write it into the page."""
    if page is None:
        print(section(report))
    else:
        page.write_text(put(page.read_text(encoding="utf-8"), section(report), str(report)), encoding="utf-8")


if __name__ == "__main__":
    main()
