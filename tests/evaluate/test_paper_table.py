"""Tables of reports: what stands where, what is bold, what the caption states, and what is refused."""

import copy
import json
import re

import pytest

from vlt.checkpoint.recorded import read_record
from vlt.errors import ConfigError, DataError
from vlt.evaluate import ExpressionResult, Provenance, Report
from vlt.evaluate.paper_table import escape_latex, paper_table
from vlt.metrics import PROTOCOLS

REPORT = {
    "scores": {"miou": 0.5, "oiou": 0.25, "boundary": 0.75, "box": 1.0, "precision": {"0.5": 0.4}, "count": 1200},
    "presence": {"n_acc": 0.7, "t_acc": 0.9, "absent": 30},
    "protocol": {
        "name": "vlt",
        "threshold": 0.5,
        "comparison": ">",
        "empty_iou": 1.0,
        "levels": [0.5],
        "smoothing": 0.0,
        "source": "",
        "is_bare": False,
        "size": "the image's own",
    },
    "provenance": {"dataset": "photos", "split": "val_b", "checkpoint": "one", "flip": False, "refined": True},
}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A function that writes a report with some values changed, by section and key, and reads it."""
    monkeypatch.chdir(tmp_path)
    tmp = type(tmp_path)()

    def write(name, **changes):
        report = copy.deepcopy(REPORT)
        for key, values in changes.items():
            report[key] = report[key] | values if isinstance(values, dict) else values
        (tmp / name).write_text(json.dumps(report))
        return read_record(tmp / name)

    return write


def test_rows_are_checkpoints_and_columns_splits_and_metrics(record):
    records = [
        record("a.json"),
        record("b.json", scores={"miou": 0.6, "oiou": 0.2}, provenance={"checkpoint": "two"}),
        record("c.json", scores={"count": 7}, provenance={"checkpoint": "two", "split": "test"}),
    ]
    lines = paper_table(records, ["mIoU", "oIoU", "Pr@0.5"]).splitlines()
    heads = [
        f"photos {split}: {name}" for split in ("val_b (1,200)", "test (7)") for name in ("mIoU", "oIoU", "Pr@0.5")
    ]
    assert lines[:4] == [
        f"| checkpoint | {' | '.join(heads)} |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| one | 50.00 | **25.00** | **40.00** | - | - | - |",
        "| two | **60.00** | 20.00 | **40.00** | 50.00 | 25.00 | 40.00 |",
    ]


@pytest.mark.parametrize(
    ("metric", "value"), [("box", "100.00"), ("Boundary", "75.00"), ("n-acc", "70.00"), ("T-acc", "90.00")]
)
def test_each_metric_can_be_chosen(record, metric, value):
    assert paper_table([record("a.json")], [metric]).splitlines()[2] == f"| one | {value} |"


def test_the_caption_states_what_scores_depend_on(record):
    other = record("b.json", protocol={"threshold": 0.4}, provenance={"checkpoint": "two"})
    caption = paper_table([record("a.json"), other], ["N-acc"]).splitlines()[-1]
    for part in (
        "best of each column in bold",
        "N-acc over those without a referent (30 in photos val_b)",
        "Protocol vlt",
        "above the threshold of the checkpoint (0.5 in a.json; 0.4 in b.json)",
        "at the image's own size",
        "IoU above t",
        "two empty masks have IoU 1;",
        "without the flipped image, outlines refined",
        "Reports: a.json (one, photos val_b), b.json (two, photos val_b).",
    ):
        assert part in caption
    original = {"name": "original", "comparison": ">=", "empty_iou": 0.0, "smoothing": 1e-10}
    caption = paper_table([record("a.json", protocol=original, provenance={"flip": True, "refined": None})])
    assert "Protocol original: a pixel belongs to the mask where its probability is above 0.5" in caption
    assert "IoU of at least t; two empty masks have IoU 0, 1e-10 added" in caption
    assert "averaged with the flipped image, refinement not stated" in caption
    assert "bold" not in caption


def test_latex_has_groups_of_columns_and_escaped_names(record):
    first = record("a_1.json", provenance={"checkpoint": "runs/50%_&_#1"})
    second = record("b.json", scores={"miou": 0.4}, provenance={"checkpoint": "[b]"})
    lines = paper_table([first, second], ["mIoU", "box"], "latex").splitlines()
    assert lines[:2] == [r"% needs \usepackage{booktabs}", r"\begin{table}"]
    assert lines[3].startswith(r"\caption{Scores in percent")
    assert r"Reports: a\_1.json (runs/50\%\_\&\_\#1, photos val\_b)" in lines[3]
    assert lines[4:] == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"& \multicolumn{2}{c}{photos val\_b (1,200)} \\",
        r"\cmidrule(lr){2-3}",
        r"checkpoint & mIoU & box acc. \\",
        r"\midrule",
        r"runs/50\%\_\&\_\#1 & \textbf{50.00} & \textbf{100.00} \\",
        r"{[}b] & 40.00 & \textbf{100.00} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_every_letter_that_latex_reads_is_escaped():
    escaped = escape_latex(r"\~^<>|&%$#_{}--")
    assert not re.search(r"(?<!\\)[&%$#_~^<>|]|--", escaped)
    assert escaped.endswith(r"\{\}-{}-")


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"protocol": {"name": "original"}}, "protocol (vlt and original)"),
        ({"protocol": {"comparison": ">="}}, "comparison of Pr@t (> and >=)"),
        ({"protocol": {"empty_iou": 0.0}}, "IoU of two empty masks (1 and 0)"),
        ({"protocol": {"levels": [0.5, 0.7]}}, "levels of Pr@t (0.5 and 0.5, 0.7)"),
        ({"protocol": {"smoothing": 1e-10}}, "smoothing (0 and 1e-10)"),
        ({"protocol": {"size": "the network's input"}}, "size of the masks (the image's own and the network's input)"),
        ({"protocol": {"is_bare": True}}, "bare evaluation (off and on)"),
        ({"provenance": {"flip": True}}, "flip (off and on)"),
        ({"provenance": {"refined": None}}, "refined (on and not stated)"),
    ],
)
def test_reports_scored_in_different_ways_are_refused(record, changes, difference):
    changes = {**changes, "provenance": {"checkpoint": "two"} | changes.get("provenance", {})}
    with pytest.raises(DataError, match=f"^a.json and b.json differ in {re.escape(difference)}, so that"):
        paper_table([record("a.json"), record("b.json", **changes)])


def test_a_protocol_whose_precision_leaves_out_absent_targets_says_so(record):
    of_targets = {"name": "grefcoco", "precision_of": "targets"}
    text = paper_table([record("a.json", protocol=of_targets, scores={"precision": {"0.7": 0.4}})], ["Pr@0.7"])
    assert "Pr@t counts IoU above t among expressions with a target" in text
    nothing = record("b.json", protocol=of_targets, scores={"precision": {"0.7": None}})
    with pytest.raises(DataError, match=r"b\.json has no Pr@0\.7"):
        paper_table([nothing], ["Pr@0.7"])


def test_a_report_of_version_0_1_is_read(record):
    old = {"dataset": "photos", "split": "val", "half": "b", "checkpoint": "old", "mirrored": True, "flip": None}
    found = record("a.json", protocol={"size": "the photo's own"}, provenance=old)
    assert (found.split, found.report.flip) == ("photos val_b", True)
    new = record("b.json", provenance={"flip": True})
    assert "| **50.00** |" in paper_table([found, new], ["mIoU"])


def test_what_cannot_stand_in_a_table_is_refused(record):
    first = record("a.json")
    with pytest.raises(DataError, match=r"^a.json and b.json are both reports of one on photos val_b; name one"):
        paper_table([first, record("b.json")])
    with pytest.raises(DataError, match=r"^a.json and b.json have scores of 1,200 and 7 expressions of photos val_b"):
        paper_table([first, record("b.json", scores={"count": 7}, provenance={"checkpoint": "two"})])
    with pytest.raises(DataError, match=r"^a.json has no Pr@0.7 \(it has Pr@0.5\); leave the metric out"):
        paper_table([first], ["Pr@0.70"])
    with pytest.raises(DataError, match=r"^b.json has no T-acc \(it needs expressions without a referent"):
        paper_table([record("b.json", presence=None)], ["T-acc"])
    with pytest.raises(DataError, match=r"^b.json has no box \(it was written by an older version\)"):
        paper_table([record("b.json", scores={"box": None})], ["box"])
    with pytest.raises(ConfigError, match=r"^There is no metric 'IoU'; known: mIoU, .* Pr@t such as Pr@0.5\.$"):
        paper_table([first], ["IoU"])
    with pytest.raises(DataError, match=r"^b.json does not state a checkpoint, a data set, "):
        record("b.json", provenance={"checkpoint": None})
    with pytest.raises(DataError, match=r"b.json, key 'scores', key 'miou': .* name a report that `vlt test` wrote"):
        record("b.json", scores={"miou": 1.5})


def test_reports_that_are_written_are_read(tmp_path):
    result = ExpressionResult(1, 1, "zebra", 0.75, 3, 4, 1.0, 0.5, 3, 100, 4)
    origin = Provenance(dataset="photos", split="val", checkpoint="runs/a", flip=True, refined=False)
    for protocol in PROTOCOLS.values():
        Report.of([result], protocol, provenance=origin).write(tmp_path / "a.json")
        lines = paper_table([read_record(tmp_path / "a.json")], ["mIoU", "Pr@0.7", "box"]).splitlines()
        assert lines[2] == "| runs/a | 75.00 | 100.00 | 100.00 |"
