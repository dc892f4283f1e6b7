"""Validation during a run: scores of the network that is being trained, and a few pictures for TensorBoard."""

from __future__ import annotations

from accelerate import Accelerator

from vlt.config.run import Config
from vlt.data.image import read_image
from vlt.evaluate.evaluation import Shard, evaluate
from vlt.evaluate.report import Report
from vlt.evaluate.results import Outcome, overlap_text
from vlt.infer.torch_engine import evaluating, torch_predictor
from vlt.model.vlt import VLT
from vlt.train.data import TrainData
from vlt.train.log import RunLog
from vlt.visualize import compare


def validate(
    network: VLT, data: TrainData, config: Config, accelerator: Accelerator, log: RunLog, *, step: int
) -> Report:
    """Evaluate a network on the validation split, over all processes, and log scores and pictures.

    Args:
        network: not wrapped for distributed training.
        data: its `val` is evaluated.
        config: configuration of the run; predictions are made as its `inference` section says, without a refiner.
        accelerator: each of its processes takes a share of the expressions.
        log: log of the run.
        step: number of optimiser steps done.
    """
    shown: list[Outcome] = []

    def show(outcome: Outcome) -> None:
        if len(shown) < config.train.pictures:
            shown.append(outcome)

    with evaluating(network):
        report = evaluate(
            torch_predictor(network, data.text, config, masks=config.train.only != "candidates"),
            data.val,
            protocol=config.evaluate.protocol,
            on_outcome=show,
            shard=Shard.of(accelerator),
            workers=config.train.workers,
        )
    scores = report.scores.to_dict()
    means = {f"val/{name}": scores[name] for name in ("miou", "oiou", "boundary", "box", "macc") if name in scores}
    precision = {f"val/precision_{level:g}": share for level, share in report.scores.precision.items()}
    log.scalars(step, means | precision)
    for place, outcome in enumerate(shown, 1):
        caption = f"{outcome.result.expression}\n{overlap_text(outcome.result)}"
        picture = compare(read_image(outcome.referral.image), outcome.ground_truth, outcome.mask, caption)
        log.picture(step, f"val/{place}", picture)
    return report
