"""The state of a run, so that a run killed at any moment goes on as if it had not been."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from pydantic import ValidationError

from vlt.config import Config
from vlt.errors import CheckpointError, ConfigError, DataError, TrainingError
from vlt.files import replacing

FORMAT = 1
"""Of the state file; raised when an older `vlt` could no longer read what this one writes."""

HARMLESS = (
    "output_dir",
    "data.root",  # moved data is recognised by its fingerprint
    "data.images",
    "data.compose.instances",
    "data.compose.images",
    "data.compose.people",
    "train.workers",
    "train.save_every_steps",
    "train.log_every_steps",
    "train.pictures",
    "evaluate.batch_size",
)
"""Keys that may change between two parts of a run, since they change none of its parameters."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: epochs finished, validation included.
        step: optimiser steps done since.
        sums: of each loss over those steps.
        history: of each finished epoch, what history.jsonl tells of it.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def count_step(self, losses: Mapping[str, float]) -> None:
        """One optimiser step more."""
        self.step += 1
        self.sums = {name: self.sums.get(name, 0.0) + loss for name, loss in losses.items()}

    def mean_losses(self) -> dict[str, float]:
        """Of the steps since the last finished epoch."""
        return {name: total / self.step for name, total in self.sums.items()}

    def finish_epoch(self, entry: dict[str, Any]) -> None:
        """One epoch more, validated."""
        self.history.append(entry)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}


class Stateful(Protocol):
    """A part of a run that has a state: model, optimiser, schedule, moving average, gradient scaler."""

    def state_dict(self) -> dict[str, Any]:
        """The state, of tensors and plain values."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Takes a state back."""


@dataclass(frozen=True)
class ResumeState:
    """The one file that a run continues from.

    Attributes:
        path: of the file; it is replaced whole, so that a crash while saving leaves the earlier one.
        accelerator: whose processes each have a random state of their own.
        config: of the run; it must not change, except for the keys in `HARMLESS`.
        data_fingerprint: of what is learnt from; it must not change either.
        parts: all that has a state, by name.
    """

    path: Path
    accelerator: Accelerator
    config: Config
    data_fingerprint: str
    parts: Mapping[str, Stateful]

    def save(self, progress: Progress) -> None:
        """Writes everything that the next step depends on; to be called by all processes.

        Raises:
            TrainingError: the file cannot be written; the earlier one stays.
        """
        random_states = gather_object([random_state(self.accelerator.device)])
        if self.accelerator.is_main_process:
            buffer = io.BytesIO()  # a full disk is then met by one plain write
            torch.save(self._content(progress, random_states), buffer)
            _write(self.path, buffer)
        self.accelerator.wait_for_everyone()

    def load(self) -> Progress | None:
        """Takes the saved state back into the parts and the random generators; None where nothing was saved.

        Raises:
            CheckpointError: the file is damaged, or from a newer format.
            ConfigError: the configuration, the data or the number of processes changed.
        """
        if not self.path.exists():
            return None
        content = _read(self.path)
        self._refuse_changes(content)
        for name, part in self.parts.items():
            part.load_state_dict(content["parts"][name])
        restore_random_state(content["random"][self.accelerator.process_index], self.accelerator.device)
        return Progress(**content["progress"])

    def _content(self, progress: Progress, random_states: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "data_fingerprint": self.data_fingerprint,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "random": random_states,
            "progress": asdict(progress),
        }

    def _refuse_changes(self, content: Mapping[str, Any]) -> None:
        remedy = f"to start afresh, name another output_dir or delete {self.config.output_dir}"
        if changes := changed_keys(content["config"], self.config):
            raise ConfigError(
                f"The run in {self.config.output_dir} was started with another configuration ({'; '.join(changes)}); "
                f"set these back to continue it, or, {remedy}."
            )
        if content["data_fingerprint"] != self.data_fingerprint:
            raise ConfigError(
                f"The data of the run in {self.config.output_dir} changed since it was started (fingerprint "
                f"{content['data_fingerprint']}, now {self.data_fingerprint}); bring them back to continue it, "
                f"or, {remedy}."
            )
        before, now = len(content["random"]), self.accelerator.num_processes
        if before != now:
            raise ConfigError(
                f"The run in {self.config.output_dir} was started on {before} processes and cannot continue on {now}; "
                f"use {before}, or, {remedy}."
            )


def changed_keys(before: Mapping[str, Any], config: Config) -> list[str]:
    """What differs from a saved configuration, as "key: before -> now", harmless keys left out.

    More `train.epochs` are harmless too where the rate does not depend on the end: schedules `constant` and `step`.
    Keys that are younger than the saved configuration are taken to have stood at their defaults.
    """
    old, new = _flat(_completed(before)), _flat(config.model_dump(mode="json"))
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} - set(HARMLESS)
    if config.train.schedule.name in ("constant", "step") and config.train.epochs > old["train.epochs"]:
        changed.discard("train.epochs")
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in sorted(changed)]


def _completed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A saved configuration with the defaults of what it lacks; as it is where a key of it is known no more."""
    try:
        return Config.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every random generator that this process may draw from, as plain values and tensors."""
    name, keys, *rest = cast(tuple[str, Any, int, int, float], np.random.get_state(legacy=True))
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        "device": None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(),
    }


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Takes back what `random_state` gave."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["device"] is not None:
        torch.get_device_module(device).set_rng_state(state["device"])


def _write(path: Path, buffer: io.BytesIO) -> None:
    try:
        with replacing(path) as file:
            file.write(buffer.getbuffer())
    except DataError as error:
        reason = str(error).rstrip(".")
        raise TrainingError(
            f"{reason}; make room and run the same command again, it continues from the state saved before."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        newer = content["format"] > FORMAT
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"The resume state {path} is damaged ({reason}); the checkpoints beside it are not: "
            "keep those and train on in another output_dir."
        ) from error
    if newer:
        raise CheckpointError(
            f"{path} has resume format {content['format']}, but this vlt reads up to format {FORMAT}; upgrade vlt."
        )
    return content


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys joined by dots."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result
