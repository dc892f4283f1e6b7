"""The letterbox against independent brute force and against torch, and the way back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from vlt import geometry
from vlt.geometry import Letterbox, resize_cubic, resize_smooth, sigmoid

SIDES = st.integers(1, 80)
EXAMPLES = Path(__file__).parents[1] / "examples"
NETWORK_INPUTS = [(416, 416), (448, 448), (96, 128), (1024, 1024)]
INPUTS = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda size: (size[0] * 16, size[1] * 16))


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def keys_cubic(distance: float, a: float = -0.75) -> float:
    """The cubic kernel of Keys (1981), with OpenCV's a."""
    d = abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def cubic_rows(length: int, new: int) -> np.ndarray:
    """(new, length) weights of a one-dimensional cubic resize without low-pass, edges repeated."""
    weights = np.zeros((new, length))
    for target in range(new):
        centre = (target + 0.5) * length / new - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            weights[target, min(max(tap, 0), length - 1)] += keys_cubic(centre - tap)
    return weights


def brute_letterbox(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The original's recipe in plain numpy, (h, w, 3) in [0, 1]."""
    height, width = image.shape[:2]
    scale = min(size[1] / width, size[0] / height)
    new_h, new_w = max(1, int(height * scale)), max(1, int(width * scale))
    resized = np.einsum("ij,jkc,lk->ilc", cubic_rows(height, new_h), image.astype(float), cubic_rows(width, new_w))
    canvas = np.full((*size, 3), 0.5)
    top, left = (size[0] - new_h) // 2, (size[1] - new_w) // 2
    canvas[top : top + new_h, left : left + new_w] = np.clip(np.round(resized), 0, 255) / 255
    return canvas


def whole_probability(box: Letterbox, logits: np.ndarray) -> np.ndarray:
    """The way back in one piece, by torch."""
    probability = F.interpolate(
        torch.from_numpy(logits)[None].sigmoid(), box.input_size, mode="bilinear", align_corners=False
    )
    (top, left), (height, width) = box.offset, box.inner_size
    inner = probability[..., top : top + height, left : left + width]
    return F.interpolate(inner, box.image_size, mode="bilinear", align_corners=False)[0, 0].numpy()


@given(SIDES, SIDES, INPUTS)
@settings(max_examples=40, deadline=None)
def test_image_is_the_originals_recipe(height, width, size):
    image = random_image(height, width)
    found = Letterbox((height, width), size, antialias=False).image(image)
    assert found.shape == (3, *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.transpose(1, 2, 0), brute_letterbox(image, size), atol=1.5 / 255)


@pytest.mark.parametrize("image_size", [(480, 640), (31, 400), (400, 31), (97, 101), (1200, 1600)])
def test_antialiased_image_is_what_pil_shrinks_to(image_size):
    image, box = random_image(*image_size), Letterbox(image_size, (96, 128))
    (top, left), (height, width) = box.offset, box.inner_size
    inner = box.image(image)[:, top : top + height, left : left + width].transpose(1, 2, 0)
    expected = np.asarray(PILImage.fromarray(image).resize((width, height), PILImage.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(inner, expected, atol=1.5 / 255)


@given(SIDES, SIDES, INPUTS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_scaled_photo_lies_centred_inside(height, width, size, antialias):
    box = Letterbox((height, width), size, antialias)
    (top, left), (inner_h, inner_w) = box.offset, box.inner_size
    assert 1 <= inner_h <= size[0]
    assert 1 <= inner_w <= size[1]
    assert 0 <= size[0] - inner_h - 2 * top <= 1
    assert 0 <= size[1] - inner_w - 2 * left <= 1
    assert inner_h >= size[0] - 1 or inner_w >= size[1] - 1  # one side is filled, but for rounding


@given(SIDES, SIDES, INPUTS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_grey_around_the_photo_and_zero_around_the_target(height, width, size, antialias):
    box = Letterbox((height, width), size, antialias)
    outside = np.ones(size, bool)
    (top, left), (inner_h, inner_w) = box.offset, box.inner_size
    outside[top : top + inner_h, left : left + inner_w] = False
    white, full = np.full((height, width, 3), 255, np.uint8), np.ones((height, width), bool)
    image, target = box.image(white), box.target(full)
    assert target.shape == (1, *size)
    assert (image[:, outside] == 0.5).all()
    assert (image[:, ~outside] == 1).all()
    assert np.array_equal(target[0], ~outside)


def test_sizes_of_the_documented_example_and_of_a_tall_photo():
    assert Letterbox((640, 480), (416, 416)).inner_size == (416, 312)
    assert Letterbox((640, 480), (416, 416)).offset == (0, 52)
    assert Letterbox((100, 200), (64, 256)).inner_size == (64, 128)
    assert Letterbox((100, 200), (64, 256)).offset == (0, 64)


@pytest.mark.parametrize("image_size", [(30, 50), (70, 40), (64, 128)])
def test_a_box_lies_around_the_letterboxed_target(image_size):
    mask = np.zeros(image_size, bool)
    mask[5:20, 12:31] = True
    letterbox = Letterbox(image_size, (96, 160))
    rows, columns = (np.flatnonzero((letterbox.target(mask)[0] > 0.5).any(axis=axis)) for axis in (1, 0))
    found = letterbox.box((12, 5, 31, 20)) * (160, 96, 160, 96)
    assert found == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=1)
    assert letterbox.box((0, 0, image_size[1], image_size[0])) * (160, 96, 160, 96) == pytest.approx(
        [*letterbox.offset[::-1], *np.add(letterbox.offset, letterbox.inner_size)[::-1]]
    )


def test_target_follows_the_image():
    """A white object on black gives the same pixels whether it is read as image or as target."""
    mask = np.zeros((150, 90), bool)
    mask[40:100, 20:70] = True
    box = Letterbox(mask.shape, (96, 160))
    image = box.image(np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255)
    (top, left), (height, width) = box.offset, box.inner_size
    inside = (..., slice(top, top + height), slice(left, left + width))
    np.testing.assert_allclose(box.target(mask)[inside], image[inside][:1], atol=1.5 / 255)


@given(SIDES, SIDES, INPUTS, st.sampled_from([1, 7, 50, 10**6]), st.sampled_from([1, 2, 4, 14]))
@settings(max_examples=60, deadline=None)
def test_strips_together_are_the_whole(height, width, size, strip_pixels, stride):
    box = Letterbox((height, width), size)
    shape = (1, max(1, size[0] // stride), max(1, size[1] // stride))
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = whole_probability(box, logits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "STRIP_PIXELS", strip_pixels)
        found, mask = box.probability(logits), box.mask(logits, 0.4)
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)
    clear = np.abs(expected - 0.4) > 2e-5
    assert mask.dtype == bool
    assert mask.shape == (height, width)
    assert (mask == (expected > 0.4))[clear].all()


def test_the_threshold_is_strict_and_logits_may_lack_the_channel():
    box, zeros = Letterbox((20, 30), (32, 32)), np.zeros((8, 8), np.float32)
    assert not box.mask(zeros, 0.5).any()
    assert box.mask(zeros, 0.4999).all()
    assert np.array_equal(box.probability(zeros[None]), box.probability(zeros))


@given(st.integers(24, 150), st.integers(24, 150), st.sampled_from([(96, 96), (64, 160), (160, 64)]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_there_and_back_is_nearly_the_same_mask(height, width, size, antialias):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height * 3 // 4, width // 4 : width * 2 // 3] = True
    box = Letterbox((height, width), size, antialias)
    probability = box.target(mask).clip(1e-4, 1 - 1e-4)
    back = box.mask(np.log(probability / (1 - probability)), 0.5)
    tolerance = np.zeros_like(mask)  # the border, as wide as a pixel of the smaller of both grids
    slack = int(np.ceil(max(1, height / box.inner_size[0], width / box.inner_size[1]))) + 1
    for shift in range(-slack, slack + 1):
        tolerance |= (np.roll(mask, shift, 0) != mask) | (np.roll(mask, shift, 1) != mask)
    assert (back == mask)[~tolerance].all()


@pytest.mark.parametrize("antialias", [True, False])
def test_a_photo_of_one_pixel(antialias):
    box = Letterbox((1, 1), (32, 64), antialias)
    pixel = box.image(np.full((1, 1, 3), 51, np.uint8))
    assert box.inner_size == (32, 32)
    np.testing.assert_allclose(pixel[:, :, 16:48], 0.2, rtol=1e-6)
    assert box.mask(np.ones((1, 8, 16), np.float32), 0.5).tolist() == [[True]]


@pytest.mark.parametrize("image_size", [(1, 500), (500, 1)])
def test_a_photo_of_one_line(image_size):
    box = Letterbox(image_size, (32, 32))
    assert min(box.inner_size) == 1
    assert box.image(random_image(*image_size)).shape == (3, 32, 32)
    assert box.mask(np.ones((1, 8, 8), np.float32), 0.5).all()


def test_views_and_read_only_photos_are_taken_as_they_come():
    image = random_image(20, 30)
    frozen = image.copy()
    frozen.setflags(write=False)
    box = Letterbox((20, 30), (32, 32))
    assert np.array_equal(box.image(frozen), box.image(image))
    assert np.array_equal(box.image(image[:, ::-1][:, ::-1]), box.image(image))


@pytest.mark.parametrize("antialias", [True, False])
def test_a_photo_20000_pixels_wide_in_bounded_memory(antialias):
    """In a process of its own, so that the peak is this image's; image and mask themselves are 240 and 80 MB."""
    code = f"""
import resource, sys, numpy as np
from vlt.geometry import Letterbox
image = np.zeros((4000, 20000, 3), np.uint8) + np.uint8(7)
box, logits = Letterbox(image.shape[:2], (416, 416), {antialias}), np.ones((1, 104, 104), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert box.image(image).shape == (3, 416, 416)
assert box.mask(logits, 0.5).all()
assert "torch" not in sys.modules
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    peak = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(peak) * unit < 300_000_000


# ---------------------------------------------------------------- agreement with torch


def read_example(name: str) -> np.ndarray:
    return np.array(PILImage.open(EXAMPLES / name).convert("RGB"))


@pytest.mark.parametrize("input_size", NETWORK_INPUTS)
@pytest.mark.parametrize("name", ["astronaut.jpg", "coffee.jpg", "shapes.png"])
def test_smooth_resizing_agrees_with_torch(name, input_size):
    image = read_example(name)
    size = Letterbox(image.shape[:2], input_size).inner_size
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = F.interpolate(tensor, size, mode="bicubic", align_corners=False, antialias=True)[0].permute(1, 2, 0)
    difference = np.abs(resize_smooth(image, size).astype(int) - expected.numpy())
    assert difference.mean() <= 0.01
    assert difference.max() <= 2


@pytest.mark.parametrize("input_size", NETWORK_INPUTS)
@pytest.mark.parametrize("name", ["astronaut.jpg", "coffee.jpg", "shapes.png"])
def test_cubic_resizing_agrees_with_torch(name, input_size):
    """In torch first the columns, then the rows, in float: its own uint8 mode clips in between."""
    image = read_example(name)
    size = Letterbox(image.shape[:2], input_size).inner_size
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    narrow = F.interpolate(tensor, (image.shape[0], size[1]), mode="bicubic")
    expected = F.interpolate(narrow, size, mode="bicubic")[0].round().clamp(0, 255).permute(1, 2, 0)
    difference = np.abs(resize_cubic(image, size) - expected.numpy())
    assert difference.max() <= 1
    assert difference.mean() <= 0.001


@pytest.mark.parametrize("input_size", NETWORK_INPUTS)
@pytest.mark.parametrize("image_size", [(512, 512), (400, 600), (1200, 301)])
def test_probabilities_agree_with_torch(image_size, input_size):
    box = Letterbox(image_size, input_size)
    shape = (1, input_size[0] // 4, input_size[1] // 4)
    logits = np.random.default_rng(0).normal(scale=4, size=shape).astype(np.float32)
    np.testing.assert_allclose(box.probability(logits), whole_probability(box, logits), atol=2e-5, rtol=0)


def test_sigmoid_agrees_with_torch_without_overflow():
    x = np.array([-1e4, -100, -3, -0.0, 0, 1e-6, 2, 90, 1e4], np.float32)
    np.testing.assert_allclose(sigmoid(x), torch.from_numpy(x).sigmoid(), rtol=1e-6, atol=1e-38)


# ---------------------------------------------------------------- score


@given(SIDES, SIDES, st.sampled_from([1, 50, 10**6]), st.floats(0, 1), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_score_is_the_mean_inside_the_mask_or_the_highest(height, width, strip_pixels, threshold, seed):
    box = Letterbox((height, width), (64, 96))
    logits = np.random.default_rng(seed).normal(size=(1, 16, 24)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "STRIP_PIXELS", strip_pixels)
        mask, score = box.mask_and_score(logits, threshold)
    probability = box.probability(logits)
    assert np.array_equal(mask, box.mask(logits, threshold))
    expected = probability[mask].mean(dtype=np.float64) if mask.any() else probability.max()
    assert score == pytest.approx(expected, abs=1e-6)
    assert (score > threshold) == mask.any()
