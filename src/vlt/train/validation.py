"""Validation after an epoch: every sentence asked, the best checkpoint found, a few answers drawn."""

from __future__ import annotations

from accelerate import Accelerator

from vlt.config import Config
from vlt.data.photo import read_image
from vlt.evaluate import Outcome, Report, Shard, evaluate
from vlt.model.vlt import VLT
from vlt.train.log import RunLog
from vlt.train.setup import TrainData
from vlt.visualize import compare


def validate(
    network: VLT, data: TrainData, config: Config, accelerator: Accelerator, log: RunLog, *, step: int
) -> Report:
    """Judges a network on the validation split, over all processes, and logs scores and pictures.

    Args:
        network: not wrapped for distribution.
        data: whose `val` is asked.
        config: of the run.
        accelerator: each of its processes asks its share, no sentence twice.
        log: of the run.
        step: optimiser steps done, the place on TensorBoard's axis.
    """
    shown: list[Outcome] = []

    def show(outcome: Outcome) -> None:
        if len(shown) < config.train.pictures:
            shown.append(outcome)

    report = evaluate(
        network, data.text, data.val, config, device=accelerator.device, on_sample=show, shard=Shard.of(accelerator)
    )
    _log_scores(report, log, step)
    _log_pictures(shown, log, step)
    return report


def _log_scores(report: Report, log: RunLog, step: int) -> None:
    scores = report.scores
    precision = {f"val/precision_{level:g}": share for level, share in scores.precision.items()}
    log.scalars(step, {"val/miou": scores.miou, "val/oiou": scores.oiou, "val/boundary": scores.boundary, **precision})


def _log_pictures(shown: list[Outcome], log: RunLog, step: int) -> None:
    for place, outcome in enumerate(shown, 1):
        caption = f"{outcome.record.expression}\nIoU {outcome.record.iou:.3f}"
        picture = compare(read_image(outcome.referral.image), outcome.target, outcome.mask, caption)
        log.picture(step, f"val/{place}", picture)
