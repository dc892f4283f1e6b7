"""Masks and scores of the shipped model on the example images, compared with a recording.

The recording, `golden_masks.json`, was made before image resizing and text reading moved from torch to numpy. It says
what a change of code may not change. When the shipped weights change, or masks change on purpose, record again and
say in docs/log.md why: `python tests/promises/test_golden_masks.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import vlt
from vlt.data.masks import decode_rle
from vlt.infer.loading import EngineName

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER.parents[1] / "examples"
RECORDING = FOLDER / "golden_masks.json"
EXPRESSIONS = {
    "astronaut.jpg": ["the woman", "orange suit", "flag on the left", "shuttle", "helmet", "person on the right"],
    "coffee.jpg": ["cup", "the spoon", "saucer", "white cup on the left", "brown table", "a dog"],
    "shapes.png": [
        "black square", "orange star", "star on the left", "bottom right star", "circle", "the largest object",
        "leftmost circle", "triangle",
    ],
}  # fmt: skip
KINDS = ("unrefined", "refined")


def predict_all(engine: EngineName = "onnx") -> dict:
    """Predict every expression: {image: {expression: {"score": ..., "unrefined": RLE, "refined": RLE}}}."""
    refined = vlt.load(device="cpu", engine=engine)
    predictors = {"unrefined": refined.with_settings(refine=False), "refined": refined}
    found = {name: {expression: {} for expression in expressions} for name, expressions in EXPRESSIONS.items()}
    for name, expressions in EXPRESSIONS.items():
        features = refined.encode(EXAMPLES / name)  # of the network and of the refiner
        for kind, predictor in predictors.items():
            for prediction in predictor.predict(features, expressions):
                found[name][prediction.expression] |= {kind: prediction.rle, "score": prediction.score}
    return found


def record() -> None:
    """Write the recording; see the top of this file."""
    RECORDING.write_text(json.dumps(predict_all(), indent=1) + "\n", encoding="utf-8")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["onnx", "torch"])
def overlaps(request) -> dict[str, list[float]]:
    """The IoU of each mask with its recording, by kind; and the difference of each score."""
    recorded = json.loads(RECORDING.read_text(encoding="utf-8"))
    found = predict_all(request.param)
    result: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "score")}
    for name, expressions in EXPRESSIONS.items():
        for expression in expressions:
            old, new = recorded[name][expression], found[name][expression]
            result["score"].append(abs(old["score"] - new["score"]))
            for kind in KINDS:
                before, after = (decode_rle(each[kind]) for each in (old, new))
                union = np.count_nonzero(before | after)
                result[kind].append(np.count_nonzero(before & after) / union if union else 1.0)
    return result


def test_masks_are_those_of_the_recording(overlaps):
    assert np.mean(overlaps["unrefined"] + overlaps["refined"]) >= 0.99
    assert min(overlaps["unrefined"]) >= 0.97


def test_scores_are_those_of_the_recording(overlaps):
    assert max(overlaps["score"]) <= 0.01


if __name__ == "__main__":
    record()
