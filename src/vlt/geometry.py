"""From the photo's pixels to the model's and back: one letterbox that carries its own inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlt.types import Image, Mask, Size

GREY = 0.5
"""What surrounds a letterboxed photo, in [0, 1]."""

STRIP_PIXELS = 4_000_000
"""How many photo pixels are worked on at a time, so that memory stays bounded on huge photos."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Fits a photo into the model's input, keeping its shape, and brings masks back.

    The photo is scaled by min(H/photo_h, W/photo_w), both sides truncated to whole pixels (at least one), and
    centred (source: docs of the original network, "Inputs").

    Attributes:
        photo_size: (height, width) of the photo in pixels.
        input_size: (height, width) of the model's input in pixels.
        antialias: low-pass before shrinking; False is the original's (OpenCV's INTER_CUBIC does not).

    Example:
        >>> box = Letterbox((480, 640), (416, 416))
        >>> box.inner_size, box.offset
        ((312, 416), (52, 0))
    """

    photo_size: Size
    input_size: Size
    antialias: bool = True

    @property
    def inner_size(self) -> Size:
        """(height, width) of the scaled photo inside the input."""
        scale = min(self.input_size[0] / self.photo_size[0], self.input_size[1] / self.photo_size[1])
        height, width = (max(1, int(side * scale)) for side in self.photo_size)
        return height, width

    @property
    def offset(self) -> Size:
        """(top, left) of the scaled photo inside the input."""
        inner = self.inner_size
        return (self.input_size[0] - inner[0]) // 2, (self.input_size[1] - inner[1]) // 2

    def image(self, image: Image) -> Tensor:
        """Photo to input.

        Args:
            image: (H, W, 3) uint8 RGB of `photo_size`.

        Returns:
            (3, h, w) float32 in [0, 1] of `input_size`, grey around the photo.
        """
        pixels = np.require(image, requirements=("C", "W"))  # torch wants to be able to write
        return self._paste(torch.from_numpy(pixels).permute(2, 0, 1), GREY)

    def target(self, mask: Mask) -> Tensor:
        """Target to input, soft at its edges.

        Args:
            mask: (H, W) bool of `photo_size`.

        Returns:
            (1, h, w) float32 in [0, 1] of `input_size`, zero around the photo.
        """
        return self._paste(torch.from_numpy(mask.astype(np.uint8) * 255)[None], 0.0)

    def probability(self, logits: Tensor) -> Tensor:
        """Logits to probabilities at the photo's size. Prefer `mask` for large photos.

        Args:
            logits: (1, h, w) or (h, w) of the model, any stride.

        Returns:
            (H, W) float32 in [0, 1] of `photo_size`, on the CPU.
        """
        return torch.cat(list(self._strips(logits)))

    def mask(self, logits: Tensor, threshold: float) -> Mask:
        """Logits to mask: sigmoid, to the input's size, crop the letterbox, to the photo's size, above the threshold.

        Both resizes are bilinear. Works strip by strip, so the memory beyond the mask itself is bounded.

        Args:
            logits: (1, h, w) or (h, w) of the model, any stride.
            threshold: of the probability, in [0, 1]; the comparison is strict.

        Returns:
            (H, W) bool of `photo_size`.
        """
        return np.concatenate([(strip > threshold).numpy() for strip in self._strips(logits)])

    def certainty(self, logits: Tensor, mask: Mask) -> float:
        """How sure the model is that there is what was asked for.

        The mean of the probabilities inside a mask; for an empty mask, which has no inside, the highest probability in
        the photo. So a mask's certainty lies above the threshold it was made with, and that of an empty one does not.

        Args:
            logits: (1, h, w) or (h, w) of the model, any stride.
            mask: (H, W) bool of `photo_size`, as `mask` made it of these logits.

        Returns:
            In [0, 1].
        """
        total, highest, start = 0.0, 0.0, 0
        for strip in self._strips(logits):
            inside = torch.from_numpy(mask[start : start + len(strip)])
            total += float(strip[inside].sum(dtype=torch.float64))
            highest = max(highest, float(strip.max()))
            start += len(strip)
        area = int(mask.sum())
        return total / area if area else highest

    def _paste(self, pixels: Tensor, around: float) -> Tensor:
        """Scales uint8 `pixels` (C, H, W) and centres them on a canvas of `input_size` filled with `around`."""
        resize = _shrink_smoothly if self.antialias else _resize_cubic
        inner = resize(pixels, self.inner_size)
        canvas = torch.full((len(pixels), *self.input_size), around)
        (top, left), (height, width) = self.offset, self.inner_size
        canvas[:, top : top + height, left : left + width] = inner.float() / 255
        return canvas

    def _strips(self, logits: Tensor) -> Iterator[Tensor]:
        """Yields the probabilities at the photo's size as consecutive strips of rows, each (rows, W)."""
        probability = logits.detach().float().cpu().sigmoid().reshape(1, 1, *logits.shape[-2:])
        canvas = F.interpolate(probability, self.input_size, mode="bilinear", align_corners=False)
        (top, left), (height, width) = self.offset, self.inner_size
        inner = canvas[:, :, top : top + height, left : left + width]
        photo_h, photo_w = self.photo_size
        rows = max(1, STRIP_PIXELS // photo_w)
        for start in range(0, photo_h, rows):
            yield _resized_rows(inner, self.photo_size, start, min(start + rows, photo_h))


def _shrink_smoothly(pixels: Tensor, size: Size) -> Tensor:
    """Resizes uint8 `pixels` (C, H, W) as PIL does: bicubic, low-passed where it shrinks."""
    return F.interpolate(pixels[None], size, mode="bicubic", align_corners=False, antialias=True)[0]


def _resize_cubic(pixels: Tensor, size: Size) -> Tensor:
    """Resizes uint8 `pixels` (C, H, W) as OpenCV's INTER_CUBIC does, to whole numbers in 0..255.

    In float, because torch's own uint8 way clips between width and height, which changes sharp edges by tens of
    levels; the width strip by strip, so that memory stays bounded on huge photos.
    """
    strips = pixels.split(max(1, STRIP_PIXELS // pixels.shape[-1]), dim=1)
    narrow = [F.interpolate(strip[None].float(), (strip.shape[1], size[1]), mode="bicubic") for strip in strips]
    return F.interpolate(torch.cat(narrow, dim=2), size, mode="bicubic")[0].round().clamp(0, 255)


def _resized_rows(image: Tensor, size: Size, start: int, stop: int) -> Tensor:
    """Rows `start` to `stop` of `image` (1, 1, h, w) resized bilinearly to `size`, without making the others."""
    height = image.shape[-2]
    source = ((torch.arange(start, stop) + 0.5) * (height / size[0]) - 0.5).clamp(0, height - 1)
    above = source.floor().long()
    below = (above + 1).clamp(max=height - 1)
    weight = (source - above)[:, None]
    rows = image[0, 0, above] * (1 - weight) + image[0, 0, below] * weight  # (rows, w)
    return F.interpolate(rows[None, None], (stop - start, size[1]), mode="bilinear", align_corners=False)[0, 0]
