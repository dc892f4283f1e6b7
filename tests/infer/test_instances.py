"""Several candidates in one prediction, and the single objects of a prediction."""

import json

import numpy as np
import pytest
from predictor_fixture import BoxesEngine, BoxSegmenter, as_tuples, chosen_box, make_predictor, noise_image

from vlt.data.masks import decode_rle
from vlt.infer.choice import Distribution
from vlt.infer.instance import SPECK
from vlt.infer.predictor import INSTANCES_SHARE
from vlt.refine import Refiner

SIZE = (50, 70)
FIRST, SECOND, THIRD = (4, 6, 20, 26), (30, 8, 52, 30), (24, 34, 60, 46)
"""Three boxes in pixels of an image of `SIZE`, which do not overlap."""


def photo_with(*boxes):
    """An image that is red inside some boxes."""
    image = np.zeros((*SIZE, 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1, 0] = 255
    return image


def predictor_for(probability, boxes=(FIRST, SECOND, THIRD), *, segmenter=None, **settings):
    """A predictor that chooses among boxes, with a refiner if there is a segmenter."""
    engine = BoxesEngine([chosen_box(SIZE, *box) for box in boxes], probability)
    return make_predictor(engine, refiner=segmenter and Refiner(segmenter), **settings)


def boxes_of(instances):
    return [tuple(round(side) for side in one.box) for one in instances]


def near(box):
    return pytest.approx(box, abs=1.01)


# ---------------------------------------------------------------- candidates that may be taken together


@pytest.mark.parametrize(
    ("share", "taken"),
    [(None, 0), (1.0, 0), (0.81, 0), (0.79, 2), (0.26, 2), (0.24, 3), (0.01, 3)],
)
def test_candidates_are_taken_from_a_share_of_the_most_probable_ones_probability(share, taken):
    probability = np.array([[0.32, 0.4, 0.1, 0.0, 0.08, 0.1]], np.float32)
    boxes = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    decision = Distribution(probability, boxes).decide(0, share)
    assert len(decision.several) == taken
    assert [each.probability for each in decision.several] == sorted(
        (each.probability for each in decision.several), reverse=True
    )
    assert all(each.box is not None and each.probability > 0 for each in decision.several)
    assert str(decision[:2]) == str(Distribution(probability, boxes).decide(0)[:2])


def test_without_candidates_there_is_nothing_to_take():
    logits = np.array([[-np.inf, -np.inf, 0.0, 0.0]], np.float32)
    assert Distribution.of(logits, np.zeros((1, 2, 4), np.float32), 1.0).decide(0, 0.5).several == ()


# ---------------------------------------------------------------- their mask


def test_the_mask_of_several_candidates_unites_their_outlines_each_drawn_in_its_own_box():
    segmenter, image = BoxSegmenter(), noise_image(0, SIZE)
    predictor = predictor_for([0.4, 0.3, 0.1, 0.15, 0.05], segmenter=segmenter, several=0.5)
    (both,) = predictor.predict(image, "red")
    assert [len(boxes) for boxes, _ in segmenter.prompts] == [1, 1]
    alone = []
    for box in (FIRST, SECOND):
        (one,) = predictor_for([0.8, 0.15, 0.05], [box], segmenter=BoxSegmenter()).predict(image, "red")
        assert one.box == near(box)
        alone.append(one.mask)
    assert np.array_equal(both.mask, alone[0] | alone[1])
    assert np.array_equal(both.probability() > 0.5, both.mask)
    assert both.score == pytest.approx(0.7)
    assert both.instances is None


@pytest.mark.parametrize("agreement", [0.0, 0.5])
@pytest.mark.parametrize("several", [None, 0.9])
def test_where_one_candidate_is_taken_nothing_changes(agreement, several):
    settings = {"agreement": agreement, "segmenter": BoxSegmenter()}
    plain, other = (
        predictor_for([0.4, 0.3, 0.1, 0.15, 0.05], **settings, **more) for more in ({}, {"several": several})
    )
    image = photo_with(SECOND)
    assert as_tuples(plain.predict(image, "red")) == as_tuples(other.predict(image, "red"))


class SeenTwice(BoxesEngine):
    """Sees one object as two candidates in the image, and as one in the flipped image, which is segmented second."""

    def __init__(self):
        super().__init__(
            [chosen_box(SIZE, *box) for box in ((24, 10, 46, 40), (25, 10, 45, 40))], [0.5, 0.4, 0.05, 0.05]
        )

    def segment(self, *arguments):
        output = super().segment(*arguments)
        self.probability = [0.899, 0.001, 0.05, 0.05]
        self.boxes[1] = (0, 0, 0.1, 0.1)
        return output


def test_the_sum_of_probabilities_is_at_most_the_presence():
    """Each of the two candidates gets the mean of its probability and of that of the one in the flipped image."""
    (plain,) = make_predictor(SeenTwice(), flip=True).predict(noise_image(0, SIZE), "red")
    assert plain.score == pytest.approx((0.5 + 0.899) / 2)
    (one,) = make_predictor(SeenTwice(), flip=True, several=0.5).predict(noise_image(0, SIZE), "red")
    assert one.score == one.presence == pytest.approx(0.95)


def test_something_that_is_no_candidate_is_taken_alone():
    (one,) = predictor_for([0.2, 0.19, 0.01, 0.1, 0.5], several=0.5).predict(photo_with(FIRST), "red")
    assert one.score == pytest.approx(0.5)


def test_without_a_refiner_the_mask_is_the_networks_own():
    image, probability = photo_with(FIRST, THIRD), [0.4, 0.3, 0.1, 0.15, 0.05]
    (plain,) = predictor_for(probability).predict(image, "red")
    (several,) = predictor_for(probability, several=0.5).predict(image, "red")
    assert np.array_equal(plain.mask, several.mask)
    assert (plain.score, several.score) == (pytest.approx(0.4), pytest.approx(0.7))


# ---------------------------------------------------------------- instances of candidates


def test_an_instance_of_each_candidate_the_most_probable_first():
    image = noise_image(0, SIZE)
    predictor = predictor_for([0.3, 0.4, 0.16, 0.1, 0.04], segmenter=BoxSegmenter(), several=0.39)
    (one,) = predictor.predict(image, "red", instances=True)
    assert [each.box for each in one.instances] == [near(SECOND), near(FIRST), near(THIRD)]
    assert [each.score for each in one.instances] == pytest.approx([0.4, 0.3, 0.16])
    assert np.array_equal(np.logical_or.reduce([each.mask for each in one.instances]), one.mask)
    (plain,) = predictor.predict(image, "red")
    assert as_tuples([plain]) == as_tuples([one])


def test_instances_take_several_candidates_also_where_the_settings_take_one():
    image = noise_image(0, SIZE)
    for second, count in ((0.99 * INSTANCES_SHARE, 1), (1.01 * INSTANCES_SHARE, 2)):
        probability = np.array([1, second, 1e-6, 0.1, 0.1]) / (1.2 + second)
        predictor = predictor_for(probability, segmenter=BoxSegmenter())
        (one,) = predictor.predict(image, "red", instances=True)
        assert len(one.instances) == count
        (plain,) = predictor.predict(image, "red")
        assert plain.box == near(FIRST)


def test_two_candidates_of_one_object_are_one_instance_with_both_probabilities():
    shifted = (FIRST[0] + 1, FIRST[1], FIRST[2] + 1, FIRST[3])
    predictor = predictor_for(
        [0.3, 0.28, 0.26, 0.1, 0.06], (FIRST, shifted, SECOND), segmenter=BoxSegmenter(), several=0.5
    )
    (one,) = predictor.predict(noise_image(0, SIZE), "red", instances=True)
    assert [each.box for each in one.instances] == [near(FIRST), near(SECOND)]
    assert [each.score for each in one.instances] == pytest.approx([0.58, 0.26])
    assert one.score == pytest.approx(0.84)


def test_without_a_refiner_the_instances_are_the_networks_mask_in_each_box():
    image = photo_with(FIRST, SECOND, THIRD)
    (one,) = predictor_for([0.4, 0.3, 0.1, 0.15, 0.05], several=0.5).predict(image, "red", instances=True)
    assert [each.box for each in one.instances] == [near(FIRST), near(SECOND)]
    assert all(not (each.mask & ~one.mask).any() for each in one.instances)


def test_where_nothing_matches_there_is_no_instance():
    predictor = predictor_for([0.1, 0.1, 0.1, 0.6, 0.1], segmenter=BoxSegmenter(), presence=0.5)
    (one,) = predictor.predict(noise_image(0, SIZE), "red", instances=True)
    assert (one.matches, one.instances) == (False, ())
    assert one.to_dict()["instances"] == []


def test_at_a_threshold_that_leaves_no_mask_there_is_no_instance():
    predictor = predictor_for([0.4, 0.3, 0.1, 0.15, 0.05], segmenter=BoxSegmenter(), several=0.5)
    (one,) = predictor.predict(noise_image(0, SIZE), "red", instances=True, threshold=1)
    assert (one.box, one.instances) == (None, ())


# ---------------------------------------------------------------- instances of connected parts


def test_without_candidates_each_connected_part_is_an_instance_the_largest_first():
    image = photo_with(FIRST, SECOND, THIRD)
    (one,) = make_predictor().predict(image, "red", instances=True)
    assert [each.box for each in one.instances] == [near(SECOND), near(THIRD), near(FIRST)]
    assert np.array_equal(sum(each.mask.astype(int) for each in one.instances), one.mask.astype(int))
    probability = one.probability()
    for each in one.instances:
        assert each.score == pytest.approx(probability[each.mask].mean(), abs=1e-5)


def test_specks_are_no_instances():
    image = np.zeros((200, 300, 3), np.uint8)
    image[20:180, 20:200, 0] = 255
    image[100:104, 260:264, 0] = 255
    (one,) = make_predictor().predict(image, "red", instances=True)
    (large,) = one.instances
    speck = one.mask & ~large.mask
    assert 0 < speck.sum() < SPECK * one.mask.sum()


def test_what_is_no_candidate_is_divided_into_its_connected_parts():
    predictor = predictor_for([0.2, 0.19, 0.01, 0.1, 0.5])
    (one,) = predictor.predict(photo_with(FIRST, THIRD), "red", instances=True)
    assert [each.box for each in one.instances] == [near(THIRD), near(FIRST)]


def test_an_empty_mask_has_no_instance():
    (one,) = make_predictor().predict(photo_with(), "red", instances=True)
    assert one.instances == ()


# ---------------------------------------------------------------- their values


def test_instances_as_json_and_as_cutouts():
    image = noise_image(0, SIZE)
    predictor = predictor_for([0.4, 0.3, 0.1, 0.15, 0.05], segmenter=BoxSegmenter(), several=0.5)
    (one,), (plain,) = (predictor.predict(image, "red", instances=instances) for instances in (True, False))
    values = json.loads(json.dumps(one.to_dict()))
    assert list(values) == [*plain.to_dict(), "instances"]
    for each, instance in zip(values["instances"], one.instances, strict=True):
        assert list(each) == ["score", "box", "rle"]
        assert each["score"] == pytest.approx(instance.score, abs=1e-4)
        assert each["box"] == list(instance.box)
        assert np.array_equal(decode_rle(each["rle"]), instance.mask)
        cutout = instance.cutout()
        assert np.array_equal(cutout[..., :3], image)
        assert np.array_equal(cutout[..., 3], np.where(instance.mask, 255, 0))


def test_instances_of_several_images_are_those_of_each_alone():
    images = [photo_with(FIRST, SECOND), photo_with(THIRD)]
    together = make_predictor().predict(images, ["red", "that"], instances=True)
    for image, row in zip(images, together, strict=True):
        for one, other in zip(row, make_predictor().predict(image, ["red", "that"], instances=True), strict=True):
            assert boxes_of(one.instances) == boxes_of(other.instances)
            assert [each.score for each in one.instances] == [each.score for each in other.instances]
