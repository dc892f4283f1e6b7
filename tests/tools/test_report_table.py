"""The tables in docs/card.md are those of the recorded reports."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
SHOWN = [("docs/card.md", f"results/default.{part}-b.json") for part in ("natural", "hand", "val")]


@pytest.mark.parametrize(("page", "report"), SHOWN)
def test_pages_show_the_recorded_reports(load_tool, monkeypatch, page, report):
    monkeypatch.chdir(ROOT)
    tool, text = load_tool("report_table"), Path(page).read_text()
    assert tool.put(text, tool.section(Path(report)), report) == text
    assert f"; recorded in `{report}`; " in text


def test_a_section_of_a_page_is_replaced(load_tool, tmp_path):
    report, page = ROOT / "results/default.val-b.json", tmp_path / "page.md"
    page.write_text(f"head\n\n<!-- {report} -->\nold\n<!-- /{report} -->\n\nfoot\n")
    runner, main = CliRunner(), load_tool("report_table").main
    assert runner.invoke(main, [str(report), "--page", str(page)]).exit_code == 0
    shown = runner.invoke(main, [str(report)]).stdout.rstrip()
    assert page.read_text() == f"head\n\n<!-- {report} -->\n{shown}\n<!-- /{report} -->\n\nfoot\n"


def test_a_page_without_the_section_is_refused(load_tool, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no section\n")
    report = str(ROOT / "results/default.val-b.json")
    result = CliRunner().invoke(load_tool("report_table").main, [report, "--page", str(page)])
    assert result.exit_code == 1
    assert "has no section between" in result.output
    assert page.read_text() == "no section\n"


@pytest.mark.parametrize(
    "version",
    [
        {"dummies": "whole photo", "provenance": {"split": "val", "half": "b"}},
        {"baselines": "whole image", "provenance": {"split": "val_b"}},
    ],
    ids=["0.1", "now"],
)
def test_a_table_has_a_row_for_each_group_and_baseline(load_tool, tmp_path, version):
    scores = {"miou": 0.5, "oiou": 0.25, "precision": {"0.5": 1 / 3}, "boundary": 1.0, "count": 1200}
    section, name = next(iter(version.items()))
    report = {
        "scores": scores,
        "by_cue": {"colour": {**scores, "count": 7}},
        section: {"noun alone": {**scores, "miou": 0.125}, name: scores},
        "presence": {"absent": 4, "n_acc": 0.25, "t_acc": None},
        "distractors": {
            "all": {"whole expression": {**scores, "count": 9}, "noun alone": {**scores, "miou": 0.4}},
            "colour": {"whole expression": {**scores, "count": 1}, "noun alone": scores},
        },
        "reliability": [{"low": 0.9, "high": 1.0, "count": 1500, "score": 0.951, "right": 0.8}],
        "provenance": {"dataset": "d", "command": "vlt test", "hardware": "a CPU", **version["provenance"]},
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    result = CliRunner().invoke(load_tool("report_table").main, [str(path)])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "| several of the category: mIoU / Pr@0.5 | expressions | whole expression | noun alone |",
        "| --- | ---: | ---: | ---: |",
        "| **all** | 9 | 50.0 / 33.3 | 40.0 / 33.3 |",
        "| colour | 1 | 50.0 / 33.3 | 50.0 / 33.3 |",
        "",
        "|  | expressions | mIoU | oIoU | Pr@0.5 | boundary F |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| **all** | 1,200 | 50.0 | 25.0 | 33.3 | 100.0 |",
        "| colour | 7 | 50.0 | 25.0 | 33.3 | 100.0 |",
        "| *noun alone* | 1,200 | 12.5 | 25.0 | 33.3 | 100.0 |",
        "| *whole image* | 1,200 | 50.0 | 25.0 | 33.3 | 100.0 |",
        "",
        "Of 4 expressions without a referent 25.0 % got an empty mask (N-acc).",
        "",
        "| score of a mask | masks | mean score | right (IoU > 0.5) |",
        "| --- | ---: | ---: | ---: |",
        "| 0.9 to 1.0 | 1,500 | 95 % | 80 % |",
        "",
        f"Data set d, split val_b; `vlt test`; recorded in `{path}`; a CPU.",
    ]
