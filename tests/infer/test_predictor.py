"""Predictions of one and of several images: other inputs and threads change nothing, and what is refused."""

import io
import json
import pickle
import subprocess
import sys
import threading
import typing
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from predictor_fixture import BrokenEngine, RedEngine, as_tuples, make_predictor, noise_image

import vlt
from vlt.checkpoint import load_checkpoint
from vlt.config import InferenceConfig
from vlt.data.masks import decode_rle
from vlt.errors import CheckpointError, ConfigError, InputError, VLTWarning
from vlt.infer import load
from vlt.infer.predictor import IMAGES_AT_ONCE
from vlt.infer.torch_engine import torch_predictor
from vlt.refine import Refiner
from vlt.text.spelling import SpellingWarning

EXPRESSIONS = ["the red circle", "green triangle", "big blue square left of the red circle", "circle"]


@pytest.fixture(scope="module")
def predictor(tiny_checkpoint):
    return load(tiny_checkpoint, device="cpu")


def probability_of(predictor, image, expression):
    """The network's probabilities at the image's size, without the predictor's own way there."""
    features = predictor.encode(image)
    words = torch.from_numpy(predictor.text(expression).values[None])
    with torch.inference_mode():
        output = predictor.engine.model.segment(features.encoded, words, torch.ones(words.shape[:2], dtype=torch.bool))
    return features.letterbox.probability(output.logits[0].numpy())


@pytest.fixture
def half(predictor):
    """A threshold that about half of the image's probabilities are above, so that masks have edges."""
    return float(np.median(probability_of(predictor, noise_image(0), "circle")))


def test_a_prediction(predictor, half):
    predictions = predictor.predict(noise_image(0), EXPRESSIONS, threshold=half)
    assert [one.expression for one in predictions] == EXPRESSIONS
    for one in predictions:
        assert one.mask.shape == (50, 70)
        assert one.mask.dtype == bool
        assert np.array_equal(decode_rle(one.rle), one.mask)
        assert one.rle["size"] == [50, 70]


@pytest.mark.filterwarnings("ignore:The model does not know 'right'")
def test_with_the_flipped_image_predicted_too_no_side_is_preferred(predictor, half):
    fair, image = predictor.with_settings(flip=True), noise_image(0, size=(64, 96))
    texts, flipped = ["circle left of the square", "red circle"], ["circle right of the square", "red circle"]
    here = [one.mask for one in fair.predict(image, texts, threshold=half)]
    there = [one.mask[:, ::-1] for one in fair.predict(np.ascontiguousarray(image[:, ::-1]), flipped, threshold=half)]
    alone = [one.mask for one in predictor.predict(image, texts, threshold=half)]
    assert all(map(np.array_equal, here, there))
    assert not any(map(np.array_equal, here, alone))


def test_score_and_box_by_hand(predictor, half):
    (one,) = predictor.predict(noise_image(0), "circle", threshold=half)
    probability = probability_of(predictor, noise_image(0), "circle")
    inside = probability > half
    assert 0 < inside.sum() < inside.size
    assert np.array_equal(one.mask, inside)
    assert one.score == pytest.approx(probability[inside].mean(), abs=1e-6)
    rows, columns = np.nonzero(inside)
    assert one.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_an_empty_and_a_full_mask(predictor):
    (nothing,) = predictor.predict(noise_image(0), "circle", threshold=1)
    assert (nothing.mask.any(), nothing.box) == (False, None)
    assert nothing.score == pytest.approx(probability_of(predictor, noise_image(0), "circle").max(), abs=1e-6)
    (everything,) = predictor.predict(noise_image(0), "circle", threshold=0)
    assert everything.mask.all()
    assert 0 < everything.score < 1
    assert everything.box == (0, 0, 70, 50)


def test_a_score_lies_above_the_threshold_only_where_something_was_found(predictor):
    """Also where the highest probability lies in the grey around the image, which is no part of it."""
    image = noise_image(0, (20, 70))
    highest = float(probability_of(predictor, image, "circle").max())
    for threshold in [*np.linspace(0, 1, 7).tolist(), highest, highest - 1e-6]:
        (one,) = predictor.predict(image, "circle", threshold=threshold)
        assert (one.score > threshold) == one.mask.any()


