"""Log of a run: a progress bar and lines on stderr, TensorBoard events, and history.jsonl."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar
from tqdm import tqdm

from vlt.files import replacing
from vlt.types import Image


class EventFile:
    """A new event file in a TensorBoard folder, written without buffering in the calling thread.

    `SummaryWriter` writes in its own thread, where the error of a full disk cannot be caught.

    Args:
        folder: made if it does not exist.
        hidden_from: optimiser step from which on TensorBoard hides the points of earlier files in the folder.

    Raises:
        OSError: the file cannot be written; every method may raise it, too.
    """

    def __init__(self, folder: Path, *, hidden_from: int) -> None:
        folder.mkdir(exist_ok=True)
        # Nanoseconds, since TensorBoard reads the files of a folder in the order of their names.
        self.path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        start = SessionLog(status=SessionLog.START)
        self.append({"file_version": "brain.Event:2"}, {"step": hidden_from, "session_log": start})

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write one point on each of several curves."""
        self.append(*({"step": step, "summary": scalar(name, value)} for name, value in values.items()))

    def add_image(self, step: int, name: str, picture: Image) -> None:
        """Write an image, (height, width, 3) uint8 RGB."""
        self.append({"step": step, "summary": image(name, picture, dataformats="HWC")})

    def append(self, *events: dict[str, Any]) -> None:
        """Write events, each given by the fields of TensorBoard's `Event`."""
        with self.path.open("ab") as file:
            records = RecordWriter(file)
            for event in events:
                records.write(Event(wall_time=time.time(), **event).SerializeToString())


class RunLog:
    """Everything that a run logs; only the main process writes.

    If TensorBoard events cannot be written, one line says so and the run continues without them.

    Args:
        run_dir: the run's folder, where the main process writes `log/` and `history.jsonl`.
        is_main: whether this is the main process.
        total_steps: optimiser steps of the whole run.
        done_steps: optimiser steps done before; TensorBoard hides later ones of an interrupted part that was lost.
        every: number of optimiser steps between scalars.
    """

    def __init__(self, run_dir: Path, *, is_main: bool, total_steps: int, done_steps: int, every: int) -> None:
        self.run_dir = run_dir
        self.is_main = is_main
        self.every = every
        self.bar = tqdm(
            total=total_steps,
            initial=done_steps,
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
            disable=not is_main,
        )
        self.events: EventFile | None = None
        if is_main:
            try:
                self.events = EventFile(run_dir / "log", hidden_from=done_steps + 1)
            except OSError as error:
                self.give_up_events(error)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """Write points for TensorBoard, by optimiser step."""
        if self.events is not None:
            try:
                self.events.add_scalars(number, values)
            except OSError as error:
                self.give_up_events(error)

    def picture(self, number: int, name: str, picture: Image) -> None:
        """Write an image for TensorBoard, (height, width, 3) uint8 RGB, by optimiser step."""
        if self.events is not None:
            try:
                self.events.add_image(number, name, picture)
            except OSError as error:
                self.give_up_events(error)

    def give_up_events(self, error: OSError) -> None:
        """Write no more TensorBoard events in this run, and say why."""
        self.events = None
        self.say(f"{self.run_dir / 'log'} cannot be written ({error.strerror}); no more curves for TensorBoard.")

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
