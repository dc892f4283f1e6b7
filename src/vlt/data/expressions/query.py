"""What an expression asks for, and what that is in a scene."""

from __future__ import annotations

from dataclasses import dataclass

from vlt.data.expressions.lexicon import PEOPLE, named
from vlt.data.expressions.modifier import Modifier, Stage, Verdicts, agreed, both
from vlt.data.expressions.scene import Scene, Thing, Verdict


@dataclass(frozen=True, slots=True)
class Query:
    """A noun and what is said beside it.

    Attributes:
        noun: as it is said; None for "one", which can be anything.
        modifiers: all hold at once.
    """

    noun: str | None
    modifiers: frozenset[Modifier] = frozenset()

    @property
    def cues(self) -> frozenset[str]:
        """The kinds of hint it gives; "category" where it says no more than a noun."""
        return frozenset().union(*(modifier.cues for modifier in self.modifiers)) or frozenset({"category"})


def resolve(query: Query, scene: Scene) -> frozenset[int]:
    """Everything that `query` may mean.

    Returns:
        Indices into the scene's things; empty where it means nothing there.
    """
    verdicts = Judge(query.noun, scene).verdicts(query.modifiers)
    return frozenset(index for index, verdict in enumerate(verdicts) if verdict is not False)


def is_clear(query: Query, scene: Scene, target: int) -> bool:
    """Whether `query` means the thing with index `target` beyond doubt, and nothing else.

    A person of whom no more is known is whatever they are called ("guy", "lady"), where nobody else can be: where the
    same is clear of a person, whoever of the others is a guy or none. But guys of whom none is known are not counted.
    """
    return Judge(query.noun, scene).is_clear(query.modifiers, target) or (
        query.noun in PEOPLE
        and scene.things[target].noun == "person"
        and all(modifier.stage < Stage.RANK for modifier in query.modifiers)
        and resolve(query, scene) == {target}
        and Judge("person", scene).is_clear(query.modifiers, target)
    )


class Judge:
    """Says of each thing of a scene whether a query with a given noun means it: yes, no, or perhaps.

    Absolute modifiers come first, then those that compare, then those that rank, each among what is left over.
    What is left over is asked twice, with the doubtful things and without: where the answers differ, it is unclear.
    What was found for some modifiers is kept, because queries about one thing share most of theirs.
    """

    def __init__(self, noun: str | None, scene: Scene) -> None:
        self._scene = scene
        self._found: dict[frozenset[Modifier], Verdicts] = {
            frozenset(): [_is_named(noun, thing) for thing in scene.things]
        }

    def verdicts(self, modifiers: frozenset[Modifier]) -> Verdicts:
        """Whether each thing is what the noun names and all of `modifiers` hold of it."""
        if modifiers not in self._found:
            last = max(modifier.stage for modifier in modifiers)
            earlier = frozenset(modifier for modifier in modifiers if modifier.stage < last)
            first, *others = modifiers - earlier
            if others:
                one, rest = self.verdicts(earlier | {first}), self.verdicts(earlier.union(others))
                self._found[modifiers] = list(map(both, one, rest))
            else:
                self._found[modifiers] = self._narrowed(self.verdicts(earlier), first)
        return self._found[modifiers]

    def is_clear(self, modifiers: frozenset[Modifier], target: int) -> bool:
        """Whether the thing with index `target` is a clear yes, and everything else a clear no."""
        verdicts = self.verdicts(modifiers)
        return verdicts[target] is True and verdicts.count(False) == len(verdicts) - 1

    def _narrowed(self, verdicts: Verdicts, modifier: Modifier) -> Verdicts:
        """What is left over of `verdicts` once `modifier` is asked for too."""
        left = [index for index, verdict in enumerate(verdicts) if verdict is not False]
        things = [self._scene.things[index] for index in left]
        certain = [self._scene.things[index] for index in left if verdicts[index]]
        judged = modifier.judge(things, things, self._scene)
        if len(certain) < len(things):
            judged = list(map(agreed, judged, modifier.judge(things, certain, self._scene)))
        narrowed: Verdicts = [False] * len(verdicts)
        for index, verdict in zip(left, judged, strict=True):
            narrowed[index] = both(verdicts[index], verdict)
        return narrowed


def _is_named(noun: str | None, thing: Thing) -> Verdict:
    """Whether a thing is what the noun names; unclear for what might be overlooked, or is many."""
    return both(named(noun, thing.noun), True if thing.may_be_meant else None)