def test_the_threshold_is_the_checkpoints(tiny_checkpoint):
    loaded = load_checkpoint(tiny_checkpoint)
    section = loaded.config.inference.model_copy(update={"threshold": 1.0})
    strict = torch_predictor(loaded.model, loaded.text, loaded.config.model_copy(update={"inference": section}))
    assert not strict.predict(noise_image(0), "circle")[0].mask.any()
    assert strict.predict(noise_image(0), "circle", threshold=0)[0].mask.all()


def test_one_expression_or_several_or_none(predictor):
    image = noise_image(0)
    assert as_tuples(predictor.predict(image, "circle")) == as_tuples(predictor.predict(image, ["circle"]))
    assert predictor.predict(image, []) == []


def test_any_source_of_an_image(predictor, tmp_path):
    image = noise_image(0)
    path = tmp_path / "image.png"
    PILImage.fromarray(image).save(path)
    expected = as_tuples(predictor.predict(image, EXPRESSIONS))
    content = path.read_bytes()
    for source in (path, str(path), PILImage.open(path), content, io.BytesIO(content), predictor.encode(path)):
        assert as_tuples(predictor.predict(source, EXPRESSIONS)) == expected
    with path.open("rb") as file:
        assert as_tuples(predictor.predict(file, EXPRESSIONS)) == expected
        assert as_tuples(predictor.predict(file, EXPRESSIONS)) == expected, "a file is read from its start"


def test_a_mask_is_upright(predictor, tmp_path):
    """EXIF says: turn by 90 degrees. Masks are of the image as people see it."""
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(noise_image(0)).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(noise_image(0), -1)
    (one,) = predictor.predict(tmp_path / "turned.png", "circle")
    assert one.mask.shape == (70, 50)
    assert as_tuples([one]) == as_tuples(predictor.predict(np.ascontiguousarray(upright), "circle"))


def test_encoding_computes_the_backbone_once(predictor):
    calls = []
    hook = predictor.engine.model.backbone.register_forward_hook(lambda *_: calls.append(1))
    try:
        features = predictor.encode(noise_image(0))
        predictor.predict(features, EXPRESSIONS)
        predictor.predict(features, EXPRESSIONS)
        assert len(calls) == 1
        predictor.predict(noise_image(0), EXPRESSIONS)
        assert len(calls) == 2
    finally:
        hook.remove()


def test_other_expressions_of_a_batch_change_nothing(predictor):
    """Neither which they are nor how long; batches hold three."""
    features = predictor.encode(noise_image(0))

    def logits_of(expressions):
        return {one.expression: one.logits for one in predictor.predict(features, expressions)}

    together, reverse = logits_of(EXPRESSIONS), logits_of(EXPRESSIONS[::-1])
    for expression in EXPRESSIONS:
        alone = logits_of([expression])[expression]
        assert np.allclose(together[expression], alone, atol=1e-5)
        assert np.allclose(reverse[expression], alone, atol=1e-5)
    assert not np.allclose(together[EXPRESSIONS[0]], together[EXPRESSIONS[1]], atol=1e-5)


