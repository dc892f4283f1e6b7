"""Groups of results by their target, and expressions that nothing in the image matches."""

import numpy as np
import pytest

from vlt.data.masks import encode_rle
from vlt.evaluate import ExpressionResult, Report, evaluate
from vlt.metrics import PROTOCOLS
from vlt.types import Expression, Referral, Standing


def result(intersection, union, target, *, photo=1000, **about):
    iou = intersection / union if union else 1.0
    predicted = intersection + union - target
    return ExpressionResult(
        1, 1, "the left zebra", iou, intersection, union, 0.5, 0.5, target, photo, predicted, **about
    )


def counts(results, name):
    report = Report.of(results, PROTOCOLS["vlt"])
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
    assert counts([result(1, 2, 2, standing=standing)], "standing") == group


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
    assert counts([result(1, target, target)], "size") == {group: 1}


def test_expressions_without_a_referent_are_reported_apart():
    wrong, right = result(0, 7, 0), result(0, 0, 0)
    silent, found = result(0, 9, 9), result(3, 12, 9)
    report = Report.of([wrong, right, right, silent, found], PROTOCOLS["vlt"])
    assert {name: scores.count for name, scores in report.groups["referent"].items()} == {
        "with a referent": 2,
        "without a referent": 3,
    }
    assert report.groups["referent"]["without a referent"].miou == report.presence.n_acc == pytest.approx(2 / 3)
    assert (report.presence.t_acc, report.presence.absent) == (0.5, 3)
    assert report.to_dict()["presence"] == {"n_acc": report.presence.n_acc, "t_acc": 0.5, "absent": 3}
    assert "3 without a referent: 66.67 % empty masks (N-acc); with one: 50.00 % non-empty masks (T-acc)" in str(report)
    assert sum(scores.count for scores in report.groups["size"].values()) == 2, "nothing has no size"


def test_referents_are_not_reported_where_every_expression_has_one():
    report = Report.of([result(3, 12, 9)], PROTOCOLS["vlt"])
    assert report.presence is None
    assert "referent" not in report.groups
    assert "N-acc" not in str(report)


def test_without_a_single_referent_there_is_no_t_acc():
    report = Report.of([result(0, 0, 0)], PROTOCOLS["vlt"])
    assert report.presence == (1, None, 1)
    assert "T-acc" not in str(report)


@pytest.mark.parametrize("targets", [(), (encode_rle(np.zeros((40, 60), bool)),)], ids=["no target", "an empty mask"])
def test_an_empty_mask_for_nothing_is_right(targets):
    """The whole way: from a referral without a target to the report."""
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    dot = np.pad(np.ones((4, 6), bool), ((18, 18), (27, 27)))
    empty = Referral(1, image, targets, (Expression(1, "a whale"),), -1, scene=1)
    there = Referral(2, image, (dot,), (Expression(2, "left dot"),), 0, scene=1)

    def find_nothing(images, expressions):
        nothing = np.zeros((40, 60), dtype=bool)
        return [[nothing] * len(texts) for texts in expressions]

    report = evaluate(find_nothing, [empty, there])
    assert [one.iou for one in report.results] == [1, 0]
    assert [one.boundary for one in report.results] == [1, 0]
    assert [one.box for one in report.results] == [1, 0]
    assert report.presence[:2] == (1, 0)
