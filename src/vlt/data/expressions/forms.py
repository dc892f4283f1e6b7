"""How each modifier is said: the table that `grammar` reads in both directions.

In a form `_` stands for the noun with the modifiers applied so far: "left _" and "_ on left" make "red car" to
"left red car" and "red car on left". `~` is where an article may stand: most people leave it out. A form that stands
twice is said twice as often; how often is what the counts of RefCOCO's words and pairs suggest.
"""

from __future__ import annotations

from itertools import product

from vlt.data.expressions.clothes import Wears
from vlt.data.expressions.depth import Depth
from vlt.data.expressions.lexicon import GARMENT_WORDS
from vlt.data.expressions.modifier import SIMILAR, Colour, Modifier, Not
from vlt.data.expressions.place import Middle, Place, Rank, Side
from vlt.data.expressions.relation import RelationKind
from vlt.data.expressions.size import Extreme, Size

SIDES: tuple[Side, ...] = ("left", "right", "top", "bottom")
NUMBERS = {2: ("second", "second", "2nd"), 3: ("third", "third", "3rd"), 4: ("fourth", "4th")}
"""The words of the ordinals, by what they count."""
PICTURES = ("pic", "picture", "photo", "frame")
"""What the whole is called."""
UPPER = {"top": "upper", "bottom": "lower"}

RELATION_FORMS: dict[RelationKind, tuple[str, ...]] = {
    "left": ("_ left of ~#", "_ left of ~#", "_ to ~left of ~#", "_ on ~left of ~#"),
    "right": ("_ right of ~#", "_ right of ~#", "_ to ~right of ~#", "_ on ~right of ~#"),
    "top": ("_ above ~#", "_ above ~#", "_ over ~#"),
    "bottom": ("_ below ~#", "_ under ~#", "_ under ~#"),
    "beside": ("_ next to ~#", "_ next to ~#", "_ next to ~#", "_ beside ~#", "_ by ~#", "_ near ~#"),
    "with": ("_ with ~#",),
    "on": ("_ on ~#", "_ on ~#", "_ on ~#", "_ riding ~#"),
}
"""How each relation is said; `#` stands for the landmark's noun."""


def _side_forms(side: Side) -> tuple[str, ...]:
    if side in ("left", "right"):
        return (
            *(f"{side} _", f"_ on ~{side}") * 14,
            *(f"_ {side}",) * 6,
            *(f"_ on ~{side} side", f"_ {side} side") * 2,
            *(f"{side} side _", f"_ at ~{side}"),
            *(f"_ on ~{side} of ~{picture}" for picture in PICTURES),
            *(
                f"_ on ~{side} side of ~pic",
                f"_ {side} side of ~picture",
                f"_ thats on ~{side}",
                f"_ that is on ~{side}",
            ),
        )
    return (
        *(f"{side} _",) * 8,
        *(f"_ on ~{side}", f"_ at ~{side}", f"_ {side}") * 3,
        *(f"{UPPER[side]} _", f"_ at ~{side} of ~pic", f"_ {side} of ~picture", f"_ that is at ~{side}"),
    )


def _corner_forms(vertical: Side, horizontal: Side) -> tuple[str, ...]:
    way, other_way = f"{vertical} {horizontal}", f"{UPPER[vertical]} {horizontal}"
    return (
        *(f"_ {way}", f"{way} _") * 3,
        *(form for each in (way, way, other_way) for form in (f"_ in ~{each}", f"_ on ~{each}", f"_ {each} corner")),
        *(f"_ {other_way}", f"{other_way} _", f"_ {horizontal} {vertical}", f"_ in ~{way} corner"),
        *(f"{way} corner _", f"_ in ~{way} corner of ~pic"),
    )


