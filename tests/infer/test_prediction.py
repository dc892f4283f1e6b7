"""Values of a prediction: JSON, probabilities, pictures, and detections for other libraries."""

import io
import json
import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PILImage
from predictor_fixture import as_tuples, make_predictor, noise_image

from vlt.data.masks import decode_rle
from vlt.errors import InputError
from vlt.infer.instance import Instance
from vlt.infer.prediction import NOTEBOOK_SIDE


@pytest.fixture
def prediction():
    (one,) = make_predictor().predict(noise_image(0), "red")
    assert 0 < one.mask.sum() < one.mask.size
    return one


@pytest.fixture
def empty():
    (one,) = make_predictor().predict(noise_image(0), "red", threshold=1)
    return one


def test_a_prediction_as_json(prediction, empty):
    values = json.loads(json.dumps(prediction.to_dict()))
    assert list(values) == ["expression", "score", "box", "rle", "size"]
    assert values["expression"] == "red"
    assert values["score"] == pytest.approx(prediction.score, abs=1e-4)
    assert values["box"] == list(prediction.box)
    assert values["size"] == [50, 70]
    assert np.array_equal(decode_rle(values["rle"]), prediction.mask)
    assert json.loads(json.dumps(empty.to_dict()))["box"] is None


def test_presence_as_json(prediction):
    """Only where the network has one; both values are plain JSON."""
    values = json.loads(json.dumps(replace(prediction, presence=0.123456, matches=False).to_dict()))
    assert list(values) == ["expression", "score", "presence", "matches", "box", "rle", "size"]
    assert (values["presence"], values["matches"]) == (0.1235, False)
    assert {**prediction.to_dict(), "presence": 0.1235, "matches": False} == {**values, "box": prediction.box}
    assert not {"presence", "matches"} & prediction.to_dict().keys()


def test_probabilities_agree_with_the_mask(prediction):
    probability = prediction.probability()
    assert (probability.shape, probability.dtype) == ((50, 70), np.float32)
    assert probability.min() >= 0
    assert probability.max() <= 1
    assert np.array_equal(probability > prediction.threshold, prediction.mask)
    assert prediction.score == pytest.approx(probability[prediction.mask].mean(), abs=1e-6)


def test_the_image_stays_as_it_is(prediction):
    assert np.array_equal(prediction.image, noise_image(0))
    prediction.overlay()
    prediction.cutout()
    assert np.array_equal(prediction.image, noise_image(0))


def test_an_overlay(prediction, empty):
    drawn = prediction.overlay(colour=(0, 255, 0), alpha=0.5)
    assert (drawn.shape, drawn.dtype) == ((50, 70, 3), np.uint8)
    assert np.array_equal(drawn[~prediction.mask], prediction.image[~prediction.mask])
    assert not np.array_equal(drawn[prediction.mask], prediction.image[prediction.mask])
    assert np.array_equal(empty.overlay(), empty.image)


def test_a_cutout_is_transparent_outside_the_mask(prediction, empty):
    cut = prediction.cutout()
    assert (cut.shape, cut.dtype) == ((50, 70, 4), np.uint8)
    assert np.array_equal(cut[..., 3], np.where(prediction.mask, 255, 0))
    assert np.array_equal(cut[..., :3], prediction.image)
    assert not empty.cutout()[..., 3].any()


@pytest.mark.parametrize("size", [(50, 70), (1, 1), (30, 2000)])
def test_a_notebook_shows_the_overlay_as_png(size):
    (one,) = make_predictor().predict(noise_image(0, size), "red")
    with PILImage.open(io.BytesIO(one._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert max(picture.size) == min(max(size), NOTEBOOK_SIDE)


def test_text_of_a_prediction_is_short(prediction):
    assert "red" in repr(prediction)
    assert len(repr(prediction)) < 200, "no arrays in it"


def test_a_prediction_can_be_pickled(prediction):
    again = pickle.loads(pickle.dumps(prediction))
    assert as_tuples([again]) == as_tuples([prediction])
    assert np.array_equal(again.probability(), prediction.probability())


@pytest.mark.filterwarnings("ignore:OpenCV")
class StandIn:
    """Takes what `supervision.Detections` takes, where that package is not installed."""

    def __init__(self, xyxy=(), mask=None, confidence=None, class_id=None, data=None):
        self.xyxy, self.mask, self.confidence, self.class_id, self.data = xyxy, mask, confidence, class_id, data

    @classmethod
    def empty(cls):
        return cls()

    def __len__(self):
        return len(self.xyxy)


@pytest.mark.parametrize("real", [False, True])
def test_detections_of_supervision(prediction, empty, monkeypatch, real):
    if real:
        pytest.importorskip("supervision")
    else:
        monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=StandIn))
    found = prediction.to_supervision()
    assert len(found) == len(found.class_id) == 1
    assert found.xyxy.tolist() == [list(prediction.box)]
    assert np.array_equal(found.mask[0], prediction.mask)
    assert found.confidence.tolist() == pytest.approx([prediction.score])
    assert found.data["class_name"].tolist() == ["red"]
    assert len(empty.to_supervision()) == 0
    parts = tuple(Instance(prediction.mask & (np.arange(70) % 2 == odd), 0.2 + odd, prediction.image) for odd in (0, 1))
    each = replace(prediction, instances=parts).to_supervision()
    assert len(each) == 2
    assert np.array_equal(each.mask, np.stack([part.mask for part in parts]))
    assert each.confidence.tolist() == pytest.approx([0.2, 1.2])
    assert each.data["class_name"].tolist() == ["red", "red"]
    assert len(replace(prediction, instances=()).to_supervision()) == 0


def test_without_supervision_a_sentence_says_how_to_install_it(prediction, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match=r"^to_supervision\(\) needs the package supervision: `pip install super"):
        prediction.to_supervision()
