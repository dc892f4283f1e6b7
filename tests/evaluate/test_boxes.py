"""Evaluation on targets that are known by their boxes alone: box accuracy, and no score of a mask anywhere."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from predictor_fixture import make_predictor

from vlt.checkpoint.model_card import model_card
from vlt.checkpoint.opened import open_checkpoint
from vlt.checkpoint.recorded import read_record
from vlt.cli import main
from vlt.data.prepared import write_prepared
from vlt.errors import ConfigError, DataError
from vlt.evaluate import Provenance, Report, Shard, Worst, centred_box, evaluate, mean_box_share, whole_image
from vlt.evaluate.distractors import among_distractors
from vlt.evaluate.paper_table import paper_table
from vlt.metrics import BOX_LEVELS, Scores
from vlt.types import Expression, Referral, Standing
from vlt.visualize import save_picture

SIZE = (10, 20)


def referral(number, *boxes, image=None, text="left dog", standing=None):
    drawn = np.full((*SIZE, 3), 10 * number, np.uint8) if image is None else image
    return Referral(number, drawn, boxes, (Expression(number, text),), -1, standing=standing)


def predicting(*boxes):
    """A predictor of filled boxes, one per referral; None: an empty mask."""
    masks = iter(boxes)

    def predict(images, expressions):
        for image, texts in zip(images, expressions, strict=True):
            rows = []
            for _ in texts:
                mask = np.zeros(image.shape[:2], bool)
                if (box := next(masks)) is not None:
                    mask[box[1] : box[3], box[0] : box[2]] = True
                rows.append(mask)
            yield rows

    return predict


REFERRALS = [
    referral(1, (0.0, 0.0, 10.0, 10.0)),
    referral(2, (2.5, 0.0, 10.0, 8.0)),
    referral(3, (0.0, 0.0, 4.0, 4.0), (6.0, 0.0, 10.0, 10.0)),
    referral(4),
    referral(5),
    referral(6, (0.0, 0.0, 5.0, 5.0)),
]
PREDICTED = [(0, 0, 10, 8), (2, 0, 10, 8), (0, 0, 10, 10), None, (0, 0, 2, 2), None]
OVERLAPS = [0.8, 60 / 64, 1.0, 1.0, 0.0, 0.0]


@pytest.fixture
def report():
    origin = Provenance(dataset="boxes", split="test", checkpoint="one", flip=False, refined=False)
    return evaluate(predicting(*PREDICTED), REFERRALS, provenance=origin)


def test_box_accuracy_by_hand(report):
    assert [each.box for each in report.results] == pytest.approx(OVERLAPS)
    scores = report.scores
    assert scores.count == 6
    assert scores.accuracy == {level: sum(one >= level - 1e-9 for one in OVERLAPS) / 6 for level in BOX_LEVELS}
    assert (scores.accuracy[0.8], scores.accuracy[0.85], scores.accuracy[0.95]) == (4 / 6, 3 / 6, 2 / 6)
    assert scores.box == 4 / 6
    assert scores.macc == pytest.approx((7 * 4 + 2 * 3 + 2) / 60)
    assert (report.presence.n_acc, report.presence.t_acc, report.presence.absent) == (0.5, 0.75, 2)


def test_levels_are_reached_at_equality():
    assert Scores.of_boxes(torch.tensor([0.5, 0.75], dtype=torch.float64)).accuracy[0.5] == 1
    assert BOX_LEVELS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_no_score_of_masks_is_reported(report):
    values = report.to_dict()
    kinds = [values["scores"], *(one for key in values if key.startswith("by_") for one in values[key].values())]
    assert all(one.keys() == {"box", "accuracy", "macc", "count"} for one in kinds)
    assert not any(isinstance(one, float) and math.isnan(one) for kind in kinds for one in kind.values())
    json.dumps(values, allow_nan=False)
    head = str(report).splitlines()[0].split()
    assert head == ["expressions", "Acc@0.5", "Acc@0.75", "Acc@0.9", "mAcc"]
    assert "mIoU" not in str(report)
    assert "targets are known by their boxes alone: Acc@t = share of the boxes" in str(report)
    for each in report.results:
        assert (each.iou, each.intersection, each.union, each.boundary) == (None,) * 4
    assert [each.target for each in report.results] == [100, 64, 100, 0, 0, 25]


def test_several_processes_give_the_same(report):
    parts = [
        evaluate(predicting(*PREDICTED[3 * rank : 3 * rank + 3]), REFERRALS, shard=Shard(rank, 2)) for rank in (0, 1)
    ]
    whole = [each for part in parts for each in part.results]
    assert Report.of(whole, report.protocol).scores == report.scores


def test_a_mix_of_boxes_and_masks_is_refused_before_any_prediction():
    mixed = [*REFERRALS, Referral(7, REFERRALS[0].image, (np.ones(SIZE, bool),), (Expression(7, "all"),))]
    with pytest.raises(DataError, match=r"^Of the 5 referrals with a target 4 are known by boxes alone and the"):
        evaluate(None, mixed)


def test_a_network_is_evaluated(referrals):
    boxed = [Referral(each.ref_id, each.image, ((3.0, 4.0, 30.5, 20.0),), each.expressions) for each in referrals]
    report = evaluate(make_predictor(), boxed)
    masks = evaluate(make_predictor(), referrals)
    assert report.scores.count == masks.scores.count
    assert [each.score for each in report.results] == [each.score for each in masks.results]
    assert [each.predicted for each in report.results] == [each.predicted for each in masks.results]
    assert (len(report.reliability) > 0) == (len(masks.reliability) > 0)


def test_baselines_and_distractors():
    standing = Standing(2, 1)
    own = [referral(1, (0.0, 0.0, 10.0, 10.0), standing=standing), referral(2, (0.0, 0.0, 20.0, 5.0))]
    assert mean_box_share(own) == (0.75, 0.75)
    report = evaluate(predicting((0, 0, 10, 10), (0, 0, 20, 5)), own)
    others = {"whole image": evaluate(whole_image, own), "centred box": evaluate(centred_box((0.75, 0.75)), own)}
    found = among_distractors(report, others)
    assert {name: each.box for name, each in found["all"].items()} == {
        "whole expression": 1.0,
        "whole image": 1.0,
        "centred box": 0.0,
    }


def test_the_mean_box_reads_the_sizes_of_image_files(tmp_path):
    save_picture(np.zeros((*SIZE, 3), np.uint8), tmp_path / "a.png")
    assert mean_box_share([referral(1, (0.0, 0.0, 5.0, 5.0), image=tmp_path / "a.png")]) == (0.5, 0.25)


def test_the_worst_are_those_of_the_lowest_overlap_of_boxes(tmp_path):
    worst = Worst(2)
    evaluate(predicting(*PREDICTED), REFERRALS, on_outcome=worst)
    assert [path.name for path in worst.save(tmp_path)] == ["001_ref5_sent5.png", "002_ref6_sent6.png"]


# ---------------------------------------------------------------- reports of it


def test_a_table_has_the_metrics_of_boxes(report, tmp_path):
    report.write(tmp_path / "a.json")
    [head, _, row, _, legend] = paper_table([read_record(tmp_path / "a.json")]).splitlines()
    assert head.count("|") == 6
    assert row.split(" | ")[1:] == ["66.67", "66.67", "50.00", "60.00 |"]
    assert "boxes test (6): Acc@0.75" in head
    assert "Acc@t counts boxes around masks with IoU of at least t, mAcc is its mean over t from 0.5 to 0.95" in legend
    one = paper_table([read_record(tmp_path / "a.json")], ["box", "acc@0.60", "N-acc"])
    assert one.splitlines()[2] == "| one | 66.67 | 66.67 | 50.00 |"


def test_what_a_table_lacks_is_named(report, tmp_path):
    report.write(tmp_path / "a.json")
    record = read_record(tmp_path / "a.json")
    for metric, has in (
        ("mIoU", "its targets are known by their boxes alone"),
        ("Pr@0.5", "its targets are known by their boxes alone"),
        ("Acc@0.3", "it has Acc@0.5, Acc@0.55"),
    ):
        with pytest.raises(DataError, match=rf"a\.json has no {metric} \({has}"):
            paper_table([record], [metric])
    mask = Referral(1, REFERRALS[0].image, (np.ones(SIZE, bool),), (Expression(1, "all"),))
    origin = Provenance(dataset="masks", split="test", checkpoint="one", flip=False, refined=False)
    evaluate(whole_image, [mask], provenance=origin).write(tmp_path / "b.json")
    other = read_record(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"b\.json has no mAcc \(it is computed where targets are known by their boxes"):
        paper_table([other], ["mAcc"])
    with pytest.raises(DataError, match=r"a\.json and .*b\.json differ in masks of the targets \(off and on\)"):
        paper_table([record, other], ["box"])


def test_a_report_without_scores_of_masks_or_boxes_is_no_report(report, tmp_path):
    report.write(tmp_path / "a.json")
    values = json.loads((tmp_path / "a.json").read_text())
    del values["scores"]["accuracy"]
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match="miou, oiou and precision are missing"):
        read_record(tmp_path / "a.json")


def test_commands_on_a_set_of_boxes(tmp_path, tiny_checkpoint, tiny_config, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    save_picture(np.zeros((64, 64, 3), np.uint8), tmp_path / "images/a.png")
    splits = {"val": [referral(1, (3.0, 4.0, 30.5, 20.0), image=tmp_path / "images/a.png")]}
    splits["train"] = [referral(2, (3.0, 4.0, 30.5, 20.0), image=tmp_path / "images/a.png")]
    write_prepared(tmp_path, "boxes", splits, generate_mask=False, images=tmp_path / "images")
    data = {"name": "refer", "root": ".", "dataset": "boxes", "images": "images"}
    values = {**tiny_config.model_dump(mode="json"), "data": data}
    (tmp_path / "boxes.yaml").write_text(json.dumps(values))
    arguments = ["test", "boxes.yaml", "--checkpoint", str(tiny_checkpoint), "--output", "a.json", "--baselines"]
    result = CliRunner().invoke(main, [*arguments, "--per-sample", "a.jsonl", "--worst", "1", "worst"])
    assert result.exit_code == 0, result.stderr
    assert "mAcc" in result.stdout
    assert json.loads((tmp_path / "a.jsonl").read_text())["iou"] is None
    packed = ["pack", str(tiny_checkpoint), "packed", "--report", "a.json"]
    for command, text in ((packed, "packed"), (["info", "packed"], "Acc@0.5"), (["table", "a.json"], "mAcc")):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.stderr
        assert text in result.stdout
    assert "| box acc. |" in model_card(open_checkpoint(tmp_path / "packed"))
    result = CliRunner().invoke(main, ["doctor", "boxes.yaml", "--quick"])
    assert "targets that are known by their boxes alone, but masks are trained" in " ".join(result.stdout.split())


def test_videos_need_masks():
    with pytest.raises(ConfigError, match=r"'video' compares masks, but the targets are known by their boxes alone"):
        evaluate(whole_image, REFERRALS, protocol="video")
