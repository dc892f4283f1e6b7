"""Predictions of networks that choose among candidates: presence, certainty, box, temperature and refined outlines."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from predictor_fixture import (
    BoxesEngine,
    BoxSegmenter,
    RedEngine,
    as_tuples,
    chosen_box,
    make_predictor,
    noise_image,
)

from vlt.config import parse_config
from vlt.errors import CheckpointError
from vlt.geometry import Letterbox
from vlt.infer import Logits
from vlt.infer.choice import OUTCOMES, Distribution
from vlt.infer.flip import box_overlaps, merge_choices
from vlt.infer.torch_engine import TorchEngine, torch_predictor
from vlt.model.build import build_model
from vlt.refine import Refiner

CANDIDATES = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}
TEMPERATURES = [1e-30, 0.3, 1.0, 4.0, 1e30]


@pytest.fixture(scope="module")
def config(tiny_config):
    """The configuration of a tiny network with candidates."""
    values = tiny_config.model_dump(mode="json")
    values["model"]["candidates"], values["loss"]["candidate"] = CANDIDATES, 1.0
    return parse_config(values, "tests")


@pytest.fixture(scope="module")
def model(config):
    torch.manual_seed(0)
    return build_model(config.model, pretrained=False).eval()


# ---------------------------------------------------------------- the choice


def random_outcomes(count=30, candidates=5, seed=0):
    """Logits of outcomes that are far apart, with candidates that do not exist, and the candidates' boxes."""
    generator = np.random.default_rng(seed)
    logits = 3 * generator.standard_normal((count, candidates + 2)).astype(np.float32)
    missing = generator.random((count, candidates)) < 0.3
    missing[0] = True
    logits[:, :candidates][missing] = -np.inf
    return logits, generator.random((count, candidates, 4)).astype(np.float32)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_decision_equals_its_brute_force_twin(temperature):
    logits, boxes = random_outcomes()
    choice, outcomes = Distribution.of(logits, boxes, temperature), set()
    for row, values in enumerate(logits.astype(float)):
        exists = np.flatnonzero(np.isfinite(values)).tolist()
        exact = torch.tensor([values[index] / temperature for index in exists]).softmax(dim=0).tolist()
        probability = dict(zip(exists, exact, strict=True))
        best = max((index for index in exists if index != 5), key=lambda index: values[index])
        presence, (first, *others), _ = choice.decide(row)
        certainty, box = first
        assert presence == pytest.approx(1 - probability[5], abs=1e-5)
        assert certainty == pytest.approx(probability[best], abs=1e-5)
        rest = sorted((value for index, value in probability.items() if index not in (5, best)), reverse=True)
        likely = [value for value in rest if value > 1e-37]
        assert [each.probability for each in others] == pytest.approx(likely[: OUTCOMES - 1], abs=1e-5)
        if 1e-3 < temperature < 1e3:  # at the extremes probabilities are 0 or alike
            assert box is None if best == 6 else np.array_equal(box, boxes[row, best])
        outcomes.add((best == 6, values.argmax() == 5))
    assert len(outcomes) == 4, "the test must see candidates and none, below and above 'nothing'"


def test_a_temperature_changes_probabilities_and_never_the_outcome():
    cold, plain, hot = (Distribution.of(*random_outcomes(), temperature) for temperature in (0.3, 1.0, 4.0))
    for row in range(30):
        decisions = [each.decide(row).outcomes[0] for each in (cold, plain, hot)]
        assert len({str(one.box) for one in decisions}) == 1
        assert len({one.probability for one in decisions}) == 3
        assert all(
            each.decide(row).presence >= one.probability - 1e-6
            for each, one in zip((cold, plain, hot), decisions, strict=True)
        )


# ---------------------------------------------------------------- the engine


