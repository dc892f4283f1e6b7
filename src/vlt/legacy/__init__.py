"""What the original (Keras 2.3.1, TensorFlow 1.15) left behind: its weight files and its configurations.

The weights' side is imported on first use: a configuration can be refused without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vlt.legacy.config import is_original, read_config, translate

if TYPE_CHECKING:
    from vlt.legacy.weights import LoadReport, load_keras_backbone, load_keras_checkpoint

__all__ = ["LoadReport", "is_original", "load_keras_backbone", "load_keras_checkpoint", "read_config", "translate"]


def __getattr__(name: str) -> Any:
    """Imports the weights' side when a name of it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'vlt.legacy' has no attribute {name!r}")
    return getattr(import_module("vlt.legacy.weights"), name)