def test_threads_may_share_a_predictor(predictor):
    """Two threads predict on two images at once; each gets what it would get alone."""
    images = [noise_image(seed) for seed in (1, 2)]
    expected = [as_tuples(predictor.predict(image, EXPRESSIONS)) for image in images]
    assert expected[0] != expected[1]
    start, wrong = threading.Barrier(2), []

    def predict(index):
        start.wait()
        for _ in range(10):
            if as_tuples(predictor.predict(images[index], EXPRESSIONS)) != expected[index]:
                wrong.append(index)

    threads = [threading.Thread(target=predict, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_features_of_another_model_are_refused(predictor, tiny_checkpoint):
    features = load(tiny_checkpoint, "cpu").encode(noise_image(0))
    with pytest.raises(InputError, match=r"made by another predictor, or with other settings; encode the image with"):
        predictor.predict(features, "circle")
    with pytest.raises(InputError, match=r"made by another predictor"):
        predictor.predict([noise_image(0), features], "circle")


# ---------------------------------------------------------------- several images


SIZES = [(50, 70), (20, 90), (64, 64), (90, 30), (1, 1), (50, 70)]


def test_several_images_are_predicted_in_order_as_each_alone(predictor, half, tmp_path):
    images = [noise_image(seed, size) for seed, size in enumerate(SIZES)]
    PILImage.fromarray(images[2]).save(tmp_path / "third.png")
    sources = [*images[:2], tmp_path / "third.png", *images[3:]]
    predictions = predictor.predict(sources, EXPRESSIONS, threshold=half)
    assert [[one.expression for one in some] for some in predictions] == [EXPRESSIONS] * len(SIZES)
    for image, some in zip(images, predictions, strict=True):
        alone = predictor.predict(image, EXPRESSIONS, threshold=half)
        for one, other in zip(some, alone, strict=True):
            assert one.mask.shape == image.shape[:2]
            assert np.array_equal(one.image, image)
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert np.allclose(one.logits, other.logits, atol=5e-4)
    assert len(predictor.predict(tuple(sources), "circle")) == len(SIZES)


def test_one_image_in_a_list_gives_a_list_of_lists():
    predictor, image = make_predictor(), noise_image(0)
    [some] = predictor.predict([image], ["red", "that"])
    assert as_tuples(some) == as_tuples(predictor.predict(image, ["red", "that"]))
    assert predictor.predict([], "red") == []
    assert predictor.predict([image, image], []) == [[], []]


def test_images_and_features_may_be_mixed():
    predictor = make_predictor(batch_size=2)
    images = [noise_image(seed, size) for seed, size in enumerate(SIZES)]
    expected = [as_tuples(predictor.predict(image, ["red", "that"])) for image in images]
    together = predictor.encode_images(images[3:5])
    sources = [images[0], predictor.encode(images[1]), images[2], *together, images[5]]
    assert [as_tuples(some) for some in predictor.predict(sources, ["red", "that"])] == expected
    assert [as_tuples(some) for some in predictor.predict(sources[::-1], ["red", "that"])] == expected[::-1]


def test_a_list_of_expressions_for_each_image():
    predictor = make_predictor()
    images, texts = [noise_image(seed) for seed in range(3)], [["red"], [], ["that", "red", "one"]]
    predictions = predictor.predict(images, texts)
    assert [[one.expression for one in some] for some in predictions] == texts
    for image, some, each in zip(images, predictions, texts, strict=True):
        assert as_tuples(some) == as_tuples(predictor.predict(image, each))
    assert as_tuples(predictor.predict(images, (("red",),) * 3)[1]) == as_tuples(predictor.predict(images[1], "red"))


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([["red"]], "There are 2 images but 1 lists of expressions; give one for each image"),
        ([["red"], ["red"], ["red"]], "There are 2 images but 3 lists"),
        (["red", ["that"]], "expressions holds str; with several images give a list for each"),
        ([7, 8], "expressions holds int; with several images give a list for each"),
        ([["red"], [""]], "Expression 1 of 1 is empty or blank"),
        ([["red"], ["that", None]], "Expression 2 of 2 is NoneType, not text"),
    ],
)
def test_lists_of_expressions_that_do_not_fit(texts, sentence):
    engine = RedEngine()
    with pytest.raises(InputError, match=sentence):
        make_predictor(engine).predict([noise_image(0), noise_image(1)], texts)
    assert engine.encoded == []


@pytest.mark.parametrize("flip", [False, True])
def test_no_more_than_a_few_images_are_encoded_at_a_time(flip):
    engine, images = RedEngine(), [noise_image(seed) for seed in range(2 * IMAGES_AT_ONCE + 1)]
    make_predictor(engine, flip=flip).predict(images, ["red", "that"])
    passes = [IMAGES_AT_ONCE, IMAGES_AT_ONCE, 1]
    assert engine.encoded == ([size for size in passes for _ in range(2)] if flip else passes)
    assert engine.most_alive == IMAGES_AT_ONCE * (2 if flip else 1), "features are freed before the next are made"


def test_expressions_about_images_encoded_together_share_batches():
    engine = RedEngine()
    make_predictor(engine, batch_size=5).predict([noise_image(seed) for seed in range(3)], ["red", "that", "one"])
    assert engine.segmented == [(3, 5), (3, 4)]


def test_warnings_come_once_for_several_images(predictor):
    with pytest.warns(VLTWarning, match="does not know 'slithy'") as caught:
        predictor.predict([noise_image(0), noise_image(1)], ["slithy circle", "slithy circle"])
    assert len(caught) == 1
    assert caught[0].filename == __file__, "the line of the caller is shown"


