"""The refiner: which prompts it gives, which outline it takes, and when it leaves a prediction unchanged."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlt.data.masks import mask_box
from vlt.geometry import Letterbox, sigmoid
from vlt.refine import Refiner, RefinerFeatures
from vlt.refine.promptable import PromptableSegmenter
from vlt.refine.refiner import (
    MASK_STRIDE,
    MIN_AGREEMENT,
    PEAK_DISTANCE,
    PEAKS,
    SIDE,
    SMOOTHING,
    agreement,
    find_peaks,
    smooth,
)
from vlt.refine.torch_segmenter import TorchSegmenter, build_refiner

IMAGE_SIZE = (300, 400)
GRID = SIDE // MASK_STRIDE
MASKS_PER_PROMPT = 3


class FakeSegmenter:
    """Records the prompts, and returns given boxes in place of outlines."""

    def __init__(self, *boxes, quality=(0.0, 0.0, 0.0)):
        self.boxes = boxes
        self.quality = np.array([quality], np.float32)
        self.prompts = []

    def encode(self, image):
        assert image.shape == (3, SIDE, SIDE)
        assert image.dtype == np.float32
        return "features"

    def segment(self, encoded, boxes, points):
        assert encoded == "features"
        assert boxes.dtype == points.dtype == np.float32
        self.prompts.append((boxes, points))
        logits = np.full((1, MASKS_PER_PROMPT, GRID, GRID), -20, np.float32)
        for number, (x0, y0, x1, y1) in enumerate(self.boxes):
            logits[0, number, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] = 20
        return logits, self.quality


def encode(refiner: Refiner) -> RefinerFeatures:
    return refiner.encode(np.zeros((*IMAGE_SIZE, 3), np.uint8))


def prediction(x0, y0, x1, y1, input_size=(448, 448)):
    """Logits of a network for a box in pixels of the image, and their letterbox."""
    letterbox = Letterbox(IMAGE_SIZE, input_size)
    mask = np.zeros(IMAGE_SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return letterbox.target(mask) * 20 - 10, letterbox


def refined_mask(refiner, *predicted, threshold=0.5):
    """The mask (H, W) after refinement; None where the prediction is left unchanged."""
    features = encode(refiner)
    logits = refiner.refine(features, *predicted, threshold)
    return None if logits is None else features.letterbox.mask(logits, threshold)


def in_segmenter(x0, y0, x1, y1):
    """The same box in pixels of the segmenter's input."""
    scale, (top, left) = SIDE / IMAGE_SIZE[1], Letterbox(IMAGE_SIZE, (SIDE, SIDE)).offset
    return [round(side * scale) + shift for side, shift in zip((x0, y0, x1, y1), (left, top) * 2, strict=True)]


@pytest.mark.parametrize("input_size", [(448, 448), (224, 448)])
def test_the_prompts_are_the_box_around_the_mask_and_points_inside(input_size):
    segmenter = FakeSegmenter()
    refiner = Refiner(segmenter)
    refiner.refine(encode(refiner), *prediction(80, 60, 200, 240, input_size), 0.5)
    [([box], points)] = segmenter.prompts
    x0, y0, x1, y1 = in_segmenter(80, 60, 200, 240)
    assert np.abs(box - [x0, y0, x1, y1]).max() <= 4  # a position of the grid
    assert len(points) == PEAKS
    assert all(x0 - 4 < x < x1 + 4 and y0 - 4 < y < y1 + 4 for x, y in points)


@given(st.integers(0, 2**31))
def test_peaks_are_high_and_apart(seed):
    probability = np.random.default_rng(seed).random((40, 60), np.float32)
    found = find_peaks(probability)
    heights = probability[found[:, 1], found[:, 0]]
    assert len(found) == PEAKS
    assert heights[0] == probability.max()
    assert (np.diff(heights) <= 0).all()
    distances = [np.abs(one - other).max() for i, one in enumerate(found) for other in found[:i]]
    assert min(distances) > 60 // PEAK_DISTANCE


def test_a_single_peak_is_found_once():
    probability = np.zeros((40, 60), np.float32)
    probability[10, 20] = 0.9
    assert find_peaks(probability).tolist() == [[20, 10]]
    probability[30, 50] = 0.5
    assert find_peaks(probability).tolist() == [[20, 10], [50, 30]]


