"""Any photo to RGB pixels: the one way from a path, a PIL image or an array to an `Image`."""

from __future__ import annotations

import random
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from vlt.errors import InputError

if TYPE_CHECKING:
    from vlt.types import Image

PhotoSource: TypeAlias = "str | Path | PILImage.Image | npt.NDArray[np.uint8]"

WHITE = 255
"""What shows through transparent pixels, as in most viewers."""

STRIP_PIXELS = 4_000_000
"""How many pixels are converted at a time, so that memory stays bounded on huge photos."""

GAIN = (0.87, 1.15)
"""Factors of brightness; small, and the same for all channels, so that colours keep their names."""
GAMMA = (0.88, 1.14)
"""Exponents of brightness, likewise."""

_OPENING = threading.Lock()
"""Held while warnings are silenced, which is not safe to do in two threads at once."""


def read_image(source: PhotoSource) -> Image:
    """Reads a photo as RGB, upright.

    The rotation that EXIF asks for is applied; grey, CMYK and palette photos become RGB; transparent pixels are laid
    on white; 16-bit grey keeps its upper 8 bits; of an animation the first frame counts. About 7 bytes per pixel are
    in use at the peak (11 where the photo is turned), and a photo of more pixels than PIL lets through (twice
    `PIL.Image.MAX_IMAGE_PIXELS`: 178,956,970) is refused before they are decoded.

    Args:
        source: path of a photo in any format that PIL opens; a PIL image; or a uint8 array (H, W, 3) RGB, (H, W) grey
            or (H, W, 4) RGB and opacity, upright already.

    Returns:
        (H, W, 3) uint8 RGB; an RGB array is returned as it is, where it is contiguous and writable.

    Raises:
        InputError: no such file, a directory, an empty, damaged or non-image file, too many pixels, pixels without an
            agreed range (floating point, 32 bits), an array of another shape or type, or one without pixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, PILImage.Image):
        return _from_pil(source, "The PIL image")
    if not isinstance(source, str | Path):
        raise InputError(f"A photo is a path, a PIL image or a uint8 array, not {type(source).__name__}.")
    with _open(Path(source)) as image:
        return _from_pil(image, str(source))


def lit(image: Image, rng: random.Random) -> Image:
    """A photo in a little more or less light, which `rng` draws; hues stay, so that colours keep their names.

    Args:
        image: (H, W, 3) uint8 RGB.
        rng: draws gain and gamma, within `GAIN` and `GAMMA`.
    """
    gain, gamma = rng.uniform(*GAIN), rng.uniform(*GAMMA)
    levels = 255 * (np.arange(256) / 255) ** gamma * gain
    table: Image = levels.clip(0, 255).round().astype(np.uint8)
    return table[image]


def _from_array(array: npt.NDArray[Any]) -> Image:
    shape = " x ".join(map(str, array.shape))
    if array.dtype != np.uint8:
        raise InputError(f"The photo's array holds {array.dtype}, not uint8; scale it to 0..255 and convert it.")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(
            f"The photo's array has the shape {shape or 'of a scalar'}, not H x W x 3, H x W x 4 or H x W."
        )
    if array.size == 0:
        raise InputError(f"The photo's array has no pixels: its shape is {shape}.")
    if array.ndim == 3 and array.shape[2] == 3:
        return np.require(array, requirements=("C", "W"))
    return _from_pil(PILImage.fromarray(np.ascontiguousarray(array)), "The array")


def _open(path: Path) -> PILImage.Image:
    """Opens the file and reads its header."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory, not a photo; name a photo inside it.")
        if not path.stat().st_size:
            raise InputError(f"The photo {path} is empty (0 bytes).")
        # PIL warns from half its limit on; photos are let through up to the limit, so there is nothing to say.
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
            return PILImage.open(path)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is no photo {path}; check the path.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a photo in any format that PIL can open.") from None
    except PILImage.DecompressionBombError as error:
        raise InputError(f"{path} is too large: {str(error).partition(',')[0]}; make it smaller.") from None
    except Exception as error:  # PIL's plugins raise whatever a damaged file provokes
        raise InputError(f"The photo {path} cannot be opened: {_text(error)}.") from None


def _from_pil(image: PILImage.Image, name: str) -> Image:
    """Decodes, turns upright and converts to RGB, strip by strip."""
    if not image.width or not image.height:
        raise InputError(f"{name} has no pixels: it is {image.width} x {image.height}.")
    try:
        image.load()
        upright = ImageOps.exif_transpose(image) if Base.Orientation in image.getexif() else image
    except Exception as error:  # as above
        raise InputError(f"{name} cannot be decoded, it may be truncated: {_text(error)}.") from None
    width, height = upright.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = upright.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(_to_rgb(strip, name))
    return pixels


def _to_rgb(image: PILImage.Image, name: str) -> PILImage.Image:
    if image.mode == "F":
        raise InputError(f"{name} has floating-point pixels, which have no agreed range; save it with 8 or 16 bits.")
    if image.mode.startswith("I"):
        return _from_16_bits(image, name).convert("RGB")
    try:
        return _on_white(image.convert("RGBA")) if image.has_transparency_data else image.convert("RGB")
    except ValueError:
        raise InputError(
            f"{name} has the colour mode {image.mode}, which PIL cannot convert; save it as RGB."
        ) from None


def _from_16_bits(image: PILImage.Image, name: str) -> PILImage.Image:
    """Grey of 16 bits, which PIL also keeps in 32, to grey of 8."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"{name} has grey values from {values.min()} to {values.max()}, more than 16 bits; save it with 8 or 16."
        )
    return PILImage.fromarray((values >> 8).astype(np.uint8))


def _on_white(image: PILImage.Image) -> PILImage.Image:
    canvas = PILImage.new("RGB", image.size, (WHITE, WHITE, WHITE))
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _text(error: Exception) -> str:
    """What a foreign exception says, without a full stop of its own."""
    return str(error).rstrip(".") or type(error).__name__
