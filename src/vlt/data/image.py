"""Reading of images: from a path, bytes, an open file, a PIL image or an array to upright RGB pixels."""

from __future__ import annotations

import io
import random
import re
import threading
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from vlt.errors import InputError, VLTError, VLTWarning, reason
from vlt.types import Image, PackedImage, Size

ImageSource: TypeAlias = str | Path | bytes | BinaryIO | PackedImage | PILImage.Image | npt.NDArray[np.uint8]
"""An image source that `read_image` accepts."""

WHITE = 255
"""Background of transparent pixels, as in most viewers."""

STRIP_PIXELS = 4_000_000
"""Number of pixels converted at a time, which bounds the memory for large images."""

GREY_DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths of cameras and scanners whose values are stored in 16-bit files."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif", b"mif1", b"msf1")
"""Bytes 8 to 12 of HEIC and HEIF files, after "ftyp" (source: ISO/IEC 23008-12)."""
AVIF_BRANDS = (b"avif", b"avis")
"""Bytes 8 to 12 of AVIF files, which newer versions of PIL read without a plug-in."""

GAIN = (0.87, 1.15)
"""Range of the gain in photometric augmentation; small and equal for all channels, so that colours keep their names."""
GAMMA = (0.88, 1.14)
"""Range of the gamma exponent in photometric augmentation, equal for all channels too."""

_OPENING = threading.Lock()
"""Lock held while warnings are silenced, because `warnings.catch_warnings` is not thread-safe."""


def read_image(source: ImageSource) -> Image:
    """Read an image as upright RGB.

    The rotation in EXIF is applied; grey, CMYK and palette images become RGB; transparent pixels are laid on white; of
    an animation the first frame is read. Grey values of more than 8 bits are reduced to their upper 8: of 10, 12, 14
    or 16 bits, whichever is the lowest of `GREY_DEPTHS` that holds the largest value, because cameras of 12 bits write
    16-bit files that would otherwise be nearly black. Of 16-bit colour PIL gives only the upper 8 bits; a `VLTWarning`
    says so where the result is nearly black. About 7 bytes per pixel are in use at the peak (11 where the
    image is rotated). An image of more pixels than PIL accepts (twice `PIL.Image.MAX_IMAGE_PIXELS`: 178,956,970) is
    refused before it is decoded.

    Args:
        source: path of an image in any format that PIL opens (HEIC and HEIF too where pillow-heif is installed); the
            content of such a file as bytes, or the file opened in binary mode; an image inside a larger file; a PIL
            image; or a uint8 array (H, W, 3) RGB, (H, W) grey or (H, W, 4) RGB and opacity, which is upright already.

    Returns:
        (H, W, 3) uint8 RGB; an RGB array is returned itself if it is contiguous and writable.

    Raises:
        InputError: a URL; no such file; a directory; an empty, damaged or non-image file; too many pixels; pixels
            without an agreed range (floating point, 32 bits); an array of another shape or type, or without pixels.
    """
    if isinstance(source, PILImage.Image):
        return _decode(source, "The PIL image")
    if not isinstance(source, np.ndarray):
        with open_image(source) as image:
            return _decode(image, source_name(source))
    shape = " x ".join(map(str, source.shape))
    if source.dtype != np.uint8:
        raise InputError(f"The image array holds {source.dtype}, not uint8; scale it to 0..255 and convert it.")
    if source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (3, 4)):
        raise InputError(
            f"The image array has the shape {shape or 'of a scalar'}, not H x W x 3, H x W x 4 or H x W; transpose it."
        )
    if source.size == 0:
        raise InputError(f"The image array has no pixels: its shape is {shape}.")
    if source.ndim == 3 and source.shape[2] == 3:
        return np.require(source, requirements=("C", "W"))
    return _decode(PILImage.fromarray(np.ascontiguousarray(source)), "The array")


def read_orientation(source: Path | PackedImage) -> tuple[int, Size]:
    """Read the EXIF orientation of an image file and the size of its stored pixels, without decoding them.

    Returns:
        The orientation, 1 (upright, or not stated) to 8; and (height, width) before `read_image` rotates.

    Raises:
        InputError: the file cannot be opened, or its EXIF data are damaged.
    """
    with open_image(source) as image:
        try:
            orientation = image.getexif().get(Base.Orientation, 1)
        except Exception as error:  # PIL's plugins raise whatever a damaged file provokes
            raise InputError(f"The EXIF data of {source_name(source)} cannot be read: {error!r}.") from None
        return orientation if orientation in range(1, 9) else 1, (image.height, image.width)


def read_size(source: Path | PackedImage) -> Size:
    """Read the (height, width) of an image file as `read_image` returns it, without decoding it.

    Raises:
        InputError: see `read_orientation`.
    """
    orientation, (height, width) = read_orientation(source)
    return (height, width) if orientation < 5 else (width, height)


