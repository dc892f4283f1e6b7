"""`vlt ablate`: a study of single changes."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import PATH, Command, checked, examples, writable_picture


@click.command(
    cls=Command,
    epilog=examples("vlt ablate study.yaml", "vlt ablate study.yaml --plot study.png"),
)
@click.argument("study", type=PATH)
@click.option(
    "--plot", type=PATH, callback=checked(writable_picture), help="A picture with error bars; needs matplotlib."
)
@click.option("--output-dir", type=PATH, help="In place of the study's own.")
@click.option("--summary-only", is_flag=True, help="Run nothing; tell what is there.")
def ablate(study: Path, output_dir: Path | None, plot: Path | None, summary_only: bool) -> None:
    """Run what is missing of STUDY, and print a table of what it found.

    STUDY is a YAML file with a base configuration, single changes by name, seeds and an output_dir. Each run leaves its
    result.json there; runs that have one are not made again, and one that was killed goes on where it was. The command
    may run several times at once: what one is at, the others leave to it.
    """
    from vlt.ablate import plot as plots
    from vlt.ablate import read_rows, read_study, run_study, study_table
    from vlt.errors import DataError, DivergedError

    chosen = read_study(study)
    if output_dir:
        chosen = chosen.model_copy(update={"output_dir": output_dir})
    if plot:
        plots.refuse_without_matplotlib()
    diverged = 0
    if not summary_only:
        for run in run_study(chosen):
            told = f"{run.planned.row}, seed {run.planned.seed}: {run.outcome}, {run.planned.folder}"
            click.echo(f"{told}: {run.error}" if run.error else told, err=True)
            diverged += run.error is not None
    rows = read_rows(chosen)
    if not rows:
        raise DataError(f"{chosen.output_dir} holds no result yet; leave --summary-only out.")
    click.echo(study_table(rows), nl=False)
    if plot:
        plots.plot_study(rows, plot, title=study.stem)
    if diverged:
        raise DivergedError(f"{diverged} runs diverged, see above; the table is of the others.")
