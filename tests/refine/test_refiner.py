"""The refiner: what it shows, which outline it takes, and when it leaves an answer as it is."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vlt.geometry import Letterbox
from vlt.refine import Outlines, Refiner
from vlt.refine.promptable import READINGS, SIDE, Drawn, PromptableSegmenter
from vlt.refine.refiner import AGREES, APART, PEAKS, agreement, peaks

PHOTO = (300, 400)
GRID = SIDE // 4


class Draws(nn.Module):
    """Stands in for the segmenter: remembers what it is shown, and draws given boxes in place of outlines."""

    def __init__(self, *boxes, quality=(0.0, 0.0, 0.0)):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.boxes = boxes
        self.quality = torch.tensor([quality])
        self.shown = []

    def encode(self, image):
        assert image.shape == (3, SIDE, SIDE)
        return torch.zeros(1, 1, 1, 1)

    def segment(self, mapped, boxes, points):
        self.shown.append((boxes, points))
        logits = torch.full((1, READINGS, GRID, GRID), -20.0)
        for reading, (x0, y0, x1, y1) in enumerate(self.boxes):
            logits[0, reading, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] = 20.0
        return Drawn(logits, self.quality)


def answer(x0, y0, x1, y1, input_size=(448, 448)):
    """A network's answer that is the box, in pixels of the photo; its letterbox with it."""
    letterbox = Letterbox(PHOTO, input_size)
    mask = np.zeros(PHOTO, bool)
    mask[y0:y1, x0:x1] = True
    return letterbox.target(mask) * 20 - 10, letterbox


def in_segmenter(x0, y0, x1, y1):
    """The same box in pixels of the segmenter's input."""
    scale, (top, left) = SIDE / PHOTO[1], Letterbox(PHOTO, (SIDE, SIDE)).offset
    return [round(side * scale) + shift for side, shift in zip((x0, y0, x1, y1), (left, top) * 2, strict=True)]


@pytest.mark.parametrize("input_size", [(448, 448), (224, 448)])
def test_the_box_around_the_answer_and_points_in_it_are_shown(input_size):
    segmenter = Draws()
    refiner = Refiner(segmenter)
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    refiner.outline(seen, *answer(80, 60, 200, 240, input_size), 0.5)
    [([box], points)] = segmenter.shown
    x0, y0, x1, y1 = in_segmenter(80, 60, 200, 240)
    assert (box - torch.tensor([x0, y0, x1, y1])).abs().max() <= 4  # a position of the grid
    assert len(points) == PEAKS
    assert all(x0 - 4 < x < x1 + 4 and y0 - 4 < y < y1 + 4 for x, y in points)


@given(st.integers(0, 2**31))
def test_peaks_are_high_and_apart(seed):
    believed = torch.rand(40, 60, generator=torch.Generator().manual_seed(seed))
    found = peaks(believed)
    heights = believed[found[:, 1], found[:, 0]]
    assert len(found) == PEAKS
    assert heights[0] == believed.max()
    assert (heights.diff() <= 0).all()
    assert min((one - other).abs().max() for i, one in enumerate(found) for other in found[:i]) > 60 // APART


def test_a_single_peak_is_shown_once():
    believed = torch.zeros(40, 60)
    believed[10, 20] = 0.9
    assert peaks(believed).tolist() == [[20, 10]]
    believed[30, 50] = 0.5
    assert peaks(believed).tolist() == [[20, 10], [50, 30]]


def test_agreement_with_a_sure_answer_is_iou_and_doubt_lowers_it():
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(5, 8, 9, generator=generator) > 0.5
    sure = torch.rand(8, 9, generator=generator) > 0.5
    expected = [((mask & sure).sum() / (mask | sure).sum()).item() for mask in masks]
    assert agreement(masks, sure.float()).tolist() == pytest.approx(expected)
    assert (agreement(masks, sure * 0.5) < agreement(masks, sure.float())).all()
    assert agreement(torch.zeros(1, 8, 9, dtype=torch.bool), torch.zeros(8, 9)).tolist() == [0.0]


def test_the_outline_that_agrees_best_is_taken():
    best, whole = in_segmenter(84, 64, 196, 240), in_segmenter(0, 0, 400, 300)
    refiner = Refiner(Draws(whole, best, in_segmenter(80, 60, 120, 120)))
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    logits, letterbox = answer(80, 60, 200, 240)
    otherwise = np.zeros(PHOTO, bool)
    mask = refiner.mask(seen, logits, letterbox, 0.5, otherwise=otherwise)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.shape == PHOTO
    assert np.abs(np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - [84, 64, 196, 240]).max() <= 2


