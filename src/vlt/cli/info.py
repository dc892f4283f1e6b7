"""`vlt info`: describe a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from vlt.cli.shell import CHECKPOINT, Command, examples


@click.command(cls=Command, epilog=examples("vlt info runs/tiny", "vlt info runs/tiny --json"))
@click.argument("checkpoint", type=CHECKPOINT, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all scores of the reports.")
def info(checkpoint: Path | str | None, as_json: bool) -> None:
    """Describe the model in CHECKPOINT: its parts and sizes, its training data, its scores.

    CHECKPOINT is a run, a checkpoint or hf://OWNER/NAME; without it, the model in the package is described. Its files
    are also checked for damage.
    """
    from vlt.checkpoint.describe import describe_checkpoint, info_lines
    from vlt.checkpoint.opened import open_checkpoint, verify_files

    opened = open_checkpoint(checkpoint)
    facts = describe_checkpoint(opened)
    verify_files(opened.path, opened.hashes)
    if as_json:
        is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        click.echo(json.dumps(facts, indent=1, ensure_ascii=not is_utf8))
        return
    for title, line in info_lines(facts):
        click.echo(f"{title:<11} {line}")
