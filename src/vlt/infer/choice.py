"""The output of a network as a predictor uses it: masks, the distribution over candidates, and the decision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vlt.types import FloatArray


class Decision(NamedTuple):
    """The most probable outcome of a choice, apart from "nothing in the image", which a threshold of presence decides.

    Attributes:
        presence: probability that anything matches, in [0, 1].
        certainty: probability of the outcome, in [0, 1]; at most the presence.
        box: (4,) float32 xyxy as shares of the input, of the chosen candidate; None where the outcome is none.
    """

    presence: float
    certainty: float
    box: FloatArray | None


class Distribution(NamedTuple):
    """Probabilities of what each of B expressions may refer to.

    Attributes:
        probability: (B, N + 2) float32 in [0, 1]: N candidates, nothing in the image, something that is no candidate.
        boxes: (B, N, 4) float32 xyxy as shares of the input.
    """

    probability: FloatArray
    boxes: FloatArray

    @classmethod
    def of(cls, logits: FloatArray, boxes: FloatArray, temperature: float) -> Distribution:
        """Make the distribution of an engine's output.

        Args:
            logits: (B, N + 2); minus infinity for candidates that do not exist.
            boxes: (B, N, 4).
            temperature: divides the logits, above 0; a larger one makes the probabilities more alike.
        """
        scaled = (logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature  # at most 0
        with np.errstate(under="ignore"):
            weights = np.exp(scaled)
        return cls((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), boxes)

    def decide(self, index: int) -> Decision:
        """Select the most probable outcome of one expression other than "nothing in the image"."""
        *candidates, nothing, other = self.probability[index].tolist()
        best = int(np.argmax([*candidates, other]))
        is_candidate = best < len(candidates)
        return Decision(
            presence=1 - nothing,
            certainty=candidates[best] if is_candidate else other,
            box=self.boxes[index, best] if is_candidate else None,
        )


class View(NamedTuple):
    """Output for B expressions about images or about the flipped images, or the merged output for both.

    Attributes:
        masks: (B, 1, h, w) float32, before the sigmoid.
        choice: over candidates; None: the network does not choose.
    """

    masks: FloatArray
    choice: Distribution | None = None

    def row(self, index: int) -> tuple[FloatArray, Decision | None]:
        """Return the logits (1, h, w) and the decision for one expression."""
        return self.masks[index], None if self.choice is None else self.choice.decide(index)
