"""Trackers: programs that show the losses and scores of runs; TensorBoard's files, and others through Accelerate."""

from __future__ import annotations

import socket
import time
import warnings
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar

from vlt.config.run import Config
from vlt.errors import ConfigError, VLTWarning, reason
from vlt.train.resume import flat_keys
from vlt.types import Image

PROJECT = "vlt"
"""Name of the project or experiment in which a service keeps the runs."""


class Tracker(Protocol):
    """A program that shows runs, as Accelerate's `GeneralTracker`; it may have `log_images`, too."""

    name: str

    def log(self, values: dict[str, float], step: int) -> Any:
        """Take one point on each of several curves."""

    def finish(self) -> Any:
        """Take the end of the run."""


class EventFile:
    """A new event file in a TensorBoard folder, written without buffering in the calling thread.

    `SummaryWriter` writes in its own thread, where the error of a full disk cannot be caught.

    Its methods are those of Accelerate's trackers.

    Args:
        folder: made if it does not exist.
        hidden_from: optimiser step from which on TensorBoard hides the points of earlier files in the folder.

    Raises:
        OSError: the file cannot be written; every method may raise it, too.
    """

    name = "tensorboard"

    def __init__(self, folder: Path, *, hidden_from: int) -> None:
        folder.mkdir(exist_ok=True)
        # Nanoseconds, since TensorBoard reads the files of a folder in the order of their names.
        self.path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        start = SessionLog(status=SessionLog.START)
        self.append({"file_version": "brain.Event:2"}, {"step": hidden_from, "session_log": start})

    def log(self, values: dict[str, float], step: int) -> None:
        """Write one point on each of several curves."""
        self.append(*({"step": step, "summary": scalar(name, value)} for name, value in values.items()))

    def log_images(self, values: dict[str, list[Image]], step: int) -> None:
        """Write images under names, each (height, width, 3) uint8 RGB."""
        for name, pictures in values.items():
            self.append(*({"step": step, "summary": image(name, each, dataformats="HWC")} for each in pictures))

    def finish(self) -> None:
        """Do nothing: the file is complete after each call."""

    def append(self, *events: dict[str, Any]) -> None:
        """Write events, each given by the fields of TensorBoard's `Event`."""
        with self.path.open("ab") as file:
            records = RecordWriter(file)
            for event in events:
                records.write(Event(wall_time=time.time(), **event).SerializeToString())


def start_trackers(accelerator: Accelerator, config: Config, run_dir: Path, *, done_steps: int) -> list[Tracker]:
    """Start the trackers of a run; only the main process has some.

    A service lists each part of an interrupted run as a run of its own, all of the same name. TensorBoard shows one.

    Args:
        accelerator: names the services, see `start_accelerator`.
        config: configuration of the run, which services show.
        run_dir: the run's folder, whose name the runs have; TensorBoard's files are in `log/`.
        done_steps: optimiser steps done before; TensorBoard hides later ones of an interrupted part that was lost.

    Raises:
        ConfigError: a service cannot be started.
    """
    trackers: list[Tracker] = []
    if not accelerator.is_main_process:
        return trackers
    if "tensorboard" in config.train.trackers:
        folder = run_dir / "log"
        try:
            trackers.append(EventFile(folder, hidden_from=done_steps + 1))
        except OSError as error:
            message = f"{folder} cannot be written ({error.strerror}); this run has no curves for TensorBoard."
            warnings.warn(VLTWarning(message), stacklevel=2)
    own = {"wandb": {"name": run_dir.name, "dir": str(run_dir)}, "mlflow": {"run_name": run_dir.name}}
    try:
        accelerator.init_trackers(PROJECT, flat_keys(config.model_dump(mode="json")), own)
    except Exception as error:  # each service raises errors of its own
        names = " or ".join(name for name in config.train.trackers if name in own)
        raise ConfigError(
            f"train.trackers: {names} cannot be started ({reason(error)[:200]}); set it up as its manual says, or "
            "leave it out."
        ) from error
    trackers += accelerator.trackers
    accelerator.trackers = []  # finished by the log, also where the run fails
    return trackers
