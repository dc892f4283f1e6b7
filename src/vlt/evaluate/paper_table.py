"""Tables for papers from reports of `vlt test`: a row per checkpoint, columns per data set, split and metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from vlt.checkpoint.recorded import Record, RecordedReport, check_comparable
from vlt.errors import ConfigError, DataError

TableFormat: TypeAlias = Literal["markdown", "latex"]

METRICS: dict[str, Callable[[RecordedReport], float | None]] = {
    "mIoU": lambda report: report.scores.miou,
    "oIoU": lambda report: report.scores.oiou,
    "box": lambda report: report.scores.box,
    "mAcc": lambda report: report.scores.macc,
    "boundary": lambda report: report.scores.boundary,
    "N-acc": lambda report: report.presence.n_acc if report.presence else None,
    "T-acc": lambda report: report.presence.t_acc if report.presence else None,
    "J&F": lambda report: report.video.mean if report.video else None,
    "J": lambda report: report.video.region if report.video else None,
    "F": lambda report: report.video.contour if report.video else None,
}
"""Metrics but Pr@t and Acc@t, each with the function that reads it from a report; None where a report lacks it."""
VIDEO_METRICS = ("J&F", "J", "F")
"""Metrics that only reports of videos have."""
PRECISION, ACCURACY = "Pr@", "Acc@"
USUAL = ("mIoU", "oIoU", "Pr@0.5")
"""Metrics of a table where none are chosen."""
USUAL_OF_BOXES = ("Acc@0.5", "Acc@0.75", "Acc@0.9", "mAcc")
"""The same where targets are known by their boxes alone."""
TITLES = {"box": "box acc.", "boundary": "boundary F"}
"""Heads of columns that are not the name of the metric."""
LACKS = dict.fromkeys(
    ("N-acc", "T-acc"), "it needs expressions without a referent, and T-acc some with one, too"
) | dict.fromkeys(VIDEO_METRICS, "it needs `vlt test --protocol video`")
"""Reasons for which a report lacks a metric, of those metrics that not every report has."""
NO_SCORE = "-"
"""Cell of a checkpoint that has no report on a split."""


class Column(NamedTuple):
    """A column of scores.

    Attributes:
        split: data set and split.
        metric: name of the metric.
        cells: a score in percent per row, as text; `NO_SCORE` where there is none.
        best: the largest of them; None where a single row has one.
    """

    split: str
    metric: str
    cells: tuple[str, ...]
    best: str | None


def metric_name(text: str) -> str:
    """Return the name of a metric as tables show it, such as "mIoU" for "miou" and "Pr@0.5" for "pr@0.50".

    Raises:
        ConfigError: there is no such metric.
    """
    if match := re.fullmatch(r"(pr|acc)@(0?\.\d+)", text.strip().lower()):
        return f"{match[1].capitalize()}@{float(match[2]):g}"
    for name in METRICS:
        if name.lower() == text.strip().lower():
            return name
    raise ConfigError(f"There is no metric {text!r}; known: {', '.join(METRICS)}, Acc@t and Pr@t such as Pr@0.5.")


def paper_table(records: Sequence[Record], metrics: Sequence[str] = (), style: TableFormat = "markdown") -> str:
    r"""Format reports as a table with its caption, scores in percent.

    Args:
        records: at least one.
        metrics: names of metrics, see `metric_name`; none: `USUAL`, or `USUAL_OF_BOXES` where no report has more.
        style: "markdown", or "latex" for the package booktabs.

    Returns:
        The table without a newline at its end. The best score of each column is bold, equal ones all, where there is
        more than one.

    Raises:
        ConfigError: there is no such metric.
        DataError: records that cannot be compared (`check_comparable`), or that lack a metric.
    """
    usual = USUAL_OF_BOXES if all(record.report.is_of_boxes for record in records) else USUAL
    names = list(dict.fromkeys(metric_name(metric) for metric in metrics or usual))
    check_comparable(records)
    rows = list(dict.fromkeys(record.checkpoint for record in records))
    splits = {record.split: record.report.scores.count for record in records}
    by_place = {(record.checkpoint, record.split): record for record in records}
    columns = [
        make_column(split, name, [by_place.get((row, split)) for row in rows]) for split in splits for name in names
    ]
    legend = caption(records, names, has_best=any(column.best for column in columns))
    return (latex if style == "latex" else markdown)(rows, splits, columns, legend)


def make_column(split: str, metric: str, records: Sequence[Record | None]) -> Column:
    """Read a metric from the record of each row; None: the row has none.

    Raises:
        DataError: a record lacks the metric.
    """
    cells = tuple(NO_SCORE if record is None else f"{100 * score(record, metric):.2f}" for record in records)
    found = [cell for cell in cells if cell != NO_SCORE]
    return Column(split, metric, cells, max(found, key=float) if len(found) > 1 else None)


def score(record: Record, metric: str) -> float:
    """Read a metric from a record, in [0, 1].

    Raises:
        DataError: the record lacks it.
    """
    report = record.report
    kind, at, level = metric.partition("@")
    by_level: Mapping[str, float | None] = {}
    if at:
        by_level = report.scores.precision if kind + at == PRECISION else report.scores.accuracy
    value = by_level.get(level) if at else METRICS[metric](report)
    if by_level:
        has = f"it has {', '.join(kind + at + each for each in by_level)}"
    elif metric in LACKS:
        has = LACKS[metric]
    elif metric == "mAcc" or kind + at == ACCURACY:
        has = "it is computed where targets are known by their boxes alone"
    elif report.is_of_boxes:
        has = "its targets are known by their boxes alone"
    else:
        has = "it was written by an older version"
    if value is None:
        raise DataError(f"{record.path} has no {metric} ({has}); leave the metric out, or this report.")
    return value


def caption(records: Sequence[Record], metrics: Sequence[str], *, has_best: bool) -> str:
    """Describe what the scores of a table depend on, in plain text.

    Args:
        records: comparable ones.
        metrics: names of the metrics of the table.
        has_best: whether the best score of a column is bold.
    """
    thresholds = [f"{record.protocol.threshold:g}" for record in records]
    each = "; ".join(f"{value} in {record.path}" for value, record in zip(thresholds, records, strict=True))
    threshold = thresholds[0] if len(set(thresholds)) == 1 else f"the threshold of the checkpoint ({each})"
    parts = ["Scores in percent" + (", the best of each column in bold" if has_best else "")]
    parts.append("in brackets the number of expressions")
    absent = {record.split: record.report.presence.absent for record in records if record.report.presence}
    if {"N-acc", "T-acc"} & set(metrics):
        numbers = ", ".join(f"{count:,} in {split}" for split, count in absent.items())
        parts.append(f"N-acc over those without a referent ({numbers}), T-acc over the others")
    videos = {record.split: record.report.video.expressions for record in records if record.report.video}
    if set(VIDEO_METRICS) & set(metrics):
        numbers = ", ".join(f"{count:,} in {split}" for split, count in videos.items())
        parts.append(f"J, F and J&F are means over the frames of each expression, then over expressions ({numbers})")
    files = ", ".join(f"{record.path} ({record.checkpoint}, {record.split})" for record in records)
    return f"{'; '.join(parts)}. {records[0].report.conditions(threshold)} Reports: {files}."


def markdown(rows: Sequence[str], splits: dict[str, int], columns: Sequence[Column], legend: str) -> str:
    """Format a table in GitHub's Markdown, with the caption below it; see `paper_table`."""
    heads = [f"{column.split} ({splits[column.split]:,}): {title(column.metric)}" for column in columns]
    lines = [["checkpoint", *map(escape_markdown, heads)], ["---", *["---:"] * len(columns)]]
    for index, row in enumerate(rows):
        cells = [(column.cells[index], column.best) for column in columns]
        lines.append([escape_markdown(row), *(f"**{cell}**" if cell == best else cell for cell, best in cells)])
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", escape_markdown(legend)])


