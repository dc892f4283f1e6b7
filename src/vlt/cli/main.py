"""The `vlt` command: the group that contains all others."""

from __future__ import annotations

import click

from vlt.cli.ablate import ablate
from vlt.cli.adapt import adapt
from vlt.cli.convert import convert
from vlt.cli.doctor import doctor
from vlt.cli.export import export
from vlt.cli.info import info
from vlt.cli.pack import pack
from vlt.cli.predict import predict
from vlt.cli.prepare import prepare
from vlt.cli.push import push
from vlt.cli.shell import SETTINGS, Shell, examples
from vlt.cli.table import table
from vlt.cli.test import test
from vlt.cli.train import train
from vlt.version import __version__


@click.group(
    cls=Shell,
    context_settings=SETTINGS,
    epilog=examples(
        "vlt train configs/tiny.yaml",
        'vlt predict photo.jpg "the dog on the left" --checkpoint runs/tiny',
    ),
)
@click.version_option(__version__, prog_name="vlt")
def main() -> None:
    """Segment the object that an expression refers to: prepare data, train, test, predict.

    Results go to stdout, everything else to stderr. The exit code is 0 for success, 2 for wrong usage or a wrong
    configuration, 1 for any other error.
    """


for command in (prepare, doctor, train, test, table, predict, adapt, info, pack, push, export, ablate, convert):
    main.add_command(command)
