"""`vlt convert`: the original's weights to a checkpoint of ours."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlt.cli.shell import PATH, Command, examples, set_option
from vlt.errors import CheckpointError, ConfigError, DataError, VLTWarning

if TYPE_CHECKING:
    from vlt.config import Config


@click.command(cls=Command, epilog=examples("vlt convert refcoco.h5 --config refcoco.yaml converted/refcoco"))
@click.argument("weights", type=PATH)
@click.argument("out_dir", type=PATH)
@click.option("--config", type=PATH, required=True, help="The original's YAML file that the weights were trained with.")
@set_option
def convert(weights: Path, out_dir: Path, config: Path, assignments: tuple[str, ...]) -> None:
    """Convert WEIGHTS of the original (Keras HDF5) into a checkpoint, OUT_DIR.

    The word vectors that the weights were trained with (spaCy's en_vectors_web_lg) have to be at hand, as a spaCy model
    or as a text file (--set model.words.source=text). The checkpoint keeps the most frequent words, and those of the
    annotations that CONFIG names where these can be read.
    """
    from vlt.checkpoint import save_checkpoint
    from vlt.config import ReferenceConfig
    from vlt.data.text import build_text
    from vlt.legacy import load_keras_checkpoint, read_config

    if out_dir.is_file() or (out_dir.is_dir() and any(out_dir.iterdir())):
        raise CheckpointError(f"{out_dir} exists already; name a folder that does not.")
    run = read_config(config, assignments)
    if not isinstance(run.model, ReferenceConfig):
        raise ConfigError(f"{config} describes the network {run.model.name!r}, but Keras weights fit 'reference' only.")
    model = load_keras_checkpoint(weights, run.model)
    text = build_text(run.model, _expressions(run))
    save_checkpoint(out_dir, model=model, config=run, text=text, meta={"converted_from": weights.name})
    click.echo(str(out_dir))


def _expressions(run: Config) -> list[str]:
    """All that the annotations say; where they cannot be read, nothing, and a warning."""
    from vlt.data.dataset import load_referrals

    try:
        splits = [load_referrals(run.data, split) for split in (run.data.train_split, run.data.val_split)]
    except DataError as error:
        message = (
            f"The checkpoint knows only the most frequent words of their source, none of the annotations': {error}"
        )
        warnings.warn(VLTWarning(message), stacklevel=2)
        return []
    return [expression.text for referrals in splits for referral in referrals for expression in referral.expressions]
