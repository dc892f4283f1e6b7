"""Run of an adaptation: evaluate, train the head, evaluate again, and write the better network."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate.utils import patch_environment, set_seed

from vlt.adapt.data import AdaptData, read_adapt_data
from vlt.adapt.folder import move, refuse_target, workspace
from vlt.adapt.recipe import Recipe, RepeatedData, adapted_config
from vlt.adapt.report import AdaptReport
from vlt.checkpoint.directory import REFINER
from vlt.checkpoint.packing import pack, pack_checkpoint
from vlt.checkpoint.read import Checkpoint, load_checkpoint
from vlt.checkpoint.scaling import from_bytes
from vlt.checkpoint.write import save_checkpoint, source_commit
from vlt.config.run import Config
from vlt.errors import DivergedError, TrainingError
from vlt.evaluate.evaluation import evaluate
from vlt.evaluate.report import Provenance, Report
from vlt.infer.torch_engine import torch_predictor
from vlt.model.vlt import VLT
from vlt.train.learner import Learner
from vlt.train.loop import Training
from vlt.train.memory import peak_memory
from vlt.train.setup import RunFolder, build_network, start_accelerator

REPORT = "adapt.json"
"""Name of the report in the folder of the result."""


def adapt(
    data: Path,
    out: Path,
    *,
    images: Sequence[Path] = (),
    instances: Sequence[Path] = (),
    checkpoint: Path | str | None = None,
    recipe: Recipe | None = None,
    device: str | None = None,
    progress: bool = False,
) -> AdaptReport:
    """Adapt a checkpoint to a user's images: train its head on four fifths of them, and compare on the rest.

    `out` then holds `adapt.json`, and a checkpoint, if the adapted network is at least as good as its start on the
    images that were held out. It appears as a whole; a run that is interrupted or fails leaves nothing there.

    Args:
        data: the expressions, see `read_adapt_data`.
        out: folder of the result, which does not exist yet or is empty.
        images: folders of the images; none: that of `data`.
        instances: instance files with outlines.
        checkpoint: the checkpoint or run to start from; None: the model in the package.
        recipe: numbers of the training; None: the defaults.
        device: such as "cpu" or "cuda:1"; None: a GPU where there is one.
        progress: show progress bars of the evaluations on stderr.

    Raises:
        ConfigError: `out` holds something; a device that this machine does not have.
        DataError: data that cannot be used, see `read_adapt_data`; a file that cannot be written.
        CheckpointError: a checkpoint that cannot be read or written.
        TrainingError: the training diverged or was stopped by a signal.
    """
    began = time.monotonic()
    refuse_target(out)
    found = read_adapt_data(data, images, instances)
    start = load_checkpoint(checkpoint, device)
    with workspace(out) as work:
        config = adapted_config(start.config, found, recipe or Recipe(), source=start.path, folder=work)
        before = evaluate_held_out(start, found, config, start.path, progress=progress)
        network, steps = train_head(start, found, config, work)
        tensors = network.state_dict()
        if start.meta.get("packed"):  # what is evaluated is what will be read
            tensors = from_bytes(pack(tensors))
        start.model.load_state_dict(tensors)
        after = evaluate_held_out(start, found, config, out, progress=progress)
        epochs, minutes = config.train.epochs, (time.monotonic() - began) / 60
        report = AdaptReport(found, start.path, before, after, epochs, steps, minutes, peak_memory())
        result = work / "result"
        if report.is_kept:
            write_result(result, start, config, report, out)
        result.mkdir(exist_ok=True)
        report.write(result / REPORT)
        move(result, out)
    return report


def evaluate_held_out(
    start: Checkpoint, data: AdaptData, config: Config, checkpoint: Path, *, progress: bool
) -> Report:
    """Evaluate the network of a checkpoint on the held-out images, as every command predicts with it.

    Args:
        start: the checkpoint, whose network may have other weights by now.
        data: the expressions.
        config: configuration of the adaptation.
        checkpoint: name of the weights in the report.
        progress: show a progress bar on stderr.
    """
    provenance = Provenance(
        dataset=config.data.dataset if config.data.name == "refer" else None,
        split=config.data.val_split,
        checkpoint=str(checkpoint),
        commit=source_commit(),
        seed=config.seed,
        command=shlex.join(["vlt", *sys.argv[1:]]),
    )
    predictor = torch_predictor(start.model.eval(), start.text, start.config, start.refiner)
    return evaluate(predictor, data.held_out, provenance=provenance, progress=progress)


def train_head(start: Checkpoint, data: AdaptData, config: Config, work: Path) -> tuple[VLT, int]:
    """Train everything but the backbone, the detector and other frozen parts.

    Args:
        start: the checkpoint.
        data: the expressions.
        config: configuration of the adaptation.
        work: folder of the run.

    Returns:
        The moving average of the network, and the number of optimiser steps.

    Raises:
        TrainingError: the training diverged or was stopped by a signal.
    """
    device = next(start.model.parameters()).device
    with ExitStack() as stack:
        if device.type == "cpu":
            stack.enter_context(patch_environment(accelerate_use_cpu="true"))
        elif device.type == "cuda":
            torch.cuda.set_device(device)
        accelerator = start_accelerator(config)
        folder = stack.enter_context(RunFolder(config.output_dir, is_main=True))
        found = RepeatedData(data.train, data.held_out, start.text, data.fingerprint)
        set_seed(config.seed)
        steps = found.steps_per_epoch(config) // config.train.epochs
        learner = Learner(build_network(config, start), config, accelerator, steps)
        training = Training.begin(config, accelerator, folder, found, learner)
        log = stack.enter_context(training.log(training.steps_per_epoch))
        stack.enter_context(training.stop)
        log.say(training.introduction())
        try:
            training.train_epoch(log, training.steps())
        except DivergedError as error:
            raise DivergedError(
                f"The adaptation diverged and nothing was written; check the outlines, or take a lower --lr: {error}"
            ) from error
        except TrainingError as error:
            if training.stop.requested:
                raise TrainingError(f"Stopped as requested at {training.place}; nothing was written.") from error
            raise
    return learner.averaged_network, training.steps_done


def write_result(folder: Path, start: Checkpoint, config: Config, report: AdaptReport, out: Path) -> None:
    """Write the adapted network as a checkpoint, with the refiner and the licences of its start, packed like it.

    Args:
        folder: folder of the checkpoint, which does not exist yet.
        start: the start, whose network has the adapted weights.
        config: configuration of the adaptation.
        report: report of the adaptation.
        out: final place of the folder.

    Raises:
        CheckpointError: the checkpoint cannot be written.
    """
    is_packed = bool(start.meta.get("packed"))
    exact = folder.with_name("exact") if is_packed else folder
    train = config.train.model_copy(update={"map_cache": None})
    written = start.config.model_copy(
        update={"data": config.data, "train": train, "seed": config.seed, "output_dir": out}
    )
    save_checkpoint(
        exact,
        model=start.model,
        config=written,
        text=start.text,
        meta={
            "data_fingerprint": report.data.fingerprint,
            "metric": "miou",
            "split": config.data.val_split,
            "score": report.after.scores.miou,
            "epoch": report.epochs,
            "step": report.steps,
            "licences": start.meta.get("licences", []),
            "reports": [report.after.to_dict()],
        },
    )
    if is_packed:
        shown = folder.with_name("after.json")
        report.after.write(shown)
        refiner = start.path / REFINER
        pack_checkpoint(exact, folder, reports=[shown], refiner=refiner if refiner.exists() else None)
