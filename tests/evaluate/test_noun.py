"""The noun alone: asked of the same network, and compared only where it cannot do."""

from dataclasses import replace

import pytest

from vlt.evaluate import evaluate, noun_gain, nouns_alone
from vlt.types import Expression, Standing

NAMES = ("dog", "traffic light")


def test_every_sentence_becomes_the_name_of_its_category(referrals):
    first, second, third, *_ = referrals
    spoken = (Expression(7, "left one"), Expression(8, " "), Expression(9, "the light"))
    asked = [replace(first, category=1, expressions=spoken), replace(second, category=-1), replace(third, category=2)]
    [alone] = nouns_alone(asked, NAMES)
    assert [(each.sent_id, each.text) for each in alone.expressions] == [(7, "traffic light"), (9, "traffic light")]
    assert (alone.ref_id, alone.target is first.target) == (first.ref_id, True)
    assert nouns_alone(asked, ()) == []


def test_the_gain_is_that_of_the_same_sentences_with_rivals(model, text, referrals, config):
    standings = [Standing(1, 1), Standing(2, 2), None, Standing(3, 1), Standing(1, 1), Standing(2, 1)]
    known = [
        replace(each, standing=standing, category=each.ref_id % 2)
        for each, standing in zip(referrals, standings, strict=True)
    ]
    known[5] = replace(known[5], category=-1)  # cannot be asked by its noun
    report = evaluate(model, text, known, config)
    nouns = evaluate(model, text, nouns_alone(known, NAMES), config)
    gain = noun_gain(report, nouns)
    rivalled = [i for i in (1, 3) for _ in known[i].expressions]

    def mean(report):
        ious = [record.iou for record in report.records if record.ref_id in (1, 3)]
        assert len(ious) == len(rivalled)
        return sum(ious) / len(ious)

    assert gain == pytest.approx((mean(report), mean(nouns), len(rivalled)))
    assert gain.full != gain.noun, "the test must see a difference"
    assert f"full minus noun {100 * (gain.full - gain.noun):+.2f}" in str(replace(report, noun_gain=gain))


def test_there_is_no_gain_where_nothing_has_a_rival(model, text, referrals, config):
    report = evaluate(model, text, referrals, config)
    assert noun_gain(report, report) is None
    assert report.to_dict()["noun_gain"] is None
