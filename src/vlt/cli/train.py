"""`vlt train`: from a configuration to a run."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import PATH, Command, examples, set_option


@click.command(
    cls=Command,
    epilog=examples(
        "vlt train configs/tiny.yaml",
        "vlt train configs/tiny.yaml --set train.lr=1e-4 --set output_dir=runs/slower",
    ),
)
@click.argument("config", type=PATH)
@set_option
def train(config: Path, assignments: tuple[str, ...]) -> None:
    """Train the network that CONFIG describes; print the run's folder.

    CONFIG is a YAML file of ours or one of the original's. A run that was stopped or killed goes on when the same
    command is given again.
    """
    from vlt.legacy import read_config

    checked = read_config(config, assignments)  # before the slow import that follows
    from vlt.train import train as run

    click.echo(str(run(checked)))
