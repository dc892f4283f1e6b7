"""The refiner: which box it shows, which outline it takes, and when it leaves an answer as it is."""

import numpy as np
import pytest
import torch
from torch import nn

from vlt.geometry import Letterbox
from vlt.refine import Outlines, Refiner
from vlt.refine.promptable import READINGS, SIDE, PromptableSegmenter

PHOTO = (300, 400)
GRID = SIDE // 4


class Draws(nn.Module):
    """Stands in for the segmenter: remembers the boxes, and draws given boxes in place of outlines."""

    def __init__(self, *boxes):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.boxes = boxes
        self.shown = []

    def encode(self, image):
        assert image.shape == (3, SIDE, SIDE)
        return torch.zeros(1, 1, 1, 1)

    def segment(self, mapped, boxes):
        self.shown.append(boxes)
        logits = torch.full((1, READINGS, GRID, GRID), -5.0)
        for reading, (x0, y0, x1, y1) in enumerate(self.boxes):
            logits[0, reading, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] = 5.0
        return logits


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
def test_the_box_around_the_answer_is_shown(input_size):
    segmenter = Draws()
    refiner = Refiner(segmenter)
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    refiner.outline(seen, *answer(80, 60, 200, 240, input_size), 0.5)
    [shown] = segmenter.shown
    assert (shown[0] - torch.tensor(in_segmenter(80, 60, 200, 240))).abs().max() <= 4  # a position of the grid


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


def test_what_agrees_with_nothing_stays_as_it_is():
    refiner = Refiner(Draws(in_segmenter(0, 0, 400, 300), in_segmenter(80, 60, 100, 100)))
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    otherwise = np.eye(*PHOTO, dtype=bool)
    assert refiner.mask(seen, *answer(80, 60, 200, 240), 0.5, otherwise=otherwise) is otherwise


def test_an_empty_answer_stays_empty():
    segmenter = Draws()
    refiner = Refiner(segmenter)
    logits, letterbox = answer(0, 0, 0, 0)
    assert refiner.outline(refiner.see(np.zeros((*PHOTO, 3), np.uint8)), logits, letterbox, 0.5) is None
    assert not segmenter.shown


def test_the_segmenter_answers_each_box_by_itself():
    torch.manual_seed(0)
    segmenter = PromptableSegmenter().eval()
    mapped = torch.randn(1, 256, 64, 64)
    boxes = torch.tensor([[100.0, 100.0, 300.0, 300.0], [500.0, 10.0, 1000.0, 900.0]])
    with torch.inference_mode():
        both = segmenter.segment(mapped, boxes)
        alone = segmenter.segment(mapped, boxes[1:])
    assert both.shape == (2, READINGS, GRID, GRID)
    torch.testing.assert_close(both[1:], alone, rtol=1e-3, atol=1e-4)
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_outlines_are_a_value():
    refiner = Refiner(Draws())
    seen = refiner.see(np.zeros((*PHOTO, 3), np.uint8))
    assert isinstance(seen, Outlines)
    assert seen.letterbox == Letterbox(PHOTO, (SIDE, SIDE))
