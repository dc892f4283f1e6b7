"""Test-time augmentation: how the logits of an image and of its flipped image are merged, and when."""

import numpy as np
import pytest
from predictor_fixture import INPUT_SIZE, BrokenEngine, RedEngine, make_predictor, noise_image

from vlt.errors import CheckpointError, InputError
from vlt.geometry import sigmoid
from vlt.infer.flip import merge_masks

KNOWN = np.array([True])


def logits_of(*probabilities):
    """A row of probabilities as logits (1, 1, 1, W)."""
    values = np.array(probabilities, np.float32)
    return np.log(values / (1 - values))[None, None, None]


def test_two_that_find_something_are_averaged():
    merged = merge_masks(logits_of(0.9, 0.2, 0.4), logits_of(0.6, 0.4, 0.7), KNOWN)
    assert sigmoid(merged).flatten().tolist() == pytest.approx([0.8, 0.3, 0.5])
    assert merged.dtype == np.float32


def test_two_that_find_nothing_are_averaged():
    merged = merge_masks(logits_of(0.4, 0.2), logits_of(0.1, 0.2), KNOWN)
    assert sigmoid(merged).flatten().tolist() == pytest.approx([0.3, 0.15])


def test_one_that_alone_finds_something_is_taken_alone():
    finds, does_not = logits_of(0.9, 0.2), logits_of(0.3, 0.1)
    assert np.allclose(merge_masks(finds, does_not, KNOWN), finds)
    assert np.allclose(merge_masks(does_not, finds, KNOWN), finds[..., ::-1])


def test_two_that_are_certain_of_different_places_do_not_cancel_out():
    higher, other = logits_of(0.1, 0.9), logits_of(0.1, 0.8)  # the second is of the flipped image
    assert np.allclose(merge_masks(higher, other, KNOWN), higher)
    assert np.allclose(merge_masks(other, higher, KNOWN), higher[..., ::-1])


def test_an_expression_without_a_flipped_form_keeps_its_logits():
    logits = np.concatenate([logits_of(0.9, 0.2)] * 2)
    merged = merge_masks(logits, np.concatenate([logits_of(0.8, 0.6)] * 2), np.array([False, True]))
    assert np.array_equal(merged[0], logits[0])
    assert not np.allclose(merged[1], logits[1])


def test_certain_logits_stay_finite():
    merged = merge_masks(np.full((1, 1, 2, 2), 200.0, np.float32), np.full((1, 1, 2, 2), 150.0, np.float32), KNOWN)
    assert np.isfinite(merged).all()
    assert (merged > 10).all()


# ---------------------------------------------------------------- in the predictor


class WordsSeen(RedEngine):
    """Keeps the words of each call."""

    def __init__(self):
        super().__init__()
        self.words = []

    def segment(self, encoded, image_index, words, word_mask):
        self.words.append((words.tolist(), word_mask.sum(axis=1).tolist()))
        return super().segment(encoded, image_index, words, word_mask)


def test_left_and_right_are_swapped_where_they_are_sides():
    engine = WordsSeen()
    make_predictor(engine, flip=True).predict(noise_image(0), ["cat on the left", "red cat", "number 12"])
    plain, flipped = engine.words
    assert plain == ([[3, 2, 3, 4], [3, 3, 0, 0], [6, 2, 0, 0]], [4, 2, 2])
    assert flipped == ([[3, 2, 3, 5], [3, 3, 0, 0], [6, 2, 0, 0]], [4, 2, 2])
    assert engine.encoded == [1, 1], "the image and its flipped image"


def test_the_merged_mask_does_not_depend_on_the_side():
    image = noise_image(0, INPUT_SIZE)
    texts = ["that on the left", "red", "that what is left"]  # the last has no flipped form

    def masks(slope, flip):
        return [one.mask for one in make_predictor(RedEngine(slope=slope), flip=flip).predict(image, texts)]

    one, other, alone = masks(4, True), masks(-4, True), masks(4, False)
    assert [np.array_equal(*pair) for pair in zip(one, other, strict=True)] == [True, True, False]
    assert [np.array_equal(*pair) for pair in zip(one, alone, strict=True)] == [False, False, True]


def test_features_hold_the_flipped_image_only_where_the_settings_say_so():
    plain = make_predictor()
    fair = plain.with_settings(flip=True)
    both = fair.encode(noise_image(0))
    assert np.array_equal(both.flipped.images, both.encoded.images[..., ::-1])
    alone = plain.encode(noise_image(0))
    assert alone.flipped is None
    with pytest.raises(InputError, match="or with other settings; encode the image with this predictor"):
        fair.predict(alone, "red")
    (used,), (expected,) = plain.predict(both, "red"), plain.predict(alone, "red")
    assert np.array_equal(used.mask, expected.mask), "settings without flip ignore the flipped features"


def test_nan_for_the_flipped_image_alone_is_an_error_too():
    """`merge_masks` would otherwise take the finite one of the two."""
    predictor = make_predictor(BrokenEngine(letters=5), flip=True)
    with pytest.raises(CheckpointError, match=r"output for 'right' is not finite"):
        predictor.predict(noise_image(0), "left")
