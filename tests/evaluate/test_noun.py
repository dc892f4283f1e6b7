"""The noun alone: evaluated with the same predictor, and compared only where it is ambiguous."""

from dataclasses import replace

import pytest

from vlt.evaluate import category_nouns, evaluate, noun_gain
from vlt.types import Expression, Standing

NAMES = ("dog", "traffic light")


def test_every_expression_becomes_the_name_of_its_category(referrals):
    first, second, third, *_ = referrals
    texts = (Expression(7, "left one"), Expression(8, " "), Expression(9, "the light"))
    given = [replace(first, category=1, expressions=texts), replace(second, category=-1), replace(third, category=2)]
    [alone] = category_nouns(given, NAMES)
    assert [(each.sent_id, each.text) for each in alone.expressions] == [(7, "traffic light"), (9, "traffic light")]
    assert (alone.ref_id, alone.targets[0] is first.targets[0]) == (first.ref_id, True)
    assert category_nouns(given, ()) == []


def test_the_gain_is_that_of_the_same_expressions_with_distractors(predictor, referrals):
    standings = [Standing(1, 1), Standing(2, 2), None, Standing(3, 1), Standing(1, 1), Standing(2, 1)]
    known = [
        replace(each, standing=standing, category=each.ref_id % 2)
        for each, standing in zip(referrals, standings, strict=True)
    ]
    known[5] = replace(known[5], category=-1)  # has no noun
    report = evaluate(predictor, known)
    nouns = evaluate(predictor, category_nouns(known, NAMES))
    gain = noun_gain(report, nouns)
    ambiguous = [i for i in (1, 3) for _ in known[i].expressions]

    def mean(report):
        ious = [result.iou for result in report.results if result.ref_id in (1, 3)]
        assert len(ious) == len(ambiguous)
        return sum(ious) / len(ious)

    assert gain == pytest.approx((mean(report), mean(nouns), len(ambiguous)))
    assert gain.full != gain.noun, "the test must see a difference"
    assert f"difference {100 * (gain.full - gain.noun):+.2f}" in str(replace(report, noun_gain=gain))


def test_there_is_no_gain_where_nothing_has_a_distractor(predictor, referrals):
    report = evaluate(predictor, referrals)
    assert noun_gain(report, report) is None
    assert report.to_dict()["noun_gain"] is None
