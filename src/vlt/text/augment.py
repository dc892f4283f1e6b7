"""Augmentation of expressions while training: filler words without information, and masked words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ADJECTIVES = (
    "main", "blurry", "old", "striped", "plaid", "dark", "whole", "partial", "round", "fuzzy", "shiny", "fancy",
    "dirty", "wet", "lone", "funny looking", "visible", "curly", "fluffy", "click the", "ok the",
)  # fmt: skip
"""Fillers put in front of an expression."""
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
"""Fillers put behind an expression."""
IN_FRONT = 0.3
"""Probability that a filler is put in front rather than behind."""


def with_chatter(text: str, draw: np.random.Generator) -> str:
    """Add uninformative filler words, as in human expressions, so that the model learns to ignore them.

    Fillers need not be true of the object; none contradicts other words. None contains left or right, so
    they can be added to expressions for flipped images.

    Args:
        text: the expression.
        draw: random generator.

    Example:
        >>> import numpy as np
        >>> with_chatter("left zebra", np.random.default_rng(0))
        'left zebra in the water'
    """
    if draw.random() < IN_FRONT:
        return f"{ADJECTIVES[draw.integers(len(ADJECTIVES))]} {text}"
    return f"{text} {PHRASES[draw.integers(len(PHRASES))]}"


def mask_words(expression: str, ratio: float, mask_word: str, key: Sequence[int]) -> str:
    """Replace some words of an expression by a mask word.

    Args:
        expression: words separated by spaces.
        ratio: share of the words to mask, in [0, 1]; the number is rounded, and at least one word stays.
        mask_word: the word that replaces each masked one.
        key: seed of the choice of words.

    Example:
        >>> mask_words("the left zebra", 0.4, "[MASK]", key=(0, 1))
        'the left [MASK]'
    """
    words = expression.split()
    hidden = min(round(ratio * len(words)), len(words) - 1)
    chosen = np.random.default_rng(key).permutation(len(words))[:hidden]
    return " ".join(mask_word if place in chosen else word for place, word in enumerate(words))
