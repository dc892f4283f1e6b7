"""From a mask that says which thing to one that follows its outline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from vlt.data.masks import mask_box
from vlt.geometry import Letterbox
from vlt.refine.promptable import MASK_STRIDE, SIDE, PromptableSegmenter

if TYPE_CHECKING:
    from vlt.types import Image, Mask

AGREES = 0.2
"""Agreement with the answer (`agreement`) from which on an outline is taken for that of the same thing."""
TRUST = 0.3
"""What the segmenter's own estimate of an outline counts beside its agreement with the answer."""
PEAKS = 3
"""How many points of an answer are shown, beside the box around it."""
OWN = 0.5
"""What the answer's own logits count beside those of the outline: they fill its gaps."""
SMOOTH = 3
"""Side of the square over which they are averaged, in positions of the outline; odd. Speckles go.

The five above were chosen on half a of validation.
"""
UNSURE = 1e-4
"""How sure the answer is at most, of yes and of no, where it counts with the outline."""
APART = 12
"""The larger side of a photo over the distance that its peaks keep, by rows or columns."""
WORTH_SHOWING = 0.15
"""Share of the highest probability below which a peak is not shown."""


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
    """Shows a promptable segmenter where an answer points, and takes the outline that agrees with the answer best.

    What is shown is the box around the answer's mask, and the answer's highest points: where a mask covers a part, or
    leaks into what stands beside, the box misleads but a point does not.

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
            (1, 256, 256) logits in the input of `seen.letterbox`, whose mask is what lies above one half: those of the
            outline and, less, the answer's own. None where the answer is empty, or no outline agrees with it.
        """
        grid = Letterbox(letterbox.photo_size, (SIDE // MASK_STRIDE, SIDE // MASK_STRIDE))
        (top, left), (height, width) = grid.offset, grid.inner_size
        believed = replace(letterbox, photo_size=grid.inner_size).probability(logits)  # (height, width)
        around = mask_box((believed > threshold).numpy())
        if around is None:
            return None
        corner = torch.tensor([left, top])
        boxes = (torch.tensor([around]) + corner.repeat(2)) * MASK_STRIDE
        points = (peaks(believed) + 0.5 + corner) * MASK_STRIDE
        drawn = self.segmenter.segment(seen.mapped, boxes.to(seen.mapped), points.to(seen.mapped))
        outlines, quality = (each.float().cpu().flatten(0, 1) for each in drawn)  # one for each prompt and reading
        inner = outlines[:, top : top + height, left : left + width]  # what of them lies in the photo
        agrees = agreement(inner > 0, believed)
        best = int((agrees + TRUST * quality).argmax())
        if agrees[best] <= AGREES:
            return None
        outline = outlines[best, None].clone()
        outline[0, top : top + height, left : left + width] = smoothed(
            inner[best] + OWN * torch.logit(believed, eps=UNSURE)
        )
        return outline


def peaks(believed: Tensor) -> Tensor:
    """Where an answer is surest: its highest points, each apart from those before.

    Args:
        believed: (H, W), probabilities.

    Returns:
        (P, 2) int64 xy, highest first, at most `PEAKS`.
    """
    left, radius = believed.clone(), max(believed.shape) // APART
    found: list[tuple[int, int]] = []
    for _ in range(PEAKS):
        y, x = divmod(int(left.argmax()), left.shape[1])
        if found and left[y, x] < WORTH_SHOWING * believed.max():
            break
        found.append((x, y))
        left[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = 0
    return torch.tensor(found)


def smoothed(logits: Tensor) -> Tensor:
    """Logits (H, W), each averaged with those around it; at the border with those that there are."""
    return F.avg_pool2d(logits[None], SMOOTH, stride=1, padding=SMOOTH // 2, count_include_pad=False)[0]


def agreement(masks: Tensor, believed: Tensor) -> Tensor:
    """IoU of masks with an answer that says of each position how much it belongs to it.

    Args:
        masks: (N, H, W) bool.
        believed: (H, W), probabilities.

    Returns:
        (N,) in [0, 1].
    """
    overlap = (masks * believed).sum(dim=(1, 2))
    return overlap / (masks.sum(dim=(1, 2)) + believed.sum() - overlap).clamp(min=torch.finfo(believed.dtype).tiny)


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
