"""A study as a picture: a row's mean with its seeds and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from vlt.ablate.study import BASE
from vlt.ablate.summary import Row
from vlt.errors import ConfigError


def refuse_without_matplotlib() -> None:
    """Tells early that no plot will be.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError("A plot needs matplotlib: install it (`pip install matplotlib`), or leave --plot out.")


def plot_study(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Draws the mIoU of each row: a dot per seed, the mean, and bars of a standard deviation.

    Args:
        rows: at least one; the base's mean is drawn as a line through all.
        path: of the picture; its ending says the format.
        title: above it.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    refuse_without_matplotlib()
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
