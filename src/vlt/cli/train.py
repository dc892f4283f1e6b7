"""`vlt train`: train a network from a configuration."""

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

    CONFIG is a YAML file of this package or of the original code. A run that was stopped or killed continues when the
    same command is given again. A second run in the same folder is refused while the first is in progress.
    With --set train.start_from=RUN training starts from the weights of a checkpoint; `default` is the model
    in the package.
    """
    from vlt.config.reading import read_config

    checked = read_config(config, assignments)  # before torch is imported
    from vlt.train.loop import train as run

    click.echo(str(run(checked)))
