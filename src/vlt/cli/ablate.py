"""`vlt ablate`: run an ablation study."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import PATH, Command, checked, examples, writable_file

PLOTS = (".pdf", ".svg", ".png", ".jpg", ".jpeg")
"""Suffixes of the formats that matplotlib writes."""


def writable_plot(path: Path) -> Path:
    """Check that a plot can be written, and that its suffix names a known format."""
    if path.suffix.lower() not in PLOTS:
        raise click.BadParameter(f"{path} names no picture format; end it in {' or '.join(PLOTS)}.")
    return writable_file(path)


@click.command(
    cls=Command,
    epilog=examples("vlt ablate study.yaml", "vlt ablate study.yaml --plot study.pdf"),
)
@click.argument("study", type=PATH)
@click.option("--plot", type=PATH, callback=checked(writable_plot), help="Plot with error bars; needs matplotlib.")
@click.option("--output-dir", type=PATH, help="Folder of the results, in place of the study's own.")
@click.option("--summary-only", is_flag=True, help="Run nothing; summarise the results so far.")
def ablate(study: Path, output_dir: Path | None, plot: Path | None, summary_only: bool) -> None:
    """Run the missing runs of STUDY, and print a table of all results.

    STUDY is a YAML file with a base configuration, single changes by name, seeds and an output_dir. Each run writes its
    result.json there; runs that have one are skipped, and an interrupted run continues. The command may run several
    times at once; each process leaves the runs of the others alone. The tables are written to summary.md, and all
    results to summary.jsonl.
    """
    from vlt.ablate.run import run_study
    from vlt.ablate.study import read_study
    from vlt.ablate.summary import plot_study, read_rows, require_matplotlib, study_table
    from vlt.ablate.table import read_results, write_table
    from vlt.errors import DataError, DivergedError
    from vlt.files import replacing

    chosen = read_study(study)
    if output_dir:
        chosen = chosen.model_copy(update={"output_dir": output_dir})
    if plot:
        require_matplotlib()
    diverged = 0
    if not summary_only:
        for run in run_study(chosen):
            line = f"{run.planned.row}, seed {run.planned.seed}: {run.outcome}, {run.planned.folder}"
            click.echo(f"{line}: {run.error}" if run.error else line, err=True)
            diverged += run.error is not None
    results = read_results(chosen)
    if not results:
        raise DataError(f"{chosen.output_dir} holds no result yet; leave --summary-only out.")
    rows = read_rows(results)
    table = study_table(rows)
    click.echo(table, nl=False)
    with replacing(chosen.output_dir / "summary.md") as file:
        file.write(table.encode())
    write_table(results, chosen.output_dir / "summary.jsonl")
    if plot:
        plot_study(rows, plot, title=study.stem)
    if diverged:
        raise DivergedError(f"{diverged} runs diverged, see above; the table is of the others.")
