"""Configuration of inference, which is saved with the checkpoint and used by every command that predicts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vlt.config.section import AboveZero, Fraction, NonNegative, Positive, Precision, Section, Share


class InferenceConfig(Section):
    """Settings of prediction; saved with the checkpoint."""

    threshold: Fraction = 0.5
    """Pixels whose probability is strictly above this value belong to the mask."""
    presence: Fraction = 0.0
    """Where the probability that anything matches is below this value, the mask is empty; 0: never. Requires
    `model.candidates`."""
    temperature: AboveZero = 1.0
    """Divides the logits of the choice among candidates, so that presence and score are calibrated; above 1 they become
    less certain. The network's masks do not depend on it."""
    agreement: NonNegative = 0.0
    """Weight of the network's own mask in the selection among likely candidates: each is rated by its probability times
    the agreement of its outline with that mask to this power; 0: the most probable one. Requires `model.candidates` and
    a refiner."""
    several: Share | None = None
    """Take several candidates: those whose probability is at least this share of the most probable one's. The mask is
    the union of their outlines, the score the sum of their probabilities; without a refiner the mask is the network's
    own. null: one candidate. Requires `model.candidates`."""
    flip: bool = False
    """Test-time augmentation: average with the prediction for the horizontally flipped image, with left and right
    swapped in the expression."""
    refine: bool = True
    """Refine mask outlines if the checkpoint includes a refiner."""
    refine_side: Annotated[int, Field(ge=256, le=1024, multiple_of=16, strict=True)] = 1024
    """Height and width of the refiner's input in pixels; 640 takes less than half of the time, and small things get
    coarser outlines."""
    correct_spelling: bool = False
    """Correct slips of the pen in English expressions before they are read. `vlt.load` and `vlt predict` turn it on;
    evaluation reads expressions as written unless it is on here."""
    precision: Precision = "no"
    """bf16, fp16: compute the network and the refiner in half precision, with PyTorch. fp16 needs a GPU; bf16 is about
    twice as fast on CPUs that multiply it (AMX), and slower on others. no: float32."""
    batch_size: Positive = 16
    """Expressions per forward pass."""
    image_size: tuple[Positive, Positive] | None = None
    """(height, width) of the network's input in pixels; null: `model.image_size`. Another size needs a network that
    takes any (`model.any_size`) and must be a multiple of its coarsest stride."""
