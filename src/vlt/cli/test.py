"""`vlt test`: scores of a checkpoint on a data set."""

from __future__ import annotations

import shlex
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlt.cli.shell import (
    CHECKPOINT,
    PATH,
    Command,
    checked,
    device_option,
    engine_option,
    examples,
    refine_option,
    set_option,
    set_threads,
    threads_option,
    writable_file,
)
from vlt.errors import ConfigError, VLTWarning

if TYPE_CHECKING:
    from vlt.config.run import Config
    from vlt.evaluate.evaluation import Shard
    from vlt.evaluate.report import Report
    from vlt.infer.loading import EngineName
    from vlt.infer.predictor import Predictor
    from vlt.types import Referrals


@click.command(
    cls=Command,
    epilog=examples(
        "vlt test configs/tiny.yaml",
        "vlt test configs/reference_refcoco.yaml --split testA --split testB --protocol original --worst 20 worst",
    ),
)
@click.argument("config", type=PATH)
@click.option(
    "--checkpoint",
    type=CHECKPOINT,
    help="A checkpoint, a run or hf://OWNER/NAME.  [default: the best of CONFIG's output_dir]",
)
@click.option("--split", "splits", multiple=True, help="May be repeated.  [default: CONFIG's data.val_split]")
@click.option(
    "--protocol",
    type=click.Choice(["vlt", "original", "grefcoco", "video"]),
    help="Definition of the scores; `original` is that of the 2021 code, its threshold of 0.35 included, `grefcoco` "
    "that of gRefCOCO's benchmark, and `video` adds J and F over the frames of videos.  "
    "[default: CONFIG's evaluate.protocol]",
)
@click.option(
    "--output",
    type=PATH,
    callback=checked(writable_file),
    help="The report as JSON.  [default: beside the checkpoint; of hf://OWNER/NAME in the working folder]",
)
@click.option(
    "--per-sample",
    type=PATH,
    callback=checked(writable_file),
    help="The IoU of each expression, as JSON lines; those of each baseline beside it.",
)
@click.option(
    "--worst", type=(click.IntRange(min=1), PATH), metavar="N DIR", help="Pictures of the N worst predictions."
)
@click.option(
    "--baselines",
    "--dummies",
    is_flag=True,
    help="Score the whole image, a centred box of the mean size, the category's noun alone, and with candidates a box "
    "chosen by rules, too.",
)
@refine_option
@device_option
@engine_option
@threads_option
@set_option
def test(
    config: Path,
    checkpoint: Path | str | None,
    splits: tuple[str, ...],
    protocol: str | None,
    output: Path | None,
    per_sample: Path | None,
    worst: tuple[int, Path] | None,
    baselines: bool,
    refine: bool,
    device: str | None,
    engine: EngineName | None,
    threads: int | None,
    assignments: tuple[str, ...],
) -> None:
    """Evaluate a checkpoint on the data of CONFIG: mIoU, oIoU, boundary F, box accuracy, Pr@t at the images' own size.

    Data and protocol are CONFIG's. The network and how it predicts (threshold, test-time augmentation, refinement,
    input size) are the checkpoint's, unless changed with --set inference.KEY=VALUE or --no-refine; the report says
    what was used. Several splits write several files, with the split in their names. Several processes
    (`accelerate launch -m vlt test CONFIG`) share the expressions; the scores are those of one.
    """
    from vlt.config.data import dataset_name
    from vlt.config.model import VLTConfig
    from vlt.config.reading import override, parse_config, read_config

    run = read_config(config, assignments)
    for assignment in assignments:
        if assignment.strip().startswith("model."):
            raise ConfigError(f"--set {assignment}: `vlt test` takes the network from the checkpoint; leave this out.")
    set_threads(threads)
    from vlt.checkpoint.opened import open_checkpoint
    from vlt.checkpoint.write import source_commit
    from vlt.dataset import load_referrals
    from vlt.evaluate.distractors import among_distractors
    from vlt.evaluate.evaluation import Shard, evaluate
    from vlt.evaluate.report import Provenance
    from vlt.evaluate.worst import Worst
    from vlt.files import make_folder
    from vlt.hub import parse_hub_name
    from vlt.infer.loading import make_predictor
    from vlt.train.setup import join_processes

    state = join_processes()
    shard = Shard.of(state)
    if device is None and (shard.world > 1 or state.device.type != "cpu"):
        device = str(state.device)
    chosen, protocol = splits or (run.data.val_split,), protocol or run.evaluate.protocol
    referrals = {split: load_referrals(run.data, split) for split in chosen}
    opened = open_checkpoint(checkpoint or run.output_dir, refine=refine)
    changes = [assignment for assignment in assignments if is_inference_key(assignment)]
    used = parse_config(override(opened.config.model_dump(mode="json"), changes), f"{opened.path} with --set")
    changed_checkpoint = replace(opened, config=used)
    predictor = make_predictor(changed_checkpoint, device, engine=engine, refine=refine, threads=threads)
    name, place = str(opened.path), opened.path
    if isinstance(checkpoint, str):  # of a hub: the commit is named, and nothing is written into the cache
        hub_name = parse_hub_name(checkpoint)._replace(revision=opened.path.name)
        name, place = str(hub_name), Path(hub_name.repo.replace("/", "--"))
    reports = {}
    for split in chosen:
        changed = [change.strip().partition(".")[2].replace("/", "-") for change in changes]  # such as threshold=0.3
        protocols = [] if protocol == "vlt" else [protocol]
        parts = [split, *protocols, *([] if refine else ["no-refine"]), *changed, "json"]
        beside = place.with_name(".".join([place.name, *parts]))
        reports[split] = split_file(output, split, chosen) or writable_file(beside)
    if worst:
        make_folder(worst[1])
    for split in chosen:
        keep = Worst(worst[0]) if worst else None
        report = evaluate(
            predictor,
            referrals[split],
            protocol=protocol,
            on_outcome=keep,
            shard=shard,
            workers=run.train.workers,
            progress=True,
            provenance=Provenance(
                dataset=dataset_name(run.data),
                split=split,
                checkpoint=name,
                commit=source_commit(),
                seed=run.seed,
                command=shlex.join(["vlt", *sys.argv[1:]]),
            ),
        )
        others: dict[str, Report] = {}
        if baselines:
            has_detector = isinstance(used.model, VLTConfig) and used.model.candidates is not None
            others = baseline_reports(
                predictor, referrals[split], run, protocol, has_detector=has_detector, shard=shard
            )
            scores = {name: each.scores for name, each in others.items()}
            report = replace(report, baselines=scores, distractors=among_distractors(report, others))
        if keep and worst:
            keep.save(worst[1] / split if len(chosen) > 1 else worst[1], shard)
        if shard.rank:
            continue
        click.echo(str(report))
        report.write(reports[split])
        if lines := split_file(per_sample, split, chosen):
            report.write_results(lines)
            for name, each in others.items():
                each.write_results(lines.with_name(f"{lines.stem}.{name.replace(' ', '-')}{lines.suffix}"))


