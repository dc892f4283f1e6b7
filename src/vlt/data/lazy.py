"""Sequences whose items are made when asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar, overload

from vlt.types import Referral

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """Counts, slices and refuses as a list does; a subclass says how many items there are and makes one."""

    noun: ClassVar[str] = "item"
    """What an item is called in a refusal."""

    @abstractmethod
    def _make(self, index: int) -> Item:
        """The item at an index from 0 on."""

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """Makes an item, or each of a slice.

        Raises:
            IndexError: there is no such item.
            VLTError: what is needed to make it cannot be used.
        """
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} {self.noun}s, no {self.noun} {index}")
        return self._make(index % len(self))


class SceneReferrals(LazySequence[Referral]):
    """Referrals to scenes, those of a scene together; the last scene is kept, so that they share its image.

    Args:
        scenes: how many.
        referents: referrals of each.
    """

    noun = "referral"

    def __init__(self, scenes: int, referents: int) -> None:
        self._scenes = scenes
        self._referents = referents
        self._last: tuple[int, list[Referral]] | None = None

    def __len__(self) -> int:
        return self._scenes * self._referents

    @abstractmethod
    def _of_scene(self, scene: int) -> list[Referral]:
        """At least one referral to a scene, counted from 0; where they are too few, they come again."""

    def _make(self, index: int) -> Referral:
        scene, place = divmod(index, self._referents)
        if self._last is None or self._last[0] != scene:
            self._last = scene, self._of_scene(scene)
        meant = self._last[1]
        return meant[place % len(meant)]