def segment(engine):
    images = np.random.default_rng(1).random((2, 3, 64, 64), dtype=np.float32)
    words = np.random.default_rng(0).standard_normal((3, 5, 16)).astype(np.float32)
    mask = np.arange(5) < np.array([[5], [2], [4]])
    return engine.segment(engine.encode(images), np.array([1, 0, 1]), words, mask)


def test_an_engine_returns_the_choice(model):
    output = segment(TorchEngine(model))
    assert [each.shape for each in output] == [(3, 1, 16, 16), (3, 6), (3, 4, 4)]
    assert {each.dtype for each in output} == {np.dtype(np.float32)}
    with torch.no_grad():
        images = torch.from_numpy(np.random.default_rng(1).random((2, 3, 64, 64), dtype=np.float32))
        words = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 5, 16)).astype(np.float32))
        features = model.encode(images).select(torch.tensor([1, 0, 1]))
        choice = model.choose(features, words, torch.arange(5) < torch.tensor([[5], [2], [4]]))
    np.testing.assert_allclose(output.outcomes, choice.existing(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output.boxes, choice.boxes, rtol=1e-4, atol=1e-5)


def test_an_engine_without_masks_chooses_alike(model):
    for found, expected in zip(
        segment(TorchEngine(model, masks=False))[1:], segment(TorchEngine(model))[1:], strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_settings_reach_the_network(model, tiny_text, config):
    """Presence and score follow the temperature of the configuration and of `with_settings`."""
    image, texts = noise_image(0), ["circle", "red square"]
    plain = torch_predictor(model, tiny_text, config)
    hot = plain.with_settings(temperature=1e6)
    for one, other in zip(plain.predict(image, texts), hot.predict(image, texts), strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert 0 < one.presence < 1
        outcomes = 1 / (1 - other.presence)  # all alike
        assert outcomes == pytest.approx(round(outcomes), abs=1e-3)
        assert other.score == pytest.approx(1 / outcomes, abs=1e-4)
        assert one.score != pytest.approx(other.score, abs=1e-3)


# ---------------------------------------------------------------- presence and score


def outcomes_of(presence, certainty, is_candidate):
    """Logits (B, 3) of one candidate, nothing, and what is no candidate: the outcome has all of the certainty."""
    rest = presence - certainty
    probability = [certainty, 1 - presence, rest] if is_candidate else [rest, 1 - presence, certainty]
    return np.log(np.stack(np.broadcast_arrays(*probability), axis=-1)).astype(np.float32)


class ChoosingEngine(RedEngine):
    """Chooses the same box for each expression, or none; its presence is a tenth of the letters of the first word.

    Args:
        box: xyxy as shares of the input; None: something that is no candidate.
        share: of the presence, which is the certainty.
        masks: False: its masks are empty at any usual threshold.
    """

    def __init__(self, box=None, share=0.75, masks=True):
        super().__init__()
        self.box = box
        self.share = share
        self.masks = masks

    def segment(self, encoded, image_index, words, word_mask):
        masks = super().segment(encoded, image_index, words, word_mask).masks
        presence = words[:, 0] / 10
        boxes = np.tile(np.array(self.box or (0, 0, 1, 1), np.float32), (len(words), 1, 1))
        outcomes = outcomes_of(presence, self.share * presence, self.box is not None)
        return Logits(masks if self.masks else masks * 0 - 9, outcomes, boxes)


@pytest.mark.parametrize("own", [0.0, 0.49, 0.5, 0.51, 1.0])
def test_below_the_presence_of_the_settings_the_mask_is_empty(own):
    """Whatever the threshold; at exactly that presence it is not."""
    predictor, image, texts = make_predictor(ChoosingEngine(), presence=own), noise_image(0), ["right", "orange"]
    plain = make_predictor().predict(image, texts, threshold=0.2)
    for one, expected, presence in zip(predictor.predict(image, texts, threshold=0.2), plain, (0.5, 0.6), strict=True):
        assert one.presence == pytest.approx(presence)
        assert one.matches == (one.presence >= own)
        assert one.score == pytest.approx(0.75 * presence if one.matches else presence)
        assert np.array_equal(one.mask, expected.mask if one.matches else np.zeros((50, 70), bool))
        assert (one.box is None) != one.matches
    for one in predictor.predict(image, texts, threshold=0):
        assert one.mask.all() == one.matches
        assert one.mask.any() == one.matches


def test_networks_without_a_choice_ignore_both_settings():
    image, texts = noise_image(0), ["red", "that"]
    plain = make_predictor().predict(image, texts)
    other = make_predictor(presence=1.0, temperature=7.0).predict(image, texts)
    assert as_tuples(plain) == as_tuples(other)
    assert {(one.presence, one.matches) for one in other} == {(None, True)}


@pytest.mark.parametrize("part", ["outcomes", "boxes"])
def test_a_choice_that_is_no_number_is_an_error(part):
    class Broken(ChoosingEngine):
        def segment(self, *arguments):
            output = super().segment(*arguments)
            values = getattr(output, part)
            values[arguments[2][:, 0] == 5] = np.nan
            return output

    with pytest.raises(CheckpointError, match=r"output for 'right' is not finite"):
        make_predictor(Broken()).predict(noise_image(0), ["red", "right"])


# ---------------------------------------------------------------- test-time augmentation


def distribution(*rows):
    """Rows of (probabilities, boxes)."""
    return Distribution(*(np.array(each, np.float32) for each in zip(*rows, strict=True)))


LEFT, RIGHT, TOP = (0.1, 0.4, 0.3, 0.8), (0.7, 0.4, 0.9, 0.8), (0.4, 0.0, 0.6, 0.2)


def test_candidates_that_are_the_same_object_share_the_mean():
    """The flipped image has the object at the left as its second candidate, a little wider, and its own first."""
    plain = distribution(([0.6, 0.2, 0.15, 0.05], [LEFT, TOP]))
    flipped = distribution(([0.1, 0.4, 0.35, 0.15], [(0.1, 0.6, 0.2, 0.9), (0.7, 0.4, 0.94, 0.8)]))
    merged = merge_choices(plain, flipped, np.array([True]))
    assert merged.probability[0] == pytest.approx([0.5, 0.1, 0.05, 0, 0.25, 0.1])
    expected = [(0.08, 0.4, 0.3, 0.8), TOP, (0.8, 0.6, 0.9, 0.9), (0.08, 0.4, 0.3, 0.8)]
    np.testing.assert_allclose(merged.boxes[0], expected, atol=1e-6)
    assert {each.dtype for each in merged} == {np.dtype(np.float32)}
    presence, outcomes, _ = merged.decide(0)
    assert presence == pytest.approx(0.75)
    assert [each.probability for each in outcomes] == pytest.approx([0.5, 0.1, 0.1, 0.05])
    np.testing.assert_allclose(outcomes[0].box, expected[0], atol=1e-6)


def test_an_expression_without_a_flipped_form_keeps_its_choice():
    plain = distribution(([0.6, 0.2, 0.15, 0.05], [LEFT, TOP]), ([0.1, 0.2, 0.3, 0.4], [LEFT, TOP]))
    flipped = distribution(([0.0, 0.9, 0.0, 0.1], [LEFT, RIGHT]), ([0.0, 0.9, 0.0, 0.1], [LEFT, RIGHT]))
    merged = merge_choices(plain, flipped, np.array([False, False]))
    for row in range(2):
        assert str(merged.decide(row)) == str(plain.decide(row))
        assert merged.probability[row].sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_no_side_is_preferred(seed):
    """An image and its flipped image, each with the other as its flipped image, get mirrored decisions."""
    generator = np.random.default_rng(seed)
    views = []
    for _ in range(2):
        corner = generator.random((20, 4, 2)).astype(np.float32) / 2
        boxes = np.concatenate([corner, corner + 0.1 + generator.random((20, 4, 2)) / 3], axis=2, dtype=np.float32)
        logits, _ = random_outcomes(20, 4, seed)
        views.append(Distribution.of(logits + generator.standard_normal((20, 6)).astype(np.float32), boxes, 1.0))
    here, there = (merge_choices(*pair, np.ones(20, bool)) for pair in (views, views[::-1]))
    for row in range(20):
        one, other = here.decide(row), there.decide(row)
        assert one.presence == pytest.approx(other.presence)
        for outcome, twin in zip(one.outcomes, other.outcomes, strict=True):
            assert outcome.probability == pytest.approx(twin.probability)
            if outcome.box is not None:
                x0, y0, x1, y1 = twin.box
                np.testing.assert_allclose(outcome.box, [1 - x1, y0, 1 - x0, y1], atol=1e-6)


@pytest.mark.parametrize("side", [0.5, 0.25])
def test_overlaps_of_boxes_are_their_iou(side):
    boxes = np.array([[[0, 0, side, 1], [0, 0, 0, 0]]], np.float32)
    others = np.array([[[0, 0, 1, 1], [side, 0, 1, 1], [0, 0, 0, 0]]], np.float32)
    np.testing.assert_allclose(box_overlaps(boxes, others), [[[side, 0, 0], [0, 0, 0]]])


def test_the_averaged_presence_decides():
    """The flipped pass has another expression: "left" has a letter less than "right"."""
    image = noise_image(0)
    for own, matches in ((0.44, True), (0.46, False)):
        (one,) = make_predictor(ChoosingEngine(), presence=own, flip=True).predict(image, "left")
        assert (one.presence, one.matches) == (pytest.approx(0.45), matches)


# ---------------------------------------------------------------- outlines in the chosen box


@pytest.mark.parametrize("size", [(50, 70), (90, 40), (64, 96)])
def test_the_chosen_box_is_the_only_prompt_in_the_segmenters_pixels(size):
    segmenter, box = BoxSegmenter(), (8, 12, 31, 44)
    predictor = make_predictor(ChoosingEngine(chosen_box(size, *box)), refiner=Refiner(segmenter))
    (one,) = predictor.predict(noise_image(0, size), "red")
    [([prompt], points)] = segmenter.prompts
    scale = 1024 / max(size)
    left, top = ((1024 - int(side * scale)) // 2 for side in size[::-1])
    expected = [box[0] * scale + left, box[1] * scale + top, box[2] * scale + left, box[3] * scale + top]
    np.testing.assert_allclose(prompt, expected, atol=0.5)
    assert (prompt.dtype, points.dtype, points.shape) == (np.float32, np.float32, (0, 2))
    np.testing.assert_allclose(one.box, box, atol=1.01)


def test_an_outline_in_a_chosen_box_replaces_an_empty_mask():
    box, refiner = chosen_box((50, 70), 8, 12, 31, 44), Refiner(BoxSegmenter())
    (one,) = make_predictor(ChoosingEngine(box, masks=False), refiner=refiner).predict(noise_image(0), "red")
    assert one.box == pytest.approx((8, 12, 31, 44), abs=1.01)
    assert one.score == pytest.approx(0.75 * 0.3)
    assert np.array_equal(one.probability() > 0.5, one.mask)
    (none,) = make_predictor(ChoosingEngine(None, masks=False), refiner=refiner).predict(noise_image(0), "red")
    assert none.box is None
    (plain,) = make_predictor(ChoosingEngine(box, masks=False)).predict(noise_image(0), "red")
    assert plain.box is None


@pytest.mark.parametrize("own", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("masks", [True, False])
def test_a_larger_threshold_never_gives_a_larger_mask(own, masks):
    engine = ChoosingEngine(chosen_box((50, 70), 8, 12, 31, 44), masks=masks)
    predictor = make_predictor(engine, refiner=Refiner(BoxSegmenter()), threshold=own, presence=0.2)
    features = predictor.encode(noise_image(0))
    thresholds = [0, 0.001, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99, 0.999, 1]
    found = [predictor.predict(features, "red", threshold=threshold)[0].mask for threshold in thresholds]
    assert found[0].all()
    assert not found[-1].any()
    assert len({int(mask.sum()) for mask in found}) > 4, "the test must see different masks"
    for larger, smaller in pairwise(found):
        assert not (smaller & ~larger).any()


def test_nothing_is_computed_that_is_not_needed(monkeypatch):
    """One prompt and one mask at the image's size with a box; neither where nothing matches."""
    calls, strips = [], Letterbox.strips
    monkeypatch.setattr(Letterbox, "strips", lambda self, logits: calls.append(self.image_size) or strips(self, logits))
    segmenter, image = BoxSegmenter(), noise_image(0, (60, 90))
    engine = ChoosingEngine(chosen_box((60, 90), 8, 12, 31, 44))
    predictor = make_predictor(engine, refiner=Refiner(segmenter), presence=0.5)
    for text, count in (("orange", 1), ("red", 0)):
        calls.clear()
        segmenter.prompts.clear()
        predictor.predict(image, text)
        assert (len(segmenter.prompts), calls.count((60, 90))) == (count, count)


# ---------------------------------------------------------------- the network's mask among likely outcomes


BESIDE, AROUND = (40, 4, 60, 20), (8, 12, 31, 44)


def select(probability, agreement):
    """The box of the mask and the score, and the number of prompts, for a photo that is red in one of two boxes."""
    image, segmenter = np.zeros((50, 70, 3), np.uint8), BoxSegmenter()
    x0, y0, x1, y1 = AROUND
    image[y0:y1, x0:x1, 0] = 255
    engine = BoxesEngine([chosen_box((50, 70), *box) for box in (BESIDE, AROUND)], probability)
    predictor = make_predictor(engine, refiner=Refiner(segmenter), agreement=agreement)
    (one,) = predictor.predict(image, "red")
    return one.box, one.score, len(segmenter.prompts)


@pytest.mark.parametrize(
    ("agreement", "expected", "score", "prompts"),
    [(0.0, BESIDE, 0.55, 1), (0.1, BESIDE, 0.55, 1), (0.5, AROUND, 0.25, 2)],
)
def test_the_networks_mask_helps_to_select_among_likely_candidates(agreement, expected, score, prompts):
    """An agreement of 1 is worth 11 ** 0.5 = 3.3 times one of 0."""
    box, found, drawn = select([0.55, 0.25, 0.15, 0.05], agreement)
    assert box == pytest.approx(expected, abs=1.01)
    assert (found, drawn) == (pytest.approx(score), prompts)


@pytest.mark.parametrize(("rival", "prompts"), [(0.05, 1), (0.2, 1), (0.22, 2)])
def test_no_outline_is_drawn_for_what_cannot_be_selected(rival, prompts):
    """The rating of the first is 0.7 * 0.1 ** 0.5 = 0.221, that of a rival at most 1.049 times its probability."""
    assert select([0.7, rival, 0.07, 0.01], 0.5)[2] == prompts


def test_outcomes_are_those_of_each_view_once():
    """Both views see both objects."""
    view = distribution(([0.5, 0.3, 0.1, 0.1], [LEFT, RIGHT]))
    mirrored = distribution(([0.3, 0.5, 0.1, 0.1], [(1 - b[2], b[1], 1 - b[0], b[3]) for b in (RIGHT, LEFT)]))
    outcomes = merge_choices(view, mirrored, np.array([True])).decide(0).outcomes
    assert [each.probability for each in outcomes] == pytest.approx([0.5, 0.3, 0.1])
    np.testing.assert_allclose([each.box for each in outcomes[:2]], [LEFT, RIGHT], atol=1e-6)
    assert outcomes[2].box is None
