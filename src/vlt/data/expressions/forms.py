"""How each modifier is said: the table that `grammar` reads in both directions.

In a form `_` stands for the noun with the modifiers applied so far: "left _" and "_ on the left" make "red car" to
"left red car" and "red car on the left". A form that stands twice is said twice as often.
"""

from __future__ import annotations

from vlt.data.expressions.modifier import SIMILAR, Colour, Modifier, Not
from vlt.data.expressions.place import Middle, Place, Rank, Side
from vlt.data.expressions.relation import RelationKind
from vlt.data.expressions.size import Extreme, Size

SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")
NUMBERS = {2: ("second", "2nd"), 3: ("third", "3rd"), 4: ("fourth", "4th")}
"""The words of the ordinals, by what they count."""
UPPER = {"top": "upper", "bottom": "lower"}

RELATION_FORMS: dict[RelationKind, tuple[str, ...]] = {
    "left": ("_ left of #", "_ left of the #", "_ to left of #", "_ to the left of the #", "_ on left of #"),
    "right": ("_ right of #", "_ right of the #", "_ to right of #", "_ to the right of the #", "_ on right of #"),
    "top": ("_ above #", "_ above the #", "_ over the #"),
    "bottom": ("_ below #", "_ below the #", "_ under the #"),
    "beside": ("_ next to #", "_ next to the #", "_ beside the #", "_ by the #"),
    "with": ("_ with #", "_ with the #"),
    "on": ("_ on #", "_ on the #"),
}
"""How each relation is said; `#` stands for the landmark's noun."""


def _side_forms(side: Side) -> tuple[str, ...]:
    if side in ("left", "right"):
        return f"{side} _", f"_ on {side}", f"_ on the {side}", f"{side} _", f"_ {side}", f"_ on {side} side"
    return f"{side} _", f"_ at {side}", f"_ at the {side}", f"{UPPER[side]} _", f"_ {side}"


def _corner_forms(vertical: Side, horizontal: Side) -> tuple[str, ...]:
    ways = f"{vertical} {horizontal}", f"{UPPER[vertical]} {horizontal}"
    return tuple(form for way in ways for form in (f"{way} _", f"_ {way}", f"_ in {way}", f"_ on the {way}"))


def _end_forms(side: Side) -> tuple[str, ...]:
    if side in ("left", "right"):
        ways = f"far {side}", f"on far {side}", f"on the far {side}", f"furthest {side}", f"farthest {side}"
        return f"{side}most _", f"far {side} _", *(f"_ {way}" for way in ways)
    highest = {"top": "highest", "bottom": "lowest"}[side]
    return f"{highest} _", f"very {side} _", f"_ at the very {side}"


def _count_forms(number: int, side: Side) -> tuple[str, ...]:
    counted = ("{} _ from {}", "{} _ from the {}", "_ {} from {}", "_ {} from the {}")
    return tuple(form.format(word, side) for word in NUMBERS[number] for form in counted)


def _colour_forms(name: str) -> tuple[str, ...]:
    return tuple(form.format(word) for word in spellings(name) for form in ("{} _", "_ in {}", "_ wearing {}"))


def spellings(colour: str) -> tuple[str, ...]:
    """How a colour is written."""
    return ("gray", "grey") if colour == "gray" else (colour,)


def _not_forms(*ways: str) -> tuple[str, ...]:
    return tuple(form for way in ways for form in (f"_ not {way}", f"_ that is not {way}", f"_ thats not {way}"))


FORMS: dict[Modifier, tuple[str, ...]] = {
    **{Place((side,)): _side_forms(side) for side in SIDES},
    **{Place((y, x)): _corner_forms(y, x) for y in SIDES[2:] for x in SIDES[:2]},
    Middle(): (
        *("middle _", "center _", "middle _", "_ middle"),
        *("_ in middle", "_ in the middle", "_ in center", "_ in the center"),
    ),
    **{Rank(1, side): _end_forms(side) for side in SIDES},
    **{Rank(number, side): _count_forms(number, side) for number in NUMBERS for side in SIDES},
    Size("big"): ("big _", "large _"),
    Size("small"): ("small _", "little _"),
    Extreme("big"): ("biggest _", "largest _"),
    Extreme("small"): ("smallest _",),
    **{Colour(name): _colour_forms(name) for name in SIMILAR},
    **{Not(Place((side,))): _not_forms(f"on {side}", f"on the {side}") for side in SIDES[:2]},
    **{Not(Place((side,))): _not_forms(f"at {side}", f"at the {side}") for side in SIDES[2:]},
    **{
        Not(Colour(name)): _not_forms(*spellings(name), *(f"in {word}" for word in spellings(name))) for name in SIMILAR
    },
}
"""How each modifier is said."""
