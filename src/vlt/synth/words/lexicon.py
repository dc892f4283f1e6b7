"""Decide which categories a noun names: as their name, a common word for them, or a general word for several.

The category names of a data set may be anything; two of them may even name one kind of object ("tv" and "tvmonitor").
An expression must not rely on a noun that fits two objects, so names that differ only in number, spacing or spelling,
and known names of one category in other data sets, count as one; where it is uncertain, the verdict is None.
"""

import re
from functools import cache
from itertools import chain
from typing import Final

from vlt.synth.words.nouns import (
    CALLED,
    COCO_NOUNS,
    FAMILIES,
    GARMENTS,
    HUMANS,
    KIND_LOOKALIKES,
    KINDS,
    LOOKALIKES,
    NARROWER_NAMES,
    OTHER_NAMES,
    SHAPES,
)
from vlt.synth.words.scene import Verdict

CATEGORIES: Final = COCO_NOUNS | SHAPES | CALLED.keys() | GARMENTS.keys()
"""Categories for which the tables of `nouns` list words."""
WORDS: Final = {category: frozenset({category, *words}) for category, words in chain(CALLED.items(), GARMENTS.items())}
"""The words for each category, its name included; a category that is missing has its name alone."""
PEOPLE: Final = frozenset().union(HUMANS, *(WORDS[category] for category in HUMANS))
"""Words for people; the colour of a person is that of their clothes."""
NOUNS: Final = (COCO_NOUNS | SHAPES | KINDS.keys() | CALLED.keys()).union(*(WORDS[category] for category in CALLED))
"""Nouns that are parsed in every scene, in addition to the category names of the scene."""
GARMENT_WORDS: Final = frozenset().union(*GARMENTS.values())
"""Words for garments."""

AMERICAN: Final = {
    "aeroplane": "airplane", "armour": "armor", "axe": "ax", "colour": "color", "doughnut": "donut", "drier": "dryer",
    "grey": "gray", "jewellery": "jewelry", "kerb": "curb", "moustache": "mustache", "omelette": "omelet",
    "plough": "plow", "pyjamas": "pajamas", "racquet": "racket", "tyre": "tire", "yoghurt": "yogurt",
}  # fmt: skip
"""British spellings and their American counterparts."""
SINGULARS: Final = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "knives": "knife", "leaves": "leaf", "shelves": "shelf", "loaves": "loaf",
    "scarves": "scarf", "calves": "calf", "wolves": "wolf", "oxen": "ox",
}  # fmt: skip
"""Irregular plurals and their singulars."""
UNCOUNTED: Final = frozenset({"broccoli", "cattle", "clothing", "food", "furniture", "luggage"})
"""Nouns of which one does not say "two"."""
FILLERS: Final = frozenset({"merged", "other", "stuff"})
"""Words of category names that say nothing about the object, as in COCO's "table-merged"."""


@cache
def name_keys(name: str) -> frozenset[str]:
    """Return keys of a category name; two names with a key in common differ only in how they are written.

    Keys ignore case, spaces, punctuation, doubled letters, remarks in parentheses and British or American spelling.
    A name that lists alternatives ("monitor/tv") has the keys of each. Plural and possible singulars are all keys.

    Example:
        >>> bool(name_keys("pottedplant") & name_keys("Potted Plants")), bool(name_keys("car") & name_keys("cat"))
        (True, False)
    """
    keys = set()
    for alternative in re.split(r"\([^)]*\)|[/,;|]|\bor\b", name.lower()):
        words = [AMERICAN.get(word, word) for word in re.findall(r"[^\W_]+", alternative) if word not in FILLERS]
        if not words:
            continue
        last = words[-1]
        forms = {last, SINGULARS.get(last, last)}
        forms |= {last[: -len(end)] + new for end, new in (("ies", "y"), ("es", ""), ("s", "")) if last.endswith(end)}
        keys |= {re.sub(r"([^\W\d_])\1", r"\1", "".join((*words[:-1], form))) for form in forms}
    return frozenset(keys - {""}) or frozenset({name})


@cache
def standard_names() -> dict[str, str]:
    """Return the category that each key of a category name stands for, see `name_keys` and `OTHER_NAMES`."""
    tables = dict.fromkeys(sorted(COCO_NOUNS | HUMANS | SHAPES), ()) | dict(OTHER_NAMES)
    return {
        key: category for category, names in tables.items() for name in (category, *names) for key in name_keys(name)
    }


@cache
def standard_name(name: str) -> str:
    """Return the category that a category name is another name or spelling of, or the name itself.

    Example:
        >>> standard_name("tvmonitor"), standard_name("aeroplane"), standard_name("gizmo")
        ('tv', 'airplane', 'gizmo')
    """
    if name in CATEGORIES:
        return name
    return next((standard_names()[key] for key in sorted(name_keys(name)) if key in standard_names()), name)


def same_kind(one: str, other: str) -> bool:
    """Return whether two category names name one kind of object, perhaps in different spellings.

    Example:
        >>> same_kind("tv", "tvmonitor"), same_kind("cars", "car"), same_kind("man", "person")
        (True, True, False)
    """
    one, other = standard_name(one), standard_name(other)
    return one == other or (not {one, other} <= CATEGORIES and bool(name_keys(one) & name_keys(other)))


