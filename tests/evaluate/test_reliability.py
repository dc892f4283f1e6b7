from dataclasses import replace

import numpy as np
import pytest

from vlt.evaluate import ExpressionResult, evaluate, whole_image
from vlt.evaluate.reliability import calibration_error, score_bins
from vlt.evaluate.report import Report
from vlt.metrics import PROTOCOLS


def scored(score, iou, *, target=10, empty=False):
    union = target if empty else 10
    predicted = 0 if empty else 1
    return ExpressionResult(1, 1, "dog", iou, predicted, union, 0.5, 0.5, target, 100, predicted, score=score)


def test_bins_by_hand():
    masks = [scored(0.95, 0.9), scored(0.97, 0.4), scored(1.0, 0.51), scored(0.05, 0.5), scored(0.1, 0.0)]
    low, second, high = score_bins(masks)
    assert (low.low, low.high, low.count, low.score, low.right) == pytest.approx((0, 0.1, 1, 0.05, 0.0))
    assert (second.low, second.count, second.right) == pytest.approx((0.1, 1, 0.0))
    assert (high.low, high.high, high.count) == (0.9, 1.0, 3), "a score of 1 is in the last bin"
    assert (high.score, high.right) == pytest.approx((2.92 / 3, 2 / 3))
    assert calibration_error((low, second, high)) == pytest.approx((0.05 + 0.1 + 3 * (2.92 / 3 - 2 / 3)) / 5)


def test_only_masks_with_a_score_count_and_one_for_what_is_absent_is_wrong():
    nothing_there = scored(0.95, 0.0, target=0)
    assert [each.right for each in score_bins([nothing_there])] == [0.0]
    assert score_bins([scored(0.95, 0.0, empty=True), scored(None, 0.9)]) == ()
    assert score_bins([]) == ()


def test_scores_drawn_with_their_probability_are_calibrated():
    generator = np.random.default_rng(0)
    scores = generator.random(4000)
    masks = [scored(float(score), float(generator.random() < score)) for score in scores]
    assert calibration_error(score_bins(masks)) < 0.04
    sure = [replace(each, score=1.0) for each in masks]
    assert calibration_error(score_bins(sure)) == pytest.approx(0.5, abs=0.04)


def test_a_report_of_a_predictor_has_scores_and_one_of_a_baseline_has_none(predictor, referrals):
    report, baseline = evaluate(predictor, referrals), evaluate(whole_image, referrals)
    assert all(0 <= each.score <= 1 for each in report.results)
    assert report.reliability == score_bins(report.results) != ()
    assert report.to_dict()["reliability"][0]["count"] == report.reliability[0].count
    error = f"{100 * calibration_error(report.reliability):.2f} points"
    assert f"expected calibration error of scores: {error}, over non-empty masks" in str(report)
    assert baseline.reliability == ()
    assert "calibration" not in str(baseline)


def test_results_of_several_processes_are_compared_together():
    halves = [[scored(0.9, 0.9)], [scored(0.9, 0.1)]]
    [one] = Report.of([*halves[0], *halves[1]], PROTOCOLS["vlt"]).reliability
    assert (one.count, one.right) == (2, 0.5)