def test_agreement_with_a_certain_prediction_is_iou_and_doubt_lowers_it():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 8, 9)) > 0.5
    certain = rng.random((8, 9)) > 0.5
    expected = [np.count_nonzero(mask & certain) / np.count_nonzero(mask | certain) for mask in masks]
    certain = certain.astype(np.float32)
    assert agreement(masks, certain).tolist() == pytest.approx(expected)
    assert (agreement(masks, certain * 0.5) < agreement(masks, certain)).all()
    assert agreement(np.zeros((1, 8, 9), bool), np.zeros((8, 9), np.float32)).tolist() == [0.0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_smoothing_is_the_mean_of_the_neighbours_that_exist(height, width, seed):
    logits = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    expected = torch.nn.functional.avg_pool2d(
        torch.from_numpy(logits)[None], SMOOTHING, 1, SMOOTHING // 2, count_include_pad=False
    )
    np.testing.assert_allclose(smooth(logits), expected[0], rtol=1e-5, atol=1e-6)


def test_the_outline_that_agrees_best_is_taken():
    best, whole = in_segmenter(84, 64, 196, 240), in_segmenter(0, 0, 400, 300)
    refiner = Refiner(FakeSegmenter(whole, best, in_segmenter(80, 60, 120, 120)))
    mask = refined_mask(refiner, *prediction(80, 60, 200, 240))
    assert mask.shape == IMAGE_SIZE
    assert np.abs(np.array(mask_box(mask)) - [84, 64, 196, 240]).max() <= 2


def test_of_outlines_that_agree_alike_the_one_of_higher_quality_is_taken():
    upper, lower = in_segmenter(80, 60, 200, 150), in_segmenter(80, 150, 200, 240)
    for quality, middle in (((0.9, 0.2, 0.0), 105), ((0.2, 0.9, 0.0), 195)):
        refiner = Refiner(FakeSegmenter(upper, lower, quality=quality))
        mask = refined_mask(refiner, *prediction(80, 60, 200, 240))
        assert np.flatnonzero(mask.any(1)).mean() == pytest.approx(middle, abs=3)


def test_gaps_are_filled_and_speckles_removed():
    class Ragged(FakeSegmenter):
        def segment(self, encoded, boxes, points):
            logits, quality = super().segment(encoded, boxes, points)
            x, y = x0 // 4 + 8, y0 // 4 + 8
            logits[:, :, y, x] = -12  # a gap of one position
            logits[:, :, y - 14, x] = 12  # a speckle as large
            return logits, quality

    x0, y0, x1, y1 = in_segmenter(80, 60, 200, 240)
    mask = refined_mask(Refiner(Ragged((x0, y0, x1, y1))), *prediction(80, 60, 200, 240))
    assert mask[62:238, 82:198].all()
    mask[58:242, 78:202] = False
    assert not mask.any()


@pytest.mark.parametrize("certain", [True, False])
def test_where_an_outline_is_uncertain_the_network_decides(certain):
    """The lower half of the outline has logits near zero."""

    class Uncertain(FakeSegmenter):
        def segment(self, encoded, boxes, points):
            logits, quality = super().segment(encoded, boxes, points)
            logits[:, :, GRID // 2 :] = logits[:, :, GRID // 2 :].clip(-0.5, 0.5)
            return logits, quality

    refiner = Refiner(Uncertain(in_segmenter(80, 60, 200, 240)))
    mask = refined_mask(refiner, *prediction(80, 60, 200, 240 if certain else 150))
    assert mask[65:145, 85:195].all()
    assert mask[160:235, 85:195].all() == certain


def test_a_prediction_with_which_no_outline_agrees_is_left_unchanged():
    boxes = in_segmenter(0, 240, 400, 300), in_segmenter(80, 60, 100, 100)
    refiner = Refiner(FakeSegmenter(*boxes, quality=(1, 1, 1)))
    assert MIN_AGREEMENT > 20 * 40 / (120 * 180)
    assert refined_mask(refiner, *prediction(80, 60, 200, 240)) is None


def test_an_empty_mask_is_left_unchanged_without_a_prompt():
    segmenter = FakeSegmenter()
    refiner = Refiner(segmenter)
    assert refined_mask(refiner, *prediction(0, 0, 0, 0)) is None
    assert not segmenter.prompts


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_refined_probabilities_are_above_the_threshold_inside_the_outline(threshold):
    """The outline is the same at each threshold at which the network's own mask is."""
    refiner = Refiner(FakeSegmenter(in_segmenter(84, 64, 196, 240)))
    logits, letterbox = prediction(80, 60, 200, 240)
    features = encode(refiner)
    refined = refiner.refine(features, logits, letterbox, min(threshold, 0.9999))
    assert np.isfinite(refined).all()
    assert refined.dtype == np.float32
    assert refined.shape == (1, GRID, GRID)
    if 0 < threshold < 1:
        expected = refiner.refine(features, logits, letterbox, 0.5) > 0
        assert np.array_equal(sigmoid(refined) > threshold, expected)


def test_the_segmenter_segments_each_box_and_point_by_itself():
    torch.manual_seed(0)
    segmenter = TorchSegmenter(PromptableSegmenter().eval())
    encoded = torch.randn(1, 256, 64, 64)
    boxes = np.array([[100, 100, 300, 300], [500, 10, 1000, 900]], np.float32)
    points = np.array([[100, 200], [900, 30]], np.float32)
    every = segmenter.segment(encoded, boxes, points)
    alone = segmenter.segment(encoded, boxes[1:], points[:0]), segmenter.segment(encoded, boxes[:1], points[1:])
    logits, quality = every
    assert logits.shape == (4, MASKS_PER_PROMPT, GRID, GRID)
    assert quality.shape == (4, MASKS_PER_PROMPT)
    assert logits.dtype == quality.dtype == np.float32
    for found, expected in zip(every, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(found[[1, 0, 3]], np.concatenate(expected), rtol=1e-3, atol=1e-4)
    assert min(np.abs(one - other).max() for i, one in enumerate(logits) for other in logits[:i]) > 1e-3


def test_a_refiner_is_built_from_the_weights_of_its_segmenter():
    torch.manual_seed(0)
    network = PromptableSegmenter()
    refiner = build_refiner(network.state_dict())
    assert not refiner.segmenter.network.training
    image = np.random.default_rng(0).random((3, SIDE, SIDE), np.float32)
    with torch.inference_mode():
        expected = network.eval().encode(torch.from_numpy(image))
    torch.testing.assert_close(refiner.segmenter.encode(image), expected)
    with pytest.raises(RuntimeError, match="Missing key"):
        build_refiner({})


def test_features_are_a_value():
    features = encode(Refiner(FakeSegmenter()))
    assert isinstance(features, RefinerFeatures)
    assert features.letterbox == Letterbox(IMAGE_SIZE, (SIDE, SIDE))
    with pytest.raises(AttributeError):
        features.encoded = None


def test_the_refiner_needs_no_torch():
    code = 'import sys; sys.modules["torch"] = sys.modules["transformers"] = None; from vlt.refine import Refiner'
    subprocess.run([sys.executable, "-c", code], check=True)