@pytest.mark.parametrize("flip", [False, True])
def test_a_misspelled_expression_is_read_with_its_correction_and_kept_as_given(flip):
    predictor, image = make_predictor(correct_spelling=True, flip=flip), noise_image(0)
    with pytest.warns(SpellingWarning, match=r"^Read 'shirrt' as 'shirt'; load the model with correct_spelling=False"):
        (corrected,) = predictor.predict(image, "shirrt on the left")
    (plain,) = predictor.predict(image, "shirt on the left")
    (as_written,) = predictor.with_settings(correct_spelling=False).predict(image, "shirrt on the left")
    assert corrected.expression == "shirrt on the left"
    assert np.array_equal(corrected.mask, plain.mask)
    assert not np.array_equal(as_written.mask, plain.mask)


def test_without_warnings_an_expression_is_corrected_all_the_same():
    predictor, image = make_predictor(correct_spelling=True), noise_image(0)
    (corrected,) = predictor.predict(image, "shirrt", warn=False)
    assert np.array_equal(corrected.mask, predictor.predict(image, "shirt")[0].mask)


def test_loaded_predictors_correct_and_others_do_not(tiny_checkpoint):
    assert load(tiny_checkpoint, "cpu").settings.correct_spelling
    assert not load(tiny_checkpoint, "cpu", correct_spelling=False).settings.correct_spelling
    assert not InferenceConfig().correct_spelling, "`vlt test` reads expressions as written"


def test_another_language_is_warned_about():
    with pytest.warns(VLTWarning, match="'roter Hund links' does not look like English, .* say it in English"):
        make_predictor().predict(noise_image(0), "roter Hund links")


# ---------------------------------------------------------------- refined outlines


class Squares:
    """A segmenter that draws a soft square in each box, and around each point."""

    def encode(self, image):
        return image.shape

    def segment(self, encoded, boxes, points):
        around = np.concatenate([points - 150, points + 150], axis=1)
        places = np.arange(256) * 4 + 2
        logits = []
        for x0, y0, x1, y1 in np.concatenate([boxes, around]):
            across = np.minimum(places - x0, x1 - places)[None]
            down = np.minimum(places - y0, y1 - places)[:, None]
            logits.append(np.minimum(across, down).clip(-400, 400) / 40)
        masks = np.stack(logits)[:, None].astype(np.float32)
        return masks, np.full(masks.shape[:2], 0.9, np.float32)


