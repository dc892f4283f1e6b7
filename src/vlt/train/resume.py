"""Interruption and resumption: a request to stop, and the saved state from which a killed run continues exactly."""

from __future__ import annotations

import io
import pickle
import random
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from pydantic import ValidationError

from vlt.config.run import Config
from vlt.errors import CheckpointError, ConfigError, DataError, TrainingError
from vlt.files import replacing

FORMAT = 1
"""Version of the state file; increased when older versions of `vlt` cannot read it."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

HARMLESS = (
    "output_dir",
    "data.root",  # moved data are recognised by its fingerprint
    "data.images",
    "data.mixed_with",
    "data.compose.instances",
    "data.compose.images",
    "data.compose.people",
    "train.workers",
    "train.validate_every",
    "train.validate_every_steps",
    "train.save_every_steps",
    "train.trackers",
    "train.log_every_steps",
    "train.pictures",
    "inference.batch_size",
)
"""Keys that may change between two parts of a run, since they do not affect the trained parameters."""


class StopRequest:
    """Context in which the first SIGINT (Ctrl-C) or SIGTERM only sets `requested`; the second acts as usual.

    Outside the main thread, where Python allows no handlers, signals always act as usual.
    """

    def __init__(self) -> None:
        self.requested = False
        self.usual: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self.usual = {number: signal.signal(number, self.receive) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def receive(self, _number: int, _frame: FrameType | None) -> None:
        """Record the request and restore the usual handlers, so that the next signal acts as usual."""
        self.requested = True
        self.restore()

    def restore(self) -> None:
        """Put the usual handlers back."""
        for number, handler in self.usual.items():
            signal.signal(number, handler)
        self.usual = {}


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        epoch: number of epochs finished; one that is validated counts after its validation.
        step: number of optimiser steps done since.
        sums: sum of each loss over those steps.
        history: entry of each validation, as in history.jsonl.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def count_step(self, losses: Mapping[str, float]) -> None:
        """Count one optimiser step and add its losses."""
        self.step += 1
        self.sums = {name: self.sums.get(name, 0.0) + loss for name, loss in losses.items()}

    def mean_losses(self) -> dict[str, float]:
        """Return each loss averaged over the steps since the last finished epoch."""
        return {name: total / self.step for name, total in self.sums.items()}

    def finish_epoch(self) -> None:
        """Count one epoch."""
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}


class Stateful(Protocol):
    """A part of a run with a state: network, optimiser, schedule, moving average, gradient scaler."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state, made of tensors and plain values."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restore a state."""


@dataclass(frozen=True)
class ResumeState:
    """The file from which a run continues.

    Attributes:
        path: path of the file; replaced as a whole, so that a crash while saving leaves the earlier one.
        accelerator: gathers the random states of all processes, whose number may change.
        config: configuration of the run; must not change, except for the keys in `HARMLESS`.
        data_fingerprint: fingerprint of the training data; must not change either.
        parts: the parts whose state is saved and restored, by name.
    """

    path: Path
    accelerator: Accelerator
    config: Config
    data_fingerprint: str
    parts: Mapping[str, Stateful]

    def save(self, progress: Progress) -> None:
        """Save everything that the next step depends on; must be called by all processes.

        Raises:
            TrainingError: the file cannot be written; the earlier one stays.
        """
        random_states = gather_object([random_state(self.accelerator.device)])
        if self.accelerator.is_main_process:
            content = {
                "format": FORMAT,
                "config": self.config.model_dump(mode="json"),
                "data_fingerprint": self.data_fingerprint,
                "parts": {name: part.state_dict() for name, part in self.parts.items()},
                "random": random_states,
                "progress": asdict(progress),
            }
            buffer = io.BytesIO()  # serialised first, so that a full disk fails in one plain write
            torch.save(content, buffer)
            try:
                with replacing(self.path) as file:
                    file.write(buffer.getbuffer())
            except DataError as error:
                reason = str(error).rstrip(".")
                raise TrainingError(
                    f"{reason}; make room and run the same command again, it continues from the state saved before."
                ) from error
        self.accelerator.wait_for_everyone()

    def load(self) -> Progress | None:
        """Restore the saved state of the parts and of the random generators.

        A process that the saved run did not have keeps the random state that it has.

        Returns:
            The progress of the run; None if nothing has been saved.

        Raises:
            CheckpointError: the file is damaged, or of a newer format.
            ConfigError: the configuration or the data changed.
        """
        if not self.path.exists():
            return None
        content = read_state(self.path)
        self.refuse_changes(content)
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        if self.accelerator.process_index < len(content["random"]):
            restore_random_state(content["random"][self.accelerator.process_index], self.accelerator.device)
        return Progress(**content["progress"])

    def refuse_changes(self, content: Mapping[str, Any]) -> None:
        """Check that configuration and data are those of the saved state.

        Raises:
            ConfigError: one of them changed.
        """
        remedy = f"to start afresh, name another output_dir or delete {self.config.output_dir}"
        if changes := changed_keys(content["config"], self.config):
            raise ConfigError(
                f"The run in {self.config.output_dir} was started with another configuration ({'; '.join(changes)}); "
                f"restore these values to continue it, or, {remedy}."
            )
        if content["data_fingerprint"] != self.data_fingerprint:
            raise ConfigError(
                f"The data of the run in {self.config.output_dir} changed since it was started (fingerprint "
                f"{content['data_fingerprint']}, now {self.data_fingerprint}); restore them to continue it, "
                f"or, {remedy}."
            )


def read_state(path: Path) -> dict[str, Any]:
    """Read a state file.

    Raises:
        CheckpointError: it is damaged, or of a newer format.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        newer = content["format"] > FORMAT
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"The resume state {path} is damaged ({reason}), but the checkpoints beside it are not: "
            "keep those and continue with train.start_from in another output_dir."
        ) from error
    if newer:
        raise CheckpointError(
            f"{path} has resume format {content['format']}, but this vlt reads up to format {FORMAT}; upgrade vlt."
        )
    return content


def changed_keys(before: Mapping[str, Any], config: Config) -> list[str]:
    """List the differences to a saved configuration, as "key: before -> now"; harmless keys are left out.

    More `train.epochs` are harmless, too, if the rate does not depend on the end: schedules `constant` and `step`.
    Keys that the saved configuration does not have yet count as having had their defaults.
    """
    with suppress(ValidationError):  # a key that is no longer known shows up as a difference
        before = Config.model_validate(before).model_dump(mode="json")
    old, new = flat_keys(before), flat_keys(config.model_dump(mode="json"))
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} - set(HARMLESS)
    if config.train.schedule.name in ("constant", "step") and config.train.epochs > old["train.epochs"]:
        changed.discard("train.epochs")
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in sorted(changed)]


def flat_keys(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings.

    Example:
        >>> flat_keys({"train": {"lr": 0.1}, "seed": 0})
        {'train.lr': 0.1, 'seed': 0}
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= flat_keys(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every random generator that this process may draw from, as plain values and tensors."""
    name, keys, *rest = cast(tuple[str, Any, int, int, float], np.random.get_state(legacy=True))
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "device": None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(),
    }


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore what `random_state` returned; the generator of a GPU only where this process has one, too."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["device"] is not None and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state["device"])
