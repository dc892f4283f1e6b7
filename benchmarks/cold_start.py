"""Measure the time from the command `vlt predict` to the mask, by phase; with --against, the ratio to another version.

    python benchmarks/cold_start.py --image examples/coffee.jpg
    python benchmarks/cold_start.py --image examples/coffee.jpg --against ../old/.venv/bin/python

Medians of several runs, each in a process of its own: `imports`, including those that loading causes; `load` of the
checkpoint, measured on a second load, when all is imported; the `first` prediction, which encodes the image; an
`other` expression about the same image; `sixteen` expressions about it in one call; the whole command `vlt predict`,
in another process; and the peak memory of both, in GB. --against names the Python of another environment, in which
another version of the package is installed; the two take turns, so that both see the same load of the machine. A ratio
below 1 means that this version needs less. After the first run the files are in the disk's cache. --busy lets
another process compute at the same time, which takes a core of two.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

IMAGE = Path(__file__).parents[1] / "examples" / "shapes.png"
PHASES = ("imports", "load", "first", "other", "sixteen", "memory", "vlt predict", "its memory")

INSIDE = """
import json, resource, sys, time

checkpoint, image, *precision = sys.argv[1:]
checkpoint, settings = checkpoint or None, dict(zip(["precision"], precision))
places = ("on the left", "on the right", "at the top", "below")
expressions = [f"{noun} {place}" for noun in ("star", "square", "cup", "woman") for place in places]
times = [time.perf_counter()]
from vlt import load
load(checkpoint, **settings)
times.append(time.perf_counter())
predictor = load(checkpoint, **settings)
times.append(time.perf_counter())
features = predictor.encode(image)
for some in (["star on the left"], ["black square"], expressions):
    predictor.predict(features, some)
    times.append(time.perf_counter())
once, again, *rest = (after - before for before, after in zip(times, times[1:]))
print(json.dumps([once - again, again, *rest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
"""


def measure(python: str, checkpoint: str, precision: str | None, image: Path) -> list[float]:
    """Run both processes once; seconds and gigabytes in the order of `PHASES`."""
    half = [precision] if precision else []
    inside = json.loads(timed(python, "-c", INSIDE, checkpoint, str(image), *half)[-1])
    named = ["--checkpoint", checkpoint] if checkpoint else []
    named += ["--precision", *half] if half else []
    with tempfile.TemporaryDirectory() as folder:
        overlay = str(Path(folder) / "overlay.png")
        command = ("-m", "vlt", "predict", str(image), "star on the left", "--output", overlay, *named)
        seconds, memory, _ = timed(python, *command)
    return [*inside, seconds, memory]


def timed(*command: str) -> tuple[float, float, str]:
    """Run a process; its wall seconds, its peak memory in GB and its output."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise click.ClickException(f"{' '.join(command[:3])} ... ended with status {process.returncode}.")
        output.seek(0)
        return seconds, usage.ru_maxrss / 1e6, output.read()


@contextmanager
def busy(is_busy: bool) -> Iterator[None]:
    """Let another process compute inside the block, if `is_busy`."""
    other = subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**6))"]) if is_busy else None
    try:
        yield
    finally:
        if other:
            other.kill()
            other.wait()


def line(name: str, values: list[float]) -> str:
    """Format a row of the table."""
    return f"{name:12}" + "".join(f"{value:13.2f}" for value in values)


@click.command(help=__doc__)
@click.option("--checkpoint", default="", help="A checkpoint of this version.  [default: the model in the package]")
@click.option("--precision", help="Of this version, such as bf16.  [default: the checkpoint's]")
@click.option("--image", type=click.Path(exists=True, path_type=Path), default=IMAGE)
@click.option("--runs", type=click.IntRange(min=1), default=3)
@click.option("--busy", "is_busy", is_flag=True, help="Beside another process that computes.")
@click.option("--against", metavar="PYTHON", help="Python of an environment with another version, with its own model.")
def main(checkpoint: str, precision: str | None, image: Path, runs: int, is_busy: bool, against: str | None) -> None:
    """Print a row of medians per version, and their ratio."""
    versions = {"this": (sys.executable, checkpoint, precision)}
    if against:
        versions["the other"] = (against, "", None)
    with busy(is_busy):
        rounds = [{name: measure(*version, image) for name, version in versions.items()} for _ in range(runs)]
    medians = {
        name: [statistics.median(each) for each in zip(*(one[name] for one in rounds), strict=True)]
        for name in versions
    }
    print(" " * 12 + "".join(f"{name:>13}" for name in PHASES))
    for name, values in medians.items():
        print(line(name, values))
    if against:
        ratios = [[mine / other for mine, other in zip(one["this"], one["the other"], strict=True)] for one in rounds]
        print(line("ratio", [statistics.median(each) for each in zip(*ratios, strict=True)]))


if __name__ == "__main__":
    main()