def vary_light(image: Image, rng: random.Random) -> Image:
    """Vary brightness and gamma of an image slightly, as photometric augmentation; hues do not change.

    Args:
        image: (H, W, 3) uint8 RGB.
        rng: draws gain and gamma, within `GAIN` and `GAMMA`.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    gain, gamma = rng.uniform(*GAIN), rng.uniform(*GAMMA)
    levels = 255 * (np.arange(256) / 255) ** gamma * gain
    table: Image = levels.clip(0, 255).round().astype(np.uint8)
    return table[image]


def source_name(source: object) -> str:
    """Name an image source in an error message: its path or URL, or "The image in memory"."""
    if isinstance(source, Path):
        return re.sub(r"^([a-z][a-z0-9+.-]+):/(?=[^/])", r"\1://", str(source))  # Path merges the slashes of a URL
    name = source if isinstance(source, str) else getattr(source, "name", None)
    return name if isinstance(name, str) else "The image in memory"


def open_image(source: str | Path | bytes | BinaryIO | PackedImage) -> PILImage.Image:
    """Open an image file and read its header.

    Args:
        source: path, content, the file opened in binary mode, which is read from its start, or a packed image.

    Returns:
        A PIL image that is not decoded yet.

    Raises:
        InputError: see `read_image`.
    """
    name = source_name(source)
    if isinstance(source, str | Path) and re.match(r"[a-z][a-z0-9+.-]+://|data:", name, re.IGNORECASE):
        raise InputError(f"{name[:200]} is a URL, which is not supported; download the image and give its path.")
    try:
        if isinstance(source, str | Path):
            path = Path(source).expanduser()
            if not name:
                raise InputError("The path of the image is empty; name an image file.")
            if path.is_dir():
                raise InputError(f"{name} is a directory, not an image; name an image inside it.")
            if not path.stat().st_size:
                raise InputError(f"The image {name} is empty (0 bytes).")
            return _identify(path, name)
        content: Any = source.read() if isinstance(source, PackedImage) else source
        if hasattr(content, "read") and not isinstance(content, bytes | io.TextIOBase):
            if content.seekable():
                content.seek(0)
            content = content.read()
        if not isinstance(content, bytes | bytearray | memoryview):
            is_text = isinstance(source, io.TextIOBase)
            kind = "a file opened as text; open it in mode 'rb'" if is_text else type(source).__name__
            raise InputError(f"An image is a path, bytes, a binary file, a PIL image or a uint8 array, not {kind}.")
        if not len(content):
            raise InputError(f"{name} is empty (0 bytes).")
        return _identify(io.BytesIO(content), name)
    except VLTError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is no image {name}; check the path.") from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not an image in any format that PIL can open.") from None
    except PILImage.DecompressionBombError as error:
        raise InputError(f"{name} is too large: {str(error).partition(',')[0]}; make it smaller.") from None
    except Exception as error:  # PIL's plugins raise whatever a damaged file provokes
        raise InputError(f"The image {name} cannot be opened: {reason(error)}.") from None


def _identify(file: Path | io.BytesIO, name: str) -> PILImage.Image:
    """Open a file with PIL, and with pillow-heif where only that can read it."""
    # PIL warns from half its limit on; images are accepted up to the limit, so the warning does not apply.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
        try:
            return PILImage.open(file)
        except UnidentifiedImageError:
            with file.open("rb") if isinstance(file, Path) else io.BytesIO(file.getvalue()) as opened:
                head = opened.read(12)
            if head[4:8] != b"ftyp" or head[8:12] not in HEIF_BRANDS + AVIF_BRANDS:
                raise
            kind, remedy = "HEIC", "pip install pillow-heif"
            if head[8:12] in AVIF_BRANDS:
                kind, remedy = "AVIF", "pip install --upgrade pillow"
            elif find_spec("pillow_heif"):
                from pillow_heif import register_heif_opener  # noqa: PLC0415  optional, and only here needed

                register_heif_opener()
                return PILImage.open(file)
            raise InputError(f"{name} is an image in the format {kind}, which PIL cannot open; `{remedy}`.") from None


def _decode(image: PILImage.Image, name: str) -> Image:
    """Decode an image, rotate it upright, and convert it to RGB strip by strip."""
    if not image.width or not image.height:
        raise InputError(f"{name} has no pixels: it is {image.width} x {image.height}.")
    is_deep = image.mode[0] != "I" and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    try:
        image.load()
        upright = ImageOps.exif_transpose(image) if Base.Orientation in image.getexif() else image
    except Exception as error:  # PIL's plugins raise whatever a damaged file provokes
        raise InputError(f"{name} cannot be decoded, it may be truncated: {reason(error)}.") from None
    if image.mode == "F":
        raise InputError(f"{name} has floating-point pixels, which have no agreed range; save it with 8 or 16 bits.")
    width, height = upright.size
    rows = max(1, STRIP_PIXELS // width)
    strips = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    shift = 0
    if image.mode.startswith("I"):  # grey of up to 16 bits, which PIL also keeps in 32
        extremes = [(int(part.min()), int(part.max())) for part in (np.asarray(upright.crop(box)) for box in strips)]
        darkest, brightest = min(low for low, _ in extremes), max(high for _, high in extremes)
        if darkest < 0 or brightest > 65535:
            raise InputError(
                f"{name} has grey values from {darkest} to {brightest}, more than 16 bits; save it with 8 or 16."
            )
        shift = next(depth for depth in GREY_DEPTHS if brightest < 2**depth) - 8
    pixels = np.empty((height, width, 3), np.uint8)
    for box in strips:
        strip, target = upright.crop(box), pixels[box[1] : box[3]]
        try:
            if image.mode.startswith("I"):
                target[:] = (np.asarray(strip) >> shift).astype(np.uint8)[..., None]
            elif strip.has_transparency_data:
                opaque = PILImage.new("RGB", strip.size, (WHITE, WHITE, WHITE))
                strip = strip.convert("RGBA")
                opaque.paste(strip, mask=strip.getchannel("A"))
                target[:] = np.asarray(opaque)
            else:
                target[:] = np.asarray(strip.convert("RGB"))
        except ValueError:
            raise InputError(
                f"{name} has the colour mode {image.mode}, which PIL cannot convert; save it as RGB."
            ) from None
    if is_deep and pixels.max() < 64:
        warnings.warn(
            f"{name} is nearly black: PIL keeps the upper 8 bits of 16-bit colour channels, of which only the lower "
            "ones are used; save it with 8 bits per channel.",
            VLTWarning,
            stacklevel=3,
        )
    return pixels
