"""The refiner: which prompts it gives, which outline it takes, and when it leaves a prediction unchanged."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlt.data.masks import box_overlap, mask_box
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
INPUT_SIZE = (SIDE, SIDE)
GRID = (INPUT_SIZE[0] // MASK_STRIDE, INPUT_SIZE[1] // MASK_STRIDE)
MASKS_PER_PROMPT = 3


class FakeSegmenter:
    """Records the prompts, and returns given boxes in place of outlines."""

    def __init__(self, *boxes, quality=(0.0, 0.0, 0.0)):
        self.boxes = boxes
        self.quality = np.array([quality], np.float32)
        self.prompts = []

    def encode(self, image):
        assert image.shape == (3, *INPUT_SIZE)
        assert image.dtype == np.float32
        return "features"

    def segment(self, encoded, boxes, points):
        assert encoded == "features"
        assert boxes.dtype == points.dtype == np.float32
        self.prompts.append((boxes, points))
        logits = np.full((1, MASKS_PER_PROMPT, *GRID), -20, np.float32)
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
    outline = refiner.refine(features, *predicted, threshold)
    return None if outline is None else features.letterbox.mask(outline.logits, threshold)


def in_segmenter(x0, y0, x1, y1):
    """The same box in pixels of the segmenter's input."""
    scale, (top, left) = SIDE / IMAGE_SIZE[1], Letterbox(IMAGE_SIZE, INPUT_SIZE).offset
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


@pytest.mark.parametrize("box", [None, "chosen"])
def test_the_agreement_of_a_refined_mask_is_its_overlap_with_the_network(box):
    """The network's mask is 120 x 180 pixels, and the outline is its upper half."""
    refiner = Refiner(FakeSegmenter(in_segmenter(80, 60, 200, 150)))
    outline = refiner.refine(encode(refiner), *prediction(80, 60, 200, 240), 0.5, box and SHARES)
    assert outline.agreement == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("certain", [True, False])
