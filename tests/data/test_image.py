"""Images of every kind become upright RGB; what cannot be read is refused in one sentence."""

import io
import random
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from vlt.data.image import read_image, read_orientation, vary_light
from vlt.errors import InputError, VLTWarning

ORIENTATION = 274
"""EXIF's tag of the rotation."""

TURNS = {  # how the stored pixels must be turned to stand upright (source: EXIF 2.3, Orientation)
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, 1),
}


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def save(tmp_path: Path, image: PILImage.Image | np.ndarray, name: str = "photo.png", **options) -> Path:
    path = tmp_path / name
    (PILImage.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def refusal(source) -> str:
    with pytest.raises(InputError) as caught:
        read_image(source)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


# ---------------------------------------------------------------- answered


def test_path_text_pil_and_array_give_the_same_pixels(tmp_path, pixels):
    path = save(tmp_path, pixels)
    for source in (path, str(path), PILImage.fromarray(pixels), pixels):
        found = read_image(source)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_array_equal(found, pixels)


def test_an_array_is_not_copied_without_need_and_views_are_straightened(pixels):
    assert read_image(pixels) is pixels
    mirrored = read_image(pixels[:, ::-1])
    np.testing.assert_array_equal(mirrored, np.fliplr(pixels))
    assert mirrored.flags.c_contiguous


def test_bytes_and_open_files_give_the_same_pixels(tmp_path, pixels):
    path = save(tmp_path, pixels)
    content = path.read_bytes()
    with path.open("rb") as file:
        file.seek(7)  # as PIL, it is read from its start
        for source in (content, bytearray(content), io.BytesIO(content), file):
            np.testing.assert_array_equal(read_image(source), pixels)
        assert not file.closed


def test_a_stream_that_cannot_seek_is_read(tmp_path, pixels):
    path = save(tmp_path, pixels)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as process:
        np.testing.assert_array_equal(read_image(process.stdout), pixels)


@pytest.mark.parametrize("brand", ["heic", "mif1"])
def test_heic_is_read_with_pillow_heif_and_refused_with_advice_without(tmp_path, monkeypatch, brand):
    pillow_heif = pytest.importorskip("pillow_heif")
    rows = np.zeros((40, 60, 3), np.uint8)
    rows[:, :30] = (250, 10, 10)
    path = tmp_path / "photo.jpg"  # the name does not decide
    pillow_heif.from_bytes("RGB", (60, 40), rows.tobytes()).save(path, quality=95)
    content = bytearray(path.read_bytes())
    assert content[4:12] == b"ftypheic"
    content[8:12] = brand.encode()
    path.write_bytes(content)
    PILImage.init()  # all other formats are registered before the lists are replaced
    with monkeypatch.context() as without:
        without.setattr("vlt.data.image.find_spec", lambda name: None)
        without.setattr(PILImage, "OPEN", {k: v for k, v in PILImage.OPEN.items() if k != "HEIF"})
        without.setattr(PILImage, "ID", [each for each in PILImage.ID if each != "HEIF"])
        for source, name in ((path, str(path)), (path.read_bytes(), "The image in memory")):
            expected = f"{name} is an image in the format HEIC, which PIL cannot open; `pip install pillow-heif`."
            assert refusal(source) == expected
    for source in (path, path.read_bytes()):
        np.testing.assert_allclose(read_image(source).astype(int), rows, atol=25)


def test_avif_without_support_is_refused_with_advice(tmp_path):
    (tmp_path / "photo.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(20))
    assert "in the format AVIF" in refusal(tmp_path / "photo.avif") or "cannot be opened" in refusal(
        tmp_path / "photo.avif"
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_honoured(tmp_path, pixels, orientation):
    exif = PILImage.Exif()
    exif[ORIENTATION] = orientation
    path = save(tmp_path, pixels, exif=exif)
    np.testing.assert_array_equal(read_image(path), TURNS[orientation](pixels))
    with PILImage.open(path) as image:
        np.testing.assert_array_equal(read_image(image), TURNS[orientation](pixels))


def test_a_pil_image_is_left_as_it_is(tmp_path, pixels):
    exif = PILImage.Exif()
    exif[ORIENTATION] = 6
    with PILImage.open(save(tmp_path, pixels, exif=exif)) as image:
        read_image(image)
        assert image.size == (30, 20)
        assert image.getexif()[ORIENTATION] == 6


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 6, 9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_orientation_is_read_from_the_header(tmp_path, pixels, orientation, suffix):
    exif = PILImage.Exif()
    exif[ORIENTATION] = orientation
    path = save(tmp_path, pixels, f"photo.{suffix}", exif=exif)
    assert read_orientation(path) == (orientation if 1 <= orientation <= 8 else 1, (20, 30))
    assert read_orientation(save(tmp_path, pixels, f"plain.{suffix}")) == (1, (20, 30))


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tiff", "webp", "ppm"])
def test_formats(tmp_path, suffix):
    path = save(tmp_path, PILImage.new("RGB", (30, 20), (250, 10, 10)), f"photo.{suffix}")
    found = read_image(path)
    assert found.shape == (20, 30, 3)
    np.testing.assert_allclose(found, np.broadcast_to([250, 10, 10], found.shape), atol=6)


def test_the_name_does_not_decide_the_format(tmp_path, pixels):
    np.testing.assert_array_equal(read_image(save(tmp_path, pixels, "photo.jpg", format="png")), pixels)


def test_grey_becomes_rgb(tmp_path, pixels):
    grey = pixels[..., 0]
    for source in (grey, save(tmp_path, grey)):
        np.testing.assert_array_equal(read_image(source), np.repeat(grey[..., None], 3, axis=2))


def test_black_and_white_becomes_rgb(tmp_path):
    image = PILImage.new("1", (3, 2))
    image.putpixel((2, 1), 1)
    found = read_image(save(tmp_path, image))
    assert found.shape == (2, 3, 3)
    assert found[1, 2].tolist() == [255, 255, 255]
    assert found.sum() == 3 * 255


def test_cmyk_becomes_rgb(tmp_path):
    image = PILImage.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    red, green, blue = read_image(save(tmp_path, image, "photo.jpg")).reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 60


def test_palette_becomes_rgb(tmp_path):
    image = PILImage.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert np.unique(read_image(save(tmp_path, image)).reshape(-1, 3), axis=0).tolist() == [[10, 200, 30]]


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_a_transparent_palette_colour_is_laid_on_white(tmp_path, transparency):
    image = PILImage.new("P", (2, 1), 0)
    image.putpixel((1, 0), 1)
    image.putpalette([40, 50, 60, 10, 200, 30])
    found = read_image(save(tmp_path, image, transparency=transparency))
    assert found.tolist() == [[[40, 50, 60], [255, 255, 255]]]


@pytest.mark.parametrize(("opacity", "expected"), [(255, [200, 0, 100]), (0, [255, 255, 255]), (51, [244, 204, 224])])
def test_opacity_is_laid_on_white(tmp_path, opacity, expected):
    array = np.full((3, 5, 4), (200, 0, 100, opacity), np.uint8)
    for source in (array, save(tmp_path, array)):
        np.testing.assert_array_equal(read_image(source), np.broadcast_to(expected, (3, 5, 3)))


def test_grey_with_opacity_is_laid_on_white(tmp_path):
    assert read_image(save(tmp_path, PILImage.new("LA", (1, 1), (100, 0)))).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("name", ["photo.png", "photo.tiff"])
def test_16_bit_grey_keeps_its_upper_bits(tmp_path, name):
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    found = read_image(save(tmp_path, values, name))
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert found.shape == (1, 5, 3)


@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (10, 2), (12, 4), (14, 6), (16, 8)])
@pytest.mark.parametrize("name", ["photo.png", "photo.tiff"])
def test_fewer_bits_kept_in_16_are_scaled_by_what_is_used(monkeypatch, tmp_path, name, bits, shift):
    values = np.linspace(0, 2**bits - 1, 600).astype(np.uint16).reshape(20, 30)
    path = save(tmp_path, values, name)
    whole = read_image(path)
    np.testing.assert_array_equal(whole[..., 1], values >> shift)
    monkeypatch.setattr("vlt.data.image.STRIP_PIXELS", 70)  # the depth is that of the image, not of a strip
    np.testing.assert_array_equal(read_image(path), whole)


def test_the_light_varies_within_its_limits(pixels):
    for seed in range(5):
        varied = vary_light(pixels, random.Random(seed))
        np.testing.assert_array_equal(varied, vary_light(pixels, random.Random(seed)))
        assert varied.dtype == np.uint8
        assert np.abs(varied.mean() / pixels.mean() - 1) < 0.3


def test_a_photo_of_one_pixel(tmp_path):
    assert read_image(save(tmp_path, PILImage.new("RGB", (1, 1), (1, 2, 3)))).tolist() == [[[1, 2, 3]]]


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [PILImage.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(tmp_path, frames[0], "photo.gif", save_all=True, append_images=frames[1:])
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_a_photo_20000_pixels_wide_in_bounded_memory(tmp_path):
    """80 million pixels: above PIL's warning from half its limit on, in a process that takes warnings as errors."""
    path = save(tmp_path, PILImage.new("L", (20000, 5000), 70))
    code = f"""
import resource
from vlt.data.image import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert read_image({str(path)!r}).shape == (5000, 20000, 3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    peak = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    unit = 1 if sys.platform == "darwin" else 1024
    assert peak * unit < 8 * 20000 * 5000


def test_wide_photos_are_converted_strip_by_strip_alike(monkeypatch, tmp_path, pixels):
    path = save(tmp_path, PILImage.fromarray(pixels).convert("P"))
    whole = read_image(path)
    monkeypatch.setattr("vlt.data.image.STRIP_PIXELS", 70)
    np.testing.assert_array_equal(read_image(path), whole)


def test_threads_read_alike(tmp_path, pixels):
    path, found = save(tmp_path, pixels), []
    threads = [threading.Thread(target=lambda: found.append(read_image(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all((image == pixels).all() for image in found)


# ---------------------------------------------------------------- refused


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "no.jpg") == f"There is no image {tmp_path / 'no.jpg'}; check the path."


def test_a_directory(tmp_path):
    assert refusal(str(tmp_path)) == f"{tmp_path} is a directory, not an image; name an image inside it."


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.jpg").touch()
    assert refusal(tmp_path / "empty.jpg") == f"The image {tmp_path / 'empty.jpg'} is empty (0 bytes)."


@pytest.mark.parametrize("url", ["https://host/a.jpg", "s3://bucket/a.jpg", "data:image/png;base64,AAAA"])
def test_a_url_is_not_supported(url):
    assert refusal(url) == f"{url} is a URL, which is not supported; download the image and give its path."
    if "://" in url:
        assert refusal(Path(url)) == refusal(url), "a path merges the two slashes"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (b"photo.jpg", "The image in memory is not an image in any format that PIL can open."),
        (b"", "The image in memory is empty (0 bytes)."),
        (io.BytesIO(), "The image in memory is empty (0 bytes)."),
        (io.StringIO("x"), "not a file opened as text; open it in mode 'rb'."),
    ],
)
def test_bytes_and_files_that_are_no_image(source, sentence):
    assert refusal(source).endswith(sentence)


def test_a_truncated_image_in_memory(tmp_path, pixels):
    content = save(tmp_path, np.tile(pixels, (5, 5, 1)), "photo.jpg").read_bytes()
    assert refusal(content[:2000]).startswith("The image in memory cannot be decoded, it may be truncated: ")


@pytest.mark.parametrize("content", [b"not a photo", b"\x00" * 100, b"\x89PNG\r\n\x1a\n", b"%PDF-1.4\n"])
def test_a_file_that_is_no_photo(tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    assert refusal(tmp_path / "photo.jpg").startswith(f"{tmp_path / 'photo.jpg'} is not an image in any format")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tiff"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_photo(tmp_path, pixels, suffix, share):
    path = save(tmp_path, np.tile(pixels, (5, 5, 1)), f"photo.{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert str(path) in refusal(path)


def test_a_truncated_pil_image_not_decoded_yet(tmp_path, pixels):
    path = save(tmp_path, pixels)
    path.write_bytes(path.read_bytes()[:500])
    with PILImage.open(path) as image:
        assert refusal(image).startswith("The PIL image cannot be decoded, it may be truncated: ")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@pytest.mark.parametrize(("value", "is_dark"), [(255, True), (4095, True), (40000, False)])
def test_dark_colour_of_16_bits_is_told(tmp_path, recwarn, value, is_dark):
    header = (2).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    rows = zlib.compress((b"\0" + value.to_bytes(2, "big") * 6) * 2)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(content)
    assert (read_image(tmp_path / "deep.png") == value >> 8).all()
    assert [warning.category for warning in recwarn] == [VLTWarning] * is_dark
    assert not is_dark or "deep.png is nearly black: PIL keeps the upper 8 bits" in str(recwarn[0].message)


def huge_png(path: Path, width: int, height: int) -> Path:
    """A few bytes that claim to be a photo of width x height."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


def test_absurdly_many_pixels(tmp_path):
    sentence = refusal(huge_png(tmp_path / "photo.png", 60000, 50000))
    assert "3000000000 pixels" in sentence
    assert "limit of 178956970 pixels" in sentence


def test_pixels_without_an_agreed_range(tmp_path):
    floating = save(tmp_path, np.ones((4, 4), np.float32), "float.tiff")
    assert "floating-point pixels" in refusal(floating)
    deep = save(tmp_path, np.array([[0, 70000]], np.int32), "deep.tiff")
    assert "grey values from 0 to 70000, more than 16 bits" in refusal(deep)


def test_a_colour_mode_that_pil_cannot_convert():
    assert "colour mode La," in refusal(PILImage.new("La", (2, 2)))


def test_a_pil_image_without_pixels():
    assert refusal(PILImage.new("RGB", (0, 5))) == "The PIL image has no pixels: it is 0 x 5."


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((4, 4, 3), np.float32), "holds float32, not uint8; scale it"),
        (np.zeros((4, 4, 3), np.int64), "holds int64, not uint8"),
        (np.zeros((4, 4), bool), "holds bool, not uint8"),
        (np.zeros((3, 4, 5), np.uint8), "has the shape 3 x 4 x 5, not H x W x 3"),
        (np.zeros((4, 4, 1), np.uint8), "has the shape 4 x 4 x 1"),
        (np.zeros((1, 4, 4, 3), np.uint8), "has the shape 1 x 4 x 4 x 3"),
        (np.zeros(7, np.uint8), "has the shape 7,"),
        (np.array(3, np.uint8), "has the shape of a scalar"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels: its shape is 0 x 4 x 3"),
        (np.zeros((4, 0), np.uint8), "has no pixels: its shape is 4 x 0"),
    ],
)
def test_arrays_of_another_kind(array, part):
    assert part in refusal(array)


@pytest.mark.parametrize("source", [None, 3, ["photo.jpg"], {}])
def test_values_of_other_types(source):
    assert f"not {type(source).__name__}" in refusal(source)


def test_a_name_that_no_file_can_have():
    assert "cannot be opened" in refusal("a\0b.jpg")
    assert "cannot be opened" in refusal("a" * 5000)
