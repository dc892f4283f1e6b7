"""The output of a network as a predictor uses it: masks, the distribution over candidates, and likely outcomes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vlt.types import FloatArray

OUTCOMES = 4
"""Largest number of outcomes among which the network's mask helps to decide."""


class Outcome(NamedTuple):
    """A possible referent: a candidate, or something that is no candidate.

    Attributes:
        probability: in [0, 1].
        box: (4,) float32 xyxy as shares of the input, of the candidate; None: something that is no candidate.
    """

    probability: float
    box: FloatArray | None


class Decision(NamedTuple):
    """The most probable outcomes of a choice, apart from "nothing in the image".

    Attributes:
        presence: probability that anything matches, in [0, 1]; at least that of each outcome.
        outcomes: at least one and at most `OUTCOMES`, the most probable first.
        several: the candidates that may be taken together, at least two, the most probable first; empty: one is taken.
    """

    presence: float
    outcomes: tuple[Outcome, ...]
    several: tuple[Outcome, ...] = ()


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

    def decide(self, index: int, share: float | None = None) -> Decision:
        """List the most probable outcomes of one expression other than "nothing in the image".

        Args:
            index: of the expression.
            share: candidates may be taken together if their probability is at least this share of the most probable
                one's, in (0, 1]; None: one is taken.
        """
        *candidates, nothing, other = self.probability[index].tolist()
        outcomes = [Outcome(each, box) for each, box in zip(candidates, self.boxes[index], strict=True)]
        outcomes = sorted([*outcomes, Outcome(other, None)], key=lambda outcome: -outcome.probability)
        likely = [outcome for outcome in outcomes[:OUTCOMES] if outcome.probability > 0]
        several: list[Outcome] = []
        if share is not None and max(candidates, default=0.0) > 0:
            lowest = share * max(candidates)
            several = [each for each in outcomes if each.box is not None and each.probability >= lowest]
        return Decision(1 - nothing, tuple(likely or outcomes[:1]), tuple(several) if len(several) > 1 else ())


class View(NamedTuple):
    """Output for B expressions about images or about the flipped images, or the merged output for both.

    Attributes:
        masks: (B, 1, h, w) float32, before the sigmoid.
        choice: over candidates; None: the network does not choose.
    """

    masks: FloatArray
    choice: Distribution | None = None

    def row(self, index: int, share: float | None) -> tuple[FloatArray, Decision | None]:
        """Return the logits (1, h, w) and the decision for one expression, for `share` see `Distribution.decide`."""
        return self.masks[index], None if self.choice is None else self.choice.decide(index, share)