def is_inference_key(assignment: str) -> bool:
    """Whether an assignment sets how predictions are made, by its present key or by that of version 0.1."""
    key = assignment.partition("=")[0].strip()
    return key.startswith("inference.") or key in ("evaluate.threshold", "evaluate.mirror", "evaluate.batch_size")


def baseline_reports(
    predictor: Predictor, referrals: Referrals, run: Config, protocol: str, *, has_detector: bool, shard: Shard
) -> dict[str, Report]:
    """Evaluate the baselines on a split, by name; the box has the mean size of the train split."""
    from vlt.dataset import category_names, load_referrals
    from vlt.evaluate.baselines import category_nouns, centred_box, mean_box_share, whole_image
    from vlt.evaluate.evaluation import evaluate
    from vlt.evaluate.rules import detector_with_rules

    share = mean_box_share(load_referrals(run.data, run.data.train_split))
    functions = {"whole image": whole_image, "centred box": centred_box(share)}
    if has_detector:
        functions["detector with rules"] = detector_with_rules(predictor)
    score = partial(evaluate, protocol=protocol, shard=shard)
    reports = {name: score(function, referrals) for name, function in functions.items()}
    nouns = category_nouns(referrals, category_names(run.data))
    if nouns:
        reports["noun alone"] = score(predictor, nouns)
    else:
        message = "The noun alone was not evaluated, since the data set has no category names;"
        warnings.warn(VLTWarning(f"{message} prepare it again to add them."), stacklevel=2)
    return reports


def split_file(path: Path | None, split: str, chosen: tuple[str, ...]) -> Path | None:
    """Name the file of a split: `path`, with the split before its ending where there are several."""
    return path and (path.with_name(f"{path.stem}.{split}{path.suffix}") if len(chosen) > 1 else path)
