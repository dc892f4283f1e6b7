"""Convert the original's weights and configuration to a self-contained checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlt.checkpoint.write import save_checkpoint
from vlt.config.data import ReferDataConfig
from vlt.config.model import ReferenceConfig
from vlt.config.reading import read_config
from vlt.config.run import Config
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import CheckpointError, ConfigError, DataError, VLTWarning
from vlt.legacy.weights import load_keras_checkpoint
from vlt.text.reader import TextReader, VectorReader, build_text
from vlt.text.vectors import WordVectors


def convert(weights: Path | str, original: Path | str, out_dir: Path | str, assignments: Sequence[str] = ()) -> Path:
    """Write a checkpoint from a Keras weight file of the original.

    The checkpoint's vocabulary is taken from the word vectors that the configuration names: their most frequent words,
    and those of the prepared annotations, with a warning if these cannot be read. The original's files name the spaCy
    model en_vectors_web_lg. If that cannot be loaded and `assignments` name no other vectors, the vocabulary is empty,
    and a warning says what to do.

    Args:
        weights: Keras HDF5.
        original: the original's YAML file that the weights were trained with; also one of ours.
        out_dir: the directory of the checkpoint; must not exist.
        assignments: `a.b=value` with our keys, such as `model.words.source=text` and `model.words.path=glove.txt`.

    Returns:
        `out_dir`.

    Raises:
        ConfigError: a configuration that cannot be used, or of another network.
        CheckpointError: weights that are missing, damaged or do not fit; an `out_dir` that holds something.
        DataError: word vectors named in `assignments` that cannot be read.
    """
    weights, out_dir = Path(weights), Path(out_dir)
    if out_dir.exists() and not (out_dir.is_dir() and not any(out_dir.iterdir())):
        raise CheckpointError(f"{out_dir} exists already; name a folder that does not.")
    config = read_config(original, assignments, data_required=False).model_copy(update={"output_dir": out_dir})
    if not isinstance(config.model, ReferenceConfig):
        raise ConfigError(f"{original} describes the network {config.model.name!r}, but Keras weights fit 'reference'.")
    model = load_keras_checkpoint(weights, config.model)
    expressions, lacking = read_expressions(config)
    text: TextReader
    try:
        text = build_text(config.model, expressions)
    except DataError as error:
        if any(assignment.strip().startswith("model.words") for assignment in assignments):
            raise
        nothing = WordVectors((), np.zeros((0, config.model.words.dim), np.float32), "")
        text = VectorReader(nothing, max_words=config.model.max_words)
        lacking = (
            f"The checkpoint's vocabulary is empty, so it cannot predict yet: {error} Then convert again, or "
            "convert with the same vectors as a text file: --set model.words.source=text "
            "--set model.words.path=VECTORS.txt."
        )
    if lacking:
        warnings.warn(VLTWarning(lacking), stacklevel=2)
    save_checkpoint(out_dir, model=model, config=config, text=text, meta={"converted_from": weights.name})
    return out_dir


def read_expressions(config: Config) -> tuple[list[str], str]:
    """Read the expressions of all splits of the prepared data set that a configuration names.

    Returns:
        The expressions, and an empty text; if the annotations cannot be read, no expressions and a sentence that says
        why.
    """
    data = config.data
    if not isinstance(data, ReferDataConfig):
        return [], ""
    try:
        referrals = [
            referral
            for split in split_names(data.root, data.dataset) or [data.train_split]
            for referral in read_prepared(data.root, data.dataset, split, data.images)
        ]
    except DataError as error:
        return [], f"The checkpoint's vocabulary has frequent words only, since the annotations cannot be read: {error}"
    return [expression.text for referral in referrals for expression in referral.expressions], ""
