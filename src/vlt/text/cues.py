"""Cues of an English expression: the kinds of information it gives about its object, found by keywords."""

from __future__ import annotations

import re
from typing import Final

ARTICLES: Final = frozenset({"the", "a", "an"})
CUES: Final = ("category", "colour", "clothes", "position", "ordinal", "size", "relation", "negation")
"""All cues, in the order in which results are reported."""

CLOTHES: Final = """
    shirt shirts tshirt t-shirt tee blouse sweater sweatshirt jumper cardigan hoodie jacket blazer coat vest suit dress
    skirt shorts pants jeans leggings tights stockings socks shoes boots heels sneakers sandals hat cap helmet scarf
    gloves belt glasses sunglasses uniform jersey"""
WORDS: Final = {
    cue: frozenset(words.split())
    for cue, words in {
        "colour": """
            black white red green blue yellow brown pink purple gray grey silver gold golden tan beige teal turquoise
            navy maroon khaki olive violet blond blonde blk colored coloured""",
        "clothes": CLOTHES,
        "position": """
            left right top bottom middle center centre upper lower leftmost rightmost topmost bottommost lefthand
            righthand left-hand right-hand highest lowest corner edge side front back rear background foreground
            forefront far farthest furthest nearest closest""",
        "ordinal": "first second third fourth fifth sixth last 1st 2nd 3rd 4th 5th 6th",
        "size": """
            big bigger biggest large larger largest small smaller smallest little littlest tiny tiniest huge giant tall
            taller tallest short shorter shortest long longer longest""",
        "relation": """
            above below under underneath beneath over beside behind between near by against with holding carrying riding
            touching around inside""",
        "negation": "not no without isnt isn't arent aren't doesnt doesn't never except neither nor",
    }.items()
}
"""The words that give each cue wherever they stand."""

SIDE = r"(?:left|right|top|bottom|middle|center|centre|front|back|upper|lower|corner|edge|side|end)"
PICTURE = r"(?:pic|picture|photo|image|screen|frame|shot)"
VIEWER = r"(?:us|you|me|camera|viewer|front)"
AFTER_FRUIT = (
    r"(?:left|right|top|bottom|middle|center|upper|lower|far|furthest|farthest|second|third|fourth|2nd|3rd|4th|on|in|at|to|"
    r"from|of|and|is|isnt|next|that|thats|not|with|above|below|under|over|beside|behind|between|near|"
    r"nearest|closest|by|all|up|front|back|very|riding|side)"
)

GARMENT = rf"(?:{'|'.join(CLOTHES.split())})"

PHRASES: Final[tuple[tuple[str, str], ...]] = (
    ("clothes", r"(?:with (?:\w+ )?)?(?:tank|crop|halter) tops?"),
    ("clothes", rf"with(?= (?:\w+ )?{GARMENT}\b)"),
    ("position", rf"{SIDE}-{SIDE}"),
    ("position", rf"{SIDE} of {PICTURE}"),
    ("position", rf"(?:close|closer|closest|nearest) to {VIEWER}"),
    ("relation", r"(?:next|close|closer|closest|nearest) to"),
    ("relation", rf"(?:(?:in|on|at|to) )?{SIDE} of(?= \w)"),
    ("ordinal", r"from (?:far )?(?:left|right|top|bottom|front)"),
    ("position", rf"(?:in|on|at|to) (?:far |very )?{SIDE}"),
    ("colour", r"(?:(?<=in )|(?<=wearing )|(?<=not )|(?<=is )|(?<=thats )|(?<=isnt ))orange"),
    ("colour", rf"orange(?= (?!{AFTER_FRUIT}\b)\w)"),
    ("relation", r"on(?= \w)"),
)
"""Phrases that give a cue, matched in this order; their words are removed before single words are matched."""

NO_SIZE: Final = re.compile(r"\b(?:short|long) (?=hair|sleeve|pants)")


def cues(text: str) -> frozenset[str]:
    """Find the cues of an expression.

    A side to count from ("second from left") belongs to an ordinal, a side of something ("left of bench") to a
    relation; neither is a position as well. Keyword rules are sometimes wrong about expressions that people write.

    Args:
        text: any English expression.

    Returns:
        One or more of `CUES`; "category" is returned only where there is no other.

    Example:
        >>> sorted(cues("small red car on the left"))
        ['colour', 'position', 'size']
    """
    words_read = re.findall(r"[\w'-]+", text.lower())
    text = NO_SIZE.sub("", " ".join(word for word in words_read if word not in ARTICLES))
    found = set()
    for cue, phrase in PHRASES:
        text, matches = re.subn(rf"(?<![\w'-]){phrase}(?![\w'-])", "|", text)
        found |= {cue} if matches else set()
    words = set(text.split())
    found |= {cue for cue, vocabulary in WORDS.items() if words & vocabulary}
    return frozenset(found) or frozenset({"category"})
