"""TensorBoard's event file, written at once and by this thread.

`SummaryWriter` writes in a thread of its own, which meets a full disk with a traceback that nobody can catch.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar

if TYPE_CHECKING:
    from vlt.types import Image


class Curves:
    """One event file more in a TensorBoard folder.

    Args:
        folder: is made where there is none.
        hidden_from: optimiser step from which on what earlier files of the folder hold is hidden, since it was lost.

    Raises:
        OSError: the file cannot be written; so does every method.
    """

    def __init__(self, folder: Path, *, hidden_from: int) -> None:
        folder.mkdir(exist_ok=True)
        # Nanoseconds, since TensorBoard reads the files of a folder in the order of their names.
        self._path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        start = SessionLog(status=SessionLog.START)
        self._append({"file_version": "brain.Event:2"}, {"step": hidden_from, "session_log": start})

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point on each of some curves."""
        self._append(*({"step": step, "summary": scalar(name, value)} for name, value in values.items()))

    def picture(self, step: int, name: str, picture: Image) -> None:
        """A picture, (height, width, 3) uint8 RGB."""
        self._append({"step": step, "summary": image(name, picture, dataformats="HWC")})

    def _append(self, *events: dict[str, Any]) -> None:
        with self._path.open("ab") as file:
            records = RecordWriter(file)
            for event in events:
                records.write(Event(wall_time=time.time(), **event).SerializeToString())
