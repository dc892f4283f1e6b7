"""Configuration of inference, which is saved with the checkpoint and used by every command that predicts."""

from __future__ import annotations

from vlt.config.section import Fraction, Positive, Section


class InferenceConfig(Section):
    """Settings of prediction; saved with the checkpoint."""

    threshold: Fraction = 0.5
    """Pixels whose probability is strictly above this value belong to the mask."""
    flip: bool = False
    """Test-time augmentation: average with the prediction for the horizontally flipped image, with left and right
    swapped in the expression."""
    refine: bool = True
    """Refine mask outlines if the checkpoint includes a refiner."""
    batch_size: Positive = 16
    """Expressions per forward pass."""
    image_size: tuple[Positive, Positive] | None = None
    """(height, width) of the network's input in pixels; null: `model.image_size`. Another size needs a network that
    takes any (`model.any_size`) and must be a multiple of its coarsest stride."""
