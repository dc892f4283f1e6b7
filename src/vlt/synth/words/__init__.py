"""A grammar of referring expressions: generate them for the objects of a scene, and read them back.

    scene       the objects of an image with their noun, position, area and colours
    appearance  colours and objects from pixels and masks
    nouns       tables: categories, the words for them, categories that are easily confused
    lexicon     which categories a noun names
    modifiers   protocol of modifiers, three-valued logic, colour, negation
    place       position, rank, size and depth among distractors
    relation    position relative to a landmark, clothes
    query       a noun and modifiers, and the objects they can refer to
    grammar     queries to words and words to queries
    describe    unambiguous expressions about an object, and expressions without a referent
    several     unambiguous expressions about several objects

Every decision has three values: yes, no, and unclear close to a threshold. An expression is generated only if its
target is a clear yes and every other object a clear no.
"""

from vlt.synth.words.describe import Wording, absent, describe
from vlt.synth.words.grammar import parse
from vlt.synth.words.query import Query, is_clear, resolve, standings
from vlt.synth.words.scene import Scene, SceneObject
from vlt.synth.words.several import Group, groups

__all__ = [
    "Group",
    "Query",
    "Scene",
    "SceneObject",
    "Wording",
    "absent",
    "describe",
    "groups",
    "is_clear",
    "parse",
    "resolve",
    "standings",
]
