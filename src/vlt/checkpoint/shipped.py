"""The model that lies in the package, where it does."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vlt.checkpoint.layout import is_checkpoint
from vlt.errors import CheckpointError

SHIPPED = Path(str(resources.files("vlt"))) / "weights"
"""A checkpoint, as `vlt pack RUN src/vlt/weights` puts it there before the package is built."""


def shipped_checkpoint() -> Path:
    """The directory of the model that comes with the package.

    Raises:
        CheckpointError: none came with this one.
    """
    if not is_checkpoint(SHIPPED):
        raise CheckpointError(
            "No trained model comes with this copy of vlt; name one (--checkpoint RUN, or vlt.load(RUN)), such as "
            "runs/tiny, which `vlt train configs/tiny.yaml` makes in a few minutes."
        )
    return SHIPPED
