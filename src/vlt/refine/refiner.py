"""From a mask that says which thing to one that follows its outline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlt.data.masks import mask_box
from vlt.geometry import Letterbox
from vlt.refine.promptable import MASK_STRIDE, SIDE, PromptableSegmenter

if TYPE_CHECKING:
    from vlt.types import Image, Mask

AGREES = 0.4
"""IoU with the answer from which on an outline is taken for that of the same thing; chosen on half a of validation."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """What a refiner sees in a photo; a value, good for any number of answers.

    Attributes:
        letterbox: of the photo in the segmenter's input.
        mapped: (1, 256, 64, 64).
    """

    letterbox: Letterbox
    mapped: Tensor = field(repr=False)


class Refiner:
    """Shows a promptable segmenter the box around an answer, and takes the outline that agrees with the answer best.

    Args:
        segmenter: in eval mode.
    """

    def __init__(self, segmenter: PromptableSegmenter) -> None:
        self.segmenter = segmenter

    @torch.inference_mode()
    def see(self, photo: Image) -> Outlines:
        """The part of the work that needs no answer, to be done once per photo.

        Args:
            photo: (H, W, 3) uint8 RGB.
        """
        letterbox = Letterbox((photo.shape[0], photo.shape[1]), (SIDE, SIDE))
        return Outlines(letterbox, self.segmenter.encode(letterbox.image(photo).to(self.segmenter.mean.device)))

    def mask(self, seen: Outlines, logits: Tensor, letterbox: Letterbox, threshold: float, *, otherwise: Mask) -> Mask:
        """The sharpened mask of an answer.

        Args:
            seen: of the photo.
            logits: as for `outline`.
            letterbox: as for `outline`.
            threshold: as for `outline`.
            otherwise: what the answer's mask is where there is no outline for it.

        Returns:
            (H, W) bool, at the photo's size.
        """
        outline = self.outline(seen, logits, letterbox, threshold)
        return otherwise if outline is None else seen.letterbox.mask(outline, 0.5)

    @torch.inference_mode()
    def outline(self, seen: Outlines, logits: Tensor, letterbox: Letterbox, threshold: float) -> Tensor | None:
        """The outline of what an answer means.

        Args:
            seen: of the photo.
            logits: (1, h, w), the answer, in the input of `letterbox`.
            letterbox: of the same photo in the input of the network that answered.
            threshold: of the answer's probability.

        Returns:
            (1, 256, 256) logits in the input of `seen.letterbox`, whose mask is what lies above one half; None where
            the answer is empty, or no outline agrees with it.
        """
        grid = Letterbox(letterbox.photo_size, (SIDE // MASK_STRIDE, SIDE // MASK_STRIDE))
        (top, left), (height, width) = grid.offset, grid.inner_size
        answer = replace(letterbox, photo_size=grid.inner_size).mask(logits, threshold)  # (height, width)
        around = mask_box(answer)
        if around is None:
            return None
        box = (torch.tensor(around) + torch.tensor([left, top, left, top])) * MASK_STRIDE
        [drawn] = self.segmenter.segment(seen.mapped, box[None].to(seen.mapped)).float().cpu()  # (READINGS, 256, 256)
        agreement = _iou(drawn[:, top : top + height, left : left + width] > 0, torch.from_numpy(answer))
        best = int(agreement.argmax())
        return drawn[best, None] if agreement[best] > AGREES else None


def build_refiner(tensors: Mapping[str, Tensor]) -> Refiner:
    """A refiner with the weights of its segmenter.

    Args:
        tensors: by the names of `PromptableSegmenter`.

    Raises:
        RuntimeError: they do not fit.
    """
    segmenter = PromptableSegmenter()
    segmenter.load_state_dict(dict(tensors))
    return Refiner(segmenter.eval())


def _iou(masks: Tensor, other: Tensor) -> Tensor:
    """Of masks (N, H, W) with another (H, W) that is not empty: (N,)."""
    overlap = (masks & other).sum(dim=(1, 2))
    return overlap / (masks | other).sum(dim=(1, 2))
