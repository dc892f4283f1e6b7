"""`vlt table`: a table for a paper from reports of `vlt test`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlt.cli.shell import PATH, Command, checked, examples, writable_file
from vlt.errors import InputError

if TYPE_CHECKING:
    from vlt.evaluate.paper_table import TableFormat


@click.command(
    cls=Command,
    epilog=examples(
        "vlt table results/default.*-b.json",
        "vlt table runs/*/results.json --metric mIoU --metric box --format latex --output table.tex",
    ),
)
@click.argument("results", type=PATH, nargs=-1, required=True)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="mIoU, oIoU, Pr@t such as Pr@0.5, box, boundary, N-acc, T-acc; of videos J&F, J or F; of targets with boxes "
    "alone Acc@t or mAcc; may be repeated.  [default: mIoU, oIoU, Pr@0.5, or Acc@0.5, Acc@0.75, Acc@0.9, mAcc]",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["markdown", "latex"]),
    default="markdown",
    show_default=True,
    help="Markdown, or LaTeX with booktabs.",
)
@click.option(
    "--output", type=PATH, callback=checked(writable_file), help="Write the table to this file.  [default: print it]"
)
def table(results: tuple[Path, ...], metrics: tuple[str, ...], style: TableFormat, output: Path | None) -> None:
    """Make a table for a paper of RESULTS, the JSON reports of `vlt test`: a row per checkpoint, columns per split.

    The best of each column is bold, and the caption states the protocol and each report's file. Reports that were
    scored in different ways, with flipped images or refined outlines in one and not in the other, are refused.
    """
    for path in results:
        if output and output.exists() and path.exists() and os.path.samefile(path, output):
            raise InputError(f"{path} is a report and would be overwritten; choose another file for --output.")
    from vlt.checkpoint.recorded import read_record
    from vlt.evaluate.paper_table import metric_name, paper_table
    from vlt.files import replacing

    names = [metric_name(metric) for metric in metrics]
    text = paper_table([read_record(path) for path in results], names, style)
    if output is None:
        click.echo(text)
        return
    with replacing(output) as file:
        file.write(f"{text}\n".encode())
    click.echo(str(output))
