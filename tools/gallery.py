"""Predict expressions about photos and draw the masks in one row, as the pictures of README.md and docs/card.md.

    python tools/gallery.py two.jpg --panel examples/coffee.jpg "cup; the spoon" --panel examples/astronaut.jpg woman

Expressions of a panel are separated by semicolons and drawn in the colours of `vlt predict`: orange, blue, yellow.
Prints the score of each.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image

import vlt
from vlt.visualize import overlay, palette_colour, save_picture, side_by_side

PATH = click.Path(path_type=Path, dir_okay=False)


@click.command(help=__doc__)
@click.argument("output", type=PATH)
@click.option("--panel", "panels", type=(PATH, str), multiple=True, required=True, metavar="PHOTO EXPRESSIONS")
@click.option("--height", type=click.IntRange(min=32), default=320, show_default=True, help="Of a panel, in pixels.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="[default: the model in the package]")
def main(output: Path, panels: list[tuple[Path, str]], height: int, checkpoint: Path | None) -> None:
    """Write the picture and print a line per expression."""
    predictor, drawn = vlt.load(checkpoint), []
    for photo, texts in panels:
        expressions = [text.strip() for text in texts.split(";")]
        predictions = predictor.predict(photo, expressions)
        picture = predictions[0].image
        for number, prediction in enumerate(predictions):
            picture = overlay(picture, prediction.mask, colour=palette_colour(number)[1])
            share = f"{100 * prediction.mask.mean():.1f} %" if prediction.mask.any() else "nothing"
            click.echo(f"{photo.name}: {prediction.expression!r}: {share} of the photo, score {prediction.score:.2f}")
        width = round(height * picture.shape[1] / picture.shape[0])
        drawn.append(np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)))
    save_picture(side_by_side(drawn), output)


if __name__ == "__main__":
    main()
