"""Weights of the original (Keras 2.3.1, TensorFlow 1.15) loaded into our modules."""

from vlt.legacy.weights import LoadReport, load_keras_backbone, load_keras_checkpoint

__all__ = ["LoadReport", "load_keras_backbone", "load_keras_checkpoint"]