def latex(rows: Sequence[str], splits: dict[str, int], columns: Sequence[Column], legend: str) -> str:
    """Format a table for LaTeX with the package booktabs, the caption above it; see `paper_table`."""
    width = len(columns) // len(splits)
    groups, rules = [], []
    for number, (split, count) in enumerate(splits.items()):
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(f'{split} ({count:,})')}}}")
        rules.append(rf"\cmidrule(lr){{{2 + number * width}-{1 + (number + 1) * width}}}")
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(legend)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        rf"& {' & '.join(groups)} \\",
        " ".join(rules),
        rf"checkpoint & {' & '.join(escape_latex(title(column.metric)) for column in columns)} \\",
        r"\midrule",
    ]
    for index, row in enumerate(rows):
        cells = [(column.cells[index], column.best) for column in columns]
        shown = [rf"\textbf{{{cell}}}" if cell == best else cell for cell, best in cells]
        lines.append(rf"{escape_latex(row)} & {' & '.join(shown)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def title(metric: str) -> str:
    """Return the head of a metric's columns."""
    return TITLES.get(metric, metric)


def escape_markdown(text: str) -> str:
    r"""Escape the characters that Markdown reads as marks or as the end of a cell.

    Example:
        >>> escape_markdown("coco_mini *a|b*")
        'coco_mini \\*a\\|b\\*'
    """
    return re.sub(r"[\\`*|<\[\]]|\b_|_\b", r"\\\g<0>", text)


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # at the beginning of a row it would be an argument of the line end before it
} | {letter: f"\\{letter}" for letter in "&%$#_{}"}
"""Characters that LaTeX does not print as they are."""


def escape_latex(text: str) -> str:
    r"""Escape the characters that LaTeX reads as commands or prints as others.

    Example:
        >>> escape_latex("coco_mini 50%")
        'coco\\_mini 50\\%'
    """
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    return re.sub("-(?=-)", "-{}", escaped)  # two hyphens are a dash
