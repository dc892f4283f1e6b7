"""Spelling of expressions: slips of the pen are corrected before a model reads them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

from vlt.errors import VLTWarning
from vlt.text.language import common_words, english_dictionary, is_english, is_foreign

SHORT = 4
"""Smallest number of letters of a word that is corrected, except for the last two of three letters swapped ("teh")."""
MEDIUM = 6
"""Smallest number of letters at which a wrong or added letter is corrected; in shorter words only slips are."""
LONGEST = 20
"""Largest number of letters of a word that is corrected; common words are shorter, and edits of long words many."""
SIMILAR = 0.8
"""Least similarity (difflib's ratio) of a suggestion."""
DOUBLED: Final = re.compile(r"(.)\1")
"""A doubled letter."""
WORD: Final = re.compile(r"\b[^\W\d_]+\b(?!['’]t\b)", re.IGNORECASE)
"""A whole word of letters; not "2nd", nor the beginning of "aren't"."""


class SpellingWarning(VLTWarning):
    """An expression that was read with another spelling than written."""


def correct_spelling(expression: str) -> tuple[str, dict[str, str]]:
    """Correct the slips of an English expression, see `correct_word`.

    Capitalised words inside an expression stay, since they may be names; expressions in other languages stay, too.

    Args:
        expression: any text.

    Returns:
        The corrected expression, and the correction of each word that was changed, both as spelled.

    Example:
        >>> correct_spelling("womna, with flowr")
        ('woman, with flower', {'womna': 'woman', 'flowr': 'flower'})
    """
    if is_foreign(expression):
        return expression, {}
    changes = {}
    for match in WORD.finditer(expression):
        word = match[0]
        may_be_name = not (word.islower() or match.start() == 0 or expression.isupper())
        correct = None if may_be_name else correct_word(word)
        if correct is not None:
            is_upper = len(word) > 1 and word.isupper()
            changes[word] = correct.upper() if is_upper else correct.capitalize() if word[0].isupper() else correct
    return WORD.sub(lambda match: changes.get(match[0], match[0]), expression), changes


def correct_word(word: str) -> str | None:
    """Return the common word that a word is certainly a slip of.

    Args:
        word: letters only, in any case.

    Returns:
        In lower case; None for English words, and where no common word or more than one is possible.

    Example:
        >>> correct_word("rigth"), correct_word("bollard"), correct_word("frige")  # fridge or fringe
        ('right', None, None)
    """
    possible = possible_words(word)
    return possible[0] if len(possible) == 1 else None


def suggest_spelling(word: str) -> str | None:
    """Suggest the common word that a word may be a misspelling of, where `correct_word` is not certain.

    Args:
        word: one word of an expression, in any case.

    Returns:
        The most similar common word with the same first letter, in lower case; None for English words, and for words
        that are short, contain anything but letters or are similar to no common one.

    Example:
        >>> suggest_spelling("elefant"), suggest_spelling("elephants")
        ('elephant', None)
    """
    word = word.lower()
    if possible := possible_words(word):
        return get_close_matches(word, possible, n=1, cutoff=0)[0]
    if len(word) < MEDIUM or not word.isalpha() or is_english(word):
        return None
    similar = [other for other in common_words() if other[0] == word[0] and abs(len(other) - len(word)) <= 2]
    return next(iter(get_close_matches(word, sorted(similar), n=1, cutoff=SIMILAR)), None)


def possible_words(word: str) -> list[str]:
    """List the common words that a word may be a slip of, sorted.

    A slip swaps two neighbouring letters, leaves one out or doubles one. Words that differ in which letters are
    doubled, or in another single wrong or added letter, are listed only where the word is no slip of any, is long
    enough, and begins with the same letter.
    """
    word = word.lower()
    if not 3 <= len(word) <= LONGEST or not word.isalpha() or is_english(word):
        return []
    one_edit_away = english_dictionary().edit_distance_1(word)
    near = sorted(other for other in one_edit_away & common_words() if len(other) >= 3)
    slips = [other for other in near if is_slip(word, other)]
    if len(word) < SHORT:
        return [other for other in slips if len(other) < SHORT and other[0] == word[0]]
    if slips or len(word) < MEDIUM:
        return slips
    doubled = [other for other in common_words() if DOUBLED.sub(r"\1", other) == DOUBLED.sub(r"\1", word)]
    return sorted(doubled) or [other for other in near if other[0] == word[0]]


def is_slip(word: str, correct: str) -> bool:
    """Return whether a word one edit from `correct` has two letters of it swapped, one left out or one doubled."""
    if len(word) <= len(correct):
        return len(word) < len(correct) or sorted(word) == sorted(correct)
    doubled = (i for i in range(1, len(word)) if word[i] == word[i - 1])
    return any(word[:i] + word[i + 1 :] == correct for i in doubled)
