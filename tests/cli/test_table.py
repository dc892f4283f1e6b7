"""`vlt table`: files in, a table out, and refusals of one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlt.cli import main

ROOT = Path(__file__).parents[2]
REPORTS = [str(ROOT / f"results/default.{name}-b.json") for name in ("natural", "hand")]


def run(*arguments):
    return CliRunner().invoke(main, ["table", *map(str, arguments)])


def test_the_recorded_reports_make_a_table(tmp_path):
    result = run(*REPORTS)
    assert result.exit_code == 0, result.stderr
    assert "| src/vlt/weights | 63.99 | 51.32 | 68.28 | 60.74 |" in result.stdout
    written = run(*REPORTS, "--output", tmp_path / "table.md")
    assert written.stdout == f"{tmp_path / 'table.md'}\n"
    assert (tmp_path / "table.md").read_text() == result.stdout
    assert r"\bottomrule" in run(*REPORTS, "--format", "latex").stdout


def test_it_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; from vlt.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "table", *REPORTS], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("| checkpoint |")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([REPORTS[0], "none.json"], "none.json cannot be read: No such file or directory."),
        (["."], ". cannot be read: Is a directory."),
        ([ROOT / "pyproject.toml"], "pyproject.toml: Invalid JSON"),
        ([ROOT / "src/vlt/weights/meta.json"], "meta.json, key 'scores': Field required; name a report that `vlt"),
        ([*REPORTS, REPORTS[0]], "are both reports of src/vlt/weights on natural val_b; name one of them."),
        ([*REPORTS, ROOT / "results/coco_mini.val.json"], "differ in bare evaluation (off and not stated)"),
        ([*REPORTS, "--metric", "accuracy"], "There is no metric 'accuracy'; known: mIoU"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, "--output", "table.md")
    assert (result.exit_code, result.stdout) == (2 if "accuracy" in arguments else 1, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_not_overwritten(tmp_path):
    report = tmp_path / "a.json"
    report.write_bytes(Path(REPORTS[0]).read_bytes())
    result = run(report, "--output", report)
    assert result.stderr == f"error: {report} is a report and would be overwritten; choose another file for --output.\n"
    assert report.read_bytes() == Path(REPORTS[0]).read_bytes()
