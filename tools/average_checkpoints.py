"""Averages the weights of checkpoints of one network: where a run's points lie around a minimum, its middle is better.

python tools/average_checkpoints.py OUTPUT CHECKPOINT=SHARE ... [--language FOLDER]

Source: Wortsman et al. 2022 (model soups). Normalisation statistics and other buffers are averaged with the rest where
they are numbers with a fraction, and the first checkpoint's otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vlt.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vlt.config import VLTConfig
from vlt.errors import VLTError
from vlt.model.build import build_model


def average(states: list[Mapping[str, Tensor]], shares: list[float]) -> dict[str, Tensor]:
    """The weighted mean of state dicts of one network.

    Args:
        states: with the same names and shapes.
        shares: of each; they sum to 1.

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


def as_published(checkpoint: Checkpoint, language: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with the language encoder as it was published, read from the folder `language`."""
    model = checkpoint.config.model
    assert isinstance(model, VLTConfig)
    described = model.language.model_copy(update={"pretrained": language, "architecture": None})
    fresh = build_model(model.model_copy(update={"language": described})).state_dict()
    return {name: fresh[name] if name.startswith("language.network.") else x for name, x in state.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the checkpoint to write")
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT=SHARE", help="folder, and its share of the mean")
    parser.add_argument("--language", help="folder of published weights that the language encoder gets back")
    return parser.parse_args()


def main() -> None:
    """The command line."""
    arguments = _arguments()
    try:
        named = [each.rpartition("=") for each in arguments.checkpoints]
        shares = [float(share) for _, _, share in named]
        if abs(sum(shares) - 1) > 1e-6:
            raise VLTError(f"The shares sum to {sum(shares):g}, not to 1.")
        found = [load_checkpoint(Path(folder)) for folder, _, _ in named]
        mean = average([each.model.state_dict() for each in found], shares)
        if arguments.language:
            mean = as_published(found[0], arguments.language, mean)
        found[0].model.load_state_dict(mean)
        meta = {"average": dict(zip([folder for folder, _, _ in named], shares, strict=True))}
        save_checkpoint(arguments.output, model=found[0].model, config=found[0].config, text=found[0].text, meta=meta)
    except (VLTError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