@cache
def words_by_key() -> dict[str, frozenset[str]]:
    """Return the categories that each key of a word may denote: words for them, for several, or for a narrower one."""
    found: dict[str, set[str]] = {}
    for table in (CALLED, NARROWER_NAMES, {category: (category,) for category in COCO_NOUNS}):
        for category, words in table.items():
            for key in chain.from_iterable(map(name_keys, words)):
                found.setdefault(key, set()).add(category)
    for word, categories in KINDS.items():
        for key in name_keys(word):
            found.setdefault(key, set()).update(categories)
    return {key: frozenset(categories) for key, categories in found.items()}


def last_word(name: str) -> str:
    """Return the last word of a name, which names the wider category: an "office chair" is a chair."""
    return name.rpartition(" ")[2]


@cache
def possible_categories(name: str) -> frozenset[str]:
    """Return the known categories that objects of an unknown category may belong to, by its name or its last word.

    Example:
        >>> sorted(possible_categories("computer monitor")), sorted(possible_categories("van"))
        (['tv'], ['car'])
    """
    for part in (name, last_word(name)):
        found = frozenset().union(*(words_by_key().get(key, ()) for key in name_keys(part)))
        if found:
            return found
    return frozenset()


@cache
def named(word: str | None, category: str) -> Verdict:
    """Decide whether a noun names objects of a category.

    Unclear (None) are categories that are easily confused, people of unknown sex and age, and names of which one may
    include the other ("chair" and "office chair"), or whose categories are in no table ("animal" and "gizmo").

    Args:
        word: the noun; None ("one") names everything.
        category: the name of a category, in lower case.

    Example:
        >>> named("bike", "motorcycle"), named("bike", "cat"), named("cup", "wine glass"), named("guy", "person")
        (True, False, None, None)
        >>> named("airplane", "aeroplane"), named("tv", "computer monitor")
        (True, None)
    """
    if word is None or word == category or category in KINDS.get(word, ()):
        return True
    if category not in CATEGORIES and same_kind(word, category):
        return True
    if category not in CATEGORIES and standard_name(category) in CATEGORIES:
        return named(word, standard_name(category))
    is_known = word in NOUNS or word in GARMENT_WORDS or word in CATEGORIES
    if not is_known and standard_name(word) in CATEGORIES:
        return named(standard_name(word), category)
    if category == "person" and word in PEOPLE:
        return None
    if word in WORDS.get(category, ()):
        return True
    if word in KINDS:
        return None if category in KIND_LOOKALIKES.get(word, ()) or category not in CATEGORIES else False
    if any(category in LOOKALIKES.get(meaning, ()) for meaning in meanings(word)):
        return None
    if is_known and category in CATEGORIES:
        return False
    includes = category in possible_categories(word) or (
        category not in CATEGORIES
        and (
            any(named(word, each) is not False for each in possible_categories(category))
            or bool(name_keys(word) & name_keys(last_word(category)))
            or bool(name_keys(category) & name_keys(last_word(word)))
        )
    )
    return None if includes else False


@cache
def meanings(word: str) -> frozenset[str]:
    """Return the categories that a noun is the name of, or a word for.

    Example:
        >>> sorted(meanings("bike")), sorted(meanings("aeroplane"))
        (['bicycle', 'motorcycle'], ['airplane'])
    """
    called = {category for category, words in WORDS.items() if word in words}
    return frozenset({word if called else standard_name(word), *called} & CATEGORIES)


def synonyms(category: str) -> tuple[str, ...]:
    """Return the words for objects of a category; a word that stands twice is drawn twice as often.

    Example:
        >>> synonyms("couch"), synonyms("zebra")
        (('couch', 'couch', 'couch', 'sofa'), ('zebra',))
    """
    return CALLED.get(category) or GARMENTS.get(category) or (category,)


def kinds_of(category: str) -> tuple[str, ...]:
    """Return the words for several categories that cover a category.

    Example:
        >>> kinds_of("apple")
        ('food', 'fruit', 'thing')
    """
    return tuple(kind for kind, categories in KINDS.items() if category in categories and kind != category)


def family(category: str) -> frozenset[str]:
    """Return the categories that occur in the same surroundings as a category, itself included; empty if unknown.

    Example:
        >>> sorted(family("bed"))
        ['bed', 'chair', 'couch', 'dining table', 'potted plant', 'toilet']
    """
    return next((members for members in FAMILIES if category in members), frozenset())


def plural(noun: str) -> str | None:
    """Return the plural of a noun; None for one of which one does not say "two" (`UNCOUNTED`).

    Example:
        >>> plural("wine glass"), plural("person"), plural("kitty"), plural("skis"), plural("luggage")
        ('wine glasses', 'people', 'kitties', 'skis', None)
    """
    start, space, last = noun.rpartition(" ")
    if last in UNCOUNTED:
        return None
    irregular = {one: several for several, one in SINGULARS.items()}
    if last in irregular:
        return start + space + irregular[last]
    if last == "sheep" or last in SINGULARS or (last.endswith("s") and not last.endswith(("ss", "us"))):
        return noun
    if last.endswith(("s", "sh", "ch", "x", "z")):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", last) else noun + "s"