def _end_forms(side: Side) -> tuple[str, ...]:
    if side in ("left", "right"):
        return (
            *(f"far {side} _", f"_ far {side}") * 4,
            *(f"_ on ~far {side}",) * 3,
            *(f"{side}most _", f"{side} most _", f"furthest {side} _", f"_ furthest {side}", f"_ farthest {side}"),
            *(f"_ furthest to ~{side}", f"very {side} _", f"_ on the very {side}", f"_ at ~far {side}"),
            *(f"_ all the way on ~{side}", f"_ all the way to ~{side}"),
        )
    highest = {"top": "highest", "bottom": "lowest"}[side]
    return f"{highest} _", f"very {side} _", f"_ at the very {side}", f"_ very {side}"


def _count_forms(number: int, side: Side) -> tuple[str, ...]:
    counted = *("{} _ from ~{}",) * 4, *("_ {} from ~{}",) * 2, "{} from ~{} _"
    return tuple(form.format(word, side) for word in NUMBERS[number] for form in counted)


def _colour_forms(name: str) -> tuple[str, ...]:
    plain, worn = (*("{} _",) * 8, "_ that is {}", "_ thats {}"), (*("_ in {}",) * 5, "_ wearing {}", "_ thats in {}")
    return tuple(form.format(word) for word in spellings(name) for form in (*plain, *worn))


def spellings(colour: str) -> tuple[str, ...]:
    """How a colour is written."""
    return ("gray", "grey") if colour == "gray" else (colour,)


def _clothes_forms(garment: str, colour: str | None) -> tuple[str, ...]:
    after = *("_ in ~#",) * 6, "_ wearing ~#", "_ with ~#"
    if colour is None:
        return tuple(form.replace("#", garment) for form in after)
    return tuple(
        form.replace("#", f"{word} {garment}") for word in spellings(colour) for form in (*after, *("# _",) * 4)
    )


def _not_forms(*ways: str) -> tuple[str, ...]:
    return tuple(
        form.format(way)
        for way in ways
        for form in ("_ not {}", "_ not {}", "_ that is not {}", "_ thats not {}", "_ that isnt {}")
    )


FORMS: dict[Modifier, tuple[str, ...]] = {
    **{Place((side,)): _side_forms(side) for side in SIDES},
    **{Place((y, x)): _corner_forms(y, x) for y in SIDES[2:] for x in SIDES[:2]},
    Middle(): (
        *("middle _", "_ in ~middle") * 4,
        *("center _", "_ middle", "_ in ~center", "_ center", "_ in ~middle of ~pic"),
    ),
    Depth("front"): (
        *("front _", "_ in front") * 6,
        *("closest _", "_ closest to us", "_ closest") * 2,
        *("nearest _", "_ closest to ~camera", "_ closest to you", "_ up front", "_ in ~foreground", "_ front"),
    ),
    Depth("back"): (
        *("back _", "_ in ~back") * 5,
        *("_ furthest back", "_ in ~background", "_ furthest away", "_ farthest away", "_ far back"),
    ),
    **{Rank(1, side): _end_forms(side) for side in SIDES},
    **{Rank(number, side): _count_forms(number, side) for number in NUMBERS for side in SIDES},
    Size("big"): ("big _", "big _", "large _", "bigger _"),
    Size("small"): ("small _", "small _", "little _", "smaller _"),
    Extreme("big"): ("biggest _", "largest _"),
    Extreme("small"): ("smallest _",),
    **{Colour(name): _colour_forms(name) for name in SIMILAR},
    **{Wears(*worn): _clothes_forms(*worn) for worn in product(sorted(GARMENT_WORDS), (None, *SIMILAR))},
    **{Not(Place((side,))): _not_forms(f"on ~{side}", f"the {side} one") for side in SIDES[:2]},
    **{Not(Place((side,))): _not_forms(f"at ~{side}", f"the {side} one") for side in SIDES[2:]},
    **{
        Not(Colour(name)): _not_forms(
            *(way.format(word) for word in spellings(name) for way in ("{}", "in {}", "the {} one"))
        )
        for name in SIMILAR
    },
}
"""How each modifier is said."""
