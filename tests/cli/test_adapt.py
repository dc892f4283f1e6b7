"""`vlt adapt`: the table, the exit code, and what is refused before a network is loaded."""

import json
import sys

import pytest
from adapt_fixture import make_rows, write_lines
from click.testing import CliRunner

from vlt.cli import main


def adapt(*arguments):
    return CliRunner().invoke(main, ["adapt", *map(str, arguments), "--device", "cpu"])


def last_line(result):
    return result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("boxes"), make_rows(8))


def test_a_gain_is_written_and_a_loss_is_not(lines, tiny_checkpoint, tmp_path):
    better, worse = tmp_path / "better", tmp_path / "worse"
    result = adapt(lines, better, "--checkpoint", tiny_checkpoint, "--epochs", 15, "--lr", "1e-2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[:4] == ["before", "after", "gain", "mIoU"]
    assert "trained on 18 expressions of 6 images, evaluated on 6 expressions of 2 other images" in result.stdout
    assert "error" not in result.stderr
    assert "warning" not in result.stderr
    image = lines.parent / "0.png"
    predicted = CliRunner().invoke(
        main, ["predict", str(image), "red box", "--checkpoint", str(better), "--output", str(tmp_path / "shown.png")]
    )
    assert predicted.exit_code == 0, predicted.stderr

    result = adapt(lines, worse, "--checkpoint", better, "--epochs", 4, "--lr", 1)
    assert result.exit_code == 1
    assert result.stdout.split()[:4] == ["before", "after", "gain", "mIoU"]
    assert last_line(result).startswith("error: The adapted network is worse than ")
    assert last_line(result).endswith("to train on), or train for fewer --epochs.")
    assert [path.name for path in worse.iterdir()] == ["adapt.json"]


def test_a_dry_run_trains_nothing(lines, tmp_path):
    result = adapt(lines, tmp_path / "out", "--dry-run")
    assert (result.exit_code, result.stdout) == (
        0,
        "trained on 18 expressions of 6 images, evaluated on 6 expressions of 2 other images\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_adaptation(monkeypatch, tmp_path):
    heard = []

    def run(*arguments, **options):
        heard.append((arguments, options))
        raise SystemExit(7)

    monkeypatch.setattr("vlt.adapt.adapt", run)
    folders = ["--images", tmp_path / "a", "--images", tmp_path / "b", "--instances", tmp_path / "i.json"]
    assert adapt("d.jsonl", tmp_path / "out", *folders, "--seed", 3, "--epochs", 2).exit_code == 7
    [(arguments, options)] = heard
    assert [str(each) for each in arguments] == ["d.jsonl", str(tmp_path / "out")]
    assert options["images"] == (tmp_path / "a", tmp_path / "b")
    assert options["instances"] == (tmp_path / "i.json",)
    assert (options["recipe"].seed, options["recipe"].epochs, options["recipe"].lr) == (3, 2, None)
    assert (options["checkpoint"], options["device"]) == (None, "cpu")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (make_rows(3), "has 9 expressions, but an adaptation needs at least 10"),
        ([{**row, "image": "0.png"} for row in make_rows(4)], "has outlines on 1 image"),
        ([*make_rows(4), {"image": "9.png", "expression": "dog"}], "line 9: there is no outline"),
        ([*make_rows(4), {"image": "9.png", "expression": " ", "absent": True}], "line 9"),
    ],
)
def test_data_that_are_refused(tmp_path, monkeypatch, rows, sentence):
    monkeypatch.setattr("vlt.adapt.run.load_checkpoint", lambda *_: pytest.fail("this is slow"))
    result = adapt(write_lines(tmp_path, rows), tmp_path / "out")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_paths_that_are_refused(lines, tmp_path):
    assert "There is no file of JSON lines" in adapt(tmp_path / "none.jsonl", tmp_path / "out").stderr
    assert "There is no folder of images" in adapt(lines, tmp_path / "out", "--images", tmp_path / "none").stderr
    missing = adapt(lines, tmp_path / "out", "--checkpoint", tmp_path / "none")
    assert (missing.exit_code, missing.stderr.count("\n")) == (1, 1)
    assert "There is no checkpoint" in missing.stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    full = adapt(lines, tmp_path / "out")
    assert (full.exit_code, full.stderr.count("\n")) == (2, 1)
    assert "exists and is not empty; name a folder that does not exist yet" in full.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("option", [("--epochs", 0), ("--lr", 0), ("--seed", -1), ("--device", "none")])
def test_options_that_are_refused(lines, tiny_checkpoint, tmp_path, option):
    command = ["adapt", str(lines), str(tmp_path / "out"), "--checkpoint", str(tiny_checkpoint), *map(str, option)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_the_help_loads_no_network(tmp_path):
    """The modules are those of this process; another test looks at `vlt --help` in a process of its own."""
    result = CliRunner().invoke(main, ["adapt", "--help"])
    assert "at least 10, better 50" in result.stdout
    assert "vlt.cli.adapt" in sys.modules
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.strip().startswith('{"image"')]
    assert len(lines) == 3
