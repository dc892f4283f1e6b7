"""Decoder of Label Studio's brush masks, which are RGBA pixels in run lengths packed into bits.

The bits, highest first in each byte: 32 for the number of values, 5 for the bits of a value less one, four times 4 for
the possible bits of a length less one. Then, until all values are read: one bit for a run (1) or single values (0), two
for which of the four lengths follows, the length less one, and the value of the run or as many values.
Source: the format of the package rle-pack, https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlt.errors import DataError
from vlt.types import Mask, Size

CHANNELS = 4
"""Values per pixel: red, green, blue and opacity; the object is where the opacity is above 0."""


class BitReader:
    """Reads whole numbers from bits, highest first.

    Args:
        content: the bytes.
    """

    def __init__(self, content: bytes) -> None:
        self._bits = (np.unpackbits(np.frombuffer(content, np.uint8)) + ord("0")).tobytes()
        self._position = 0

    def read(self, width: int) -> int:
        """Read a number of `width` bits.

        Raises:
            DataError: the bits end before.
        """
        end = self._position + width
        if end > len(self._bits):
            raise DataError("The run lengths of a brush mask end too early; export the project again.")
        number = int(self._bits[self._position : end], 2)
        self._position = end
        return number


def decode_brush(values: Sequence[int], size: Size) -> Mask:
    """Decode a brush mask.

    Args:
        values: the packed bytes, 0 to 255 each.
        size: (height, width) of the image in pixels.

    Returns:
        (H, W) bool.

    Raises:
        DataError: a value is no byte; the packed pixels end too early or are of another number than the image's.
    """
    if not all(0 <= value <= 255 for value in values):
        raise DataError("The run lengths of a brush mask hold a number outside 0 to 255; export the project again.")
    reader = BitReader(bytes(values))
    total, word = reader.read(32), reader.read(5) + 1
    if total != CHANNELS * size[0] * size[1]:
        raise DataError(f"A brush mask has {total} values, but {size[0]} x {size[1]} pixels have 4 each; export again.")
    widths = [reader.read(4) + 1 for _ in range(4)]
    lengths: list[int] = []
    opaque: list[bool] = []
    left = total
    while left > 0:
        packet = reader.read(3)  # a bit for a run, two for the width of its length
        count = 1 + reader.read(widths[packet & 3])
        left -= count
        if packet & 4:
            lengths.append(count)
            opaque.append(reader.read(word) > 0)
        elif left >= 0:
            lengths += [1] * count
            opaque += [reader.read(word) > 0 for _ in range(count)]
    if left < 0:
        raise DataError(f"A brush mask has more than its {total} values; export the project again.")
    return np.repeat(np.array(opaque), lengths)[CHANNELS - 1 :: CHANNELS].reshape(size)
