"""`vlt pack`: write a checkpoint in its compact form."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import CHECKPOINT, PATH, Command, examples


@click.command(
    cls=Command,
    epilog=examples(
        "vlt pack runs/tiny packed",
        'vlt pack runs/coco_mini packed --report results/coco_mini.val.json --licence "DINOv2: Apache-2.0"',
    ),
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.argument("out_dir", type=PATH)
@click.option(
    "--report",
    "reports",
    type=PATH,
    multiple=True,
    help="JSON file that `vlt test` wrote about this model, shown by `vlt info`; may be repeated.",
)
@click.option(
    "--licence",
    "licences",
    multiple=True,
    help="Licence of a part or of the data, shown by `vlt info`; may be repeated.",
)
@click.option("--refiner", type=PATH, help="Weights that refine mask outlines, from tools/mobile_sam_from_package.py.")
@click.option(
    "--set",
    "assignments",
    metavar="A.B=VALUE",
    multiple=True,
    help="Change a key of the configuration that needs no other weights, such as inference.threshold; may be repeated.",
)
def pack(
    checkpoint: Path | str,
    out_dir: Path,
    reports: tuple[Path, ...],
    licences: tuple[str, ...],
    refiner: Path | None,
    assignments: tuple[str, ...],
) -> None:
    """Write CHECKPOINT, or the best one of a run, to OUT_DIR in a quarter of its size; print the path and the size.

    Matrices are rounded to one byte per weight. Every command reads the result like any checkpoint; a run cannot be
    resumed from it.
    """
    from vlt.checkpoint.packing import pack_checkpoint

    pack_checkpoint(checkpoint, out_dir, reports=reports, licences=licences, refiner=refiner, assignments=assignments)
    size = sum(path.stat().st_size for path in out_dir.rglob("*") if path.is_file())
    click.echo(f"{out_dir}  {size / 1e6:.1f} MB")
