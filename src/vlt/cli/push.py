"""`vlt push`: upload a checkpoint to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import CHECKPOINT, Command, examples


@click.command(cls=Command, epilog=examples("vlt push packed you/zebras", "vlt push runs/mine you/zebras --private"))
@click.argument("checkpoint", type=CHECKPOINT)
@click.argument("name", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make a new repository private; an existing one stays as it is.")
@click.option("--message", help="Message of the commit.  [default: the version of vlt]")
def push(checkpoint: Path | str, name: str, private: bool, message: str | None) -> None:
    """Upload CHECKPOINT, or the best one of a run, to the Hugging Face hub; print its address.

    A model card (README.md) is generated from its configuration, reports and licences, which `vlt pack --report` and
    --licence add, and replaces that of the repository. Everyone then loads it by the name hf://OWNER/NAME. A token is
    needed (`hf auth login`).
    """
    from vlt.checkpoint.share import push_checkpoint

    click.echo(push_checkpoint(checkpoint, name, private=private, message=message))
