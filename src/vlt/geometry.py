"""Letterboxing: from pixels to the network's input, and from logits back to the image; numpy and PIL only.

The published weights were trained with the resizing of torch. On natural images this module agrees with
`torch.nn.functional.interpolate` to the following tolerances, which tests/test_geometry.py checks:

    resize_smooth    bicubic, antialias, uint8     0.01 levels of 255 on average, 2 levels at most
    resize_cubic     bicubic without antialias     1 level at most, after rounding
    Letterbox.probability, mask (two bilinear resizes)   2e-5 of probability at most
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

GREY = 0.5
"""Value of the input around a letterboxed image, in [0, 1]."""

STRIP_PIXELS = 4_000_000
"""Image pixels that are processed at a time, so that memory stays bounded on huge images."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Scale an image into the network's input, keeping its aspect ratio, and map predictions back.

    The image is scaled by min(H/image_h, W/image_w), both sides truncated to whole pixels (at least one), and
    centred (source: docs/model.md, "Inputs").

    Attributes:
        image_size: (height, width) of the image in pixels.
        input_size: (height, width) of the network's input in pixels.
        antialias: low-pass before shrinking, as PIL does; False: as OpenCV's INTER_CUBIC, which the original uses.

    Example:
        >>> box = Letterbox((480, 640), (416, 416))
        >>> box.inner_size, box.offset
        ((312, 416), (52, 0))
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    antialias: bool = True

    @property
    def inner_size(self) -> tuple[int, int]:
        """Size (height, width) of the scaled image inside the input."""
        scale = min(self.input_size[0] / self.image_size[0], self.input_size[1] / self.image_size[1])
        height, width = (max(1, int(side * scale)) for side in self.image_size)
        return height, width

    @property
    def offset(self) -> tuple[int, int]:
        """Position (top, left) of the scaled image inside the input."""
        inner = self.inner_size
        return (self.input_size[0] - inner[0]) // 2, (self.input_size[1] - inner[1]) // 2

    def image(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scale an image into the network's input.

        Args:
            image: (H, W, 3) uint8 RGB of `image_size`.

        Returns:
            (3, h, w) float32 in [0, 1] of `input_size`, grey around the image.
        """
        return self._paste(image, GREY)

    def target(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Scale a ground-truth mask into the network's input; its edges become soft.

        Args:
            mask: (H, W) bool of `image_size`.

        Returns:
            (1, h, w) float32 in [0, 1] of `input_size`, zero around the image.
        """
        return self._paste(mask.astype(np.uint8)[..., None] * 255, 0.0)

    def box(self, box: tuple[float, float, float, float]) -> npt.NDArray[np.float32]:
        """Map a box into the network's input.

        Args:
            box: xyxy in pixels of the image.

        Returns:
            (4,) float32 xyxy as shares of the input.
        """
        image, inner, offset, size = (
            _xyxy(side) for side in (self.image_size, self.inner_size, self.offset, self.input_size)
        )
        shares: npt.NDArray[np.float32] = ((np.asarray(box) * inner / image + offset) / size).astype(np.float32)
        return shares

    def image_area(self, box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
        """Map a box in the network's input to the area of the image that it covers.

        Args:
            box: (4,) xyxy as shares of the input.

        Returns:
            (4,) float32 xyxy as shares of the image, in [0, 1]; None where the box and the image have no common area.
        """
        size, corner, extent = (_xyxy(side) for side in (self.input_size, self.offset, self.inner_size))
        area: npt.NDArray[np.float32] = ((box * size - corner) / extent).clip(0, 1).astype(np.float32)
        return area if (area[2:] > area[:2]).all() else None

    def probability(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute probabilities at the image's size. Prefer `mask` for large images.

        Args:
            logits: (1, h, w) or (h, w) of the network, at any stride.

        Returns:
            (H, W) float32 in [0, 1] of `image_size`.
        """
        return np.concatenate(list(self.strips(logits)))

    def mask(self, logits: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
        """Threshold logits at the image's size: sigmoid, upsample to the input, crop, resize to the image, compare.

        Both resizes are bilinear. Works strip by strip, so the memory beyond the mask itself is bounded.

        Args:
            logits: (1, h, w) or (h, w) of the network, at any stride.
            threshold: probability in [0, 1] above which a pixel belongs to the mask.

        Returns:
            (H, W) bool of `image_size`.
        """
        return np.concatenate([strip > threshold for strip in self.strips(logits)])

    def mask_and_score(self, logits: npt.NDArray[np.float32], threshold: float) -> tuple[npt.NDArray[np.bool_], float]:
        """Compute the mask and its score: the confidence that something matches.

        Args:
            logits: as for `mask`.
            threshold: as for `mask`.

        Returns:
            The mask of `mask`, and its score in [0, 1]: the mean probability inside the mask; for an empty mask the
            highest probability in the image. So the score exceeds the threshold exactly where the mask is not empty.
        """
        masks, total, highest = [], 0.0, 0.0
        for strip in self.strips(logits):
            inside = strip > threshold
            masks.append(inside)
            total += float(strip[inside].sum(dtype=np.float64))
            highest = max(highest, float(strip.max()))
        mask = np.concatenate(masks)
        area = int(np.count_nonzero(mask))
        return mask, total / area if area else highest

    def strips(self, logits: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the probabilities at the image's size as consecutive strips of rows, each (rows, W) float32."""
        probability = sigmoid(np.asarray(logits, np.float32).reshape(logits.shape[-2:]))
        canvas = resize_bilinear(probability, self.input_size, 0, self.input_size[0])
        (top, left), (height, width) = self.offset, self.inner_size
        inner = canvas[top : top + height, left : left + width]
        rows = max(1, STRIP_PIXELS // self.image_size[1])
        for start in range(0, self.image_size[0], rows):
            yield resize_bilinear(inner, self.image_size, start, min(start + rows, self.image_size[0]))

    def _paste(self, pixels: npt.NDArray[np.uint8], around: float) -> npt.NDArray[np.float32]:
        """Scale uint8 pixels (H, W, C) and centre them on a canvas (C, h, w) filled with `around`."""
        resize = resize_smooth if self.antialias else resize_cubic
        canvas = np.full((pixels.shape[2], *self.input_size), around, np.float32)
        (top, left), (height, width) = self.offset, self.inner_size
        inner = resize(pixels, self.inner_size).astype(np.float32) / 255
        canvas[:, top : top + height, left : left + width] = inner.transpose(2, 0, 1)
        return canvas


def resize_smooth(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize as PIL does: bicubic (a = -0.5), low-passed where it shrinks.

    Args:
        pixels: (H, W, C) uint8, C 1 or 3.
        size: (height, width) of the result; where it is that of `pixels`, they are returned.
    """
    if pixels.shape[:2] == size:
        return pixels
    image = PILImage.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    resized = np.asarray(image.resize((size[1], size[0]), PILImage.Resampling.BICUBIC))
    return resized.reshape(*size, pixels.shape[2])


def resize_cubic(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Resize as OpenCV's INTER_CUBIC does: bicubic (a = -0.75) without low-pass, rounded to whole numbers in 0..255.

    Columns are resized strip by strip, so that memory stays bounded on huge images.

    Args:
        pixels: (H, W, C) uint8.
        size: (height, width) of the result.

    Returns:
        (height, width, C) float32.
    """
    columns, column_weights = _cubic_taps(pixels.shape[1], size[1])
    rows, row_weights = _cubic_taps(pixels.shape[0], size[0])
    step = max(1, STRIP_PIXELS // pixels.shape[1])
    narrow = np.concatenate(
        [
            sum(pixels[start : start + step, columns[tap]] * column_weights[tap][:, None] for tap in range(4))
            for start in range(0, len(pixels), step)
        ]
    )
    resized = sum(narrow[rows[tap]] * row_weights[tap][:, None, None] for tap in range(4))
    return np.rint(resized).clip(0, 255).astype(np.float32)


def resize_bilinear(
    values: npt.NDArray[np.float32], size: tuple[int, int], start: int, stop: int
) -> npt.NDArray[np.float32]:
    """Compute rows `start` to `stop` of `values` (h, w) resized bilinearly to `size`, with half-pixel centres.

    Returns:
        (stop - start, size[1]) float32.
    """
    taps = []
    for side, out_side, first, last in (
        (values.shape[0], size[0], start, stop),
        (values.shape[1], size[1], 0, size[1]),
    ):
        source = ((np.arange(first, last) + 0.5) * (side / out_side) - 0.5).clip(0, side - 1)
        lower = source.astype(np.intp)
        taps.append((lower, np.minimum(lower + 1, side - 1), (source - lower).astype(np.float32)))
    (above, below, down), (left, right, along) = taps
    rows = values[above] * (1 - down[:, None]) + values[below] * down[:, None]
    return rows[:, left] * (1 - along) + rows[:, right] * along


def sigmoid(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Compute the logistic function without overflow."""
    decayed = np.exp(-np.abs(x))
    result: npt.NDArray[np.float32] = np.where(x >= 0, np.float32(1), decayed) / (1 + decayed)
    return result


def _xyxy(size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Repeat (height, width) as (width, height, width, height)."""
    return np.array((*size[::-1], *size[::-1]))


def _cubic_taps(side: int, out_side: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    """Compute indices and float32 weights, both (4, out_side), of cubic convolution with a = -0.75; edges repeat."""
    source = (np.arange(out_side) + 0.5) * (side / out_side) - 0.5
    base = np.floor(source)
    t, a = source - base, -0.75
    near = [((a + 2) * x - (a + 3)) * x * x + 1 for x in (t, 1 - t)]
    far = [((a * x - 5 * a) * x + 8 * a) * x - 4 * a for x in (1 + t, 2 - t)]
    indices = (base[None] + np.arange(-1, 3)[:, None]).clip(0, side - 1).astype(np.intp)
    return indices, np.stack([far[0], near[0], near[1], far[1]]).astype(np.float32)
