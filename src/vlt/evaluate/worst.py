"""Pictures of the worst predictions of an evaluation, kept in little memory and drawn at its end."""

from __future__ import annotations

import heapq
from pathlib import Path

from vlt.data.image import read_image
from vlt.data.masks import decode_rle, encode_rle
from vlt.evaluate.evaluation import Shard
from vlt.evaluate.results import ExpressionResult, Outcome, overlap_text
from vlt.types import RLE, Referral
from vlt.visualize import compare, save_picture


class Worst:
    """Keeps the predictions with the lowest IoU: pass it to `evaluate` as `on_outcome`, then save.

    The IoU is that of the boxes where targets are known by their boxes alone.

    Of equal ones it keeps those that came first.

    Args:
        count: how many to keep, at least one.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._number = 0
        # The best of the kept ones on top; masks as run lengths.
        self._heap: list[tuple[float, int, tuple[ExpressionResult, Referral, RLE, RLE]]] = []

    def __call__(self, outcome: Outcome) -> None:
        """Add one prediction."""
        self._number += 1
        badness = (-outcome.result.overlap, -self._number)
        if len(self._heap) == self.count and badness < self._heap[0][:2]:
            return
        kept = (outcome.result, outcome.referral, encode_rle(outcome.mask), encode_rle(outcome.ground_truth))
        push = heapq.heappush if len(self._heap) < self.count else heapq.heapreplace
        push(self._heap, (*badness, kept))

    def save(self, folder: Path, shard: Shard | None = None) -> list[Path]:
        """Draw the predictions of all processes, worst first: ground truth in green, prediction in orange beside it.

        Args:
            folder: made where there is none.
            shard: the one of the evaluation; the first process draws.

        Returns:
            The pictures' paths; none in the other processes.

        Raises:
            VLTError: a picture cannot be written, or an image can no longer be read.
        """
        shard = shard or Shard()
        kept = shard.gather([entry[-1] for entry in sorted(self._heap, reverse=True)])
        if shard.rank:
            return []
        paths = []
        for place, (result, referral, mask, truth) in enumerate(
            sorted(kept, key=lambda one: one[0].overlap)[: self.count], 1
        ):
            caption = f"{result.expression}\n{overlap_text(result)}, ref {result.ref_id}, sentence {result.sent_id}"
            picture = compare(read_image(referral.image), decode_rle(truth), decode_rle(mask), caption)
            paths.append(folder / f"{place:03d}_ref{result.ref_id}_sent{result.sent_id}.png")
            save_picture(picture, paths[-1])
        return paths
