"""Training loop: epochs of optimiser steps, validation, checkpoints, and states from which a run resumes."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed

from vlt.checkpoint.directory import prune_checkpoints, set_pointer
from vlt.checkpoint.read import Checkpoint
from vlt.checkpoint.write import save_checkpoint
from vlt.config.reading import dump_config
from vlt.config.run import Config
from vlt.errors import DataError, DivergedError, TrainingError
from vlt.train.data import TrainData, load_data
from vlt.train.learner import Gradient, Learner
from vlt.train.log import RunLog
from vlt.train.resume import Progress, ResumeState, StopRequest
from vlt.train.setup import RunFolder, build_network, load_start, resolve_model, start_accelerator, start_text
from vlt.train.trackers import start_trackers
from vlt.train.validation import validate
from vlt.types import Batch


def train(config: Config) -> Path:
    """Train, or continue a run that was interrupted.

    The run's folder holds `config.yaml`, `checkpoints/` with the pointers `best` and `last`, `history.jsonl`, `log/`
    for TensorBoard, and `resume/`. A run killed at any moment and started again continues from the last saved state
    (every `train.save_every_steps`, at the end of each epoch, before and after each validation), on as many processes
    as it has then; on a CPU and the same number of processes it ends with exactly the same parameters (up to rounding
    where several threads compute the word states that `train.map_cache` keeps in memory). A run that fails before its
    first optimiser step leaves nothing behind.

    Args:
        config: configuration of the run.

    Returns:
        The run's folder, `config.output_dir`.

    Raises:
        ConfigError: a folder, batch, precision or warm-up that cannot work; a run started with another configuration;
            a folder that another run is using; a tracker that is not installed or cannot be started.
        DataError: data that cannot be read; a process that loads data failed.
        CheckpointError: pretrained parts or a resume state that cannot be read; a checkpoint that cannot be written.
        DivergedError: the loss is no longer finite.
        TrainingError: the resume state cannot be written; the run was stopped by a signal.
    """
    accelerator = start_accelerator(config)
    with RunFolder(config.output_dir, is_main=accelerator.is_main_process) as folder:
        prepare(config, accelerator, folder).run()
    accelerator.end_training()
    return config.output_dir


def prepare(config: Config, accelerator: Accelerator, folder: RunFolder) -> Training:
    """Load data, network and saved state of a run.

    Args:
        config: configuration of the run.
        accelerator: accelerator of this process.
        folder: folder of the run, already entered as a context.

    Raises:
        VLTError: see `train`.
    """
    start = load_start(config.train.start_from)
    config = config.model_copy(update={"model": resolve_model(config.model, start)})
    return build_training(config, accelerator, folder, load_data(config, start_text(config, start)), start)


def build_training(
    config: Config, accelerator: Accelerator, folder: RunFolder, data: TrainData, start: Checkpoint | None
) -> Training:
    """Build the network and its optimiser and restore the state that an interrupted run saved; nothing is written.

    Args:
        config: configuration of the run, its architecture resolved.
        accelerator: accelerator of this process.
        folder: folder of the run; need not be entered, nor exist, where the training is not run.
        data: training and validation data.
        start: the checkpoint that the run starts from; None: none.

    Raises:
        CheckpointError: pretrained parts or a state that cannot be read, weights that do not fit.
        ConfigError: a warm-up, a feature cache or a saved state that does not fit the configuration.
        DataError: a folder for the feature cache that cannot be made.
    """
    set_seed(config.seed)  # all processes start from the same weights
    learner = Learner(build_network(config, start), config, accelerator, data.steps_per_epoch(config))
    set_seed(config.seed, device_specific=True)  # but each has its own dropout
    return Training.begin(config, accelerator, folder, data, learner)


@dataclass
class Training:
    """State and loop of a run in one of its processes.

    Attributes:
        config: configuration of the run, its architecture resolved.
        accelerator: accelerator of this process.
        folder: folder of the run.
        data: training and validation data.
        learner: network and optimiser.
        resume: the file from which an interrupted run continues.
        progress: epochs and steps done.
        stop: set by the first Ctrl-C or SIGTERM.
        began: time as of `time.monotonic` at which this part of the epoch began: its start, or the last validation.
        waited: seconds in which the network waited for data since then.
    """

    config: Config
    accelerator: Accelerator
    folder: RunFolder
    data: TrainData
    learner: Learner
    resume: ResumeState
    progress: Progress
    stop: StopRequest = field(default_factory=StopRequest)
    began: float = field(default_factory=time.monotonic)
    waited: float = 0.0

    @classmethod
    def begin(
        cls, config: Config, accelerator: Accelerator, folder: RunFolder, data: TrainData, learner: Learner
    ) -> Training:
        """Begin a run, or continue from the state that was saved in its folder; arguments as the attributes.

        Raises:
            ConfigError: the state is of a run with another configuration.
            CheckpointError: the state cannot be read.
        """
        resume = ResumeState(
            folder.path / "resume" / "state.pt",
            accelerator=accelerator,
            config=config,
            data_fingerprint=data.fingerprint,
            parts=learner.parts,
        )
        return cls(config, accelerator, folder, data, learner, resume, resume.load() or Progress())

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch."""
        return self.data.steps_per_epoch(self.config)

    @property
    def steps_done(self) -> int:
        """Number of optimiser steps done, over the whole run."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step

    @property
    def place(self) -> str:
        """Current epoch and step, for messages."""
        return f"epoch {self.progress.epoch + 1}, step {self.progress.step} of {self.steps_per_epoch}"

    @property
    def best(self) -> dict[str, Any]:
        """History entry of the validation with the highest score; of equal ones the first."""
        return max(self.progress.history, key=lambda entry: float(entry[self.config.evaluate.select_by]))

    @property
    def is_validation_due(self) -> bool:
        """Whether the network is to be validated after the last step that was done, and has not been yet."""
        train, history, epoch = self.config.train, self.progress.history, self.progress.epoch + 1
        if not self.progress.step or (history and history[-1]["step"] == self.steps_done):
            return False
        ends_epoch = self.progress.step == self.steps_per_epoch
        by_epochs = ends_epoch and (epoch % train.validate_every == 0 or epoch == train.epochs)
        return by_epochs or bool(train.validate_every_steps and self.steps_done % train.validate_every_steps == 0)

    def run(self) -> None:
        """Train and validate until all epochs are done."""
        epochs = self.config.train.epochs
        if self.steps_done:
            self.folder.keep()
        if self.progress.epoch >= epochs:
            print(f"Nothing left to train. {self.summary()}", file=sys.stderr)
            return
        with self.log(epochs * self.steps_per_epoch) as log, self.stop, closing(self.steps()) as steps:
            log.say(self.introduction())
            log.begin(dump_config(self.config), self.progress.history)
            while self.progress.epoch < epochs:
                log.describe(f"epoch {self.progress.epoch + 1}/{epochs}")
                self.began, self.waited = time.monotonic(), 0.0
                try:
                    self.train_epoch(log, steps)
                    if self.is_validation_due:
                        self.validate(log)
                    else:
                        self.progress.finish_epoch()  # its state is saved already
                except DataError:
                    # A signal to the whole process group also ends the processes that load data.
                    if self.stop.requested and self.accelerator.num_processes == 1:
                        self.leave()
                    raise
            log.say(self.summary())

    def log(self, total_steps: int) -> RunLog:
        """Make the log of the run.

        Args:
            total_steps: optimiser steps of the whole run.

        Raises:
            ConfigError: a tracker cannot be started.
        """
        return RunLog(
            self.folder.path,
            is_main=self.accelerator.is_main_process,
            trackers=start_trackers(self.accelerator, self.config, self.folder.path, done_steps=self.steps_done),
            total_steps=total_steps,
            done_steps=self.steps_done,
            every=self.config.train.log_every_steps,
        )

    def steps(self) -> Generator[list[Batch], None, None]:
        """Load the batches of each optimiser step that is not done yet, over all epochs."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        yield from self.data.batches(self.config, done_steps=self.steps_done, rank=rank, world=world)

    def train_epoch(self, log: RunLog, steps: Iterator[list[Batch]]) -> None:
        """Make the optimiser steps of the epoch that are not done yet, and save the state after the last.

        Validations within the epoch are made here; one after its last step is not.

        Args:
            log: log of the run.
            steps: see `steps`.
        """
        every = self.config.train.save_every_steps
        for _ in range(self.progress.step, self.steps_per_epoch):
            if self.is_validation_due:  # before the next step, so that a continued run makes up for one that was lost
                self.validate(log)
            began = time.monotonic()
            batches = next(steps)
            self.waited += time.monotonic() - began
            rate = self.learner.rate
            gradient = self.learner.gradient(batches, self.stop)
            if not self.learner.is_sound(gradient):
                self.refuse_step(gradient, batches, rate)
            self.learner.update()
            self.progress.count_step(gradient.losses)
            self.folder.keep()
            log.step(self.steps_done, gradient.losses, rate=rate, gradient_norm=gradient.norm)
            if gradient.stop:
                self.leave()
            is_save_due = self.is_validation_due or (every and self.progress.step % every == 0)
            if is_save_due and self.progress.step < self.steps_per_epoch:
                self.resume.save(self.progress)
        self.resume.save(self.progress)

    def validate(self, log: RunLog) -> None:
        """Validate, save the checkpoint, and save the state after it; after the last step of an epoch, count the epoch.

        Args:
            log: log of the run.
        """
        ends_epoch = self.progress.step == self.steps_per_epoch
        trained = time.monotonic() - self.began
        network = self.learner.averaged_network
        report = validate(network, self.data, self.config, self.accelerator, log, step=self.steps_done)
        entry = {
            "epoch": self.progress.epoch + 1,
            "step": self.steps_done,
            "seconds": round(time.monotonic() - self.began, 1),
            "waited": round(self.waited / trained, 4),
            "losses": self.progress.mean_losses(),
            **report.scores.to_dict(),
        }
        select_by = self.config.evaluate.select_by
        is_best = not self.progress.history or entry[select_by] > self.best[select_by]
        name = f"epoch-{entry['epoch']:03d}" + ("" if ends_epoch else f"-step-{entry['step']:06d}")
        if self.accelerator.is_main_process:
            self.keep_checkpoint(name, entry, is_best=is_best)
        self.progress.history.append(entry)
        if ends_epoch:
            self.progress.finish_epoch()
        self.resume.save(self.progress)
        log.history(self.progress.history)
        log.say(self.describe(entry) + (" (best so far)" if is_best else ""))
        self.began, self.waited = time.monotonic(), 0.0

    def keep_checkpoint(self, name: str, entry: dict[str, Any], *, is_best: bool) -> None:
        """Save the checkpoint of a validation, set the pointers, and remove checkpoints without a pointer.

        Args:
            name: of the checkpoint.
            entry: history entry of the validation.
            is_best: whether its score is higher than all before.
        """
        run_dir = self.folder.path
        save_checkpoint(
            run_dir / "checkpoints" / name,
            model=self.learner.averaged_network,
            config=self.config,
            text=self.data.text,
            meta={
                "data_fingerprint": self.data.fingerprint,
                "metric": self.config.evaluate.select_by,
                "split": self.config.data.val_split,
                "score": entry[self.config.evaluate.select_by],
                "epoch": entry["epoch"],
                "step": entry["step"],
            },
        )
        if is_best:
            set_pointer(run_dir, "best", name)
        set_pointer(run_dir, "last", name)
        prune_checkpoints(run_dir)

    def leave(self) -> None:
        """Save the state after a request to stop, and raise the error that says how to continue."""
        self.resume.save(self.progress)
        self.folder.keep()
        raise TrainingError(
            f"Stopped as requested at {self.place}; the state is saved in {self.folder.path}: "
            "run the same command again to continue."
        )

    def refuse_step(self, gradient: Gradient, batches: Sequence[Batch], rate: float) -> None:
        """Raise the error for a loss that is not finite; parameters and saved state are from before the step."""
        ids = gather_object([referral.ref_id for batch in batches for referral in batch.referrals])
        raise DivergedError(
            f"The loss is {gradient.losses['total']:g} and its gradient's norm {gradient.norm:g} at {self.place}, "
            f"learning rate {rate:g}, with the referrals {', '.join(map(str, ids))}; look at these, or start in "
            f"another output_dir with a lower train.lr or train.clip_norm (the state in {self.folder.path} is from "
            "before this step)."
        )

    def introduction(self) -> str:
        """Describe the run in one line: data, batches, trained parameters, devices."""
        parameters = list(self.learner.network.parameters())
        total = sum(parameter.numel() for parameter in parameters)
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        noun = "expressions" if self.config.train.every_expression else "referrals"
        return (
            f"{'Continuing' if self.steps_done else 'Training'} at {self.place}: {self.data.count} {noun}, "
            f"batches of {self.config.train.batch_size}, {trained:,} of {total:,} parameters train, on "
            f"{self.accelerator.num_processes} x {self.accelerator.device.type}"
        )

    def summary(self) -> str:
        """Describe the result in one line: number of finished epochs, and the best validation."""
        return f"Finished {self.progress.epoch} epochs in {self.folder.path}; best: {self.describe(self.best)}"

    def describe(self, entry: dict[str, Any]) -> str:
        """Describe a validation on one line, by its history entry."""
        step = entry["step"] % self.steps_per_epoch
        names = {"miou": "mIoU", "oiou": "oIoU"} if "miou" in entry else {"box": "box accuracy", "macc": "mAcc"}
        scores = ", ".join(f"{name} {100 * entry[key]:.2f}" for key, name in names.items())
        return (
            f"epoch {entry['epoch']}{f', step {step}' if step else ''}: "
            f"loss {entry['losses']['total']:.4f}, val {scores} over {entry['count']} expressions, "
            f"{entry['seconds']:.0f} s"
            + (f", {100 * entry['waited']:.1f} % of the training waiting for data" if "waited" in entry else "")
        )
