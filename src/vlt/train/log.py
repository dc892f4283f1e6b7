"""Log of a run: a progress bar and lines on stderr, points and pictures for trackers, and history.jsonl."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from vlt.errors import reason
from vlt.files import replacing
from vlt.train.trackers import Tracker
from vlt.types import Image


class RunLog:
    """Everything that a run logs; only the main process writes.

    If a tracker fails, one line says so and the run continues without it.

    Args:
        run_dir: the run's folder, where the main process writes `history.jsonl`.
        is_main: whether this is the main process.
        trackers: started; closed at the end. None in other processes.
        total_steps: optimiser steps of the whole run.
        done_steps: optimiser steps done before.
        every: number of optimiser steps between scalars.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        is_main: bool,
        trackers: Sequence[Tracker],
        total_steps: int,
        done_steps: int,
        every: int,
    ) -> None:
        self.run_dir = run_dir
        self.is_main = is_main
        self.trackers = [*trackers]
        self.every = every
        self.bar = tqdm(
            total=total_steps,
            initial=done_steps,
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
            disable=not is_main,
        )

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.track(lambda tracker: tracker.finish())
        self.bar.close()

    def say(self, line: str) -> None:
        """Write a line to stderr, above the progress bar."""
        if self.is_main:
            self.bar.write(line, file=sys.stderr)

    def describe(self, activity: str) -> None:
        """Show the current activity at the left of the progress bar."""
        self.bar.set_description(activity)

    def step(self, number: int, losses: Mapping[str, float], *, rate: float, gradient_norm: float) -> None:
        """Log one optimiser step.

        Args:
            number: 1-based, over the whole run.
            losses: losses of the step, including "total".
            rate: learning rate of the step.
            gradient_norm: before clipping.
        """
        self.bar.set_postfix(loss=f"{losses['total']:.3f}", rate=f"{rate:.1e}", refresh=False)
        self.bar.update()
        if number % self.every == 0:
            values = {f"train/{name}": value for name, value in losses.items()}
            self.scalars(number, {**values, "train/rate": rate, "train/gradient_norm": gradient_norm})

    def scalars(self, number: int, values: Mapping[str, float]) -> None:
        """Send points to the trackers, by optimiser step."""
        self.track(lambda tracker: tracker.log(dict(values), step=number))

    def picture(self, number: int, name: str, picture: Image) -> None:
        """Send an image to the trackers that show some, (height, width, 3) uint8 RGB, by optimiser step."""

        def send(tracker: Tracker) -> None:
            if hasattr(tracker, "log_images"):
                tracker.log_images({name: [picture]}, step=number)

        self.track(send)

    def track(self, send: Callable[[Tracker], None]) -> None:
        """Call a function with each tracker; one that fails is used no more in this run, and a line says why."""
        for tracker in [*self.trackers]:
            try:
                send(tracker)
            except Exception as error:  # each program raises errors of its own, and none may end a run
                self.trackers.remove(tracker)
                self.say(f"The tracker {tracker.name} failed ({reason(error)[:200]}); nothing more is sent to it.")

    def begin(self, config: str, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the configuration and the epochs that earlier parts of the run have finished.

        Args:
            config: configuration of the run, as YAML.
            history: see `history`.

        Raises:
            DataError: a file cannot be written.
        """
        if self.is_main:
            with replacing(self.run_dir / "config.yaml") as file:
                file.write(config.encode())
        self.history(history)

    def history(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write history.jsonl anew, a line per validation, so that an interruption neither doubles nor loses one.

        Raises:
            DataError: the file cannot be written.
        """
        if self.is_main:
            with replacing(self.run_dir / "history.jsonl") as file:
                file.write("".join(json.dumps(entry) + "\n" for entry in entries).encode())
