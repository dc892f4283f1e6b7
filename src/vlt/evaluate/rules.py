"""Baseline: the detector's boxes, one of which is chosen by a noun and a few keywords of the expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vlt.categories import COCO_CATEGORIES
from vlt.infer.features import ImageFeatures
from vlt.infer.predictor import Predictor
from vlt.synth.words.lexicon import PEOPLE, meanings
from vlt.synth.words.nouns import HUMANS
from vlt.types import FloatArray, Image, Mask

if TYPE_CHECKING:
    from vlt.evaluate.evaluation import MaskFunction

DETECTED = 0.3
"""Class probability from which a detection counts as one of its category."""
NOTHING = -20.0
"""Logit outside a mask; a refiner gets nothing else beside the box."""


def areas(boxes: FloatArray) -> FloatArray:
    """Compute the areas of boxes (N, 4) xyxy."""
    area: FloatArray = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


PLACES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "left leftmost": lambda boxes: -boxes[:, 0] - boxes[:, 2],
    "right rightmost": lambda boxes: boxes[:, 0] + boxes[:, 2],
    "top upper above highest": lambda boxes: -boxes[:, 1] - boxes[:, 3],
    "bottom lower below lowest": lambda boxes: boxes[:, 1] + boxes[:, 3],
    "middle center centre": lambda boxes: -np.abs(boxes[:, 0] + boxes[:, 2] - 1),
    "big bigger biggest large larger largest closest front foreground": areas,
    "small smaller smallest little back background farthest": lambda boxes: -areas(boxes),
}
"""For some keywords the number that the chosen box (N, 4) has most of; the first keyword found counts."""


def choose_by_rules(text: str, boxes: FloatArray, scores: FloatArray) -> int:
    """Choose a detection by the first noun of the expression and its first keyword of place or size.

    Args:
        text: the expression.
        boxes: (N, 4) xyxy as shares of the image, at least one.
        scores: (N, 80), class probabilities.

    Returns:
        Its index. Without a keyword the most probable one of the category; without a noun the most probable one of all.

    Example:
        >>> boxes, scores = np.array([[0, 0, 0.2, 1], [0.7, 0, 1, 1]]), np.eye(80)[[0, 0]]
        >>> [choose_by_rules(text, boxes, scores) for text in ("the right guy", "guy on the left")]
        [1, 0]
    """
    words = re.findall(r"[a-z]+", text.lower())
    kind = first_category(words)
    probability = scores.max(axis=1) if kind is None else scores[:, kind]
    pool = np.flatnonzero((probability >= DETECTED) & (kind is None or scores.argmax(axis=1) == kind))
    if not len(pool):
        return int(probability.argmax())
    measures = [measure for word in words for keywords, measure in PLACES.items() if word in keywords.split()]
    value = measures[0](boxes[pool]) if measures else probability[pool]
    return int(pool[value.argmax()])


def first_category(words: Sequence[str]) -> int | None:
    """Find the first noun that names one of COCO's categories: two words, a word, or its singular."""
    for place, word in enumerate(words):
        if word == "orange" and first_category(words[place + 1 : place + 2]) is not None:
            continue  # a colour
        singulars = (word.removesuffix("s"), re.sub("ies$", "y", word))
        for name in (" ".join(words[place : place + 2]), word, *singulars):
            if name in PEOPLE or meanings(name) & HUMANS:
                return COCO_CATEGORIES.index("person")
            if called := meanings(name) & {*COCO_CATEGORIES}:
                return min(map(COCO_CATEGORIES.index, called))
    return None


def detector_with_rules(predictor: Predictor) -> MaskFunction:
    """Make a baseline of the network's detector: a box chosen by rules, in which the refiner draws the outline.

    Args:
        predictor: of a network with candidates; without its refiner the mask is the box.
    """
    predictor = predictor.with_settings(flip=False)  # the rules use the candidates of the image alone

    def predict(images: Sequence[Image], expressions: Sequence[Sequence[str]]) -> Iterator[list[Mask]]:
        for image, texts in zip(images, expressions, strict=True):
            features = predictor.encode(image)
            boxes, scores = predictor.engine.detected(features.encoded, features.index)
            if len(boxes):
                chosen = [choose_by_rules(text, boxes, scores) for text in texts]
                masks = {number: mask_in_box(predictor, features, boxes[number]) for number in set(chosen)}
                yield [masks[number] for number in chosen]
            else:
                yield [np.zeros(image.shape[:2], bool)] * len(texts)

    return predict


def mask_in_box(predictor: Predictor, features: ImageFeatures, box: FloatArray) -> Mask:
    """Draw the outline of what is in a box (4,) xyxy as shares of the input; without a refiner the mask is the box."""
    logits = np.full((1, *predictor.input_size), NOTHING, np.float32)
    if predictor.refiner is not None and predictor.settings.refine and features.outlines is not None:
        threshold = predictor.settings.threshold
        outline = predictor.refiner.refine(features.outlines, logits, features.letterbox, threshold, box)
        if outline is not None:
            return features.outlines.letterbox.mask(outline.logits, threshold)
    height, width = predictor.input_size
    (x0, y0), (x1, y1) = np.floor(box[:2] * (width, height)).astype(int), np.ceil(box[2:] * (width, height)).astype(int)
    logits[:, y0:y1, x0:x1] = -NOTHING
    return features.letterbox.mask(logits, predictor.settings.threshold)
