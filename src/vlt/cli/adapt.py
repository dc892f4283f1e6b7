"""`vlt adapt`: train a checkpoint on one's own images, and keep the result only if it is not worse."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import CHECKPOINT, PATH, Command, device_option, examples, set_threads, threads_option


@click.command(
    cls=Command,
    epilog="\n".join(
        [
            examples(
                "vlt adapt garments.jsonl adapted --images photos",
                'vlt predict new.jpg "the belt" --checkpoint adapted',
            ),
            "\n\b\nLines of garments.jsonl, at least 10, better 50:",
            '  {"image": "7.jpg", "expression": "the leather belt", "mask": "masks/7-belt.png"}',
            '  {"image": "7.jpg", "expressions": ["left boot", "her left boot"], "polygon": [[9, 9, 60, 9, 60, 50]]}',
            '  {"image": "8.jpg", "expression": "a hat", "absent": true}',
        ]
    ),
)
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--images", type=PATH, multiple=True, help="Folder of the images; may be repeated.  [default: DATA's]")
@click.option(
    "--instances", type=PATH, multiple=True, help="Instance file of COCO's format with outlines; may be repeated."
)
@click.option(
    "--checkpoint",
    type=CHECKPOINT,
    help="A checkpoint, a run or hf://OWNER/NAME to start from.  [default: the package's]",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Passes over the expressions.  [default: by their number, minutes]"
)
@click.option(
    "--lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate.  [default: that of the start, reduced]"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the training.")
@click.option("--dry-run", is_flag=True, help="Check DATA, print how it is split, and train nothing.")
@device_option
@threads_option
def adapt(
    data: Path,
    out: Path,
    images: tuple[Path, ...],
    instances: tuple[Path, ...],
    checkpoint: Path | str | None,
    epochs: int | None,
    lr: float | None,
    seed: int,
    dry_run: bool,
    device: str | None,
    threads: int | None,
) -> None:
    """Adapt a model to your own images: train it for minutes on the expressions of DATA, and write it to OUT.

    DATA is a file of JSON lines, an export of Label Studio (JSON) or CVAT (XML), or COCO instances with expressions, as
    `vlt prepare` reads them. A fifth of the images is held out, and the scores on them before and after are printed and
    written to OUT/adapt.json. If the adapted model is worse than before, no checkpoint is written and the exit code is
    1.
    """
    set_threads(threads)
    from vlt.adapt import Recipe, read_adapt_data
    from vlt.adapt import adapt as run
    from vlt.adapt.folder import refuse_target
    from vlt.errors import TrainingError

    if dry_run:
        refuse_target(out)
        click.echo(str(read_adapt_data(data, images, instances)))
        return
    report = run(
        data,
        out,
        images=images,
        instances=instances,
        checkpoint=checkpoint,
        recipe=Recipe(epochs=epochs, lr=lr, seed=seed),
        device=device,
        progress=True,
    )
    click.echo(str(report))
    if not report.is_kept:
        raise TrainingError(report.advice())
