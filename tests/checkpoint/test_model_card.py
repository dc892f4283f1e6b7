"""Model cards state what a checkpoint states, and nothing else."""

import json
import shutil

import pytest
import yaml

from vlt.checkpoint.model_card import licence_identifier, model_card
from vlt.checkpoint.opened import open_checkpoint
from vlt.errors import CheckpointError
from vlt.hub import parse_hub_name

REPORT = {
    "scores": {"miou": 0.6543, "oiou": 0.7, "precision": {"0.5": 0.72}, "count": 1641},
    "presence": {"n_acc": 0.25, "t_acc": None, "absent": 8},
    "protocol": {
        "name": "vlt",
        "threshold": 0.45,
        "comparison": ">",
        "empty_iou": 1.0,
        "levels": [0.5],
        "size": "the image's own",
    },
    "provenance": {"dataset": "photos", "split": "val_b", "refined": True, "flip": False},
}


@pytest.fixture
def card(tiny_checkpoint, tmp_path):
    """A function that makes the card of the tiny checkpoint with some values in its meta.json."""

    def make(name=None, **meta):
        shutil.copytree(tiny_checkpoint, tmp_path / "a", dirs_exist_ok=True)
        path = tmp_path / "a" / "meta.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | meta))
        return model_card(open_checkpoint(tmp_path / "a"), name and parse_hub_name(name))

    return make


def head(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_head_is_what_hubs_index(card):
    assert head(card()) == {
        "license": "unknown",
        "library_name": "vlt",
        "pipeline_tag": "image-segmentation",
        "language": "en",
        "tags": ["referring-segmentation", "referring-expression-segmentation", "vlt"],
    }
    assert head(card(licences=["a: MIT", "b: CC BY 4.0"]))["license"] == "other"
    assert head(card(licences=["a: MIT", "these weights: CC BY 4.0"]))["license"] == "cc-by-4.0"


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        ([], "unknown"),
        (["part: Apache-2.0", "data: apache-2.0"], "apache-2.0"),
        (["part: Apache-2.0, from a package under MIT"], "other"),
        (["these weights: my own"], "other"),
        (["MIT"], "mit"),
    ],
)
def test_the_licence_is_one_that_is_stated(stated, identifier):
    assert licence_identifier(stated) == identifier


def test_scores_stand_with_their_protocol(card):
    old = {"scores": REPORT["scores"], "provenance": {"dataset": "photos", "split": "val", "half": "a"}}
    text = card(reports=[REPORT, old])
    assert "| photos val_b | 1,641 | 65.4 | 70.0 | 72.0 | 25.0 |" in text
    assert "| photos val_a | 1,641 | 65.4 | 70.0 | 72.0 | - |" in text
    assert "photos val_b: Protocol vlt: a pixel belongs to the mask where its probability is above 0.45, at" in text
    assert "Pr@t counts IoU above t; two empty masks have IoU 1; without the flipped image, outlines refined." in text
    assert "photos val_a: Protocol not stated; flip not stated, refinement not stated." in text
    assert "The checkpoint keeps no report of `vlt test`" in card(reports=[])


def test_scores_of_videos_stand_beside_those_of_single_frames(card):
    video = {"region": 0.5, "contour": 0.6, "mean": 0.55, "expressions": 30}
    text = card(reports=[REPORT, {**REPORT, "video": video}])
    assert "| Pr@0.5 | N-acc | J&F |" in text
    assert "| photos val_b | 1,641 | 65.4 | 70.0 | 72.0 | 25.0 | - |" in text
    assert "| photos val_b | 1,641 | 65.4 | 70.0 | 72.0 | 25.0 | 55.0 |" in text
    assert "J&F is the mean over the frames of each expression first" in text
    assert "J&F" not in card(reports=[REPORT])


def test_use_data_licences_and_limits(card):
    text = card("me/zebras@v1", licences=["data: MIT"], packed=True)
    assert text.count("\n# zebras\n") == 1
    assert 'vlt.load("hf://me/zebras@v1")' in text
    assert 'pip install "vlt[train]"' in text  # it has no graphs
    assert "- trained on: drawn shapes, split train" in text
    assert "- COCO labels: none seen" in text
    assert "train2017" not in text
    assert "\n- data: MIT\n" in text
    assert "more than 8 words or word pieces are cut" in text
    assert 'It has no output for "nothing matches"' in text
    assert "rounded to 8 bits" in text
    assert "rounded to 8 bits" not in card(packed=False)
    assert "states none; ask its author" in card(licences=[])


def test_the_card_of_the_package_names_contact_with_coco():
    text = model_card(open_checkpoint())
    assert head(text)["license"] == "apache-2.0"
    assert "onnx" in head(text)["tags"]
    assert "Parts of the model were trained on labels of COCO's train2017" in text
    assert "no output for" not in text


def test_a_report_that_cannot_be_read_is_refused(card):
    with pytest.raises(
        CheckpointError, match=r"keeps a report that cannot be read \(scores.miou: .*pack the checkpoint"
    ):
        card(reports=[{**REPORT, "scores": {**REPORT["scores"], "miou": 3.0}}])
