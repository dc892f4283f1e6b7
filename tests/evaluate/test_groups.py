"""Groups of sentences by what they mean, and what is said of sentences that mean nothing."""

import numpy as np
import pytest

from vlt.data.masks import encode_rle
from vlt.evaluate import Record, Report, evaluate
from vlt.metrics import PROTOCOLS
from vlt.types import Expression, Referral, Standing


def record(intersection, union, target, *, photo=1000, **about):
    iou = intersection / union if union else 1.0
    return Record(1, 1, "the left zebra", iou, intersection, union, 0.5, target, photo, **about)


def counts(records, name):
    report = Report.of(records, PROTOCOLS["vlt"], input_size=(64, 96))
    return {group: scores.count for group, scores in report.groups.get(name, {}).items()}


@pytest.mark.parametrize(
    ("standing", "group"),
    [
        (Standing(1, 1), {"only one of its category": 1}),
        (Standing(2, 1), {"largest of its category": 1}),
        (Standing(2, 2), {"not the largest": 1}),
        (Standing(5, 3), {"not the largest": 1}),
        (None, {}),
    ],
)
def test_groups_by_the_others_of_a_category(standing, group):
    assert counts([record(1, 2, 2, standing=standing)], "standing") == group


@pytest.mark.parametrize(
    ("target", "group"),
    [
        (1, "target < 2 %"),
        (19, "target < 2 %"),
        (20, "target 2-10 %"),
        (100, "target 2-10 %"),
        (101, "target > 10 %"),
        (1000, "target > 10 %"),
    ],
)
def test_groups_by_the_size_of_the_target(target, group):
    assert counts([record(1, target, target)], "size") == {group: 1}


def test_sentences_without_a_referent_are_reported_apart():
    wrong, right = record(0, 7, 0), record(0, 0, 0)
    silent, answered = record(0, 9, 9), record(3, 12, 9)
    report = Report.of([wrong, right, right, silent, answered], PROTOCOLS["vlt"], input_size=(64, 96))
    assert {name: scores.count for name, scores in report.groups["referent"].items()} == {
        "with a referent": 2,
        "without a referent": 3,
    }
    assert report.groups["referent"]["without a referent"].miou == report.presence.n_acc == pytest.approx(2 / 3)
    assert (report.presence.t_acc, report.presence.absent) == (0.5, 3)
    assert report.to_dict()["presence"] == {"n_acc": report.presence.n_acc, "t_acc": 0.5, "absent": 3}
    assert "66.67 % of 3 answered with an empty mask (N-acc), of the others 50.00 %" in str(report)
    assert sum(scores.count for scores in report.groups["size"].values()) == 2, "nothing has no size"


def test_nothing_is_said_of_referents_where_every_sentence_has_one():
    report = Report.of([record(3, 12, 9)], PROTOCOLS["vlt"], input_size=(64, 96))
    assert report.presence is None
    assert "referent" not in report.groups
    assert "N-acc" not in str(report)


def test_without_a_single_referent_there_is_no_t_acc():
    report = Report.of([record(0, 0, 0)], PROTOCOLS["vlt"], input_size=(64, 96))
    assert report.presence == (1, None, 1)
    assert "T-acc" not in str(report)


def test_an_empty_answer_to_nothing_is_right(text, config):
    """The whole way: from a referral with an empty mask to the report."""
    photo = np.zeros((40, 60, 3), dtype=np.uint8)
    empty = Referral(1, photo, encode_rle(np.zeros((40, 60), bool)), (Expression(1, "a whale"),), -1)
    there = Referral(2, photo, np.pad(np.ones((4, 6), bool), ((18, 18), (27, 27))), (Expression(2, "left dot"),), 0)

    def silence(batch):
        return (np.zeros(letterbox.photo_size, dtype=bool) for letterbox in batch.letterboxes)

    report = evaluate(silence, text, [empty, there], config)
    assert [one.iou for one in report.records] == [1, 0]
    assert [one.boundary for one in report.records] == [1, 0]
    assert report.presence[:2] == (1, 0)
