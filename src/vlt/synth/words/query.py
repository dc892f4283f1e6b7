"""Queries (a noun and its modifiers) and the objects of a scene that they can refer to."""

from dataclasses import dataclass

from vlt.synth.words.lexicon import PEOPLE, named, same_kind
from vlt.synth.words.modifiers import Modifier, Stage, Verdicts, agreed, both
from vlt.synth.words.scene import Scene
from vlt.types import Standing


@dataclass(frozen=True, slots=True)
class Query:
    """The content of an expression, without its wording.

    Attributes:
        noun: the noun; None for "one", which can be anything.
        modifiers: restrictions that all hold of the target.
    """

    noun: str | None
    modifiers: frozenset[Modifier] = frozenset()

    @property
    def cues(self) -> frozenset[str]:
        """The cues of its modifiers; "category" for a noun alone."""
        return frozenset().union(*(modifier.cues for modifier in self.modifiers)) or frozenset({"category"})


def resolve(query: Query, scene: Scene) -> frozenset[int]:
    """Find all objects that a query may refer to.

    Returns:
        Indices into `scene.objects`; empty if it refers to nothing there.
    """
    verdicts = Resolver(query.noun, scene).verdicts(query.modifiers)
    return frozenset(index for index, verdict in enumerate(verdicts) if verdict is not False)


def is_clear(query: Query, scene: Scene, target: int) -> bool:
    """Return whether a query clearly refers to the object with index `target` and to no other.

    A "guy" or "lady" may be a person of unknown sex and age if the query can refer to no other person and would be
    clear with "person" as its noun: then the sex and age of the others do not matter. This does not hold for ranks,
    which depend on how many of them are guys.
    """
    return Resolver(query.noun, scene).is_clear(query.modifiers, target) or (
        query.noun in PEOPLE
        and scene.objects[target].noun == "person"
        and all(modifier.stage < Stage.RANK for modifier in query.modifiers)
        and resolve(query, scene) == {target}
        and Resolver("person", scene).is_clear(query.modifiers, target)
    )


class Resolver:
    """Verdicts on the objects of a scene for one noun with any modifiers.

    Modifiers are applied in the order of their stages, each among the objects that are not excluded yet: once with the
    unclear ones and once without. Where the two verdicts differ, the verdict is unclear. Verdicts are cached by
    modifiers, because queries about one object share most of theirs.
    """

    def __init__(self, noun: str | None, scene: Scene) -> None:
        self._scene = scene
        self._cache: dict[frozenset[Modifier], Verdicts] = {
            frozenset(): [both(named(noun, each.noun), True if each.can_be_target else None) for each in scene.objects]
        }

    def verdicts(self, modifiers: frozenset[Modifier]) -> Verdicts:
        """Decide for each object of the scene whether the noun and all modifiers hold of it."""
        if modifiers not in self._cache:
            last = max(modifier.stage for modifier in modifiers)
            earlier = frozenset(modifier for modifier in modifiers if modifier.stage < last)
            first, *others = modifiers - earlier
            if others:
                one, rest = self.verdicts(earlier | {first}), self.verdicts(earlier.union(others))
                self._cache[modifiers] = list(map(both, one, rest))
            else:
                self._cache[modifiers] = self._narrow(self.verdicts(earlier), first)
        return self._cache[modifiers]

    def is_clear(self, modifiers: frozenset[Modifier], target: int) -> bool:
        """Return whether the object with index `target` is a clear True and every other one a clear False."""
        verdicts = self.verdicts(modifiers)
        return verdicts[target] is True and verdicts.count(False) == len(verdicts) - 1

    def _narrow(self, verdicts: Verdicts, modifier: Modifier) -> Verdicts:
        """Apply one more modifier to the verdicts of earlier ones."""
        left = [index for index, verdict in enumerate(verdicts) if verdict is not False]
        objects = [self._scene.objects[index] for index in left]
        certain = [self._scene.objects[index] for index in left if verdicts[index]]
        found = modifier.verdicts(objects, objects, self._scene)
        if len(certain) < len(objects):
            found = list(map(agreed, found, modifier.verdicts(objects, certain, self._scene)))
        result: Verdicts = [False] * len(verdicts)
        for index, verdict in zip(left, found, strict=True):
            result[index] = both(verdicts[index], verdict)
        return result


def standings(scene: Scene) -> list[Standing]:
    """Rank each object of a scene by area among the objects of its category.

    Evaluation uses it to group targets by whether the words of an expression were needed to find them. Categories that
    may be the same under two names ("tv", "tvmonitor") count as one; objects that are not salient count, too.

    Returns:
        One standing per object, in the order of `scene.objects`. Crowds count as one object and outrank no other.
    """
    result = []
    for target in scene.objects:
        others = [other for other in scene.objects if same_kind(target.noun, other.noun)]
        larger = sum(other.area > target.area and not other.crowd for other in others)
        result.append(Standing(len(others), 1 + larger))
    return result
