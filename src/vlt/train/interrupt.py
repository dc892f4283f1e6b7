"""A request to stop is honoured between two optimiser steps, where the state can be saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, the first SIGINT (Ctrl-C) or SIGTERM only sets `requested`; the second acts as ever.

    Outside the main thread, where Python allows no handlers, signals act as ever from the start.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def ignore_stop_signals(_worker: int) -> None:
    """Lets a loading process live through Ctrl-C and SIGTERM, which reach the whole group; it ends with its parent."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
