"""What people say besides, which tells nothing that the grammar knows: a network should not be led astray by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ADJECTIVES = (
    "main", "blurry", "old", "striped", "plaid", "dark", "whole", "partial", "round", "fuzzy", "shiny", "fancy",
    "dirty", "wet", "lone", "funny looking", "visible", "curly", "fluffy", "click the", "ok the",
)  # fmt: skip
"""What is said in front."""
PHRASES = (
    "sitting", "standing", "standing up", "sitting down", "looking at us", "looking away", "facing us", "facing away",
    "facing camera", "leaning over", "bending over", "walking", "running", "smiling", "laying down", "eating",
    "being held", "holding something", "reaching out", "pointing", "with arms crossed", "with hand up",
    "with long hair", "with beard", "with stripes", "with logo", "with dots", "with patterns", "with flowers",
    "in the air", "in the dark", "in the sun", "in shadow", "in the water", "in the snow", "on the grass", "on floor",
    "on the ground", "on the street", "behind fence", "by the wall", "by window", "near the trees", "against the sky",
    "upside down", "half hidden", "partly cut off", "you can see", "in view", "in the picture", "in this photo",
    "out of focus", "all alone", "lol", "sorry", "i think", "all of it", "please", "that looks happy", "waiting",
    "being fed", "about to move", "ready to go", "on its own", "having fun",
)  # fmt: skip
"""What is said behind."""
IN_FRONT = 0.3
"""How often it is said in front."""


def with_chatter(text: str, draw: np.random.Generator) -> str:
    """An expression with a few words more, whose truth nobody has checked.

    Neither side is among them, so that a mirrored photo's expression may be given one, too.

    Args:
        text: some words.
        draw: draws what is said.

    Example:
        >>> import numpy as np
        >>> with_chatter("left zebra", np.random.default_rng(0))
        'left zebra in the water'
    """
    if draw.random() < IN_FRONT:
        return f"{ADJECTIVES[draw.integers(len(ADJECTIVES))]} {text}"
    return f"{text} {PHRASES[draw.integers(len(PHRASES))]}"
