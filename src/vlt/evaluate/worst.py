"""The worst answers of an evaluation, kept in little memory and drawn at its end."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vlt.data.masks import decode_rle, encode_rle
from vlt.data.photo import read_image
from vlt.evaluate.evaluation import Outcome, Shard
from vlt.visualize import compare, save_picture

if TYPE_CHECKING:
    from vlt.evaluate.record import Record
    from vlt.types import RLE, Referral


class _Kept(NamedTuple):
    """An answer worth a picture; its masks as run lengths."""

    record: Record
    referral: Referral
    mask: RLE
    target: RLE


class Worst:
    """Remembers the answers with the lowest IoU; hand it to `evaluate` as `on_sample`, then save.

    Of equally bad ones it keeps those it met first.

    Args:
        count: how many to keep, at least one.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._met = 0
        self._heap: list[tuple[float, int, _Kept]] = []  # the best of the kept ones on top

    def __call__(self, outcome: Outcome) -> None:
        """Takes in one answer."""
        self._met += 1
        badness = (-outcome.record.iou, -self._met)
        if len(self._heap) == self.count and badness < self._heap[0][:2]:
            return
        kept = _Kept(outcome.record, outcome.referral, encode_rle(outcome.mask), encode_rle(outcome.target))
        push = heapq.heappush if len(self._heap) < self.count else heapq.heapreplace
        push(self._heap, (*badness, kept))

    def save(self, folder: Path, shard: Shard | None = None) -> list[Path]:
        """Draws the answers of all processes, worst first: the truth in green, the answer in orange beside it.

        Args:
            folder: is made where there is none.
            shard: the one the evaluation had; the first process draws.

        Returns:
            The pictures' paths; none in the other processes.

        Raises:
            VLTError: a picture cannot be written, or a photo can no longer be read.
        """
        shard = shard or Shard()
        kept = shard.gather([entry[-1] for entry in sorted(self._heap, reverse=True)])
        if shard.rank:
            return []
        worst = sorted(kept, key=lambda one: one.record.iou)[: self.count]
        return [_draw(one, place, folder) for place, one in enumerate(worst, 1)]


def _draw(kept: _Kept, place: int, folder: Path) -> Path:
    record = kept.record
    caption = f"{record.expression}\nIoU {record.iou:.3f}, ref {record.ref_id}, sentence {record.sent_id}"
    picture = compare(read_image(kept.referral.image), decode_rle(kept.target), decode_rle(kept.mask), caption)
    path = folder / f"{place:03d}_ref{record.ref_id}_sent{record.sent_id}.png"
    save_picture(picture, path)
    return path
