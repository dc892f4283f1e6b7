"""What a run says: a progress bar and lines on stderr, TensorBoard, and history.jsonl."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from vlt.files import replacing
from vlt.train.curves import Curves

if TYPE_CHECKING:
    from vlt.types import Image


class RunLog:
    """The voice of a run; silent in all processes but the main one.

    Args:
        run_dir: of the run; the main process writes `log/` and `history.jsonl` in it.
        speaks: whether this is the main process.
        total_steps: optimiser steps of the whole run.
        done_steps: those done before; what TensorBoard holds beyond them is of a part that was lost, and is hidden.
        every: how often scalars are written, in optimiser steps.
    """

    def __init__(self, run_dir: Path, *, speaks: bool, total_steps: int, done_steps: int, every: int) -> None:
        self._run_dir = run_dir
        self._speaks = speaks
        self._every = every
        self._bar = tqdm(
            total=total_steps, initial=done_steps, unit="step", file=sys.stderr, dynamic_ncols=True, disable=not speaks
        )
        self._curves: Curves | None = None
        if speaks:
            with self._dispensable():
                self._curves = Curves(run_dir / "log", hidden_from=done_steps + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def say(self, line: str) -> None:
        """A line on stderr, above the bar."""
        if self._speaks:
            self._bar.write(line, file=sys.stderr)

    def describe(self, what: str) -> None:
        """What is going on, at the left of the bar."""
        self._bar.set_description(what)

    def step(self, number: int, losses: Mapping[str, float], *, rate: float, gradient_norm: float) -> None:
        """One optimiser step.

        Args:
            number: 1-based, over the whole run.
            losses: of the step, "total" among them.
            rate: the learning rate it was made with.
            gradient_norm: before clipping.
        """
        self._bar.set_postfix(loss=f"{losses['total']:.3f}", rate=f"{rate:.1e}", refresh=False)
        self._bar.update()
        if number % self._every == 0:
            values = {f"train/{name}": value for name, value in losses.items()}
            self.scalars(number, {**values, "train/rate": rate, "train/gradient_norm": gradient_norm})

    def scalars(self, number: int, values: Mapping[str, float]) -> None:
        """Curves for TensorBoard, by optimiser step."""
        if self._curves is not None:
            with self._dispensable():
                self._curves.scalars(number, values)

    def picture(self, number: int, name: str, picture: Image) -> None:
        """A picture for TensorBoard, (height, width, 3) uint8 RGB, by optimiser step."""
        if self._curves is not None:
            with self._dispensable():
                self._curves.picture(number, name, picture)

    def begin(self, config: str, history: Sequence[Mapping[str, Any]]) -> None:
        """Puts down what is trained, and what earlier parts of the run have finished.

        Args:
            config: of the run, as YAML.
            history: see `history`.

        Raises:
            DataError: it cannot be written.
        """
        if self._speaks:
            self._write("config.yaml", config)
        self.history(history)

    def history(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Writes history.jsonl anew, a line per epoch, so that an interruption neither doubles nor loses one.

        Raises:
            DataError: it cannot be written.
        """
        if self._speaks:
            self._write("history.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))

    @contextmanager
    def _dispensable(self) -> Iterator[None]:
        """Curves are not worth a run: where TensorBoard cannot write them, it goes on without, and says so."""
        try:
            yield
        except OSError as error:
            self._curves = None
            self.say(f"{self._run_dir / 'log'} cannot be written ({error.strerror}); no more curves for TensorBoard.")

    def _write(self, name: str, text: str) -> None:
        with replacing(self._run_dir / name) as file:
            file.write(text.encode())
