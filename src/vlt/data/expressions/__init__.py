"""The grammar of expressions: what can be said about a scene, what it means there, and how it is worded.

    scene      what there is in a photo: things with their noun, place, area and colours
    modifier, clothes, place, depth, size, relation
               red, in the red dress, second from right, closest to us, small, above the plate: each says yes, no or
               unclear of a thing
    query      a noun and modifiers; `resolve` finds what they mean in a scene
    forms      how each modifier is said
    grammar    a query to words and back
    describe   the queries that mean exactly one thing, several per thing
    absent     expressions that mean nothing in a scene
    nouns      what things, people and their clothes are called
    lexicon    what nouns name
    spelling   how they are misspelled
    chatter    what people say besides
    cues       what kinds of hint any English expression gives
    mirror     the words for the mirrored photo

What is said must be safe, so every judgement has three values: yes, no, and unclear for whatever comes near a limit.
A wording is used only where its target is a clear yes and everything else a clear no.
"""

from vlt.data.expressions.absent import absent
from vlt.data.expressions.chatter import with_chatter
from vlt.data.expressions.cues import CUES, cues
from vlt.data.expressions.describe import Wording, describe
from vlt.data.expressions.grammar import parse
from vlt.data.expressions.mirror import swap_left_right
from vlt.data.expressions.query import Query, is_clear, resolve
from vlt.data.expressions.scene import Scene, Thing

__all__ = [
    "CUES",
    "Query",
    "Scene",
    "Thing",
    "Wording",
    "absent",
    "cues",
    "describe",
    "is_clear",
    "parse",
    "resolve",
    "swap_left_right",
    "with_chatter",
]
