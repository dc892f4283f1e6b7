"""Examination of a configuration: all checks, one after the other; none is left out because an earlier one failed."""

from __future__ import annotations

from accelerate import Accelerator

from vlt.checkpoint.read import Checkpoint
from vlt.config.run import Config
from vlt.doctor.data import check_data, check_output
from vlt.doctor.diagnosis import Diagnosis, counted
from vlt.doctor.machine import check_devices, check_disk, check_versions
from vlt.doctor.parts import FETCH, PARTS, check_parts
from vlt.doctor.step import check_step
from vlt.train.data import TrainData, load_data
from vlt.train.optim import count_steps
from vlt.train.resume import Progress, ResumeState
from vlt.train.setup import join_processes, resolve_model, start_text

AS_INTENDED = "correct data or configuration, unless it is intended"
"""Remedy of messages that name none."""
SAMPLE = 200
"""Number of photos that a quick examination opens."""


def examine(config: Config, *, quick: bool = False) -> Diagnosis:
    """Find everything that is wrong with a run before it is started; nothing is written to its folder.

    Args:
        config: configuration of the run.
        quick: make no optimiser step, and open a sample of `SAMPLE` photos.

    Returns:
        The results of all checks and the findings; a check whose premises failed is reported as left out.
    """
    diagnosis = Diagnosis()
    check_data(config, diagnosis, most=SAMPLE if quick else None)
    has_data = not diagnosis.count("error")
    start = check_parts(config, diagnosis)
    resolved = resolve(config, start, diagnosis)
    check_output(config, diagnosis, is_main=join_processes().is_main_process)
    accelerator = check_devices(config, diagnosis)
    data = None
    if has_data and resolved is not None and accelerator is not None:
        data = check_training(resolved, accelerator, start, diagnosis)
    if quick:
        diagnosis.report("step", "not measured (--quick)")
    elif data is None or resolved is None or accelerator is None:
        diagnosis.report("step", "not measured, since the run cannot begin, or has ended")
    else:
        check_step(resolved, accelerator, data, start, diagnosis)
    check_disk(config, resolved, diagnosis)
    check_versions(diagnosis)
    return diagnosis


def resolve(config: Config, start: Checkpoint | None, diagnosis: Diagnosis) -> Config | None:
    """Write the architecture of pretrained parts into a configuration; None: a part cannot be loaded."""
    if any(finding.severity == "error" and finding.subject.startswith(PARTS) for finding in diagnosis.findings):
        return None
    model = diagnosis.attempt(PARTS, lambda: resolve_model(config.model, start), FETCH)
    return None if model is None else config.model_copy(update={"model": model})


def check_training(
    config: Config, accelerator: Accelerator, start: Checkpoint | None, diagnosis: Diagnosis
) -> TrainData | None:
    """Read the data and the state of an interrupted run as training does, and count the optimiser steps.

    Args:
        config: configuration of the run, its architecture resolved.
        accelerator: accelerator of this process.
        start: the checkpoint that the run starts from; None: none.
        diagnosis: receives the results; what training warns of is noted.

    Returns:
        The data; None: the run cannot begin or continue, or has ended.
    """
    data = diagnosis.attempt("training", lambda: load_data(config, start_text(config, start)), AS_INTENDED)
    if data is None:
        diagnosis.report("training", "cannot begin")
        return None
    train, per_epoch = config.train, data.steps_per_epoch(config)
    steps = diagnosis.attempt("training", lambda: count_steps(train, per_epoch), AS_INTENDED)
    state = ResumeState(config.output_dir / "resume" / "state.pt", accelerator, config, data.fingerprint, {})
    done = diagnosis.attempt("output_dir", lambda: state.load() or Progress(), "set output_dir to another folder")
    before = f"; {counted(done.epoch, 'epoch')} of a run are done" if done and done.epoch else ""
    diagnosis.report(
        "training",
        f"{counted(data.count, 'expression' if train.every_expression else 'referral')} per epoch, "
        f"{counted(train.epochs, 'epoch')} of {counted(per_epoch, 'step')} of {counted(train.batch_size, 'sample')}"
        f"{before}",
        samples=data.count,
        epochs=train.epochs,
        steps_per_epoch=per_epoch,
        batch_size=train.batch_size,
    )
    return None if steps is None or done is None or done.epoch >= train.epochs else data
