"""Measurement of one optimiser step of a run: its time, and the memory at its peak."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator

from vlt.checkpoint.read import Checkpoint
from vlt.config.run import Config
from vlt.doctor.diagnosis import Diagnosis, counted, sized
from vlt.errors import TrainingError
from vlt.train.data import TrainData
from vlt.train.loop import Training, build_training
from vlt.train.memory import machine_memory, peak_process_memory
from vlt.train.optim import count_steps
from vlt.train.setup import RunFolder
from vlt.types import Batch

FULL = 0.9
"""Fraction of the memory above which a run may fail: other programs, validation and longer batches need the rest."""
REMEDY = "raise train.accumulate, lower train.batch_size, or set train.activation_checkpointing to true"
"""Remedy of a step that takes too much memory."""
CORRECT = "correct the section train of the configuration"
"""Remedy of a step whose error names none."""


class StepTimes(NamedTuple):
    """Seconds of an optimiser step after the first.

    Attributes:
        fresh: with images that are seen for the first time.
        seen: with images whose features `train.map_cache` holds already; without a cache the same as `fresh`.
    """

    fresh: float
    seen: float


def check_step(
    config: Config, accelerator: Accelerator, data: TrainData, start: Checkpoint | None, diagnosis: Diagnosis
) -> None:
    """Make a few optimiser steps of a run, and tell how long it will take and how much memory; nothing is written.

    Args:
        config: configuration of the run, its architecture resolved.
        accelerator: accelerator of this process.
        data: training and validation data.
        start: the checkpoint that the run starts from; None: none.
        diagnosis: receives the results.
    """
    times = diagnosis.attempt("step", lambda: measure_step(config, accelerator, data, start), CORRECT, warned="warning")
    if times is None:
        diagnosis.report("step", "could not be made")
        return
    steps = data.steps_per_epoch(config)
    epochs = count_steps(config.train, steps) // steps
    hours = steps * (times.fresh + (epochs - 1) * times.seen) / 3600
    cached = "" if times.seen == times.fresh else f" ({times.fresh:.3g} s in the first epoch)"
    diagnosis.report(
        "step",
        f"{times.seen:.3g} s{cached}; {counted(epochs, 'epoch')} of {counted(steps, 'step')} take about "
        f"{hours:.2g} hours without validation",
        seconds=times.seen,
        first_epoch_seconds=times.fresh,
        steps_per_epoch=steps,
        epochs=epochs,
        hours=hours,
    )
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > cores:
        diagnosis.find(
            "note",
            "step",
            f"The CPU is busy (load {load:.1f} on {counted(cores, 'core')}), so a step is faster on an idle machine.",
            "examine again while no other program is busy",
        )
    check_memory("memory", peak_process_memory(), machine_memory(), diagnosis)
    if accelerator.device.type == "cuda":
        total = torch.cuda.get_device_properties(accelerator.device).total_memory
        check_memory(str(accelerator.device), torch.cuda.max_memory_allocated(accelerator.device), total, diagnosis)


def check_memory(name: str, peak: int | None, total: int | None, diagnosis: Diagnosis) -> None:
    """Compare the memory at the peak of a step with that of the machine or GPU, in bytes; None: it is not known."""
    if peak is None or total is None:
        diagnosis.report(name, "not measured, since the system does not tell")
        return
    diagnosis.report(
        name, f"{sized(peak)} at the peak of a process, of {sized(total)}", peak_bytes=peak, total_bytes=total
    )
    if peak > FULL * total:
        diagnosis.find("warning", name, f"A step takes {sized(peak)}, more than {FULL:.0%} of {sized(total)}.", REMEDY)


def measure_step(config: Config, accelerator: Accelerator, data: TrainData, start: Checkpoint | None) -> StepTimes:
    """Begin the run in a temporary folder, make an optimiser step to warm up, and time the next one.

    The time includes loading the data. A feature cache is begun in the temporary folder, too.

    Args:
        config: see `check_step`.
        accelerator: see `check_step`.
        data: see `check_step`.
        start: see `check_step`.

    Raises:
        VLTError: what would stop the run in its first two steps.
        TrainingError: also where a step fails in PyTorch, as for lack of memory.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name) / "run", is_main=False)  # neither made nor entered
        if config.train.map_cache is not None:
            train = config.train.model_copy(update={"map_cache": Path(name) / "features"})
            config = config.model_copy(update={"train": train})
        try:
            return time_steps(build_training(config, accelerator, folder, data, start))
        except torch.OutOfMemoryError:
            message = f"An optimiser step does not fit into the memory of {accelerator.device}; {REMEDY}."
            raise TrainingError(message) from None
        except RuntimeError as error:  # memory of the CPU; a compiler that is missing
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise TrainingError(f"An optimiser step failed: {reason.rstrip('.')}.") from None


def time_steps(training: Training) -> StepTimes:
    """Make the first steps of a run, and time the second and, where features are cached, that one again.

    Raises:
        DataError: a file that cannot be used.
        DivergedError: the loss is not finite.
    """
    with closing(training.steps()) as steps:
        first = next(steps)
        make_step(training, first)
        began = time.perf_counter()
        second = next(steps, first)  # a run may have one step only
        make_step(training, second)
        fresh = time.perf_counter() - began
        if training.config.train.map_cache is None:
            return StepTimes(fresh, fresh)
        began = time.perf_counter()
        make_step(training, second)
        return StepTimes(fresh, time.perf_counter() - began)


def make_step(training: Training, batches: list[Batch]) -> None:
    """Make one optimiser step and wait until the device has finished it.

    Raises:
        DivergedError: the loss is not finite.
    """
    rate = training.learner.rate
    gradient = training.learner.gradient(batches, training.stop)
    if not training.learner.is_sound(gradient):
        training.refuse_step(gradient, batches, rate)
    training.learner.update()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
