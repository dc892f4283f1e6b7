"""What the original (Keras 2.3.1, TensorFlow 1.15) left behind: its weight files and its configurations."""

from vlt.legacy.config import is_original, read_config, translate
from vlt.legacy.weights import LoadReport, load_keras_backbone, load_keras_checkpoint

__all__ = ["LoadReport", "is_original", "load_keras_backbone", "load_keras_checkpoint", "read_config", "translate"]
