"""`vlt doctor`: everything that is wrong with a configuration, before a long training run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vlt.cli.shell import PATH, Command, examples, set_option


@click.command(
    cls=Command,
    epilog=examples(
        "vlt doctor configs/tiny.yaml",
        "vlt doctor configs/default.yaml --quick",
        "vlt doctor configs/tiny.yaml --set train.batch_size=64 --json",
    ),
)
@click.argument("config", type=PATH)
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all numbers.")
@click.option("--quick", is_flag=True, help="Make no optimiser step, and open 200 photos instead of all.")
@click.pass_context
def doctor(context: click.Context, config: Path, assignments: tuple[str, ...], as_json: bool, quick: bool) -> None:
    """List everything that is wrong with CONFIG before `vlt train CONFIG`, each with its remedy.

    Looked at are data, photos, pretrained parts, the folder of the run, devices, disk and versions. A real optimiser
    step tells how long the run will take, and how much memory. Nothing is written to the run's folder. The exit code
    is 0 if nothing is wrong, 1 if something is, 2 if CONFIG cannot be read; notes are no faults.
    """
    from vlt.config.reading import read_config

    checked = read_config(config, assignments)  # before torch is imported
    from vlt.doctor.examination import examine
    from vlt.train.setup import join_processes

    diagnosis = examine(checked, quick=quick)
    if join_processes().is_main_process:
        click.echo(json.dumps(diagnosis.to_dict(), indent=1) if as_json else str(diagnosis))
    context.exit(0 if diagnosis.ok else 1)
