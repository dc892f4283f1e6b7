"""What a study found: mean and spread of each row over its seeds, as a table, as JSON and as a plot."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlt.ablate.run import RESULT, read_result
from vlt.ablate.study import BASE, Study

PRECISION = "Pr@0.5"
WITHIN = "*seeds of a row differ by*"


@dataclass(frozen=True, slots=True)
class Row:
    """A row's runs.

    Attributes:
        name: of the row.
        seeds: of the runs that are there, in order.
        measures: by name ("mIoU", "Pr@0.5", then the mIoU of each group of sentences), one value per seed, in percent.
    """

    name: str
    seeds: tuple[int, ...]
    measures: Mapping[str, tuple[float, ...]]

    def mean(self, measure: str = "mIoU") -> float:
        """Over seeds."""
        return statistics.fmean(self.measures[measure])

    def spread(self, measure: str = "mIoU") -> float | None:
        """Standard deviation over seeds (of a sample); None with a single one."""
        values = self.measures[measure]
        return statistics.stdev(values) if len(values) > 1 else None

    def gain(self, base: Row, measure: str = "mIoU") -> tuple[float, ...]:
        """How much more than the base's run of the same seed, per seed that both have."""
        theirs = dict(zip(base.seeds, base.measures[measure], strict=True))
        mine = zip(self.seeds, self.measures[measure], strict=True)
        return tuple(value - theirs[seed] for seed, value in mine if seed in theirs)


def read_rows(study: Study) -> list[Row]:
    """The rows of a study that have a result, in its order.

    Raises:
        DataError: a result that cannot be read.
    """
    rows = []
    for name in study.rows():
        folders = {seed: study.folder(name, seed) for seed in study.seeds}
        results = {seed: read_result(folder / RESULT) for seed, folder in folders.items() if (folder / RESULT).exists()}
        if results:
            found = [dict(_measures(result)) for result in results.values()]
            shared = [measure for measure in found[0] if all(measure in each for each in found)]
            measures = {measure: tuple(each[measure] for each in found) for measure in shared}
            rows.append(Row(name, tuple(results), measures))
    return rows


def spread_within(rows: Sequence[Row], measure: str = "mIoU") -> float | None:
    """Standard deviation over seeds, pooled over rows: what a few seeds a row tell together about how runs differ.

    The standard error of a difference between two rows of n seeds each is this times √(2 / n).

    Returns:
        None where no row has a second seed.
    """
    freedom = sum(len(row.seeds) - 1 for row in rows)
    squares = sum((value - row.mean(measure)) ** 2 for row in rows for value in row.measures[measure])
    return math.sqrt(squares / freedom) if freedom else None


def _measures(result: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The scores of a result, by name, in percent."""
    yield "mIoU", 100 * result["scores"]["miou"]
    yield PRECISION, 100 * result["scores"]["precision"]["0.5"]
    for grouping in ("by_cue", "by_standing", "by_size"):
        for name, scores in result.get(grouping, {}).items():
            yield name, 100 * scores["miou"]


def study_table(rows: Sequence[Row]) -> str:
    """Two tables in Markdown, mean ± standard deviation over seeds: each row as a whole, then by group of sentences.

    The first has the gain over the base, too, seed by seed; the second the mIoU of the groups that all rows have. Below
    each column stands `spread_within`, where seeds are several.

    Args:
        rows: at least one.
    """
    groups = [measure for measure in rows[0].measures if measure not in ("mIoU", PRECISION)]
    shown = [measure for measure in groups if all(measure in row.measures for row in rows)]
    tables = [_as_a_whole(rows), _by_group(rows, shown)] if shown else [_as_a_whole(rows)]
    return "\n".join(map(_markdown, tables))


def _as_a_whole(rows: Sequence[Row]) -> Iterator[list[str]]:
    base = next((row for row in rows if row.name == BASE), None)
    yield ["", "seeds", "mIoU", "over base", PRECISION]
    for row in rows:
        gains = () if base is None or row is base else row.gain(base)
        over = with_spread(gains, signed=True) if gains else ""
        miou, precision = (with_spread(row.measures[measure]) for measure in ("mIoU", PRECISION))
        yield [row.name, str(len(row.seeds)), miou, over, precision]
    if within := _within(rows, ["mIoU", PRECISION]):
        yield [WITHIN, "", within[0], "", within[1]]


def _by_group(rows: Sequence[Row], groups: Sequence[str]) -> Iterator[list[str]]:
    yield ["mIoU", *groups]
    for row in rows:
        yield [row.name, *(with_spread(row.measures[group]) for group in groups)]
    if within := _within(rows, groups):
        yield [WITHIN, *within]


def _within(rows: Sequence[Row], measures: Sequence[str]) -> list[str]:
    """What seeds differ by, in words; nothing where no row has two."""
    spreads = [spread_within(rows, measure) for measure in measures]
    return [f"± {spread:.1f}" for spread in spreads if spread is not None]


def _markdown(lines: Iterable[Sequence[str]]) -> str:
    """A table; its first line is the head, and all but the first column are numbers."""
    head, *body = lines
    ruled = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in ruled)


def with_spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and, of several, standard deviation.

    Example:
        >>> with_spread([50.0, 52.0]), with_spread([1.0], signed=True)
        ('51.0 ± 1.4', '+1.0')
    """
    mean = f"{statistics.fmean(values):{'+' if signed else ''}.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean
