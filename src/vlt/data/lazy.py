"""Sequences whose items are computed when they are accessed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar, overload

from vlt.types import Referral, Referrals

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """Base of sequences that compute an item when it is accessed.

    A subclass implements `__len__` and `make`; indices, slices and range errors are those of a list.
    """

    noun: ClassVar[str] = "item"
    """Name of an item in error messages."""

    @abstractmethod
    def make(self, index: int) -> Item:
        """Compute one item.

        Args:
            index: in [0, len(self)).
        """

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """Compute one item, or a list with each item of a slice.

        Raises:
            IndexError: there is no such item.
            VLTError: the item cannot be computed.
        """
        if isinstance(index, slice):
            return [self.make(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} {self.noun}s, no {self.noun} {index}")
        return self.make(index % len(self))


class SceneReferrals(LazySequence[Referral]):
    """Referrals to generated scenes, those of one scene next to each other.

    The last scene is cached, so that its referrals share one image in memory.

    Args:
        scenes: number of scenes.
        referents: number of referrals per scene.
    """

    noun = "referral"

    def __init__(self, scenes: int, referents: int) -> None:
        self._scenes = scenes
        self._referents = referents
        self._last: tuple[int, list[Referral]] | None = None

    def __len__(self) -> int:
        return self._scenes * self._referents

    @abstractmethod
    def refer_to_scene(self, scene: int) -> list[Referral]:
        """Generate a scene and at least one referral to it.

        Args:
            scene: counted from 0.

        Returns:
            The referrals; where they are fewer than the referrals per scene, they are repeated.
        """

    def make(self, index: int) -> Referral:
        """Take a referral from the cached scene, or generate the scene first."""
        scene, place = divmod(index, self._referents)
        if self._last is None or self._last[0] != scene:
            self._last = scene, self.refer_to_scene(scene)
        referrals = self._last[1]
        return referrals[place % len(referrals)]


class JoinedReferrals(LazySequence[Referral]):
    """Two sequences of referrals, one after the other.

    Args:
        first: its items come first.
        second: its items follow.
    """

    noun = "referral"

    def __init__(self, first: Referrals, second: Referrals) -> None:
        self._first = first
        self._second = second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def make(self, index: int) -> Referral:
        """Take the item from the first or the second sequence."""
        return self._first[index] if index < len(self._first) else self._second[index - len(self._first)]
