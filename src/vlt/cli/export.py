"""`vlt export`: graphs of a checkpoint for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import PATH, Command, examples, set_threads, threads_option


@click.command(cls=Command, epilog=examples("vlt export runs/tiny exported"))
@click.argument("checkpoint", type=PATH)
@click.argument("out_dir", type=PATH)
@threads_option
def export(checkpoint: Path, out_dir: Path, threads: int | None) -> None:
    """Write CHECKPOINT, or the best one of a run, to OUT_DIR with graphs that ONNX Runtime runs without PyTorch.

    The graphs read their weights from the same files as PyTorch does, and are compared with the network at many sizes.
    Every command reads the result like any checkpoint; `vlt pack` before makes it smaller.
    """
    set_threads(threads)
    from vlt.export.run import export_checkpoint

    export_checkpoint(checkpoint, out_dir, say=click.echo)
    size = sum(path.stat().st_size for path in out_dir.rglob("*") if path.is_file())
    click.echo(f"{out_dir}  {size / 1e6:.1f} MB")
