"""Training on targets that are known by their boxes alone: the choice among candidates, nothing that needs masks."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vlt.ablate.run import train_and_evaluate
from vlt.ablate.study import Planned
from vlt.checkpoint import load_checkpoint
from vlt.data.masks import fill_box
from vlt.data.prepared import write_prepared
from vlt.data.referrals import fingerprint
from vlt.data.samples import TrainSamples
from vlt.errors import DataError
from vlt.train import train
from vlt.train.data import load_data
from vlt.types import Expression, Referral

CANDIDATES = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}
SIZE = (48, 64)
BOX = (4.0, 8.0, 30.0, 40.0)


@pytest.fixture
def boxed(small, tmp_path):
    """Makes the configuration of a run on a set with splits of boxes (train, val) and of masks (masked, mixed)."""
    images = tmp_path / "images"
    images.mkdir()
    splits = {"train": [], "val": []}
    for number in range(12):
        path = images / f"{number}.png"
        Image.new("RGB", SIZE[::-1], (20 * number, 90, 0)).save(path)
        one = Referral(number, path, (BOX,), (Expression(number, "left dog"),), -1)
        splits["train" if number < 8 else "val"].append(one)
    masked = [replace(each, ref_id=each.ref_id + 100, targets=(fill_box(BOX, SIZE),)) for each in splits["val"]]
    splits |= {"masked": masked, "mixed": [splits["val"][0], masked[1]]}
    write_prepared(tmp_path, "boxes", splits, generate_mask=False, images=images)

    def make(*, only="candidates", select_by="box", val_split="val"):
        data = {"name": "refer", "root": str(tmp_path), "dataset": "boxes", "images": str(images)}
        return small(
            tmp_path / "run",
            model={"candidates": CANDIDATES},
            loss={"candidate": 1.0},
            data={**data, "val_split": val_split},
            train={"epochs": 2, "only": only},
            evaluate={"select_by": select_by},
        )

    return make


def test_the_choice_among_candidates_is_trained_and_selected_by_boxes(boxed, capsys):
    config = boxed()
    train(config)
    lines = [json.loads(line) for line in (config.output_dir / "history.jsonl").read_text().splitlines()]
    assert all({"box", "accuracy", "macc", "count"} <= line.keys() and "miou" not in line for line in lines)
    meta = load_checkpoint(config.output_dir).meta
    assert (meta["metric"], meta["score"]) == ("box", max(line["box"] for line in lines))
    output = capsys.readouterr()
    assert "val box accuracy " in output.out + output.err


def test_a_split_with_masks_can_select_by_boxes_too(boxed):
    config = boxed(val_split="masked")
    train(config)
    [first, _] = [json.loads(line) for line in (config.output_dir / "history.jsonl").read_text().splitlines()]
    assert {"miou", "box"} <= first.keys()


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        (
            {"only": None},
            r"^8 of the 8 training referrals have targets that are known by their boxes alone, but",
        ),
        (
            {"only": "masks"},
            r"set train.only to candidates, for a network with model.candidates, or take data",
        ),
        (
            {"select_by": "miou"},
            r"^The targets of the split 'val' are known by their boxes alone, which have no miou",
        ),
        (
            {"val_split": "mixed"},
            r"^Of the 2 referrals with a target 1 is known by boxes alone and the others",
        ),
    ],
)
def test_what_needs_masks_is_refused_before_the_run(boxed, choices, sentence):
    config = boxed(**choices)
    with pytest.raises(DataError, match=sentence):
        train(config)
    assert not (config.output_dir / "checkpoints").exists()


def test_a_study_is_refused_before_its_first_run(boxed):
    config = boxed()
    config.output_dir.mkdir()
    with pytest.raises(DataError, match=r"^A study compares mIoU, but targets of the split 'val' are known by"):
        train_and_evaluate(Planned("base", 0, config.output_dir, config))
    assert list(config.output_dir.iterdir()) == []


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_box_of_a_sample_is_that_of_the_filled_mask(boxed, flip):
    data = load_data(boxed())
    own = list(data.train)[:3]
    filled = [replace(each, targets=(fill_box(BOX, SIZE),)) for each in own]
    options = {"epoch": 0, "seed": 0, "flip": flip, "masks": False}
    samples, others = (TrainSamples(each, data.text, (64, 64), True, **options) for each in (own, filled))
    for number in range(3):
        one, other = samples[number], others[number]
        assert one.target is None
        np.testing.assert_array_equal(one.target_boxes, other.target_boxes)
        assert one.expression.text == ("right dog" if flip else "left dog")


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_each_of_several_boxes_is_a_target_of_the_sample(boxed, flip):
    data = load_data(boxed())
    boxes = (BOX, (0.0, 0.0, 4.0, 8.0))
    first = data.train[0]
    options = {"epoch": 0, "seed": 0, "flip": flip, "masks": False}
    [both] = TrainSamples([replace(first, targets=boxes)], data.text, (64, 64), True, **options)
    assert both.target_boxes.shape == (2, 4)
    for row, box in zip(both.target_boxes, boxes, strict=True):
        [alone] = TrainSamples([replace(first, targets=(box,))], data.text, (64, 64), True, **options)
        np.testing.assert_array_equal(row, alone.target_boxes[0])


def test_the_fingerprint_of_a_set_depends_on_its_boxes(boxed):
    own = list(load_data(boxed()).train)
    moved = [replace(own[0], targets=((4.5, 8.0, 30.0, 40.0),)), *own[1:]]
    assert fingerprint(own) != fingerprint(moved)
