"""Predictions: what they say, that companions and threads change nothing, and what is refused or warned of."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

import vlt
from vlt.checkpoint import load_checkpoint
from vlt.data.masks import decode_rle
from vlt.errors import CheckpointError, ConfigError, InputError, VLTWarning
from vlt.predict import Predictor, load

EXPRESSIONS = ["the red circle", "green triangle", "big blue square left of the red circle", "circle"]


def photo_of(seed, size=(50, 70)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor(tiny_checkpoint):
    return load(tiny_checkpoint, device="cpu")


def probability_of(predictor, photo, expression):
    """What the network says at the photo's size, without the predictor's own way there."""
    seen = predictor.encode(photo)
    words = predictor.text(expression).values[None]
    with torch.inference_mode():
        answer = predictor.model.answer(seen.features, words, torch.ones(words.shape[:2], dtype=torch.bool))
    return seen.letterbox.probability(answer.logits[0]).numpy()


@pytest.fixture
def half(predictor):
    """A threshold that about half of the photo's probabilities are above, so that masks have edges."""
    return float(np.median(probability_of(predictor, photo_of(0), "circle")))


def as_tuples(predictions):
    return [(one.expression, one.score, one.box, one.mask.tobytes()) for one in predictions]


def test_a_prediction(predictor, half):
    photo = photo_of(0)
    answers = predictor.predict(photo, EXPRESSIONS, threshold=half)
    assert [one.expression for one in answers] == EXPRESSIONS
    for one in answers:
        assert one.mask.shape == (50, 70)
        assert one.mask.dtype == bool
        assert np.array_equal(decode_rle(one.rle), one.mask)
        assert one.rle["size"] == [50, 70]


@pytest.mark.filterwarnings("ignore:The model does not know 'right'")
def test_with_the_mirrored_photo_asked_too_no_side_is_preferred(tiny_checkpoint, predictor, half):
    config = predictor.config
    both = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"mirror": True})})
    fair, photo = Predictor(predictor.model, predictor.text, both), photo_of(0, size=(64, 96))
    said, mirrored = ["circle left of the square", "red circle"], ["circle right of the square", "red circle"]
    here = [one.mask for one in fair.predict(photo, said, threshold=half)]
    there = [one.mask[:, ::-1] for one in fair.predict(np.ascontiguousarray(photo[:, ::-1]), mirrored, threshold=half)]
    alone = [one.mask for one in predictor.predict(photo, said, threshold=half)]
    assert all(map(np.array_equal, here, there))
    assert not any(map(np.array_equal, here, alone))


def test_score_and_box_by_hand(predictor, half):
    (one,) = predictor.predict(photo_of(0), "circle", threshold=half)
    probability = probability_of(predictor, photo_of(0), "circle")
    inside = probability > half
    assert 0 < inside.sum() < inside.size
    assert np.array_equal(one.mask, inside)
    assert one.score == pytest.approx(probability[inside].mean(), abs=1e-6)
    rows, columns = np.nonzero(inside)
    assert one.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_an_empty_and_a_full_mask(predictor):
    (nothing,) = predictor.predict(photo_of(0), "circle", threshold=1)
    assert (nothing.mask.any(), nothing.box) == (False, None)
    assert nothing.score == pytest.approx(probability_of(predictor, photo_of(0), "circle").max(), abs=1e-6)
    (everything,) = predictor.predict(photo_of(0), "circle", threshold=0)
    assert everything.mask.all()
    assert 0 < everything.score < 1
    assert everything.box == (0, 0, 70, 50)


def test_a_score_lies_above_the_threshold_only_where_something_was_found(predictor):
    """Also where the grey around the photo, which is no part of it, is where the network is surest."""
    photo = photo_of(0, (20, 70))
    highest = float(probability_of(predictor, photo, "circle").max())
    for threshold in [*np.linspace(0, 1, 7).tolist(), highest, highest - 1e-6]:
        (one,) = predictor.predict(photo, "circle", threshold=threshold)
        assert (one.score > threshold) == one.mask.any()


