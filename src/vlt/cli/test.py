"""`vlt test`: how good a checkpoint is on a data set."""

from __future__ import annotations

import shlex
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlt.cli.shell import PATH, Command, checked, device_option, examples, refine_option, set_option, writable_file
from vlt.errors import ConfigError, VLTWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlt.checkpoint import Checkpoint
    from vlt.config import Config, Half
    from vlt.evaluate import Provenance, Report
    from vlt.types import Referrals


@click.command(
    cls=Command,
    epilog=examples(
        "vlt test configs/tiny.yaml",
        "vlt test configs/refcoco.yaml --split testA --split testB --protocol original --worst 20 worst",
    ),
)
@click.argument("config", type=PATH)
@click.option("--checkpoint", type=PATH, help="A checkpoint or a run.  [default: the best of CONFIG's output_dir]")
@click.option("--split", "splits", multiple=True, help="May be repeated.  [default: CONFIG's data.val_split]")
@click.option(
    "--half", type=click.Choice(["a", "b"]), help="Of each split, by a hash of the photos' names.  [default: all of it]"
)
@click.option(
    "--protocol",
    type=click.Choice(["vlt", "original"]),
    default="vlt",
    show_default=True,
    help="What counts as what; `original` is that of the 2021 code, its threshold of 0.35 included.",
)
@click.option(
    "--output", type=PATH, callback=checked(writable_file), help="The report as JSON.  [default: beside the checkpoint]"
)
@click.option(
    "--per-sample", type=PATH, callback=checked(writable_file), help="The IoU of each sentence, as JSON lines."
)
@click.option("--worst", type=(click.IntRange(min=1), PATH), metavar="N DIR", help="Pictures of the N worst answers.")
@click.option(
    "--dummies",
    is_flag=True,
    help="Score the whole photo, a centred box of the mean size and the noun alone beside it.",
)
@refine_option
@device_option
@set_option
def test(
    config: Path,
    checkpoint: Path | None,
    splits: tuple[str, ...],
    half: Half | None,
    protocol: str,
    output: Path | None,
    per_sample: Path | None,
    worst: tuple[int, Path] | None,
    dummies: bool,
    refine: bool,
    device: str | None,
    assignments: tuple[str, ...],
) -> None:
    """Measure a checkpoint on the data of CONFIG: mIoU, oIoU, boundary F and Pr@0.5 to 0.9 at the photos' own size.

    CONFIG says which data, and in its section `evaluate` how answers are found and judged; the network is the
    checkpoint's. The `original` protocol refines nothing and asks no mirrored photo. Several splits write several
    files, with the split in their names. What was chosen on one half of a split is to be reported on the other.
    """
    from vlt.checkpoint import load_checkpoint
    from vlt.data.dataset import load_referrals
    from vlt.data.halves import take_half
    from vlt.evaluate import Worst, evaluate
    from vlt.files import make_folder
    from vlt.legacy import read_config

    _refuse_network_keys(assignments)
    run = read_config(config, assignments)
    chosen = splits or (run.data.val_split,)
    referrals = {split: take_half(load_referrals(run.data, split), half) for split in chosen}
    loaded = load_checkpoint(checkpoint or run.output_dir, device, refine=refine)
    run = run.model_copy(update={"model": loaded.config.model})
    reports = {
        split: _named(output, split, chosen) or writable_file(_beside(loaded, split, half, protocol, refine))
        for split in chosen
    }
    judge = partial(evaluate, text=loaded.text, config=run, protocol=protocol)
    if worst:
        make_folder(worst[1])
    for split in chosen:
        keep = Worst(worst[0]) if worst else None
        device_used = next(loaded.model.parameters()).device
        ask = partial(judge, loaded.model, device=device_used, refiner=loaded.refiner)
        report = ask(
            referrals=referrals[split],
            on_sample=keep,
            provenance=_provenance(loaded, split, half),
            progress=True,
        )
        if dummies:
            report = _with_dummies(report, referrals[split], run, judge)
            report = _with_nouns(report, referrals[split], run, ask)
        click.echo(str(report))
        report.write(reports[split])
        if lines := _named(per_sample, split, chosen):
            report.write_records(lines)
        if keep and worst:
            keep.save(worst[1] / split if len(chosen) > 1 else worst[1])


def _with_dummies(report: Report, referrals: Referrals, run: Config, judge: Callable[..., Report]) -> Report:
    """The report with what the two dummies score on `referrals`; the box has the mean size of the train split."""
    from vlt.data.dataset import load_referrals
    from vlt.evaluate import dummies

    answerers = dummies(load_referrals(run.data, run.data.train_split))
    rows = {name: judge(answerer, referrals=referrals).scores for name, answerer in answerers.items()}
    return replace(report, dummies=rows)


def _with_nouns(report: Report, referrals: Referrals, run: Config, ask: Callable[..., Report]) -> Report:
    """The report with what the network answers to the nouns alone, where data tell what categories are called."""
    from vlt.data.categories import category_names
    from vlt.evaluate import noun_gain, nouns_alone

    nouns = nouns_alone(referrals, category_names(run.data))
    if not nouns:
        message = "The noun alone was not asked: the data do not tell what their categories are called."
        warnings.warn(VLTWarning(f"{message} `vlt prepare` of today writes it down."), stacklevel=2)
        return report
    alone = ask(referrals=nouns)
    return replace(report, dummies={**report.dummies, "noun alone": alone.scores}, noun_gain=noun_gain(report, alone))


def _refuse_network_keys(assignments: tuple[str, ...]) -> None:
    for assignment in assignments:
        if assignment.strip().startswith("model."):
            raise ConfigError(f"--set {assignment}: `vlt test` takes the network from the checkpoint; leave this out.")


def _named(path: Path | None, split: str, chosen: tuple[str, ...]) -> Path | None:
    """The file of a split: `path`, with the split before its ending where there are several."""
    return path and (path.with_name(f"{path.stem}.{split}{path.suffix}") if len(chosen) > 1 else path)


def _beside(loaded: Checkpoint, split: str, half: Half | None, protocol: str, refine: bool) -> Path:
    """Where a report goes when nothing is said, such as checkpoints/epoch-3.val.json or .val-a.original.json."""
    parts = [
        f"{split}-{half}" if half else split,
        *([] if protocol == "vlt" else [protocol]),
        *([] if refine else ["no-refine"]),
    ]
    return loaded.path.with_name(".".join([loaded.path.name, *parts, "json"]))


def _provenance(loaded: Checkpoint, split: str, half: Half | None) -> Provenance:
    from vlt.checkpoint import source_commit
    from vlt.evaluate import Provenance

    return Provenance(
        split=split,
        half=half,
        checkpoint=str(loaded.path),
        commit=source_commit(),
        command=shlex.join(["vlt", *sys.argv[1:]]),
    )
