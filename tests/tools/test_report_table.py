"""The tables that people read are those of the reports."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = [("docs/card.md", f"results/default.{part}-b.json") for part in ("val", "hand", "people")]


@pytest.mark.parametrize(("page", "report"), SHOWN)
def test_pages_show_what_the_reports_say(load_tool, page, report):
    table = load_tool("report_table").table(json.loads((ROOT / report).read_bytes()))
    assert table in (ROOT / page).read_text()


def test_a_table_has_a_row_for_each_group_and_dummy(load_tool):
    scores = {"miou": 0.5, "oiou": 0.25, "precision": {"0.5": 1 / 3}, "boundary": 1.0, "count": 1200}
    report = {
        "scores": scores,
        "by_cue": {"colour": {**scores, "count": 7}},
        "dummies": {"noun alone": {**scores, "miou": 0.125}},
        "presence": {"absent": 4, "n_acc": 0.25, "t_acc": None},
        "noun_gain": {"full": 0.5, "noun": 0.4, "count": 9},
        "provenance": {"dataset": "d", "split": "val", "half": "b", "command": "vlt test", "hardware": "a CPU"},
    }
    assert load_tool("report_table").table(report).splitlines() == [
        "|  | sentences | mIoU | oIoU | Pr@0.5 | boundary F |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| **all** | 1,200 | 50.0 | 25.0 | 33.3 | 100.0 |",
        "| colour | 7 | 50.0 | 25.0 | 33.3 | 100.0 |",
        "| *noun alone* | 1,200 | 12.5 | 25.0 | 33.3 | 100.0 |",
        "",
        "Of 4 sentences without a referent 25 % got an empty mask.",
        "Where the photo has several of the category (9 sentences): whole sentence 50.0, noun alone 40.0.",
        "d val, half b; `vlt test`; a CPU.",
    ]
