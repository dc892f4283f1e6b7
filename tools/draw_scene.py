"""Draw a synthetic scene as a PNG and print expressions for its shapes; `examples/shapes.png` is one.

python tools/draw_scene.py examples/shapes.png --seed 8
"""

from __future__ import annotations

import random
from pathlib import Path

import click
from PIL import Image

from vlt.synth.shapes import draw_scene
from vlt.synth.words import describe


@click.command(help=__doc__)
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seed", type=int, default=0, show_default=True, help="Seed; no data set has the same scene.")
@click.option("--size", type=click.IntRange(min=32), default=256, show_default=True, help="Height and width in pixels.")
@click.option(
    "--shapes", type=click.IntRange(1, 8), default=6, show_default=True, help="Number of shapes, if there is room."
)
@click.option(
    "--expressions", type=click.IntRange(min=0), default=5, show_default=True, help="Expressions printed per shape."
)
def main(output: Path, seed: int, size: int, shapes: int, expressions: int) -> None:
    """Write the picture and print a line per shape."""
    rng = random.Random(f"example {seed}")
    drawing = draw_scene(rng, (size, size), shapes=(shapes, shapes))
    Image.fromarray(drawing.image).save(output, optimize=True)
    for index, shape in enumerate(drawing.scene.objects):
        colour = next(iter(shape.colours))
        x, y = shape.centre
        wordings = describe(drawing.scene, index, rng, count=expressions)
        click.echo(f"{colour} {shape.noun} at ({x:.0f}, {y:.0f}): {'; '.join(each.text for each in wordings)}")


if __name__ == "__main__":
    main()
