"""Summary of a study: mean and spread of each row over its seeds, as Markdown and as a plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vlt.ablate.study import BASE
from vlt.errors import ConfigError

PRECISION = "Pr@0.5"
SPREAD = "*spread over seeds*"
GROUPINGS = ("by_cue", "by_standing", "by_size")
"""Groups of expressions that the summary shows."""


@dataclass(frozen=True, slots=True)
class Row:
    """Results of the runs of one row.

    Attributes:
        name: name of the row.
        seeds: seeds of the runs that have a result, in order.
        measures: by name ("mIoU", "Pr@0.5", then the mIoU of each group of expressions), one percentage per seed.
    """

    name: str
    seeds: tuple[int, ...]
    measures: Mapping[str, tuple[float, ...]]

    def mean(self, measure: str = "mIoU") -> float:
        """Return the mean over seeds."""
        return statistics.fmean(self.measures[measure])

    def spread(self, measure: str = "mIoU") -> float | None:
        """Return the standard deviation over seeds (of a sample); None for a single seed."""
        values = self.measures[measure]
        return statistics.stdev(values) if len(values) > 1 else None

    def gain(self, base: Row, measure: str = "mIoU") -> tuple[float, ...]:
        """Return the difference to the base's run of the same seed, for each seed that both have."""
        of_base = dict(zip(base.seeds, base.measures[measure], strict=True))
        own = zip(self.seeds, self.measures[measure], strict=True)
        return tuple(value - of_base[seed] for seed, value in own if seed in of_base)


def read_rows(results: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Group the results of a study by row, in their order.

    Args:
        results: as returned by `read_results` or `read_table`.
    """
    by_row: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        by_row.setdefault(result["row"], []).append(result)
    rows = []
    for name, runs in by_row.items():
        found = []
        for run in runs:
            scores = {"mIoU": 100 * run["scores"]["miou"], PRECISION: 100 * run["scores"]["precision"]["0.5"]}
            for grouping in GROUPINGS:
                scores |= {group: 100 * each["miou"] for group, each in run.get(grouping, {}).items()}
            found.append(scores)
        shared = [measure for measure in found[0] if all(measure in scores for scores in found)]
        measures = {measure: tuple(scores[measure] for scores in found) for measure in shared}
        rows.append(Row(name, tuple(run["seed"] for run in runs), measures))
    return rows


def pooled_spread(rows: Sequence[Row], measure: str = "mIoU") -> float | None:
    """Return the standard deviation over seeds, pooled over rows, for rows with few seeds each.

    The standard error of a difference between two rows of n seeds each is this times sqrt(2 / n).

    Returns:
        None if no row has a second seed.
    """
    freedom = sum(len(row.seeds) - 1 for row in rows)
    squares = sum((value - row.mean(measure)) ** 2 for row in rows for value in row.measures[measure])
    return math.sqrt(squares / freedom) if freedom else None


def study_table(rows: Sequence[Row]) -> str:
    """Write two tables in Markdown, mean ± standard deviation over seeds: overall, then mIoU by group of expressions.

    The first also has the difference to the base, seed by seed; the second the groups that all rows have. The last line
    of each is `pooled_spread`, if there are several seeds.

    Args:
        rows: at least one.
    """
    groups = [measure for measure in rows[0].measures if measure not in ("mIoU", PRECISION)]
    shown = [measure for measure in groups if all(measure in row.measures for row in rows)]
    tables = [overall_lines(rows), group_lines(rows, shown)] if shown else [overall_lines(rows)]
    texts = []
    for head, *body in map(list, tables):
        ruled = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
        texts.append("".join(f"| {' | '.join(line)} |\n" for line in ruled))
    return "\n".join(texts)


def overall_lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Yield the lines of the first table, the head first."""
    base = next((row for row in rows if row.name == BASE), None)
    yield ["", "seeds", "mIoU", "over base", PRECISION]
    for row in rows:
        gains = () if base is None or row is base else row.gain(base)
        over = with_spread(gains, signed=True) if gains else ""
        miou, precision = (with_spread(row.measures[measure]) for measure in ("mIoU", PRECISION))
        yield [row.name, str(len(row.seeds)), miou, over, precision]
    miou_spread, precision_spread = pooled_spread(rows), pooled_spread(rows, PRECISION)
    if miou_spread is not None and precision_spread is not None:
        yield [SPREAD, "", f"± {miou_spread:.1f}", "", f"± {precision_spread:.1f}"]


def group_lines(rows: Sequence[Row], groups: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of the second table, the head first."""
    yield ["mIoU", *groups]
    for row in rows:
        yield [row.name, *(with_spread(row.measures[group]) for group in groups)]
    spreads = [spread for group in groups if (spread := pooled_spread(rows, group)) is not None]
    if spreads:
        yield [SPREAD, *(f"± {spread:.1f}" for spread in spreads)]


def with_spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Write the mean and, for several values, the standard deviation.

    Example:
        >>> with_spread([50.0, 52.0]), with_spread([1.0], signed=True)
        ('51.0 ± 1.4', '+1.0')
    """
    mean = f"{statistics.fmean(values):{'+' if signed else ''}.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def require_matplotlib() -> None:
    """Check before hours of training that a plot can be drawn.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError("A plot needs matplotlib: install it (`pip install matplotlib`), or leave --plot out.")


def plot_study(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Plot the mIoU of each row: a dot per seed, the mean, and the standard deviation as bars.

    Args:
        rows: at least one; the base's mean is drawn as a line through all.
        path: path of the picture; its suffix selects the format.
        title: above the plot.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 (an extra)

    figure = Figure(figsize=(7, 1 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        values = row.measures["mIoU"]
        axes.plot(values, [place] * len(values), "o", color="0.7", markersize=4)
        axes.errorbar(row.mean(), place, xerr=row.spread() or 0.0, fmt="s", color="C0", capsize=3, markersize=5)
        if row.name == BASE:
            axes.axvline(row.mean(), color="0.85", zorder=0)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("mIoU in percent: seeds, mean, standard deviation")
    axes.set_title(title)
    figure.savefig(path)
