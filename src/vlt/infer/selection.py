"""Selection among likely outcomes: the one, or the several candidates, whose masks make the mask of a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from vlt.infer.choice import Decision, Outcome
from vlt.refine.refiner import Outline
from vlt.types import FloatArray

AGREEMENT_FLOOR = 0.1
"""Added to an agreement with the network's mask, so that a probable candidate can be selected without any; chosen on
the validation split val_a."""

Draw: TypeAlias = Callable[[FloatArray | None], Outline | None]
"""Draws the outline of what is in a box, or of the network's mask for None, as `Refiner.refine` does."""


class Selected(NamedTuple):
    """An outcome that was selected.

    Attributes:
        outcome: a candidate, or something that is no candidate.
        outline: its outline; None without a refiner, or where that found none.
    """

    outcome: Outcome
    outline: Outline | None


def select(decision: Decision, draw: Draw | None, power: float) -> list[Selected]:
    """Select the outcomes whose masks make the mask.

    Args:
        decision: the likely outcomes.
        draw: draws an outline; None: there is no refiner.
        power: see `select_one`.

    Returns:
        One outcome; or where that is a candidate and several are likely (`Decision.several`), these with it, the most
        probable first. With a refiner only those of several that have an outline are left, at least one.
    """
    first = select_one(decision, draw, power)
    if first.outcome.box is None or not decision.several:
        return [first]
    others = [each for each in decision.several if each is not first.outcome]
    found = [first, *(Selected(each, None if draw is None else draw(each.box)) for each in others)]
    if draw is not None:
        found = [each for each in found if each.outline is not None] or [first]
    return sorted(found, key=lambda each: -each.outcome.probability)


def select_one(decision: Decision, draw: Draw | None, power: float) -> Selected:
    """Select an outcome by its probability, and by how well its outline agrees with the network's mask.

    An outcome is rated by its probability times (agreement + `AGREEMENT_FLOOR`) to the power of `power`. Outlines are
    drawn only as long as the rating may exceed the highest one so far.

    Args:
        decision: the likely outcomes.
        draw: draws an outline; None: there is no refiner, and the most probable outcome is selected.
        power: `inference.agreement`.

    Returns:
        The outcome with its outline, which may be None (`Refiner.refine`).
    """
    selected, highest = Selected(decision.outcomes[0], None), -1.0
    if draw is None:
        return selected
    for outcome in decision.outcomes:
        if outcome.probability * (1 + AGREEMENT_FLOOR) ** power <= highest:
            break
        outline = draw(outcome.box)
        agreement = 0.0 if outline is None else outline.agreement
        rating = outcome.probability * (agreement + AGREEMENT_FLOOR) ** power
        if rating > highest:
            highest, selected = rating, Selected(outcome, outline)
    return selected
