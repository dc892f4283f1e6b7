"""Average the weights of several checkpoints of one network, which is often better than each of them.

    python tools/average_checkpoints.py OUTPUT CHECKPOINT=SHARE ... [--language FOLDER]

Source: Wortsman et al. 2022 (model soups). Normalisation statistics and other buffers are averaged with the rest if
they are floating-point; others are taken from the first checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from vlt.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vlt.config import BertConfig, VLTConfig
from vlt.errors import VLTError
from vlt.model.build import build_model

SLACK = 1e-6
"""Largest accepted difference of the sum of the shares from 1, since shares are given with few decimals."""


def average(states: list[Mapping[str, Tensor]], shares: list[float]) -> dict[str, Tensor]:
    """Compute the weighted mean of state dicts of one network.

    Args:
        states: with the same names and shapes.
        shares: weight of each; they sum to 1.

    Raises:
        VLTError: names or shapes differ.
    """
    first = states[0]
    for state in states[1:]:
        if {name: x.shape for name, x in state.items()} != {name: x.shape for name, x in first.items()}:
            raise VLTError("The checkpoints are not of one network; name those of one configuration.")
    mean = {}
    for name, x in first.items():
        parts = [share * state[name].double() for share, state in zip(shares, states, strict=True)]
        mean[name] = sum(parts[1:], parts[0]).to(x.dtype) if x.is_floating_point() else x
    return mean


def as_published(checkpoint: Checkpoint, language: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace the language encoder in `state` by the published one in the folder `language`.

    Raises:
        VLTError: the network's language encoder is not pretrained; the folder cannot be read.
    """
    model = checkpoint.config.model
    if not isinstance(model, VLTConfig) or not isinstance(model.language, BertConfig):
        raise VLTError("The checkpoints' network has no published language encoder; leave --language out.")
    described = model.language.model_copy(update={"pretrained": language, "architecture": None})
    fresh = build_model(model.model_copy(update={"language": described})).state_dict()
    return {name: fresh[name] if name.startswith("language.network.") else x for name, x in state.items()}


def read_shares(named: Sequence[str]) -> dict[str, float]:
    """Parse arguments of the form CHECKPOINT=SHARE.

    Raises:
        VLTError: one is not of that form or named twice, or they do not sum to 1.
    """
    shares: dict[str, float] = {}
    for each in named:
        folder, _, share = each.rpartition("=")
        if folder in shares:
            raise VLTError(f"{folder} is named twice; give it one share.")
        try:
            shares[folder] = float(share)
        except ValueError:
            raise VLTError(f"{each!r} is not of the form CHECKPOINT=SHARE, such as runs/mine/last=0.5.") from None
    if abs(sum(shares.values()) - 1) > SLACK:
        raise VLTError(f"The shares sum to {sum(shares.values()):g}, not to 1.")
    return shares


def write_average(output: Path, named: Sequence[str], language: str | None) -> None:
    """Write the mean as a checkpoint.

    Raises:
        VLTError: see `read_shares`, `average` and `as_published`; a checkpoint cannot be read or written; networks of
            different configurations, even if their weights have the same shapes.
    """
    shares = read_shares(named)
    found = [load_checkpoint(folder) for folder in shares]
    for other in found[1:]:
        if network_settings(other) != network_settings(found[0]) or other.text.fingerprint != found[0].text.fingerprint:
            raise VLTError(f"{other.path} is not of one network with {found[0].path}; name those of one configuration.")
    mean = average([each.model.state_dict() for each in found], list(shares.values()))
    first = found[0]
    first.model.load_state_dict(mean if language is None else as_published(first, language, mean))
    save_checkpoint(output, model=first.model, config=first.config, text=first.text, meta={"average": shares})


def network_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the configuration of the network without the keys that only affect its input size and training."""
    training = {"pretrained": True, "trainable_blocks": True}
    without = {"image_size": True, "dropout": True, "map_dropout": True, "backbone": training}
    return checkpoint.config.model.model_dump(exclude={**without, "language": training})


@click.command(help=__doc__)
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("checkpoints", metavar="CHECKPOINT=SHARE...", nargs=-1, required=True)
@click.option("--language", metavar="FOLDER", help="Folder with published weights for the language encoder.")
def main(output: Path, checkpoints: tuple[str, ...], language: str | None) -> None:
    """Write the weighted mean of CHECKPOINTS to OUTPUT."""
    try:
        write_average(output, checkpoints, language)
    except VLTError as error:
        raise click.ClickException(str(error)) from None
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
