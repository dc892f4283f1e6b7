"""Puts a file's layers beside the ones a network expects, and lists everything that does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vlt.legacy.hdf5 import KerasLayer, Shape
from vlt.legacy.layers import ExpectedLayer

BELIEVABLE = 0.75
"""Share of a class that must fit before a file is said to lack its first layers, not to be another network's."""


@dataclass(slots=True)
class Match:
    """What was found.

    Attributes:
        pairs: a file's layer and the one that it fills.
        problems: a phrase for each layer that is missing or holds other weights than it should.
        surplus: layers that nothing expects.
    """

    pairs: list[tuple[KerasLayer, ExpectedLayer]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    surplus: list[KerasLayer] = field(default_factory=list)

    def __add__(self, other: Match) -> Match:
        """Both together."""
        return Match(self.pairs + other.pairs, self.problems + other.problems, self.surplus + other.surplus)


def match_layers(
    layers: Iterable[KerasLayer], numbered: Sequence[ExpectedLayer], named: Sequence[ExpectedLayer] = ()
) -> Match:
    """Finds the layer of a file for each that is expected.

    Args:
        layers: of a file, in any order.
        numbered: with automatic names, in creation order; matched class by class in the order of the numbers,
            whatever these begin with.
        named: with names of their own.
    """
    own_names = {layer.name for layer in named}
    rest = {layer.name: layer for layer in layers}
    match = _match_named({name: rest.pop(name) for name in own_names & rest.keys()}, named)
    for class_name in dict.fromkeys(layer.name for layer in numbered):
        found = [layer for layer in rest.values() if layer.class_name == class_name]
        match += _match_numbered(found, [layer for layer in numbered if layer.name == class_name])
        rest = {name: layer for name, layer in rest.items() if layer.class_name != class_name}
    return match + Match(surplus=list(rest.values()))


def describe(weights: Iterable[tuple[str, Shape]]) -> str:
    """Weights in words: kernel (3, 3, 32, 64), bias (64,)."""
    return ", ".join(f"{leaf} {shape}" for leaf, shape in weights)


def _match_named(found: Mapping[str, KerasLayer], expected: Iterable[ExpectedLayer]) -> Match:
    return sum((_compare(found.get(layer.name), layer, layer.name) for layer in expected), Match())


def _match_numbered(found: Iterable[KerasLayer], expected: Sequence[ExpectedLayer]) -> Match:
    """One class by the order of its numbers.

    Where that does not fit, the numbers are also taken literally, so that a gap names the one layer that is missing
    instead of shifting all that follow; the reading with the fewest complaints is told.
    """
    layers = sorted(found, key=lambda layer: layer.number)
    in_order = _place(dict(enumerate(layers)), expected)
    if not in_order.problems or not layers:
        return in_order
    lowest, highest = layers[0].number, layers[-1].number
    literal = {
        first: _place({layer.number - first: layer for layer in layers}, expected, first)
        for first in range(max(0, lowest - len(expected)), highest + 1)
    }
    shifted = (match for match in literal.values() if len(match.pairs) > BELIEVABLE * len(expected))
    return min([literal[lowest], in_order, *shifted], key=lambda match: len(match.problems) + len(match.surplus))


def _place(layers: Mapping[int, KerasLayer], expected: Sequence[ExpectedLayer], first: int | None = None) -> Match:
    """Compares the layers of one class, by their position in creation order; `first` is the number of the first."""
    match = Match(surplus=[layer for position, layer in layers.items() if not 0 <= position < len(expected)])
    for position, layer in enumerate(expected):
        name = layer.name if first is None else f"{layer.name}_{first + position}"
        match += _compare(layers.get(position), layer, name)
    return match


def _compare(found: KerasLayer | None, expected: ExpectedLayer, name: str) -> Match:
    if found is None:
        return Match(problems=[f"{name} is missing, for {expected.module}: {describe(expected.weights)}"])
    if found.weights != expected.weights:
        given, needed = describe(found.weights), describe(expected.weights)
        return Match(problems=[f"{found.name} holds {given}, but {expected.module} needs {needed}"])
    return Match(pairs=[(found, expected)])
