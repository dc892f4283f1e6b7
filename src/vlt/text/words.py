"""Words of expressions: splitting and checking, padding into batches, and warnings about unread words."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vlt.errors import InputError, VLTWarning
from vlt.text.language import WORD, is_english, is_foreign
from vlt.text.spelling import SpellingWarning

INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Invisible letters and symbols: Hangul fillers and the empty Braille pattern."""

NAMED = 10
"""Largest number of unknown words named in a warning."""
QUOTED = 60
"""Largest number of letters of an expression quoted in a warning."""

WordArray: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.int64]


class Words(NamedTuple):
    """An expression as the network reads it.

    Attributes:
        values: (T,) int64 token ids or (T, D) float32 vectors; 1 <= T <= the reader's `max_words`.
        unknown: words, as spelled, that the vocabulary does not have; each once.
        cut: number of words at the end that were not read completely because T is limited.
    """

    values: WordArray
    unknown: tuple[str, ...]
    cut: int


def split_words(expression: object, name: str = "The expression") -> list[str]:
    """Split an expression at white space into its words, at least one.

    Args:
        expression: the expression; its type and content are checked.
        name: name of the expression in error messages.

    Raises:
        InputError: not text, blank, without a visible character, or not encodable as UTF-8.
    """
    if not isinstance(expression, str):
        raise InputError(f"{name} is {type(expression).__name__}, not text.")
    words = expression.split()
    if not words:
        raise InputError(f"{name} is empty or blank; write what to find, such as 'the left dog'.")
    try:
        expression.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} is not valid text: character {error.start} is a byte that is not UTF-8.") from None
    if not is_visible(expression):
        raise InputError(f"{name} has only invisible characters; write what to find, such as 'the left dog'.")
    return words


def is_visible(text: str) -> bool:
    """Return whether a text has a letter, digit, punctuation mark or symbol that shows something."""
    return any(unicodedata.category(letter)[0] in "LNPS" and letter not in INVISIBLE for letter in text)


def pad_words(words: Sequence[WordArray], pad_to: int | None) -> tuple[WordArray, npt.NDArray[np.bool_]]:
    """Stack the words of several expressions, with zeros behind the shorter ones.

    Args:
        words: (T_i,) int64 ids or (T_i, D) float32 vectors of each expression; at least one.
        pad_to: T, at least the largest T_i; None: the largest T_i.

    Returns:
        The words, (B, T) or (B, T, D), and the mask (B, T) bool, True = a word.
    """
    lengths = np.array([len(expression) for expression in words])
    length = int(lengths.max()) if pad_to is None else pad_to
    padded = np.zeros((len(words), length, *words[0].shape[1:]), words[0].dtype)
    for row, expression in zip(padded, words, strict=True):
        row[: len(expression)] = expression
    return padded, np.arange(length) < lengths[:, None]


def warn_about(expression: str, words: Words, max_words: int, corrections: Mapping[str, str] | None = None) -> None:
    """Warn if an expression was corrected or cut, is not in English, or has words that the vocabulary does not have.

    The language is checked only where words are read as token ids, since a tokenizer splits words of any language into
    pieces that it has.

    Args:
        expression: as written.
        words: as read.
        max_words: the reader's.
        corrections: the correction of each word that was read with another spelling.
    """
    if corrections:
        changes = ", ".join(f"{word!r} as {correct!r}" for word, correct in corrections.items())
        message = f"Read {changes}; load the model with correct_spelling=False to read words as written."
        warnings.warn(SpellingWarning(message), stacklevel=3)
    if words.values.ndim == 1 and (message := language_warning(expression, corrections or {})):
        warnings.warn(VLTWarning(message), stacklevel=3)
    if words.cut:
        message = (
            f"The expression has {len(expression.split())} words and was cut at model.max_words, {max_words} words or "
            f"word pieces: its last {words.cut} were not read."
        )
        warnings.warn(VLTWarning(message), stacklevel=3)
    if words.unknown:
        message = f"The model does not know {list_words(words.unknown)}, and ignores it; try other words."
        warnings.warn(VLTWarning(message), stacklevel=3)


def language_warning(expression: str, corrections: Mapping[str, str]) -> str:
    """Return a warning for an expression that looks like another language, or has words and none of them is English.

    Args:
        expression: as written.
        corrections: the correction of each word that was read with another spelling.

    Returns:
        The message, "" for an English expression.
    """
    quoted = repr(expression if len(expression) <= QUOTED else f"{expression[:QUOTED]}...")
    if is_foreign(expression):
        return f"The expression {quoted} does not look like English, which the model reads; say it in English."
    words = [word for word in WORD.findall(expression) if len(word) > 1]
    if words and not any(word in corrections or is_english(word) for word in words):
        return f"No word of the expression {quoted} is in the English dictionary, so its mask may be of anything."
    return ""


def list_words(words: Sequence[str]) -> str:
    """Quote the first few words for a message."""
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(repr(word) for word in words[:NAMED]) + more
