"""The table of results by the way in which things are referred to."""

import json

import pytest


def result(ref_id, sent_id, iou, *, standing=None, target=100):
    union = 100 if target else 0
    return {
        "ref_id": ref_id,
        "sent_id": sent_id,
        "iou": iou,
        "target": target,
        "intersection": int(iou * 100) if target else 0,
        "union": union,
        "standing": standing,
    }


@pytest.fixture
def results():
    several, only = {"same": 3, "rank": 1}, {"same": 1, "rank": 1}
    return [
        *(result(1, sent_id, iou, standing=several) for sent_id, iou in ((12, 0.2), (10, 1.0), (11, 0.6))),
        *(result(2, sent_id, 1.0, standing=only) for sent_id in (1, 2, 3)),
        *(result(3, sent_id, 0.5) for sent_id in (4, 5, 6)),
        *(result(4, sent_id, 0.8) for sent_id in (7, 8, 9)),
        result(5, 20, 0.9),
        result(6, 21, 1.0, target=0),
    ]


def test_ways_follow_the_order_of_the_expressions(load_tool, results):
    lines = load_tool("ways_table").table(results, {3}).splitlines()
    assert lines[2:6] == [
        "| terse | 93.3 / 100.0 (3) | 100.0 / 100.0 (1) | 100.0 / 100.0 (1) | 50.0 / 0.0 (1) |",
        "| by looks | 80.0 / 100.0 (3) | 100.0 / 100.0 (1) | 60.0 / 100.0 (1) | 50.0 / 0.0 (1) |",
        "| phrase | 66.7 / 66.7 (3) | 100.0 / 100.0 (1) | 20.0 / 0.0 (1) | 50.0 / 0.0 (1) |",
        "| all three ways | 80.0 / 88.9 (9) | 100.0 / 100.0 (3) | 60.0 / 66.7 (3) | 50.0 / 0.0 (3) |",
    ]
    assert lines[-2:] == [
        "Of 13 expressions with a target, empty: 0.0 %.",
        "Of 1 expressions without a target, empty: 100.0 %.",
    ]


def test_the_noun_alone_is_a_row_of_its_own(load_tool, results):
    nouns = [{**each, "iou": 0.25} for each in results]
    tool = load_tool("ways_table")
    plain, lines = (tool.table(*arguments).splitlines() for arguments in ((results, {3}), (results, {3}, nouns)))
    assert lines[6] == "| noun alone | 25.0 / 0.0 (9) | 25.0 / 0.0 (3) | 25.0 / 0.0 (3) | 25.0 / 0.0 (3) |"
    assert lines[:6] + lines[7:] == plain


def test_regions_are_what_is_outside_cocos_categories(load_tool, tmp_path):
    (tmp_path / "prepare.json").write_text(json.dumps({"categories": ["person", "sky"]}))
    entries = [{"segment_id": 1, "cat": 0}, {"segment_id": 2, "cat": 1}, {"segment_id": 3, "cat": -1}]
    (tmp_path / "val.json").write_text(json.dumps(entries))
    assert load_tool("ways_table").region_ids(tmp_path / "val.json") == {2}
