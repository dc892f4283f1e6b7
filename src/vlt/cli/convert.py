"""`vlt convert`: convert the original's weights to a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from vlt.cli.shell import PATH, Command, examples, set_option


@click.command(
    cls=Command,
    epilog=examples(
        "vlt convert refcoco.h5 --config refcoco.yaml converted/refcoco",
        "vlt convert refcoco.h5 --config refcoco.yaml converted/refcoco \\\n"
        "      --set model.words.source=text --set model.words.path=vectors.txt",
    ),
)
@click.argument("weights", type=PATH)
@click.argument("out_dir", type=PATH)
@click.option("--config", type=PATH, required=True, help="The original's YAML file that the weights were trained with.")
@set_option
def convert(weights: Path, out_dir: Path, config: Path, assignments: tuple[str, ...]) -> None:
    """Convert WEIGHTS of the original (Keras HDF5) into a checkpoint, OUT_DIR; print its path.

    Needs the word vectors that the weights were trained with (spaCy's en_vectors_web_lg), as an installed spaCy model
    or as a text file named with --set (see below). The checkpoint keeps the most frequent words, and those of the
    prepared annotations that CONFIG names. Without the vectors, it is written with an empty vocabulary.
    """
    from vlt.convert import convert as run

    click.echo(str(run(weights, config, out_dir, assignments)))