def blob_image(size=(64, 96)):
    """An image with a red blob that fades towards its rim, on blue."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    distance = np.hypot(rows - 30, columns - 40)
    image = np.zeros((*size, 3), np.uint8)
    image[..., 0] = (255 - 9 * distance).clip(0, 255)
    image[..., 2] = 90
    return image


def test_a_refined_mask_differs_and_the_score_is_the_networks():
    refined, plain = (
        make_predictor(refiner=Refiner(Squares())),
        make_predictor(refiner=Refiner(Squares()), refine=False),
    )
    assert (refined.refines, plain.refines, make_predictor().refines) == (True, False, False)
    (one,), (other,) = refined.predict(blob_image(), "red"), plain.predict(blob_image(), "red")
    assert one.mask.any()
    assert not np.array_equal(one.mask, other.mask)
    assert one.score == other.score
    assert plain.encode(blob_image()).outlines is None
    again = plain.with_settings(refine=True)
    assert as_tuples(again.predict(blob_image(), "red")) == as_tuples([one])
    with pytest.raises(InputError, match="or with other settings"):
        refined.predict(make_predictor(refined.engine).encode(blob_image()), "red")


@pytest.mark.parametrize("own", [0.2, 0.5, 0.9])
def test_a_larger_threshold_never_gives_a_larger_mask(own):
    predictor = make_predictor(refiner=Refiner(Squares()), threshold=own)
    features = predictor.encode(blob_image())
    thresholds = [0, 0.001, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99, 0.999, 1]
    masks = [predictor.predict(features, "red", threshold=threshold)[0].mask for threshold in thresholds]
    assert masks[0].all()
    assert not masks[-1].any()
    areas = [int(mask.sum()) for mask in masks]
    assert len(set(areas)) > 4, "the test must see different masks"
    for larger, smaller in pairwise(masks):
        assert not (smaller & ~larger).any()
    (nothing,) = predictor.predict(features, "red", threshold=1)
    assert nothing.score < 1


def test_several_images_are_refined_as_each_alone():
    predictor = make_predictor(refiner=Refiner(Squares()))
    images = [blob_image(), noise_image(0), blob_image((80, 70))]
    together = predictor.predict(images, ["red", "that"])
    assert [as_tuples(some) for some in together] == [
        as_tuples(predictor.predict(image, ["red", "that"])) for image in images
    ]


# ---------------------------------------------------------------- settings


def test_other_settings_of_the_same_network():
    predictor = make_predictor()
    other = predictor.with_settings(threshold=0.9, batch_size=7)
    assert (other.settings.threshold, other.settings.batch_size, other.engine) == (0.9, 7, predictor.engine)
    assert predictor.settings.threshold == 0.5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"treshold": 0.3}, r"treshold is 0.3 \(.*\); known: threshold, presence"),
        ({"threshold": 1.5}, r"threshold is 1.5"),
        ({"batch_size": 0}, r"batch_size is 0"),
        ({"image_size": (64, 64)}, r"inference.image_size cannot be changed after loading"),
    ],
)
def test_settings_that_cannot_be(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_predictor().with_settings(**changes)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("blank", ["", " \t\n"])
def test_blank_expressions_are_refused_before_anything_is_computed(predictor, blank):
    with pytest.raises(InputError, match=r"Expression 1 of 2 is empty or blank; write what to find"):
        predictor.predict("no-such-image.jpg", [blank, "circle"])


@pytest.mark.parametrize("invisible", ["\u200b", "\u2800", "\u3164", " \u200b\u2060 ", "\u00ad", "\ufe0f"])
def test_invisible_expressions_are_refused_before_anything_is_computed(predictor, invisible):
    with pytest.raises(InputError, match=r"Expression 2 of 2 has only invisible characters; write what to find"):
        predictor.predict("no-such-image.jpg", ["circle", invisible])


@pytest.mark.parametrize(
    ("expressions", "sentence"),
    [
        (["circle", 7], "Expression 2 of 2 is int, not text"),
        ([b"circle"], "Expression 1 of 1 is bytes, not text"),
        ([["circle"]], "Expression 1 of 1 is list, not text"),
        (None, "Expression 1 of 1 is NoneType, not text"),
        (b"circle", "expressions holds bytes"),
        (7, "Expression 1 of 1 is int, not text"),
        ({"circle": 1}, "Expression 1 of 1 is dict, not text"),
        ("circle\udcff", "not valid text"),
    ],
)
def test_expressions_that_are_no_text(predictor, expressions, sentence):
    with pytest.raises(InputError, match=sentence):
        predictor.predict(noise_image(0), expressions)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("inf")])
def test_a_threshold_that_is_no_probability(predictor, threshold):
    with pytest.raises(InputError, match=r"The threshold is .*, but a probability lies between 0 and 1"):
        predictor.predict(noise_image(0), "circle", threshold=threshold)


@pytest.mark.parametrize("threshold", ["0.3", float("nan"), True, [0.3], 0.3j])
def test_a_threshold_that_is_no_number(predictor, threshold):
    with pytest.raises(InputError, match=r"The threshold is .*, not a number from 0 to 1"):
        predictor.predict(noise_image(0), "circle", threshold=threshold)


def test_a_threshold_of_numpy(predictor):
    for threshold in (np.float32(0.25), np.float64(0.25), np.array(0.25)[()]):
        (one,) = predictor.predict(noise_image(0), "circle", threshold=threshold)
        assert type(one.threshold) is float
        assert one.threshold == 0.25


def test_images_that_are_none(predictor, tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    for source, sentence in {
        tmp_path: "is a directory",
        tmp_path / "none.jpg": "no image",
        tmp_path / "text.jpg": "not an image",
        b"": "is empty",
        7: "not int",
        None: "not NoneType",
    }.items():
        for images in (source, [noise_image(0), source]):
            with pytest.raises(InputError, match=sentence):
                predictor.predict(images, "circle")


@pytest.mark.parametrize("several", [False, True])
def test_output_that_is_not_finite_is_an_error(several):
    predictor, image = make_predictor(BrokenEngine(letters=4)), noise_image(0)
    sentence = r"The network's output for 'that one' is not finite \(NaN or infinite\).*use another checkpoint"
    with pytest.raises(CheckpointError, match=sentence):
        predictor.predict([image, image] if several else image, ["red", "that one", "one"])
    assert len(predictor.predict(image, ["red", "one"])) == 2


def test_nan_in_the_weights_is_an_error(tiny_checkpoint):
    predictor = load(tiny_checkpoint, "cpu")
    with torch.no_grad():
        next(predictor.engine.model.mask_decoder.parameters())[:] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        predictor.predict(noise_image(0), "circle")


def test_500_words_are_cut_with_a_warning(predictor):
    with pytest.warns(VLTWarning, match=r"has 500 words and was cut at model.max_words, 8 .* last 492 were not read"):
        (long,) = predictor.predict(noise_image(0), "circle " * 500)
    (short,) = predictor.predict(noise_image(0), "circle " * 8)
    assert as_tuples([long])[0][1:] == as_tuples([short])[0][1:]


def test_unknown_words_and_scripts_are_named(predictor):
    with pytest.warns(VLTWarning, match=r"does not know 'зебра', 'slithy'"):
        (one,) = predictor.predict(noise_image(0), "зебра slithy circle")
    assert one.mask.shape == (50, 70)
    predictor.predict(noise_image(0), "зебра slithy circle", warn=False)


def test_an_image_of_one_pixel(predictor):
    (one,) = predictor.predict(noise_image(0, (1, 1)), "circle", threshold=0)
    assert one.mask.shape == (1, 1)
    assert one.box == (0, 0, 1, 1)


WIDE = """
import resource, sys
import numpy as np
import torch
from PIL import Image
from vlt.infer import load

