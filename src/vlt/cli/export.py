"""`vlt export`: graphs of a checkpoint for ONNX Runtime, and a page that runs them in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import CHECKPOINT, PATH, Command, examples, set_threads, threads_option


@click.command(cls=Command, epilog=examples("vlt export runs/tiny exported", "vlt export --web page"))
@click.argument("checkpoint", type=CHECKPOINT, required=False)
@click.argument("out_dir", type=PATH, required=False)
@click.option("--web", type=PATH, metavar="DIR", help="Write a page to DIR that runs CHECKPOINT's graphs in a browser.")
@threads_option
def export(checkpoint: Path | str | None, out_dir: Path | None, web: Path | None, threads: int | None) -> None:
    """Write CHECKPOINT, or the best one of a run, to OUT_DIR with graphs that ONNX Runtime runs without PyTorch.

    The graphs read their weights from the same files as PyTorch does, and are compared with the network at many sizes.
    Every command reads the result like any checkpoint; `vlt pack` before makes it smaller.

    With --web, CHECKPOINT has graphs, and without CHECKPOINT it is the model in the package. Any web server can host
    DIR; the photo never leaves the browser.
    """
    if web is not None:
        if out_dir is not None:
            raise click.UsageError("--web names the folder to write; leave OUT_DIR out.")
        from vlt.export.web import export_page

        size = export_page(checkpoint, web)
        click.echo(f"{web}  {size / 1e6:.1f} MB; to try it: python -m http.server --directory {web}")
        return
    if checkpoint is None or out_dir is None:
        raise click.UsageError("Name CHECKPOINT and OUT_DIR, or --web DIR.")
    set_threads(threads)
    from vlt.export.run import export_checkpoint

    export_checkpoint(checkpoint, out_dir, say=click.echo)
    size = sum(path.stat().st_size for path in out_dir.rglob("*") if path.is_file())
    click.echo(f"{out_dir}  {size / 1e6:.1f} MB")
