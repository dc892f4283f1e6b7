"""The words for the mirrored photo: left and right change places, unless they mean something else."""

from __future__ import annotations

import re
from typing import Final

_RIGHT_OF: Final = {
    "left": "right",
    "leftmost": "rightmost",
    "lefthand": "righthand",
    "leftside": "rightside",
    "lft": "rt",
}
SWAPPED: Final = _RIGHT_OF | {right: left for left, right in _RIGHT_OF.items()}
"""Each word of a side, and the word of the other side."""

WORD: Final = re.compile(r"[^\W_]+")

HARMLESS: Final = frozenset({"bright", "brighter", "brightest", "brightly", "upright"})
"""Words with a side in their spelling but not in their meaning."""

PLACED: Final = re.compile(
    r"\b(?:on|to|the|far|very|at|in|from|top|bottom|upper|lower|front|back|middle|your|our|my)\s+$", re.IGNORECASE
)
"""Before a side, these say that it is one."""

ADVERB: Final = re.compile(
    r"\s+(?:behind|next|above|below|under|underneath|beneath|beside|over|against|at|by|near|nearest|between|before|after|"
    r"now|up|down|out|outside|inside|there|here|where|off|past|across|around|along|through|alone|open|to|"
    r"in\s+(?:the\s+)?(?:front|middle|center|centre|corner|back|background|between))\b",
    re.IGNORECASE,
)
"""After a side that nothing placed, these may say that it is none: right behind, left open."""

UNSAFE: Final = re.compile(
    r"""
      \b(?:east|west|north|south)                        # a mirrored map is none
    | \bo\s?['’]?\s?clock\b | \d:\d\d | clockwise        # a direction, or what a clock shows
    | ["“”\#] | (?<![\w-])\d+(?![\w-])                   # what is written on a thing is mirrored with it
    | \b(?:says?|saying|reads?|reading|writing|written|words?|letters?|lettering|text|spelled|spells|numbers?|numeral)\b
    | \b(?:turn|turns|turned|turning)\s+(?:left|right)\b # what a sign says, or how a body is bent
    | \b(?:all|one|ones|whats?|what['’]s|who|that|has|have|been|just|only|is|are)\s+(?:left|right)\b # remaining
    | \b(?:slices?|pieces?|parts?|half|some|any|anything|nothing)\s+left\b
    | \bleft\s+(?:over|on\s+(?:the|a)\s+(?:plate|table))\b
    | \b(?:left|right)[\s-](?:handed|hander|handers|footed|wing|winger|field|fielder|angle|angled)\b
    | \bsouthpaw | \b(?:driver|passenger)(?:'?s)?\s+side\b | \bstarboard\b | \bport\s+side\b
    | \b[lr]\b | \b(?:rigth|rihgt|righ|rigt|rght|lf|lt|lef|lfet|letf|lefft|elft)\b           # perhaps a side
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words that are not true of the mirrored photo whichever way they are turned, or that may or may not name a side."""


def swap_left_right(text: str) -> str | None:
    """The expression for the mirrored photo. Swapping twice gives the text back.

    Args:
        text: any English expression.

    Returns:
        The text with left and right exchanged, the same where there is neither, or None where the photo must not be
        mirrored because the words would be wrong or may be: "right behind her", "3 o'clock", "number 12".

    Example:
        >>> swap_left_right("Leftmost guy, right of the bus")
        'Rightmost guy, left of the bus'
        >>> swap_left_right("guy right behind her") is None
        True
    """
    if UNSAFE.search(text) or any(map(_is_unclear, WORD.finditer(text))):
        return None
    return WORD.sub(lambda match: _swapped(match[0]), text)


def _is_unclear(match: re.Match[str]) -> bool:
    """Whether a word with a side in it may mean no side, or cannot be swapped and swapped back."""
    word = match[0]
    if word.lower() not in SWAPPED:
        return ("left" in word.lower() or "right" in word.lower()) and word.lower() not in HARMLESS
    if _swapped(_swapped(word)) != word:
        return True
    before, after = match.string[: match.start()], match.string[match.end() :]
    return not PLACED.search(before) and ADVERB.match(after) is not None


def _swapped(word: str) -> str:
    """The word of the other side, in capitals as it was; other words as they are."""
    other = SWAPPED.get(word.lower())
    if other is None:
        return word
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