def test_the_threshold_is_the_checkpoints(tiny_checkpoint):
    loaded = load_checkpoint(tiny_checkpoint)
    section = loaded.config.evaluate.model_copy(update={"threshold": 1.0})
    strict = Predictor(loaded.model, loaded.text, loaded.config.model_copy(update={"evaluate": section}))
    assert not strict.predict(photo_of(0), "circle")[0].mask.any()
    assert strict.predict(photo_of(0), "circle", threshold=0)[0].mask.all()


def test_one_expression_or_several_or_none(predictor):
    photo = photo_of(0)
    assert as_tuples(predictor.predict(photo, "circle")) == as_tuples(predictor.predict(photo, ["circle"]))
    assert predictor.predict(photo, []) == []


def test_any_source_of_a_photo(predictor, tmp_path):
    photo = photo_of(0)
    path = tmp_path / "photo.png"
    PILImage.fromarray(photo).save(path)
    expected = as_tuples(predictor.predict(photo, EXPRESSIONS))
    for source in (path, str(path), PILImage.open(path), predictor.encode(path)):
        assert as_tuples(predictor.predict(source, EXPRESSIONS)) == expected


def test_a_photo_is_answered_upright(predictor, tmp_path):
    """EXIF says: turn by 90 degrees. Masks are of the photo as people see it."""
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(photo_of(0)).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(photo_of(0), -1)
    (one,) = predictor.predict(tmp_path / "turned.png", "circle")
    assert one.mask.shape == (70, 50)
    assert as_tuples([one]) == as_tuples(predictor.predict(np.ascontiguousarray(upright), "circle"))


def test_encoding_computes_the_backbone_once(predictor):
    calls = []
    hook = predictor.model.backbone.register_forward_hook(lambda *_: calls.append(1))
    try:
        features = predictor.encode(photo_of(0))
        predictor.predict(features, EXPRESSIONS)
        predictor.predict(features, EXPRESSIONS)
        assert len(calls) == 1
        predictor.predict(photo_of(0), EXPRESSIONS)
        assert len(calls) == 2
    finally:
        hook.remove()


def logits_of(predictor, features, expressions):
    """What the network said, by expression."""
    said = []
    hook = predictor.model.mask_decoder.register_forward_hook(lambda *args: said.extend(args[-1]))
    try:
        predictor.predict(features, expressions)
    finally:
        hook.remove()
    return dict(zip(expressions, said, strict=True))


def test_companions_change_nothing(predictor):
    """Neither who shares the batch nor how long the others are; batches hold three."""
    features = predictor.encode(photo_of(0))
    together = logits_of(predictor, features, EXPRESSIONS)
    reverse = logits_of(predictor, features, EXPRESSIONS[::-1])
    for expression in EXPRESSIONS:
        alone = logits_of(predictor, features, [expression])[expression]
        assert torch.allclose(together[expression], alone, atol=1e-5)
        assert torch.allclose(reverse[expression], alone, atol=1e-5)
    assert not torch.allclose(together[EXPRESSIONS[0]], together[EXPRESSIONS[1]], atol=1e-5)


def test_threads_may_share_a_predictor(predictor):
    """Two threads ask about two photos at once; each gets what it would get alone."""
    photos = [photo_of(seed) for seed in (1, 2)]
    expected = [as_tuples(predictor.predict(photo, EXPRESSIONS)) for photo in photos]
    assert expected[0] != expected[1]
    start, wrong = threading.Barrier(2), []

    def ask(index):
        start.wait()
        for _ in range(10):
            if as_tuples(predictor.predict(photos[index], EXPRESSIONS)) != expected[index]:
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_features_of_another_model_are_refused(predictor, tiny_checkpoint):
    features = load(tiny_checkpoint, "cpu").encode(photo_of(0))
    with pytest.raises(InputError, match=r"made by another predictor's model; encode the photo with this one"):
        predictor.predict(features, "circle")


# ---------------------------------------------------------------- input


@pytest.mark.parametrize(("blank", "which"), [("", "1 of 2"), (" \t\n", "1 of 2")])
def test_blank_expressions_are_refused_before_anything_is_computed(predictor, blank, which):
    with pytest.raises(InputError, match=rf"Expression {which} is empty; say what to find in the photo"):
        predictor.predict("no-such-photo.jpg", [blank, "circle"])


