"""From the original's weights and configuration to a checkpoint of ours that needs neither."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlt.checkpoint import save_checkpoint
from vlt.config import Config, ReferDataConfig, ReferenceConfig, override, parse_config, read_yaml
from vlt.data.prepared import annotation_folder, read_prepared
from vlt.data.text import TextReader, VectorReader, build_text
from vlt.data.vectors import WordVectors
from vlt.errors import CheckpointError, ConfigError, DataError, VLTWarning
from vlt.legacy import is_original, load_keras_checkpoint, translate

USUAL_ANNOTATIONS = "data/anns/refcoco/train.json"
"""What the checkpoint's configuration says where the original's names no annotations."""


def convert(weights: Path | str, original: Path | str, out_dir: Path | str, assignments: Sequence[str] = ()) -> Path:
    """Writes a checkpoint from a Keras weight file of the original.

    The checkpoint's vocabulary is read from the word vectors that the configuration names: their most frequent words,
    and those of the prepared annotations where these are there; without annotations a warning says so. Where no vectors
    can be read and `assignments` name none, it is left empty, with a warning.

    Args:
        weights: Keras HDF5.
        original: the original's YAML file that the weights were trained with; also one of ours.
        out_dir: the checkpoint's directory, to be made.
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
    config = _read_config(original, assignments).model_copy(update={"output_dir": out_dir})
    if not isinstance(config.model, ReferenceConfig):
        raise ConfigError(f"{original} describes the network {config.model.name!r}, but Keras weights fit 'reference'.")
    model = load_keras_checkpoint(weights, config.model)
    # Vectors that were asked for must be there; the original's own come from a spaCy model that hardly anybody has.
    named = any(assignment.strip().startswith("model.words") for assignment in assignments)
    text = _read_words(config, config.model, required=named)
    save_checkpoint(out_dir, model=model, config=config, text=text, meta={"converted_from": weights.name})
    return out_dir


def _read_config(path: Path | str, assignments: Sequence[str]) -> Config:
    """As `vlt.legacy.read_config`, but paths of data may be missing: a conversion can do without."""
    values = read_yaml(Path(path))
    if is_original(values):
        known = {"image_path": "data/images/train2014", "log_path": "."}
        named = values.get("train_set") or values.get("evaluate_set")
        values = translate(values, known if named else known | {"train_set": USUAL_ANNOTATIONS}, where=str(path))
    return parse_config(override(values, assignments), str(path))


def _read_words(config: Config, model: ReferenceConfig, *, required: bool) -> TextReader:
    """The vocabulary, or an empty one where it cannot be read and is not `required`."""
    expressions, lacking = _expressions(config)
    text: TextReader
    try:
        text = build_text(model, expressions)
    except DataError as error:
        if required:
            raise
        text = VectorReader(WordVectors((), np.zeros((0, model.words.dim), np.float32), ""), max_words=model.max_words)
        lacking = (
            f"The checkpoint will know no words: {error} Convert again then, or with the same vectors from a text "
            "file: --set model.words.source=text --set model.words.path=VECTORS.txt."
        )
    if lacking:
        warnings.warn(VLTWarning(lacking), stacklevel=3)
    return text


def _expressions(config: Config) -> tuple[list[str], str]:
    """All that the splits of the prepared data set say; where it cannot be read, nothing, and a sentence."""
    data = config.data
    if not isinstance(data, ReferDataConfig):
        return [], ""
    splits = sorted(path.stem for path in annotation_folder(data.root, data.dataset).glob("*.json"))
    try:
        referrals = [
            referral
            for split in splits or [data.train_split]
            for referral in read_prepared(data.root, data.dataset, split, data.images)
        ]
    except DataError as error:
        return [], f"The checkpoint will know frequent words only, since the annotations cannot be read: {error}"
    return [expression.text for referral in referrals for expression in referral.expressions], ""