def test_of_outlines_that_agree_alike_the_one_thought_better_is_taken():
    upper, lower = in_segmenter(80, 60, 200, 150), in_segmenter(80, 150, 200, 240)
    logits, letterbox = answer(80, 60, 200, 240)
    for quality, middle in (((0.9, 0.2, 0.0), 105), ((0.2, 0.9, 0.0), 195)):
        refiner = Refiner(Draws(upper, lower, quality=quality))
        seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
        mask = refiner.mask(seen, logits, letterbox, 0.5, otherwise=np.zeros(PHOTO, bool))
        assert np.flatnonzero(mask.any(1)).mean() == pytest.approx(middle, abs=3)


def test_gaps_are_filled_and_speckles_go():
    class Ragged(Draws):
        def segment(self, mapped, boxes, points):
            drawn = super().segment(mapped, boxes, points)
            x, y = x0 // 4 + 8, y0 // 4 + 8
            drawn.logits[:, :, y, x] = -12.0  # a gap of one position
            drawn.logits[:, :, y - 14, x] = 12.0  # a speckle as large
            return drawn

    x0, y0, x1, y1 = in_segmenter(80, 60, 200, 240)
    refiner = Refiner(Ragged((x0, y0, x1, y1)))
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    mask = refiner.mask(seen, *answer(80, 60, 200, 240), 0.5, otherwise=np.zeros(PHOTO, bool))
    assert mask[62:238, 82:198].all()
    mask[58:242, 78:202] = False
    assert not mask.any()


@pytest.mark.parametrize("sure", [True, False])
def test_where_an_outline_doubts_the_answer_decides(sure):
    """The outline says of its lower half next to nothing."""

    class Doubts(Draws):
        def segment(self, mapped, boxes, points):
            drawn = super().segment(mapped, boxes, points)
            drawn.logits[:, :, GRID // 2 :] = drawn.logits[:, :, GRID // 2 :].clamp(-0.5, 0.5)
            return drawn

    refiner = Refiner(Doubts(in_segmenter(80, 60, 200, 240)))
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    logits, letterbox = answer(80, 60, 200, 240 if sure else 150)
    mask = refiner.mask(seen, logits, letterbox, 0.5, otherwise=np.zeros(PHOTO, bool))
    assert mask[65:145, 85:195].all()
    assert mask[160:235, 85:195].all() == sure


def test_what_agrees_with_nothing_stays_as_it_is():
    refiner = Refiner(Draws(in_segmenter(0, 240, 400, 300), in_segmenter(80, 60, 100, 100), quality=(1, 1, 1)))
    assert AGREES > 20 * 40 / (120 * 180)
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    otherwise = np.eye(*PHOTO, dtype=bool)
    assert refiner.mask(seen, *answer(80, 60, 200, 240), 0.5, otherwise=otherwise) is otherwise


def test_an_empty_answer_stays_empty():
    segmenter = Draws()
    refiner = Refiner(segmenter)
    logits, letterbox = answer(0, 0, 0, 0)
    assert refiner.outline(refiner.see(np.zeros((*PHOTO, 3), np.uint8)), logits, letterbox, 0.5) is None
    assert not segmenter.shown


def test_the_segmenter_answers_each_box_and_point_by_itself():
    torch.manual_seed(0)
    segmenter = PromptableSegmenter().eval()
    mapped = torch.randn(1, 256, 64, 64)
    boxes = torch.tensor([[100.0, 100.0, 300.0, 300.0], [500.0, 10.0, 1000.0, 900.0]])
    points = torch.tensor([[100.0, 200.0], [900.0, 30.0]])
    with torch.inference_mode():
        every = segmenter.segment(mapped, boxes, points)
        alone = segmenter.segment(mapped, boxes[1:], points[:0]), segmenter.segment(mapped, boxes[:1], points[1:])
    assert every.logits.shape == (4, READINGS, GRID, GRID)
    assert every.quality.shape == (4, READINGS)
    for found, expected in zip(every, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(found[[1, 0, 3]], torch.cat(expected), rtol=1e-3, atol=1e-4)
    assert min((one - other).abs().max() for i, one in enumerate(every.logits) for other in every.logits[:i]) > 1e-3


def test_outlines_are_a_value():
    refiner = Refiner(Draws())
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    assert isinstance(seen, Outlines)
    assert seen.letterbox == Letterbox(PHOTO, (SIDE, SIDE))
