"""`vlt predict`: a photo and expressions to masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlt.cli.shell import PATH, Command, checked, device_option, examples, refine_option, writable_picture

if TYPE_CHECKING:
    from vlt.predict import Prediction
    from vlt.types import Image

COLOURS = {
    "orange": (255, 96, 0),
    "blue": (0, 114, 255),
    "yellow": (240, 228, 66),
    "pink": (255, 80, 180),
    "green": (0, 200, 120),
    "white": (255, 255, 255),
}
"""Of the masks in one overlay, in the order of the expressions; then from the first again."""


@click.command(
    cls=Command,
    epilog=examples(
        'vlt predict photo.jpg "the dog on the left" "the ball"',
        'vlt predict photo.jpg "the ball" --checkpoint runs/tiny --json',
    ),
)
@click.argument("image", type=PATH)
@click.argument("expressions", metavar="EXPRESSION...", nargs=-1, required=True)
@click.option("--checkpoint", type=PATH, help="A run of `vlt train`, or a checkpoint.  [default: the package's own]")
@click.option(
    "--output",
    type=PATH,
    callback=checked(writable_picture),
    help="The overlay.  [default: for photo.jpg, ./photo-vlt.png]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; an overlay is then written only with --output.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Of the probability.  [default: the checkpoint's]")
@refine_option
@device_option
def predict(
    image: Path,
    expressions: tuple[str, ...],
    checkpoint: Path | None,
    output: Path | None,
    as_json: bool,
    threshold: float | None,
    refine: bool,
    device: str | None,
) -> None:
    """Find what each EXPRESSION means in the photo IMAGE.

    Prints a line per expression and writes one overlay, with a colour for each.
    """
    if output is None and not as_json:
        output = writable_picture(Path(f"{image.stem}-vlt.png"))
    from vlt.data.photo import read_image

    photo = read_image(image)  # before the slow import that follows
    from vlt.predict import load

    predictions = load(checkpoint, device, refine=refine).predict(photo, expressions, threshold=threshold)
    if as_json:
        click.echo(json.dumps([_as_json(prediction) for prediction in predictions], ensure_ascii=False))
    else:
        for colour, prediction in zip(cycle(COLOURS), predictions, strict=False):
            click.echo(f"{colour:<6}  {_describe(prediction)}")
    if output:
        _save_overlay(photo, predictions, output)
        click.echo(f"overlay: {output}", err=as_json)


def _as_json(prediction: Prediction) -> dict[str, Any]:
    rle = prediction.rle
    return {
        "expression": prediction.expression,
        "score": round(prediction.score, 4),
        "box": prediction.box,
        "rle": rle,
        "size": rle["size"],
    }


def _describe(prediction: Prediction) -> str:
    if prediction.box is None:
        return f"score {prediction.score:.2f}  nothing found: {prediction.expression}"
    box = ",".join(f"{side:.0f}" for side in prediction.box)
    share = 100 * prediction.mask.mean()
    return f"score {prediction.score:.2f}  box {box}  {share:.1f} % of the photo: {prediction.expression}"


def _save_overlay(photo: Image, predictions: Sequence[Prediction], path: Path) -> None:
    from vlt.visualize import overlay, save_picture

    for colour, prediction in zip(cycle(COLOURS.values()), predictions, strict=False):
        photo = overlay(photo, prediction.mask, colour=colour)
    save_picture(photo, path)
