"""Run a study: train and evaluate every run that has no result yet."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from filelock import FileLock, Timeout

from vlt.ablate.study import Planned, Study
from vlt.ablate.table import RESULT, read_result
from vlt.checkpoint.write import source_commit
from vlt.config.data import dataset_name
from vlt.data.referrals import check_one_kind
from vlt.dataset import load_referrals
from vlt.errors import ConfigError, DataError, DivergedError
from vlt.evaluate.evaluation import evaluate
from vlt.evaluate.report import Provenance
from vlt.files import make_folder, replacing
from vlt.infer.loading import load
from vlt.train.loop import train
from vlt.train.resume import changed_keys

Outcome: TypeAlias = Literal["done", "was done", "runs elsewhere", "diverged"]


class Run(NamedTuple):
    """Outcome of one run of a study.

    Attributes:
        planned: the run.
        outcome: "done": it has a result now; "was done": it had one; "runs elsewhere": another process is training it;
            "diverged": its loss did not stay finite, so that it will have none.
        error: the error of a run that diverged.
    """

    planned: Planned
    outcome: Outcome
    error: DivergedError | None = None


def run_study(study: Study) -> Iterator[Run]:
    """Train and evaluate each run that has no result yet; an interrupted run continues.

    All configurations are checked before the first run starts. The last checkpoint is evaluated on the validation split
    of the configuration. Once a run has its result, its weights are removed; history and curves stay. Several processes
    may run the same study; each leaves the runs of the others alone.

    Args:
        study: the study to run.

    Yields:
        Each run, once it is finished or skipped.

    Raises:
        ConfigError: a configuration that cannot work; a result of another configuration; a launcher of several
            processes that train together.
        VLTError: as from training and evaluation; after a run that diverges the study continues.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # `accelerate` does not see several processes yet without a GPU
        raise ConfigError("A study trains each run in one process; start `vlt ablate` without a launcher.")
    plan = list(study.planned())  # an invalid change in the last row is reported before hours of training
    for planned in plan:
        path = planned.folder / RESULT
        if path.exists() and (changes := changed_keys(read_result(path)["config"], planned.config)):
            raise ConfigError(
                f"{path} is of another configuration ({'; '.join(changes)}); restore these values, rename the row, "
                "or remove the file."
            )
    for planned in plan:
        yield run_planned(planned)


def run_planned(planned: Planned) -> Run:
    """Train and evaluate one run unless it has a result, and remove its weights."""
    make_folder(planned.folder)
    try:
        with FileLock(planned.folder / "lock", blocking=False):
            is_done = (planned.folder / RESULT).exists()
            if not is_done:
                train_and_evaluate(planned)
            for folder in ("checkpoints", "resume"):
                shutil.rmtree(planned.folder / folder, ignore_errors=True)
            for pointer in ("best", "last"):
                (planned.folder / pointer).unlink(missing_ok=True)
    except Timeout:
        return Run(planned, "runs elsewhere")
    except DivergedError as error:
        return Run(planned, "diverged", error)
    return Run(planned, "was done" if is_done else "done")


def train_and_evaluate(planned: Planned) -> None:
    """Train a run, evaluate its last checkpoint, and write the result.

    Raises:
        DataError: the validation split has targets without masks; see `load_referrals`.
    """
    data = planned.config.data
    referrals = load_referrals(data, data.val_split)
    if isinstance(referrals, list) and check_one_kind(referrals):
        raise DataError(
            f"A study compares mIoU, but targets of the split {data.val_split!r} are known by their boxes alone; set "
            "data.val_split to a split with masks."
        )
    began = time.monotonic()
    train(planned.config)
    seconds = round(time.monotonic() - began, 1)  # since the run began or was continued
    report = evaluate(
        load(planned.folder / "last"),
        referrals,
        protocol=planned.config.evaluate.protocol,
        workers=planned.config.train.workers,
        provenance=Provenance(
            dataset=dataset_name(data),
            split=data.val_split,
            checkpoint=str(planned.folder),
            commit=source_commit(),
            seed=planned.seed,
        ),
    )
    about = {"row": planned.row, "seed": planned.seed, "seconds": seconds}
    result = {**about, **report.to_dict(), "config": planned.config.model_dump(mode="json")}
    with replacing(planned.folder / RESULT) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())
