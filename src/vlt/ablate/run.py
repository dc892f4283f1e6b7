"""Runs what is missing of a study."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vlt.ablate.study import Planned, Study
from vlt.checkpoint import load_checkpoint, source_commit
from vlt.data.dataset import load_referrals
from vlt.data.halves import take_half
from vlt.evaluate import Provenance, evaluate
from vlt.files import replacing
from vlt.train import train

RESULT = "result.json"
"""What came out of a run; a run that has one is done."""


class Run(NamedTuple):
    """A run of a study.

    Attributes:
        planned: what it is.
        was_done: whether its result was there already.
    """

    planned: Planned
    was_done: bool


def run_study(study: Study) -> Iterator[Run]:
    """Trains and measures each run that has no result yet; one that was killed goes on where it was.

    All runs are checked before the first one starts. What is measured is the last checkpoint, on the
    validation split or on the half of it that the configuration judges by (`evaluate.half`), so that defaults which
    follow a study are not chosen on what they are reported on. Weights are removed behind a result; the run's history
    and curves stay.

    Args:
        study: what to run.

    Yields:
        Each run once its result is there.

    Raises:
        ConfigError: a run's configuration that cannot work.
        VLTError: as from training and evaluation.
    """
    for planned in list(study.planned()):  # a wrong change in the last row is met before hours are spent
        is_done = (planned.folder / RESULT).exists()
        if not is_done:
            _run(planned)
        yield Run(planned, is_done)


def _run(planned: Planned) -> None:
    began = time.monotonic()
    train(planned.config)
    seconds = round(time.monotonic() - began, 1)  # since the run began or was continued
    checkpoint = load_checkpoint(planned.folder / "last", None)
    config = planned.config.model_copy(update={"model": checkpoint.config.model})
    split, half = config.data.val_split, config.evaluate.half
    report = evaluate(
        checkpoint.model,
        checkpoint.text,
        take_half(load_referrals(config.data, split), half),
        config,
        device=next(checkpoint.model.parameters()).device,
        provenance=Provenance(split=split, half=half, checkpoint=str(planned.folder), commit=source_commit()),
    )
    _write(planned.folder / RESULT, {"row": planned.row, "seed": planned.seed, "seconds": seconds, **report.to_dict()})
    for part in ("checkpoints", "resume", "best", "last"):
        _remove(planned.folder / part)


def _write(path: Path, result: dict[str, object]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
