"""Runs what is missing of a study."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from filelock import FileLock, Timeout

from vlt.ablate.study import Planned, Study
from vlt.checkpoint import load_checkpoint, source_commit
from vlt.data.dataset import load_referrals
from vlt.data.halves import take_half
from vlt.errors import ConfigError, DataError, DivergedError
from vlt.evaluate import Provenance, evaluate
from vlt.files import make_folder, replacing
from vlt.train import changed_keys, train

RESULT = "result.json"
"""What came out of a run; a run that has one is done."""

Outcome: TypeAlias = Literal["done", "was done", "runs elsewhere", "diverged"]


class Run(NamedTuple):
    """A run of a study.

    Attributes:
        planned: what it is.
        outcome: whether its result was there already, came about now, is another process's business, or will never be
            there since the loss did not stay finite.
        error: why not.
    """

    planned: Planned
    outcome: Outcome
    error: DivergedError | None = None


def run_study(study: Study) -> Iterator[Run]:
    """Trains and measures each run that has no result yet; one that was killed goes on where it was.

    All configurations are checked before the first run starts. What is measured is the last checkpoint, on the
    validation split or on the half of it that the configuration judges by (`evaluate.half`), so that defaults which
    follow a study are not chosen on what they are reported on. Weights are removed behind a result; the run's history
    and curves stay. Several processes may share a study: what one is at, the others leave to it.

    Args:
        study: what to run.

    Yields:
        Each run in its turn.

    Raises:
        ConfigError: a run's configuration that cannot work; a result of another configuration; a launcher of several
            processes that train together.
        VLTError: as from training and evaluation; a run that diverges is told, and the study goes on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # accelerate would not know yet on a machine without a GPU
        raise ConfigError("A study trains each run in one process; start `vlt ablate` itself, as often as you like.")
    plan = list(study.planned())  # a wrong change in the last row is met before hours are spent
    for planned in plan:
        _refuse_other(planned)
    for planned in plan:
        yield _in_turn(planned)


def _in_turn(planned: Planned) -> Run:
    make_folder(planned.folder)
    try:
        with FileLock(planned.folder / "lock", blocking=False):
            is_done = (planned.folder / RESULT).exists()
            if not is_done:
                _run(planned)
            for part in ("checkpoints", "resume", "best", "last"):
                _remove(planned.folder / part)
    except Timeout:
        return Run(planned, "runs elsewhere")
    except DivergedError as error:
        return Run(planned, "diverged", error)
    return Run(planned, "was done" if is_done else "done")


def _refuse_other(planned: Planned) -> None:
    """Refuses a result whose row has been given another meaning since."""
    path = planned.folder / RESULT
    if path.exists() and (changes := changed_keys(read_result(path)["config"], planned.config)):
        raise ConfigError(
            f"{path} is of another configuration ({'; '.join(changes)}); set these back, name the row anew, "
            "or remove the file."
        )


def read_result(path: Path) -> dict[str, Any]:
    """What a run found.

    Raises:
        DataError: it cannot be read.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_bytes())
        result["scores"], result["config"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"The result {path} cannot be read ({error}); remove it, and its run is made again.") from None
    return result


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
    about = {"row": planned.row, "seed": planned.seed, "seconds": seconds}
    _write(planned.folder / RESULT, {**about, **report.to_dict(), "config": planned.config.model_dump(mode="json")})


def _write(path: Path, result: dict[str, object]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
