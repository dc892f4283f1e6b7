"""Parts of a network that do not train."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Self = TypeVar("Self", bound="Freezable")


class Freezable(nn.Module):
    """A module whose first blocks can be frozen: no gradients, and inference behaviour whatever the mode.

    A normalisation that went on collecting statistics, or a dropout that went on dropping, would not be frozen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    def blocks(self) -> list[nn.Module]:
        """The parts that hold pretrained parameters, from the input onwards; the unit `train_last` counts in."""
        raise NotImplementedError

    def train_last(self, count: int | None) -> None:
        """Freezes all but the last blocks.

        Args:
            count: of blocks that train; None: all of them.
        """
        blocks = self.blocks()
        self._frozen = [] if count is None else blocks[: max(0, len(blocks) - count)]
        for block in self._frozen:
            block.requires_grad_(False).eval()

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode for all that is not frozen."""
        super().train(mode)
        for block in self._frozen:
            block.eval()
        return self
