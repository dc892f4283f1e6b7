"""Swap left and right in an expression, for the horizontally flipped image."""

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
"""The word of the other side for each word of a side."""

WORD: Final = re.compile(r"[^\W_]+")

HARMLESS: Final = frozenset({"bright", "brighter", "brightest", "brightly", "upright"})
"""Words that contain "left" or "right" and name no side."""

PLACED: Final = re.compile(
    r"\b(?:on|to|the|far|very|at|in|from|top|bottom|upper|lower|front|back|middle|your|our|my)\s+$", re.IGNORECASE
)
"""Text before "left" or "right" that makes it a side."""

ADVERB: Final = re.compile(
    r"\s+(?:behind|next|above|below|under|underneath|beneath|beside|over|against|at|by|near|nearest|between|before|after|"
    r"now|up|down|out|outside|inside|there|here|where|off|past|across|around|along|through|alone|open|to|"
    r"in\s+(?:the\s+)?(?:front|middle|center|centre|corner|back|background|between))\b",
    re.IGNORECASE,
)
"""Text after "left" or "right", unless `PLACED`, with which it may be an adverb or verb: right behind, left open."""

UNSAFE: Final = re.compile(
    r"""
      \b(?:east|west|north|south)                        # a flipped map is not a map
    | \bo\s?['’]?\s?clock\b | \d:\d\d | clockwise        # a direction, or what a clock shows
    | ["“”\#] | (?<![\w-])\d+(?![\w-])                   # writing is flipped with its object
    | \b(?:says?|saying|reads?|reading|writing|written|words?|letters?|lettering|text|spelled|spells|numbers?|numeral)\b
    | \b(?:turn|turns|turned|turning)\s+(?:left|right)\b # text of a sign, or a pose
    | \b(?:all|one|ones|whats?|what['’]s|who|that|has|have|been|just|only|is|are)\s+(?:left|right)\b # remaining
    | \b(?:slices?|pieces?|parts?|half|some|any|anything|nothing)\s+left\b
    | \bleft\s+(?:over|on\s+(?:the|a)\s+(?:plate|table))\b
    | \b(?:left|right)[\s-](?:handed|hander|handers|footed|wing|winger|field|fielder|angle|angled)\b
    | \bsouthpaw | \b(?:driver|passenger)(?:'?s)?\s+side\b | \bstarboard\b | \bport\s+side\b
    | \b[lr]\b | \b(?:rigth|rihgt|righ|rigt|rght|lf|lt|lef|lfet|letf|lefft|elft)\b           # perhaps a side
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words that are wrong for the flipped image with or without a swap, or that may or may not name a side."""


def swap_left_right(text: str) -> str | None:
    """Return the expression for the horizontally flipped image. Swapping twice returns the original text.

    Args:
        text: any English expression.

    Returns:
        The text with left and right swapped, unchanged if it has neither; None if the image must not be flipped because
        the expression would be wrong, or may be: "right behind her", "3 o'clock", "number 12".

    Example:
        >>> swap_left_right("Leftmost guy, right of the bus")
        'Rightmost guy, left of the bus'
        >>> swap_left_right("guy right behind her") is None
        True
    """
    if UNSAFE.search(text):
        return None
    for match in WORD.finditer(text):
        word, lower = match[0], match[0].lower()
        if lower not in SWAPPED:
            if ("left" in lower or "right" in lower) and lower not in HARMLESS:
                return None
            continue
        is_adverb = ADVERB.match(text[match.end() :]) and not PLACED.search(text[: match.start()])
        if is_adverb or other_side(other_side(word)) != word:
            return None
    return WORD.sub(lambda match: other_side(match[0]), text)


def other_side(word: str) -> str:
    """Return the word of the other side, in the same case; other words unchanged.

    Example:
        >>> other_side("LEFT"), other_side("Leftmost"), other_side("top")
        ('RIGHT', 'Rightmost', 'top')
    """
    other = SWAPPED.get(word.lower())
    if other is None:
        return word
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
