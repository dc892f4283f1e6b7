"""The run: epochs of steps, validation, checkpoints, and a state to continue from after any interruption."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object, set_seed

from vlt.checkpoint import prune_checkpoints, save_checkpoint, set_pointer
from vlt.config import Config, dump_config
from vlt.data.collate import Collate, pad_to
from vlt.errors import DivergedError, TrainingError
from vlt.model.build import resolve
from vlt.train.interrupt import StopRequest
from vlt.train.learner import Gradient, Learner
from vlt.train.log import RunLog
from vlt.train.order import batch_loader, micro_batches
from vlt.train.resume import Progress, ResumeState
from vlt.train.setup import build_network, load_data, make_run_dir, readings_of, start_accelerator
from vlt.train.validation import validate
from vlt.types import Batch


def train(config: Config) -> Path:
    """Trains, or continues a run that was interrupted.

    The run directory holds `config.yaml`, `checkpoints/` with the pointers `best` and `last`, `history.jsonl`, `log/`
    for TensorBoard, and `resume/`. A run killed at any moment and started again goes on from the last state saved
    (every `train.save_every_steps`, and around each validation); on a CPU it ends with the very same parameters.

    Args:
        config: of the run.

    Returns:
        The run directory, `config.output_dir`.

    Raises:
        ConfigError: a folder, batch, precision or warm-up that cannot work; a run started with another configuration.
        DataError: data that cannot be read.
        CheckpointError: pretrained parts or a resume state that cannot be read; a checkpoint that cannot be written.
        DivergedError: the loss is no longer finite.
        TrainingError: the resume state cannot be written; the run was asked to stop.
    """
    training = Training(config)
    training.run()
    training.accelerator.end_training()
    return config.output_dir


class Training:
    """One run, as one of its processes sees it.

    Args:
        config: of the run.
    """

    def __init__(self, config: Config) -> None:
        self.accelerator = start_accelerator(config.train, readings_of(config))
        self.run_dir = config.output_dir
        make_run_dir(self.run_dir)
        self.config = config.model_copy(update={"model": resolve(config.model)})
        self.data = load_data(self.config)
        self.steps_per_epoch = self.data.steps(self.config)
        self.learner = self._build_learner()
        self.resume = ResumeState(
            self.run_dir / "resume" / "state.pt",
            accelerator=self.accelerator,
            config=self.config,
            data_fingerprint=self.data.fingerprint,
            parts=self.learner.parts,
        )
        self.progress = self.resume.load() or Progress()
        self.stop = StopRequest()

    def _build_learner(self) -> Learner:
        set_seed(self.config.seed)  # all processes start from the same weights
        learner = Learner(
            build_network(self.config, self.data.text), self.config, self.accelerator, self.steps_per_epoch
        )
        set_seed(self.config.seed, device_specific=True)  # but each drops out in its own way
        return learner

    # ------------------------------------------------------------ epochs

    @property
    def steps_done(self) -> int:
        """Optimiser steps, over the whole run."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step

    def run(self) -> None:
        """Trains and validates, epoch after epoch, until all are done."""
        epochs = self.config.train.epochs
        if self.progress.epoch >= epochs:
            print(f"Nothing left to train. {self._conclusion()}", file=sys.stderr)
            return
        with self._open_log() as self.log, self.stop:
            self.log.say(self._introduction())
            self.log.begin(dump_config(self.config), self.progress.history)
            while self.progress.epoch < epochs:
                self.log.describe(f"epoch {self.progress.epoch + 1}/{epochs}")
                began = time.monotonic()
                self._train_epoch()
                self._validate(began)
            self.log.say(self._conclusion())

    def _open_log(self) -> RunLog:
        return RunLog(
            self.run_dir,
            speaks=self.accelerator.is_main_process,
            total_steps=self.config.train.epochs * self.steps_per_epoch,
            done_steps=self.steps_done,
            every=self.config.train.log_every_steps,
        )

    def _train_epoch(self) -> None:
        """The steps of the epoch that are not done yet. The state is saved behind the last, before validation."""
        every = self.config.train.save_every_steps
        for batches in self._steps():
            if self._step(batches):
                self._leave()
            if every and self.progress.step % every == 0 and self.progress.step < self.steps_per_epoch:
                self.resume.save(self.progress)
        self.resume.save(self.progress)

    def _steps(self) -> Iterator[list[Batch]]:
        """This process's batches for each optimiser step of the epoch that is not done yet."""
        config, epoch = self.config, self.progress.epoch
        indices = micro_batches(
            self.data.order(config, epoch),
            batch_size=config.train.batch_size,
            accumulate=config.train.accumulate,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
            skip_steps=self.progress.step,
        )
        samples, collate = self.data.samples(config, epoch), Collate(pad_to(config.model))
        on_gpu = self.accelerator.device.type == "cuda"
        batches = iter(batch_loader(samples, indices, collate, workers=config.train.workers, pin=on_gpu))
        while step := list(islice(batches, config.train.accumulate)):
            yield step

    def _step(self, batches: Sequence[Batch]) -> bool:
        """One optimiser step; whether the run was asked to stop by then."""
        rate = self.learner.rate
        gradient = self.learner.gradient(batches, self.stop)
        if not self.learner.is_sound(gradient):
            self._refuse_step(gradient, batches, rate)
        self.learner.update()
        self.progress.count_step(gradient.losses)
        self.log.step(self.steps_done, gradient.losses, rate=rate, gradient_norm=gradient.norm)
        return gradient.stop

    # ------------------------------------------------------------ validation

    def _validate(self, began: float) -> None:
        """Judges the epoch, keeps its checkpoint, and saves the state behind it."""
        report = validate(self.learner.judged, self.data, self.config, self.accelerator, self.log, step=self.steps_done)
        entry = {
            "epoch": self.progress.epoch + 1,
            "step": self.steps_done,
            "seconds": round(time.monotonic() - began, 1),  # since the epoch began or was continued
            "losses": self.progress.mean_losses(),
            **report.scores.to_dict(),
        }
        is_best = not self.progress.history or self._score(entry) > self._score(self._best())
        if self.accelerator.is_main_process:
            self._keep(entry, is_best)
        self.progress.finish_epoch(entry)
        self.resume.save(self.progress)
        self.log.history(self.progress.history)
        self.log.say(_describe(entry) + (" (best so far)" if is_best else ""))

    def _keep(self, entry: dict[str, Any], is_best: bool) -> None:
        """Writes the epoch's checkpoint, points to it, and removes those that nothing points to."""
        name = f"epoch-{entry['epoch']:03d}"
        save_checkpoint(
            self.run_dir / "checkpoints" / name,
            model=self.learner.judged,
            config=self.config,
            text=self.data.text,
            meta={
                "data_fingerprint": self.data.fingerprint,
                "metric": self.config.evaluate.select_by,
                "split": self.config.data.val_split,
                "score": self._score(entry),
                "epoch": entry["epoch"],
                "step": entry["step"],
            },
        )
        if is_best:
            set_pointer(self.run_dir, "best", name)
        set_pointer(self.run_dir, "last", name)
        prune_checkpoints(self.run_dir)

    def _score(self, entry: dict[str, Any]) -> float:
        score: float = entry[self.config.evaluate.select_by]
        return score

    def _best(self) -> dict[str, Any]:
        """The first of the finished epochs with the highest score."""
        return max(self.progress.history, key=self._score)

    # ------------------------------------------------------------ ends

    def _leave(self) -> None:
        """Saves the state and raises the error that says how to go on."""
        self.resume.save(self.progress)
        raise TrainingError(
            f"Stopped as asked at {self._place()}; the state is saved in {self.run_dir}: "
            "run the same command again to go on."
        )

    def _refuse_step(self, gradient: Gradient, batches: Sequence[Batch], rate: float) -> None:
        """Raises the error that names the step; parameters and the state on the disk are from before it."""
        ids = gather_object([referral.ref_id for batch in batches for referral in batch.referrals])
        raise DivergedError(
            f"The loss is {gradient.losses['total']:g} and its gradient's norm {gradient.norm:g} at {self._place()}, "
            f"learning rate {rate:g}, with the referrals {', '.join(map(str, ids))}; look at these, or start in "
            f"another output_dir with a lower train.lr or train.clip_norm (what {self.run_dir} holds stays as it was)."
        )

    def _place(self) -> str:
        return f"epoch {self.progress.epoch + 1}, step {self.progress.step} of {self.steps_per_epoch}"

    def _introduction(self) -> str:
        """What is about to be trained, on what."""
        parameters = list(self.learner.network.parameters())
        total, trained = (
            sum(p.numel() for p in some) for some in (parameters, (p for p in parameters if p.requires_grad))
        )
        return (
            f"{'Continuing' if self.steps_done else 'Training'} at {self._place()}: {self.data.count} referrals, "
            f"batches of {self.config.train.batch_size}, {trained:,} of {total:,} parameters train, on "
            f"{self.accelerator.num_processes} x {self.accelerator.device.type}"
        )

    def _conclusion(self) -> str:
        return f"Finished {self.progress.epoch} epochs in {self.run_dir}; best: {_describe(self._best())}"


def _describe(entry: dict[str, Any]) -> str:
    """A finished epoch on one line."""
    return (
        f"epoch {entry['epoch']}: loss {entry['losses']['total']:.4f}, val mIoU {100 * entry['miou']:.2f}, "
        f"oIoU {100 * entry['oiou']:.2f} over {entry['count']} sentences, {entry['seconds']:.0f} s"
    )
