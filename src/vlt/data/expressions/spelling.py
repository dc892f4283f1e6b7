"""How words are misspelled in haste: two letters swapped, one left out, one doubled."""

from __future__ import annotations

import random
from collections.abc import Collection
from functools import lru_cache

SHORT = 4
"""Letters of the longest word that nobody misspells."""
SLIPS = 0.03
"""How often a longer one is."""


@lru_cache(maxsize=1024)
def misspellings(word: str) -> frozenset[str]:
    """The ways to slip once in a word; none for a short one.

    Example:
        >>> sorted(misspellings("zebra"))[:4]
        ['ebra', 'ezbra', 'zbera', 'zbra']
    """
    if len(word) <= SHORT or not word.isalpha():
        return frozenset()
    ends = [(word[:i], word[i:]) for i in range(len(word))]
    dropped = {before + after[1:] for before, after in ends}
    doubled = {before + after[0] + after for before, after in ends}
    swapped = {before + after[1] + after[0] + after[2:] for before, after in ends[:-1]}
    return frozenset((dropped | doubled | swapped) - {word})


def slipped(text: str, words: Collection[str], rng: random.Random) -> str:
    """A text with a slip now and then in those of its words that are among `words`."""
    return " ".join(_slip(word, rng) if word in words and rng.random() < SLIPS else word for word in text.split(" "))


def _slip(word: str, rng: random.Random) -> str:
    return rng.choice(sorted(misspellings(word)) or [word])
