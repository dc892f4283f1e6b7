"""Generate expressions about several objects of a scene: all objects of a noun, perhaps of one colour."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vlt.synth.words.lexicon import PEOPLE, plural, synonyms
from vlt.synth.words.modifiers import SIMILAR, Colour, Modifier
from vlt.synth.words.nouns import HUMANS
from vlt.synth.words.query import Resolver
from vlt.synth.words.scene import Scene

ALL = ("all _", "the _", "all the _", "_")
"""Wordings for all objects of a plural, which stands for `_`."""
COUNTED: Mapping[int, tuple[str, ...]] = {
    2: ("both _", "the two _", "two _"),
    3: ("the three _", "all three _"),
    4: ("the four _", "all four _"),
}
"""Further wordings, by the number of objects."""


class Group(NamedTuple):
    """Objects of a scene that expressions refer to together.

    Attributes:
        members: indices into `Scene.objects`, at least two.
        texts: different expressions, each of which refers to all of them and to nothing else.
    """

    members: tuple[int, ...]
    texts: tuple[str, ...]


def groups(scene: Scene) -> list[Group]:
    """Find the groups of a scene: all objects of a noun, and all of a noun and a colour that others of it lack.

    Each object that fits is a clear yes, and every other a clear no; so a noun is not used beside an object that may be
    called so, nor where one of its objects can be no target.
    """
    found: dict[tuple[int, ...], list[str]] = {}
    for noun in dict.fromkeys(each.noun for each in scene.objects):
        for word in dict.fromkeys((noun, *synonyms(noun))):
            if (several := plural(word)) is not None:
                for members, name in named_groups(scene, word, several):
                    forms = (*ALL, *COUNTED.get(len(members), ()))
                    found.setdefault(members, []).extend(form.replace("_", name) for form in forms)
    return [Group(members, tuple(dict.fromkeys(texts))) for members, texts in found.items()]


def named_groups(scene: Scene, word: str, several: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the groups of a noun, each with the words for it, such as "red cups" or "people in red".

    People are not described by brown, orange and pink, which may be the colours of skin and hair.

    Args:
        scene: the objects of the image.
        word: the noun.
        several: its plural.
    """
    resolver = Resolver(word, scene)
    whole = members_of(resolver, frozenset())
    if whole:
        yield whole, several
    skin = ("brown", "orange", "pink") if word in PEOPLE or word in HUMANS else ()
    for colour in SIMILAR:
        members = members_of(resolver, frozenset({Colour(colour)})) if colour not in skin else ()
        if members and len(members) < resolver.verdicts(frozenset()).count(True):
            yield members, f"{several} in {colour}" if skin else f"{colour} {several}"


def members_of(resolver: Resolver, modifiers: frozenset[Modifier]) -> tuple[int, ...]:
    """List the objects of which noun and modifiers clearly hold; none for fewer than two, or where one is unclear."""
    verdicts = resolver.verdicts(modifiers)
    members = tuple(index for index, verdict in enumerate(verdicts) if verdict)
    return members if len(members) > 1 and None not in verdicts else ()
