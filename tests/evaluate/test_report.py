import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.errors import DataError
from vlt.evaluate import ExpressionResult, Provenance, Report, scores_table
from vlt.metrics import PROTOCOLS, Scores
from vlt.text.cues import CUES, cues
from vlt.version import __version__

VLT = PROTOCOLS["vlt"]


def result(
    expression, intersection=1, union=2, *, ref_id=1, sent_id=1, boundary=0.5, box=0.4, target=2, photo=100, **about
):
    iou = intersection / union if union else 1.0
    predicted = intersection + union - target
    return ExpressionResult(
        ref_id, sent_id, expression, iou, intersection, union, boundary, box, target, photo, predicted, **about
    )


def report_of(*results, **about):
    return Report.of(results, VLT, **about)


RESULTS = [
    result("zebra", 3, 4, boundary=1.0, box=0.5),
    result("red left zebra", 1, 4),
    result("second zebra from left", 0, 8),
]


def test_scores_by_hand():
    report = report_of(*RESULTS)
    assert report.scores.miou == pytest.approx((3 / 4 + 1 / 4 + 0) / 3)
    assert report.scores.oiou == pytest.approx(4 / 16)
    assert report.scores.precision == pytest.approx({0.5: 1 / 3, 0.6: 1 / 3, 0.7: 1 / 3, 0.8: 0, 0.9: 0})
    assert report.scores.boundary == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert report.scores.box == pytest.approx(1 / 3)
    assert report.groups["length"] == {
        "1-2 words": Scores(0.75, 0.75, 1.0, 1.0, {0.5: 1, 0.6: 1, 0.7: 1, 0.8: 0, 0.9: 0}, 1),
        "3-5 words": Scores(0.125, 1 / 12, 0.5, 0.0, dict.fromkeys(VLT.levels, 0), 2),
    }
    counts = {cue: scores.count for cue, scores in report.groups["cue"].items()}
    assert counts == {"category": 1, "colour": 1, "position": 1, "ordinal": 1}, (
        "an expression counts in each of its cues"
    )


@given(words=st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_every_expression_has_one_length(words):
    report = report_of(*(result(" ".join(["word"] * count)) for count in words))
    assert sum(scores.count for scores in report.groups["length"].values()) == len(words)


@pytest.mark.parametrize(
    ("group", "words"),
    [("1-2 words", (1, 2)), ("3-5 words", (3, 5)), ("6-10 words", (6, 10)), ("11+ words", (11, 500))],
)
def test_limits_of_the_lengths(group, words):
    report = report_of(*(result("a  " * count) for count in words))
    assert list(report.groups["length"]) == [group]


def test_every_expression_has_a_cue():
    by_cue = report_of(*RESULTS).groups["cue"]
    assert set(by_cue) == set().union(*(cues(one.expression) for one in RESULTS)) <= set(CUES)
    assert list(by_cue) == [cue for cue in CUES if cue in by_cue], "in the order of the glossary"


def test_json_states_everything_the_numbers_depend_on(tmp_path):
    provenance = Provenance("refcoco", "val", input_size=(64, 96), commit="abc", command="vlt test x.yaml")
    report = report_of(*RESULTS, blank_expressions=2, cut_expressions=1, provenance=provenance)
    report.write(tmp_path / "new" / "report.json")
    read = json.loads((tmp_path / "new" / "report.json").read_text())
    assert read == report.to_dict()
    assert read["scores"] == report.scores.to_dict()
    assert read["protocol"] == {
        "name": "vlt",
        "threshold": 0.5,
        "comparison": ">",
        "empty_iou": 1.0,
        "levels": [0.5, 0.6, 0.7, 0.8, 0.9],
        "precision_of": "all",
        "smoothing": 0.0,
        "is_bare": False,
        "is_video": False,
        "source": VLT.source,
        "size": "the image's own",
    }
    assert (read["blank_expressions"], read["cut_expressions"]) == (2, 1)
    assert read["provenance"] == {
        **{"dataset": "refcoco", "split": "val", "checkpoint": None, "commit": "abc", "seed": None},
        **{"threshold": None, "flip": None, "refined": None, "input_size": [64, 96], "hardware": None},
        **{"command": "vlt test x.yaml", "version": __version__},
    }


def test_results_are_a_line_each(tmp_path):
    several = [*RESULTS, result("斑马 \n ñ")]
    report_of(*several).write_results(tmp_path / "results.jsonl")
    lines = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [asdict(one) for one in several]
    assert set(json.loads(lines[0])) >= {
        "ref_id",
        "sent_id",
        "expression",
        "iou",
        "boundary",
        "box",
        "standing",
        "score",
    }


def test_a_report_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (report_of(*RESULTS).write, report_of(*RESULTS).write_results):
        with pytest.raises(DataError, match=str(tmp_path / "file")):
            write(tmp_path / "file" / "report.json")


def test_the_printed_table_is_aligned_and_states_the_protocol():
    known = Provenance(split="val", threshold=0.5, flip=False, refined=True, input_size=(64, 96))
    lines = str(report_of(*RESULTS, blank_expressions=2, cut_expressions=3, provenance=known)).splitlines()
    *table, protocol, left_out, cut, provenance = lines
    precision = ["Pr@0.5", "Pr@0.6", "Pr@0.7", "Pr@0.8", "Pr@0.9"]
    assert table[0].split() == ["expressions", "mIoU", "oIoU", "boundary", "F", "box", "acc.", *precision]
    assert table[1].split() == [
        "all",
        "3",
        "33.33",
        "25.00",
        "66.67",
        "33.33",
        "33.33",
        "33.33",
        "33.33",
        "0.00",
        "0.00",
    ]
    assert len({len(line) for line in table}) == 1, "every row must be as wide as the head"
    assert protocol == str(VLT)
    assert left_out == "2 blank expressions left out"
    assert cut == "3 expressions were cut at model.max_words: their ends were not read"
    assert provenance == (
        f"split val; threshold 0.5; flip False; refined True; input_size 64 x 96; version {__version__}"
    )


def test_rows_of_any_scores_make_a_table():
    scores = Scores(miou=1.0, oiou=0.0, boundary=0.5, box=0.25, precision={0.5: 1.0}, count=123456789)
    head, *rows = scores_table({"a model with a long name": scores, "b": scores._replace(count=1)}).splitlines()
    assert [len(row) for row in rows] == [len(head)] * 2
    assert rows[1].split() == ["b", "1", "100.00", "0.00", "50.00", "25.00", "100.00"]
