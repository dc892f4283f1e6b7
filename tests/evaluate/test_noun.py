"""The noun alone, and scores among distractors: the same expressions, compared where the noun is ambiguous."""

from dataclasses import replace

import pytest

from vlt.evaluate import among_distractors, category_nouns, evaluate, whole_image
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


@pytest.fixture
def known(referrals):
    standings = [Standing(1, 1), Standing(2, 2), None, Standing(3, 1), Standing(1, 1), Standing(2, 1)]
    return [
        replace(each, standing=standing, category=each.ref_id % 2)
        for each, standing in zip(referrals, standings, strict=True)
    ]


def test_scores_among_distractors_are_of_the_same_expressions(predictor, known):
    known[5] = replace(known[5], category=-1)  # has no noun, so that it counts for no row
    report = evaluate(predictor, known)
    baselines = {
        "noun alone": evaluate(predictor, category_nouns(known, NAMES)),
        "whole image": evaluate(whole_image, known),
    }
    found = among_distractors(report, baselines)
    texts = [each.text for place in (1, 3) for each in known[place].expressions]
    for name, one in {"whole expression": report, **baselines}.items():
        ious = [result.iou for result in one.results if result.ref_id in (1, 3)]
        assert found["all"][name].miou == pytest.approx(sum(ious) / len(texts))
        assert {scores[name].count for scores in found.values()} <= set(range(1, len(texts) + 1))
    counts = {cue: scores["noun alone"].count for cue, scores in found.items()}
    assert counts == {"all": 5, "category": 2, "colour": 1, "position": 1, "relation": 1, "negation": 1}, texts
    lines = str(replace(report, distractors=found)).splitlines()
    start = lines.index("several of the category in the image, mIoU:")
    assert lines[start + 1].split() == ["expressions", "whole", "expression", "noun", "alone", "whole", "image"]
    shown = [f"{100 * found['all'][name].miou:.2f}" for name in found["all"]]
    assert lines[start + 2].split() == ["all", "5", *shown]


def test_there_are_no_distractors_where_nothing_is_known_to_have_one(predictor, referrals):
    report = evaluate(predictor, referrals)
    assert among_distractors(report, {"same": report}) == {}
    assert report.to_dict()["distractors"] == {}
