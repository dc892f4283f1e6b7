"""Spelling suggestions for unknown words of expressions, from a list of common English words."""

from collections.abc import Collection
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files

SHORT = 4
"""Smallest number of letters of a word that is corrected; shorter words are too close to each other."""
MEDIUM = 6
"""Smallest number of letters, without an ending, at which any single edit is corrected; below, only `is_slip`."""
LONG = 7
"""Smallest number of letters, without an ending, at which two edits are corrected."""
ENDINGS = ("s", "es", "ed", "ing", "er", "est", "y", "ly", "ish", "less", "like")
"""Endings that form correct words from known ones."""
VERB_ENDINGS = ("ing", "ed", "es")
"""Common endings, which do not count as letters."""
PREPOSITIONS = ("in", "on", "at", "to", "up", "by", "of", "off", "out", "over", "under")
"""Words that are often joined to the next one by mistake, as in "infront"."""


@cache
def common_words() -> frozenset[str]:
    """Return the bundled vocabulary: everyday English words of referring expressions, in lower case.

    Nouns, parts, garments, scenery, professions, colours, positions, adjectives and verbs. Most are frequent words of
    hand-written expressions about COCO images and of RefCOCO's validation split (counts only); British and American.
    """
    return frozenset(files("vlt.text").joinpath("common_words.txt").read_text(encoding="utf-8").split())


def suggest_spelling(word: str, known: Collection[str]) -> str | None:
    """Suggest the known word that an unknown word is probably a misspelling of.

    Args:
        word: one word of an expression, in any case.
        known: the vocabulary, in lower case, see `common_words`; a set is fastest.

    Returns:
        The closest known word; None for known words and their inflections, for words that are short or contain anything
        but letters, and for words that are close to no known one.

    Example:
        >>> suggest_spelling("flowr", common_words()), suggest_spelling("flowers", common_words())
        ('flower', None)
    """
    word = word.lower()
    if len(word) < SHORT or not word.isalpha() or word in known or is_inflected(word, known):
        return None
    is_compound = any(
        word[i:] in known and (word[:i] in PREPOSITIONS or (word[:i] in known and i >= SHORT))
        for i in range(2, len(word) - SHORT + 2)
    )
    close = []
    for other in known:
        if len(other) < SHORT or other[0] != word[0] or abs(len(other) - len(word)) > 2:
            continue
        shared = next((end for end in VERB_ENDINGS if word.endswith(end) and other.endswith(end)), "")
        length = len(word) - len(shared)
        distance = edit_distance(word, other)
        limit = 2 if length >= LONG and not is_compound else 1
        if distance <= limit and (length >= MEDIUM or is_slip(word, other)):
            close.append((distance, -SequenceMatcher(None, word, other).ratio(), other))
    return min(close)[2] if close else None


def is_inflected(word: str, known: Collection[str]) -> bool:
    """Return whether a word is a known one with an ending: "benches", "running", "wavy", "skies"."""
    for ending in ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 3:
            continue
        forms = {stem, f"{stem}e"}
        if stem[-1] == stem[-2] and stem[-1] not in "aeiou":
            forms.add(stem[:-1])
        if stem[-1] == "i":
            forms.add(f"{stem[:-1]}y")
        if not forms.isdisjoint(known):
            return True
    return False


def is_slip(word: str, correct: str) -> bool:
    """Return whether a word is `correct` with one letter left out or doubled, or two neighbouring ones swapped."""
    if sorted(word) == sorted(correct):
        return True
    if len(word) < len(correct):
        return True
    return any(word[:i] + word[i + 1 :] == correct and word[i] in word[max(i - 1, 0) : i] for i in range(len(word)))


def edit_distance(one: str, other: str) -> int:
    """Return the least number of insertions, deletions, replacements and swaps of neighbours between two words.

    Source: Damerau, "A technique for computer detection and correction of spelling errors", 1964 (no letter is edited
    twice).
    """
    previous: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, previous, row = previous, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
    return row[-1]
