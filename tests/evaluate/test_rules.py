"""The baseline that chooses one of the detector's boxes by keywords."""

from types import SimpleNamespace

import numpy as np
import pytest
from predictor_fixture import INPUT_SIZE, RedEngine, make_predictor

from vlt.categories import COCO_CATEGORIES
from vlt.data.masks import mask_box
from vlt.evaluate.rules import choose_by_rules, detector_with_rules
from vlt.geometry import Letterbox
from vlt.infer.engine import Detected
from vlt.refine.refiner import Outline

BOXES = np.array([[0.0, 0.0, 0.3, 0.9], [0.4, 0.5, 0.5, 0.6], [0.7, 0.1, 0.9, 0.5], [0.1, 0.6, 0.9, 1.0]])
LABELS = ("person", "person", "person", "dining table")


def scores(probabilities=(0.5, 0.9, 0.6, 0.8)):
    result = np.zeros((4, 80))
    result[np.arange(4), [COCO_CATEGORIES.index(label) for label in LABELS]] = probabilities
    return result


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("man on the left", 0),
        ("the right woman", 2),
        ("the guy in the middle", 1),
        ("biggest person", 0),
        ("smallest of the people", 1),
        ("lower person", 1),
        ("lady", 1),
        ("table on the left", 3),
        ("left one", 0),
        ("tables with food", 3),
        ("zebra", 0),
        ("women on the left", 0),
        ("men on the right", 2),
        ("right one of the ladies", 2),
        ("orange table", 3),
    ],
)
def test_the_first_noun_and_the_first_keyword_choose(text, chosen):
    assert choose_by_rules(text, BOXES, scores()) == chosen


def test_improbable_detections_are_chosen_only_where_there_is_no_other():
    assert choose_by_rules("left guy", BOXES, scores((0.2, 0.9, 0.6, 0.8))) == 1
    assert choose_by_rules("left guy", BOXES, scores((0.1, 0.2, 0.1, 0.8))) == 1


class Detecting(RedEngine):
    """An engine whose network has found the four objects above."""

    def detected(self, encoded, index):
        return Detected(np.float32(BOXES), np.float32(scores()))


def test_without_a_refiner_the_mask_is_the_chosen_box():
    height, width = INPUT_SIZE
    image = np.zeros((height, width, 3), np.uint8)
    baseline = detector_with_rules(make_predictor(Detecting()))
    left, right = next(iter(baseline([image], [["left guy", "right guy"]])))
    for mask, (x0, y0, x1, y1) in ((left, BOXES[0]), (right, BOXES[2])):
        assert mask.shape == (height, width)
        assert mask_box(mask) == pytest.approx((x0 * width, y0 * height, x1 * width, y1 * height), abs=1)


class Outliner:
    """A refiner that marks the whole image if it draws at all, and keeps the boxes that it was asked about."""

    def __init__(self, draws):
        self.draws, self.boxes = draws, []

    def encode(self, image, side):
        return SimpleNamespace(letterbox=Letterbox(image.shape[:2], (256, 256)))

    def refine(self, features, logits, letterbox, threshold, box):
        self.boxes.append(box)
        assert (logits < 0).all()
        return Outline(np.full((1, 64, 64), 5, np.float32), 0.0) if self.draws else None


def test_a_refiner_draws_the_outline_in_the_chosen_box():
    image = np.zeros((*INPUT_SIZE, 3), np.uint8)
    for draws in (True, False):
        refiner = Outliner(draws)
        baseline = detector_with_rules(make_predictor(Detecting(), refiner=refiner))
        [mask] = next(iter(baseline([image], [["left guy"]])))
        assert refiner.boxes[0] == pytest.approx(BOXES[0])
        assert mask.all() == draws
        assert mask.any()


def test_where_nothing_is_detected_masks_are_empty():
    class Blind(Detecting):
        def detected(self, encoded, index):
            return Detected(np.zeros((0, 4), np.float32), np.zeros((0, 80), np.float32))

    image = np.zeros((9, 7, 3), np.uint8)
    masks = next(iter(detector_with_rules(make_predictor(Blind()))([image], [["left guy", "dog"]])))
    assert [(mask.shape, mask.any()) for mask in masks] == [((9, 7), False)] * 2