def test_what_is_no_text_is_refused(predictor):
    with pytest.raises(InputError, match=r"Expression 2 of 2 is int, not text"):
        predictor.predict(photo_of(0), ["circle", 7])


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_probability(predictor, threshold):
    with pytest.raises(InputError, match=r"The threshold is .*, but a probability lies between 0 and 1"):
        predictor.predict(photo_of(0), "circle", threshold=threshold)


def test_photos_that_are_none(predictor, tmp_path):
    (tmp_path / "text.jpg").write_text("not a photo")
    for source, sentence in {
        tmp_path: "is a directory",
        tmp_path / "none.jpg": "no photo",
        tmp_path / "text.jpg": "not a photo",
    }.items():
        with pytest.raises(InputError, match=sentence):
            predictor.predict(source, "circle")


def test_500_words_are_cut_with_a_warning(predictor):
    with pytest.warns(VLTWarning, match=r"has 500 words and was cut at model.max_words, 8 .* last 492 were not read"):
        (long,) = predictor.predict(photo_of(0), "circle " * 500)
    (short,) = predictor.predict(photo_of(0), "circle " * 8)
    assert as_tuples([long])[0][1:] == as_tuples([short])[0][1:]


def test_unknown_words_and_scripts_are_named(predictor):
    with pytest.warns(VLTWarning, match=r"does not know 'зебра', 'slithy'"):
        (one,) = predictor.predict(photo_of(0), "зебра slithy circle")
    assert one.mask.shape == (50, 70)


def test_a_photo_of_one_pixel(predictor):
    (one,) = predictor.predict(photo_of(0, (1, 1)), "circle", threshold=0)
    assert one.mask.shape == (1, 1)
    assert one.box == (0, 0, 1, 1)


WIDE = """
import resource, sys
import numpy as np
import torch
from PIL import Image
from vlt.predict import load

torch.set_num_threads(1)
predictor = load(sys.argv[1], "cpu")
predictor.predict(np.zeros((64, 64, 3), np.uint8), "circle")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predictions = predictor.predict(sys.argv[2], ["circle", "square"], threshold=0)
assert all(one.mask.shape == (1500, 20_000) and one.mask.all() for one in predictions)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (1500 * 20_000))
"""


def test_a_photo_20_000_pixels_wide_in_bounded_memory(tiny_checkpoint, tmp_path):
    """The photo, its decoding and the masks take bytes per pixel; nothing in float is ever of the photo's size."""
    path = tmp_path / "wide.png"
    PILImage.new("RGB", (20_000, 1500), (200, 30, 40)).save(path)
    command = [sys.executable, "-c", WIDE, str(tiny_checkpoint), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10, "bytes per pixel of the photo"


# ---------------------------------------------------------------- loading


def test_the_package_offers_it(tiny_checkpoint):
    predictor = vlt.load(str(tiny_checkpoint), device="cpu")
    assert isinstance(predictor, vlt.Predictor)
    assert isinstance(predictor.predict(photo_of(0), "circle")[0], vlt.Prediction)
    assert isinstance(predictor.encode(photo_of(0)), vlt.ImageFeatures)
    assert not predictor.model.training


def test_answering_does_not_wait_for_what_only_training_needs():
    """Of what we import ourselves; `transformers` brings some of it along with its networks."""
    heavy = "{'accelerate', 'h5py', 'scipy', 'tensorboard', 'torchmetrics', 'vlt.train', 'vlt.evaluate', 'vlt.legacy'}"
    code = f"import sys, vlt.predict; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "set()\n"


def test_what_the_package_offers_exists():
    assert {"load", "Predictor", "build_model", "read_config"} <= set(dir(vlt))
    for name in dir(vlt):
        getattr(vlt, name)
    with pytest.raises(AttributeError, match="'lode'"):
        _ = vlt.lode


def test_what_cannot_be_loaded(tiny_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load(tmp_path / "none")
    with pytest.raises(ConfigError, match="'toaster' cannot be used here"):
        load(tiny_checkpoint, device="toaster")