torch.set_num_threads(1)
predictor = load(sys.argv[1], "cpu")
predictor.predict(np.zeros((64, 64, 3), np.uint8), "circle")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predictions = predictor.predict(sys.argv[2], ["circle", "square"], threshold=0)
assert all(one.mask.shape == (1500, 20_000) and one.mask.all() for one in predictions)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (1500 * 20_000))
"""


def test_an_image_20_000_pixels_wide_in_bounded_memory(tiny_checkpoint, tmp_path):
    """The image, its decoding and the masks take bytes per pixel; nothing in float is ever of the image's size."""
    path = tmp_path / "wide.png"
    PILImage.new("RGB", (20_000, 1500), (200, 30, 40)).save(path)
    command = [sys.executable, "-c", WIDE, str(tiny_checkpoint), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10, "bytes per pixel of the image"


# ---------------------------------------------------------------- loading


def test_the_package_offers_it(tiny_checkpoint):
    predictor = vlt.load(str(tiny_checkpoint), device="cpu")
    assert isinstance(predictor, vlt.Predictor)
    assert isinstance(predictor.predict(noise_image(0), "circle")[0], vlt.Prediction)
    assert isinstance(predictor.encode(noise_image(0)), vlt.ImageFeatures)
    assert not predictor.engine.model.training


def test_predicting_does_not_wait_for_what_only_training_needs():
    """Of what we import ourselves; `transformers` brings some of it along with its networks."""
    heavy = ["accelerate", "h5py", "scipy", "tensorboard", "torchmetrics", "vlt.train", "vlt.evaluate", "vlt.legacy"]
    heavy += ["torch", "transformers", "vlt.synth", "vlt.model"]
    code = f"import json, sys, vlt.infer; print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == []


def test_a_predictor_can_be_pickled(predictor):
    again = pickle.loads(pickle.dumps(predictor))
    assert as_tuples(again.predict(noise_image(0), EXPRESSIONS)) == as_tuples(
        predictor.predict(noise_image(0), EXPRESSIONS)
    )
    assert again.settings == predictor.settings


def test_types_of_public_names_can_be_read():
    """By tools that build forms and documentation from them."""
    for public in (vlt.Prediction, vlt.ImageFeatures, vlt.Predictor.predict, vlt.Predictor.encode, vlt.load):
        assert typing.get_type_hints(public)


def test_what_the_package_offers_exists():
    assert {"load", "Predictor", "build_model", "read_config"} <= set(dir(vlt))
    for name in dir(vlt):
        getattr(vlt, name)
    with pytest.raises(AttributeError, match="'lode'"):
        _ = vlt.lode


def test_what_cannot_be_loaded(tiny_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load(tmp_path / "none")
    for number in (3, b"folder"):
        with pytest.raises(CheckpointError, match="A checkpoint is named by its path, not by"):
            load(number)
    with pytest.raises(ConfigError, match="'toaster' cannot be used here"):
        load(tiny_checkpoint, device="toaster")
