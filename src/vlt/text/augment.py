"""Augmentation of expressions while training: filler words without information, slips of the pen, masked words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlt.text.language import common_words
from vlt.text.spelling import SHORT

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
PLACES = (
    "on the left", "on the right", "in the middle", "in the back", "in front", "on the far left", "on the far right",
    "at the top", "at the bottom", "at the bottom left", "at the top right", "in the background", "closest to us",
    "farthest away", "at the edge of the picture", "second from left", "near the corner", "on the left side",
    "left", "right", "in back", "far right", "bottom left",
)  # fmt: skip
"""Places, as people put them behind an expression."""
RELATIONS = (
    "standing behind the others", "next to the man", "beside the table", "in front of the wall", "facing us",
    "that is cut off by the edge", "which is partly hidden", "looking to the left", "right behind the big one",
    "between the two others", "that stands on its own", "just above the other one", "seen from behind",
    "with only half of it showing", "near the person in the dark clothes", "held by the person on the right",
)  # fmt: skip
"""Relations and looks, likewise."""
IN_FRONT = 0.3
"""Probability that a filler is put in front rather than behind."""
ARTICLES = frozenset({"the", "a", "an"})
"""Words without content, which people leave out."""
BARE = 0.5
"""Probability that an expression keeps its article, or its lack of one, when details are added."""
OMITTED = 0.25
"""Probability that a slip leaves out an article, where there is one, rather than misspells a word."""


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


def with_detail(text: str, draw: np.random.Generator) -> str:
    """Add details to an expression that nothing in its image matches; with more details, nothing matches it either.

    People word what is not there briefly and without places, so that a model could tell such expressions by their style
    rather than by the image. With details, and with or without an article, they are as varied as others.

    Args:
        text: the expression.
        draw: random generator.

    Example:
        >>> import numpy as np
        >>> with_detail("green bus", np.random.default_rng(3))
        'green bus in front'
    """
    words = text.split()
    bare = " ".join(words[1:] if words[0].lower() in ARTICLES and len(words) > 1 else words)
    start = text if draw.random() < BARE else bare if draw.random() < BARE else f"the {bare}"
    place, relation = PLACES[draw.integers(len(PLACES))], RELATIONS[draw.integers(len(RELATIONS))]
    end = (place, relation, f"{relation} {place}")[draw.integers(3)]
    return f"{start} {end}"


def with_slip(text: str, draw: np.random.Generator) -> str:
    """Make a slip of the pen, as in human expressions: misspell one word, or leave out an article.

    A letter is left out or doubled, or swapped with the next one, in a word of at least `SHORT` letters. A slip that
    would make another word, such as "let" of "left", is not made.

    Args:
        text: the expression.
        draw: random generator.

    Example:
        >>> import numpy as np
        >>> with_slip("left zebra", np.random.default_rng(0))
        'left zebbra'
    """
    words = text.split()
    articles = [place for place, word in enumerate(words) if word.lower() in ARTICLES]
    if articles and len(words) > 1 and draw.random() < OMITTED:
        del words[articles[draw.integers(len(articles))]]
        return " ".join(words)
    long = [place for place, word in enumerate(words) if len(word) >= SHORT and word.isalpha()]
    if not long:
        return text
    place = long[draw.integers(len(long))]
    word = words[place]
    i = draw.integers(len(word) - 1)
    before, letter, following, after = word[:i], word[i], word[i + 1], word[i + 2 :]
    slips = (following, letter + letter + following, following + letter)
    slipped = before + slips[draw.integers(len(slips))] + after
    if slipped.lower() not in common_words():
        words[place] = slipped
    return " ".join(words)


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
