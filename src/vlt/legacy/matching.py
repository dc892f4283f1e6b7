"""Match the layers of a file with those that a network expects, and list everything that does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vlt.errors import CheckpointError
from vlt.legacy.hdf5 import KerasLayer, Shape
from vlt.legacy.layers import ExpectedLayer

MIN_SHARE = 0.75
"""Smallest share of matching layers of a class at which a file counts as incomplete rather than of another network."""


@dataclass(slots=True)
class Match:
    """Result of matching.

    Attributes:
        pairs: a file's layer, and the expected layer that it fills.
        problems: a phrase for each layer that is missing or holds other weights than expected.
        surplus: layers of the file that the network does not have.
    """

    pairs: list[tuple[KerasLayer, ExpectedLayer]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    surplus: list[KerasLayer] = field(default_factory=list)

    def __add__(self, other: Match) -> Match:
        """Concatenate two results."""
        return Match(self.pairs + other.pairs, self.problems + other.problems, self.surplus + other.surplus)

    @torch.no_grad()
    def fill(self, path: Path | str, network: str) -> None:
        """Copy the values of all pairs into the model, or nothing if there are problems.

        Args:
            path: path of the file, for the error.
            network: name of the expected network, for the error.

        Raises:
            CheckpointError: there are problems, all of them listed; values that cannot be read.
        """
        if self.problems:
            raise CheckpointError(
                f"{path} does not fit {network}; misfits: {len(self.problems)}: {'; '.join(self.problems)}."
            )
        for layer, expected in self.pairs:
            for index, destination in enumerate(expected.destinations):
                destination.fill(layer.values(index))


def match_layers(
    layers: Iterable[KerasLayer], numbered: Sequence[ExpectedLayer], named: Sequence[ExpectedLayer] = ()
) -> Match:
    """Find the layer of a file for each expected layer.

    Args:
        layers: layers of a file, in any order.
        numbered: layers with automatic names, in the order of creation; matched class by class in the order of the
            numbers, whatever number they begin with.
        named: layers with names of their own.
    """
    rest = {layer.name: layer for layer in layers}
    match = Match()
    for expected in named:
        match += _compare(rest.pop(expected.name, None), expected, expected.name)
    for class_name in dict.fromkeys(layer.name for layer in numbered):
        found = [layer for layer in rest.values() if layer.class_name == class_name]
        match += _match_numbered(found, [layer for layer in numbered if layer.name == class_name])
        rest = {name: layer for name, layer in rest.items() if layer.class_name != class_name}
    return match + Match(surplus=list(rest.values()))


def describe(weights: Iterable[tuple[str, Shape]]) -> str:
    """Format weights for a message: kernel (3, 3, 32, 64), bias (64,)."""
    return ", ".join(f"{leaf} {shape}" for leaf, shape in weights)


def _match_numbered(found: Iterable[KerasLayer], expected: Sequence[ExpectedLayer]) -> Match:
    """Match the layers of one class in the order of their numbers.

    Where that does not fit, the numbers are also taken literally, so that a gap names the one layer that is missing
    instead of shifting all that follow. The result with the fewest misfits is returned.
    """
    layers = sorted(found, key=lambda layer: layer.number)
    in_order = _match_positions(dict(enumerate(layers)), expected)
    if not in_order.problems or not layers:
        return in_order
    lowest, highest = layers[0].number, layers[-1].number
    literal = {
        first: _match_positions({layer.number - first: layer for layer in layers}, expected, first)
        for first in range(max(0, lowest - len(expected)), highest + 1)
    }
    shifted = (match for match in literal.values() if len(match.pairs) > MIN_SHARE * len(expected))
    return min([literal[lowest], in_order, *shifted], key=lambda match: len(match.problems) + len(match.surplus))


def _match_positions(
    layers: Mapping[int, KerasLayer], expected: Sequence[ExpectedLayer], first: int | None = None
) -> Match:
    """Match the layers of one class by their position in the order of creation; `first` is the first one's number."""
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