def test_where_an_outline_is_uncertain_the_network_decides(certain):
    """The lower half of the outline has logits near zero."""

    class Uncertain(FakeSegmenter):
        def segment(self, encoded, boxes, points):
            logits, quality = super().segment(encoded, boxes, points)
            logits[:, :, GRID[0] // 2 :] = logits[:, :, GRID[0] // 2 :].clip(-0.5, 0.5)
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


# ---------------------------------------------------------------- a chosen box


SHARES = np.array([80 / 400, (50 + 60) / 400, 200 / 400, (50 + 240) / 400], np.float32)
"""The box 80, 60, 200, 240 of the image, which a square input shows between 50 / 400 and 350 / 400 of its height."""


def in_box(refiner, *predicted, box=SHARES, threshold=0.5):
    """The mask (H, W) in a chosen box; None where there is none."""
    features = encode(refiner)
    outline = refiner.refine(features, *predicted, threshold, box)
    return None if outline is None else features.letterbox.mask(outline.logits, threshold)


@pytest.mark.parametrize("input_size", [(448, 448), (224, 448), (448, 224)])
def test_a_chosen_box_is_the_only_prompt(input_size):
    letterbox = Letterbox(IMAGE_SIZE, input_size)
    (top, left), (height, width) = letterbox.offset, letterbox.inner_size
    shares = [
        (left + 80 / 400 * width) / input_size[1],
        (top + 60 / 300 * height) / input_size[0],
        (left + 200 / 400 * width) / input_size[1],
        (top + 240 / 300 * height) / input_size[0],
    ]
    segmenter = FakeSegmenter()
    refiner = Refiner(segmenter)
    refiner.refine(encode(refiner), *prediction(300, 10, 350, 40, input_size), 0.5, np.array(shares, np.float32))
    [([box], points)] = segmenter.prompts
    np.testing.assert_allclose(box, in_segmenter(80, 60, 200, 240), atol=1)
    assert points.shape == (0, 2)


def test_a_chosen_box_is_cut_at_the_border_of_the_image():
    segmenter = FakeSegmenter()
    refiner = Refiner(segmenter)
    in_box(refiner, *prediction(0, 0, 0, 0), box=np.array([-0.1, 0, 0.5, 0.5], np.float32))
    [([box], _)] = segmenter.prompts
    np.testing.assert_allclose(box, in_segmenter(0, 0, 200, 150), atol=1)


def test_a_box_beside_the_image_counts_as_none():
    segmenter = FakeSegmenter(in_segmenter(84, 64, 196, 240))
    refiner = Refiner(segmenter)
    beside = np.array([0.2, 0.0, 0.6, 0.1], np.float32)  # in the grey above the image
    found = in_box(refiner, *prediction(80, 60, 200, 240), box=beside)
    assert np.array_equal(found, refined_mask(refiner, *prediction(80, 60, 200, 240)))
    assert [len(points) for _, points in segmenter.prompts] == [PEAKS, PEAKS]
    assert in_box(refiner, *prediction(0, 0, 0, 0), box=beside) is None


def test_an_outline_in_a_chosen_box_is_used_where_the_network_found_nothing():
    refiner = Refiner(FakeSegmenter(in_segmenter(84, 64, 196, 236)))
    for elsewhere in ((0, 0, 0, 0), (300, 10, 380, 100)):
        mask = in_box(refiner, *prediction(*elsewhere))
        assert np.abs(np.array(mask_box(mask)) - [84, 64, 196, 236]).max() <= 2


def test_no_outline_in_the_chosen_box():
    assert in_box(Refiner(FakeSegmenter()), *prediction(80, 60, 200, 240)) is None
    assert in_box(Refiner(FakeSegmenter(in_segmenter(300, 10, 380, 100))), *prediction(80, 60, 200, 240)) is None


UPPER, LOWER, WHOLE = (80, 60, 200, 150), (80, 150, 200, 240), (80, 60, 200, 240)


@pytest.mark.parametrize(
    ("outlines", "quality", "predicted", "expected"),
    [
        ((UPPER, LOWER), (0.9, 0.2, 0), WHOLE, UPPER),
        ((UPPER, LOWER), (0.2, 0.9, 0), WHOLE, LOWER),
        ((UPPER, WHOLE), (0.5, 0.5, 0), (0, 0, 0, 0), WHOLE),  # its box fits
        ((WHOLE, UPPER), (0.5, 0.5, 0), (0, 0, 0, 0), WHOLE),
        ((UPPER, LOWER), (0.5, 0.5, 0), LOWER, LOWER),  # the network agrees
        ((UPPER, LOWER), (0.5, 0.5, 0), UPPER, UPPER),
        ((UPPER, (80, 60, 380, 240)), (0.5, 0.5, 0), (80, 60, 380, 150), UPPER),  # it agrees inside the box
        ((UPPER, LOWER), (0.6, 0.5, 0), (300, 150, 380, 240), UPPER),  # the network's mask lies outside the box
    ],
)
def test_quality_fit_and_agreement_choose_among_outlines(outlines, quality, predicted, expected):
    refiner = Refiner(FakeSegmenter(*(in_segmenter(*box) for box in outlines), quality=quality))
    mask = in_box(refiner, *prediction(*predicted))
    assert np.abs(np.array(mask_box(mask)) - expected).max() <= 3


@pytest.mark.parametrize("weight", ["QUALITY_WEIGHT_IN_BOX", "FIT_WEIGHT_IN_BOX", "AGREEMENT_WEIGHT_IN_BOX"])
def test_each_weight_counts(weight, monkeypatch):
    """One outline is the best by each of the three; with only its weight above zero it is taken."""
    by_quality, by_fit, by_agreement = (90, 150, 200, 230), (80, 60, 200, 100), (100, 100, 160, 140)
    frame = np.array(in_segmenter(*WHOLE))

    class Frame(FakeSegmenter):
        def segment(self, encoded, boxes, points):
            logits, quality = super().segment(encoded, boxes, points)
            x0, y0, x1, y1 = frame // 4
            logits[0, 1, y0:y1, x0:x1], logits[0, 1, y0 + 6 : y1 - 2, x0 + 2 : x1 - 2] = (
                20,
                -20,
            )  # the box of the prompt
            return logits, quality

    refiner = Refiner(Frame(*(in_segmenter(*box) for box in (by_quality, by_fit, by_agreement)), quality=(0.9, 0, 0)))
    for name in ("QUALITY_WEIGHT_IN_BOX", "FIT_WEIGHT_IN_BOX", "AGREEMENT_WEIGHT_IN_BOX"):
        monkeypatch.setattr(f"vlt.refine.refiner.{name}", float(name == weight))
    box = mask_box(in_box(refiner, *prediction(*by_agreement)))
    expected = {"QUALITY": by_quality, "FIT": WHOLE, "AGREEMENT": by_agreement}[weight.split("_", maxsplit=1)[0]]
    assert np.abs(np.array(box) - expected).max() <= 4


def test_the_networks_logits_are_added_only_without_a_chosen_box():
    """A gap of the outline that the network's mask covers is filled, unless a candidate was chosen."""

    class Uncertain(FakeSegmenter):
        def segment(self, encoded, boxes, points):
            logits, quality = super().segment(encoded, boxes, points)
            return np.where(logits > 0, 2, -2).astype(np.float32), quality

    gap = 84, 64, 196, 180
    refiner, predicted = Refiner(Uncertain(in_segmenter(*gap))), prediction(60, 40, 260, 280)
    assert refined_mask(refiner, *predicted)[:, 210:250].any()
    assert np.abs(np.array(mask_box(in_box(refiner, *predicted))) - gap).max() <= 3


@given(st.lists(st.floats(0, 1, width=32), min_size=8, max_size=8))
def test_overlap_of_boxes_equals_its_brute_force_twin(numbers):
    corners = np.round(np.array(numbers).reshape(2, 2, 2) * 20).astype(int)
    one, other = (np.concatenate([pair.min(axis=0), pair.max(axis=0) + 1]) for pair in corners)
    drawn = np.zeros((2, 22, 22), bool)
    for mask, (x0, y0, x1, y1) in zip(drawn, (one, other), strict=True):
        mask[y0:y1, x0:x1] = True
    shared = (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum()
    assert box_overlap(tuple(one), tuple(other)) == pytest.approx(shared)
    assert box_overlap(None, other) == 0


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 90), st.integers(1, 90))
def test_areas_of_an_image_survive_letterboxing(height, width, input_height, input_width):
    letterbox = Letterbox((height, width), (input_height, input_width))
    (top, left), (inner_height, inner_width) = letterbox.offset, letterbox.inner_size
    area = np.array([0.125, 0.25, 0.5, 1.0])
    corner, extent = np.array([left, top] * 2), np.array([inner_width, inner_height] * 2)
    box = (area * extent + corner) / ([input_width, input_height] * 2)
    np.testing.assert_allclose(letterbox.image_area(box), area, atol=1e-6)


# ---------------------------------------------------------------- with and without a box


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_refined_probabilities_are_above_the_threshold_inside_the_outline(threshold):
    """The outline is the same at each threshold at which the network's own mask is."""
    refiner = Refiner(FakeSegmenter(in_segmenter(84, 64, 196, 240)))
    logits, letterbox = prediction(80, 60, 200, 240)
    features = encode(refiner)
    refined, _ = refiner.refine(features, logits, letterbox, min(threshold, 0.9999))
    assert np.isfinite(refined).all()
    assert refined.dtype == np.float32
    assert refined.shape == (1, *GRID)
    if 0 < threshold < 1:
        expected = refiner.refine(features, logits, letterbox, 0.5).logits > 0
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
    assert logits.shape == (4, MASKS_PER_PROMPT, 256, 256)
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
    assert features.letterbox == Letterbox(IMAGE_SIZE, INPUT_SIZE)
    with pytest.raises(AttributeError):
        features.encoded = None


def test_the_refiner_needs_no_torch():
    code = 'import sys; sys.modules["torch"] = sys.modules["transformers"] = None; from vlt.refine import Refiner'
    subprocess.run([sys.executable, "-c", code], check=True)
