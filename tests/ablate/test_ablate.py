"""A study runs what is missing, continues after a kill, and summarises mean and spread."""

import json
import statistics

import pytest
from click.testing import CliRunner
from filelock import FileLock

from vlt.ablate import Row, read_results, read_rows, read_study, read_table, run_study, study_table, write_table
from vlt.ablate import run as runs
from vlt.ablate.summary import pooled_spread, with_spread
from vlt.ablate.table import RESULT
from vlt.cli import main
from vlt.config import dump_config
from vlt.dataset import load_referrals
from vlt.errors import ConfigError, DataError, DivergedError
from vlt.train import changed_keys


def write_study(folder, config):
    """Two rows, two seeds, runs of seconds."""
    (folder / "base.yaml").write_text(dump_config(config))
    (folder / "study.yaml").write_text(
        f"base: base.yaml\nchanges:\n  one query: [model.num_queries=1]\nseeds: [0, 3]\noutput_dir: {folder / 'out'}\n"
    )
    return folder / "study.yaml"


@pytest.fixture
def study_file(tmp_path, tiny_config):
    return write_study(tmp_path, tiny_config)


@pytest.fixture(scope="module")
def done_file(tmp_path_factory, tiny_config):
    """A study whose runs are done, for tests that change nothing there."""
    path = write_study(tmp_path_factory.mktemp("done"), tiny_config)
    list(run_study(read_study(path)))
    return path


def results(study):
    return sorted(str(path.relative_to(study.output_dir)) for path in study.output_dir.rglob(RESULT))


def test_every_row_runs_with_every_seed_and_leaves_a_result_and_no_weights(study_file):
    study = read_study(study_file)
    order = [(run.planned.row, run.planned.seed, run.outcome) for run in run_study(study)]
    assert order == [(row, seed, "done") for seed in (0, 3) for row in ("base", "one query")]
    folders = [f"{row}/seed-{seed}" for row in ("base", "one-query") for seed in (0, 3)]
    assert results(study) == [f"{folder}/{RESULT}" for folder in folders]
    assert not list(study.output_dir.rglob("*.safetensors"))
    assert not list(study.output_dir.rglob("state.pt"))
    found = json.loads((study.output_dir / "one-query" / "seed-3" / RESULT).read_text())
    assert (found["row"], found["seed"], found["provenance"]["seed"]) == ("one query", 3, 3)
    rows = {row.name: row for row in read_rows(read_results(study))}
    assert rows["one query"].measures["mIoU"][1] == 100 * found["scores"]["miou"]


def test_the_validation_split_of_the_configuration_is_evaluated(study_file, monkeypatch):
    base = study_file.parent / "base.yaml"
    base.write_text(base.read_text().replace("val_split: val", "val_split: val_a"))
    done = next(run_study(read_study(study_file)))
    found = json.loads((done.planned.folder / RESULT).read_text())
    assert found["provenance"]["split"] == "val_a"
    kept = load_referrals(done.planned.config.data, "val_a")
    assert found["scores"]["count"] == sum(len(each.expressions) for each in kept)


def test_every_base_that_train_reads_is_a_base(study_file):
    """Such as one that names a base of its own, or the original's flat keys."""
    folder = study_file.parent
    (folder / "base.yaml").rename(folder / "first.yaml")
    (folder / "base.yaml").write_text("base: first.yaml\ntrain: {lr: 0.125}\n")
    assert {planned.config.train.lr for planned in read_study(study_file).planned()} == {0.125}
    flat = "train_set: data/anns/refcoco/train.json\nimage_path: data/images\nlog_path: runs/flat\n"
    (folder / "base.yaml").write_text(flat)
    text = study_file.read_text().replace("model.num_queries=1", "model.num_queries=8")
    study_file.write_text(text)
    assert {planned.config.model.name for planned in read_study(study_file).planned()} == {"reference"}


def test_what_is_done_is_not_run_again_and_what_was_killed_goes_on(study_file, monkeypatch):
    study, train = read_study(study_file), runs.train
    asked = []

    def killed(config):
        asked.append(str(config.output_dir.relative_to(study.output_dir)))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return train(config)

    monkeypatch.setattr(runs, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        list(run_study(study))
    assert results(study) == [f"base/seed-0/{RESULT}"]
    assert [run.outcome for run in run_study(study)] == ["was done", "done", "done", "done"]
    assert asked == ["base/seed-0", "one-query/seed-0", "one-query/seed-0", "base/seed-3", "one-query/seed-3"]


def test_a_result_of_another_configuration_is_refused_before_anything_runs(study_file, monkeypatch):
    next(run_study(read_study(study_file)))
    base = study_file.parent / "base.yaml"
    base.write_text(base.read_text().replace("\n  lr: ", "\n  lr: 1"))
    monkeypatch.setattr(runs, "train", lambda config: pytest.fail("a run began"))
    with pytest.raises(ConfigError, match=r"base/seed-0/result\.json is of another configuration \(train\.lr: "):
        next(run_study(read_study(study_file)))


def test_a_run_that_diverges_is_told_and_the_others_go_on(study_file, monkeypatch):
    train = runs.train

    def train_or_diverge(config):
        if config.model.num_queries == 1:
            raise DivergedError("The loss is nan.")
        return train(config)

    monkeypatch.setattr(runs, "train", train_or_diverge)
    told = CliRunner().invoke(main, ["ablate", str(study_file)])
    assert told.exit_code == 1
    assert told.stderr.count("diverged") == 3  # two runs, and that two did
    assert "The loss is nan." in told.stderr
    assert results(read_study(study_file)) == [f"base/seed-{seed}/{RESULT}" for seed in (0, 3)]
    assert told.stdout == study_table(read_rows(read_results(read_study(study_file))))


def test_what_another_process_is_at_is_left_to_it(study_file, monkeypatch):
    study = read_study(study_file)
    folder = study.folder("base", 0)
    folder.mkdir(parents=True)
    monkeypatch.setattr(runs, "train", lambda config: pytest.fail("a run began"))
    with FileLock(folder / "lock"):
        assert next(run_study(study)).outcome == "runs elsewhere"


def test_processes_that_train_together_are_refused(study_file, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(runs, "train", lambda config: pytest.fail("a run began"))
    with pytest.raises(ConfigError, match=r"one process; start `vlt ablate` without a launcher"):
        next(run_study(read_study(study_file)))


def test_what_a_kill_left_behind_a_result_is_removed(study_file):
    study = read_study(study_file)
    next(run_study(study))
    left = study.folder("base", 0) / "checkpoints" / "epoch-001" / "weights.safetensors"
    left.parent.mkdir(parents=True)
    left.touch()
    assert next(run_study(study)).outcome == "was done"
    assert not left.exists()


def test_a_wrong_change_in_the_last_row_is_met_before_anything_runs(study_file, monkeypatch):
    study_file.write_text(study_file.read_text().replace("num_queries=1", "num_querys=1"))
    monkeypatch.setattr(runs, "train", lambda config: pytest.fail("a run began"))
    with pytest.raises(ConfigError, match=r"num_querys.*did you mean 'num_queries'"):
        list(run_study(read_study(study_file)))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("seeds: [0, 3]", "seeds: []", "seeds: "),
        ("seeds: [0, 3]", "seed: [0]", "seed: Extra inputs"),
        ("one query:", "Base:", r"changes: .*rows need names that differ .*\['Base'\]"),
        ("model.num_queries=1", "seed=5", r"changes: .*the row 'one query' sets seed, which the study sets"),
        ("one query:", "'?!':", r"changes: .*rows need names that differ"),
    ],
)
def test_studies_that_cannot_be_are_refused(study_file, before, after, sentence):
    study_file.write_text(study_file.read_text().replace(before, after))
    with pytest.raises(ConfigError, match=rf"study\.yaml: {sentence}.*the keys base, changes, seeds, output_dir\.$"):
        read_study(study_file)


# ---------------------------------------------------------------- what it tells


BASE_ROW = Row("base", (0, 1, 2), {"mIoU": (50.0, 52.0, 54.0), "Pr@0.5": (40.0, 40.0, 40.0), "colour": (1.0, 2.0, 3.0)})
CHANGED = Row("one query", (0, 2), {"mIoU": (49.0, 52.0), "Pr@0.5": (30.0, 34.0), "colour": (4.0, 4.0)})


def test_mean_spread_and_gain_are_those_of_the_seeds():
    assert BASE_ROW.mean() == 52
    assert BASE_ROW.spread() == pytest.approx(statistics.stdev([50, 52, 54]))
    assert Row("x", (0,), {"mIoU": (1.0,)}).spread() is None
    assert CHANGED.gain(BASE_ROW) == (-1.0, -2.0)  # of the same seeds: 0 and 2


def test_the_pooled_spread_rows_is_pooled_over_their_seeds():
    squares = sum((value - 52) ** 2 for value in (50, 52, 54)) + sum((value - 50.5) ** 2 for value in (49, 52))
    assert pooled_spread([BASE_ROW, CHANGED]) == pytest.approx((squares / (2 + 1)) ** 0.5)
    assert pooled_spread([Row("x", (0,), {"mIoU": (1.0,)})]) is None
    assert "spread" not in study_table([Row("x", (0,), {"mIoU": (1.0,), "Pr@0.5": (1.0,)})])


def test_the_table_tells_rows_as_they_are():
    lines = study_table([BASE_ROW, CHANGED]).splitlines()
    assert lines == [
        "|  | seeds | mIoU | over base | Pr@0.5 |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| base | 3 | 52.0 ± 2.0 |  | 40.0 ± 0.0 |",
        "| one query | 2 | 50.5 ± 2.1 | -1.5 ± 0.7 | 32.0 ± 2.8 |",
        "| *spread over seeds* |  | ± 2.0 |  | ± 1.6 |",
        "",
        "| mIoU | colour |",
        "| --- | ---: |",
        "| base | 2.0 ± 1.0 |",
        "| one query | 4.0 ± 0.0 |",
        "| *spread over seeds* | ± 0.8 |",
    ]
    assert with_spread([1.25]) == "1.2"


def test_a_plot_that_cannot_be_is_refused_before_anything_runs(study_file, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda config: pytest.fail("a run began"))
    kind = CliRunner().invoke(main, ["ablate", str(study_file), "--plot", str(tmp_path / "study.txt")])
    assert (kind.exit_code, "names no picture format" in kind.stderr) == (2, True)
    monkeypatch.setattr("vlt.ablate.summary.find_spec", lambda name: None)
    missing = CliRunner().invoke(main, ["ablate", str(study_file), "--plot", str(tmp_path / "study.png")])
    assert (missing.exit_code, "A plot needs matplotlib" in missing.stderr) == (2, True)


def test_a_damaged_result_is_named(study_file):
    study = read_study(study_file)
    path = study.output_dir / "base" / "seed-0" / RESULT
    path.parent.mkdir(parents=True)
    for content in ("{", "{}", "[]"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"base/seed-0/result\.json cannot be read .* remove it"):
            read_rows(read_results(study))


def test_the_command_prints_the_table_and_draws_it(study_file, tmp_path):
    nothing = CliRunner().invoke(main, ["ablate", str(study_file), "--summary-only"])
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "holds no result yet" in nothing.stderr
    done = CliRunner().invoke(main, ["ablate", str(study_file), "--plot", str(tmp_path / "study.png")])
    assert done.exit_code == 0, done.stderr
    assert done.stdout == study_table(read_rows(read_results(read_study(study_file))))
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    folder = read_study(study_file).output_dir
    assert (folder / "summary.md").read_text() == done.stdout
    assert study_table(read_rows(read_table(folder / "summary.jsonl"))) == done.stdout
    moved = read_study(study_file).output_dir.rename(tmp_path / "elsewhere")
    again = CliRunner().invoke(main, ["ablate", str(study_file), "--summary-only", "--output-dir", str(moved)])
    assert again.stdout == done.stdout


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("jpg", b"\xff\xd8")])
def test_a_plot_may_be_of_any_common_format(done_file, tmp_path, suffix, start):
    path = tmp_path / f"study.{suffix}"
    done = CliRunner().invoke(main, ["ablate", str(done_file), "--summary-only", "--plot", str(path)])
    assert done.exit_code == 0, done.stderr
    assert path.read_bytes().startswith(start)


def test_a_table_gives_back_scores_and_configurations(done_file, tmp_path):
    study = read_study(done_file)
    results, path = read_results(study), tmp_path / "table.jsonl"
    write_table(results, path)
    lines = read_table(path)
    assert [(line["row"], line["seed"]) for line in lines] == [(run["row"], run["seed"]) for run in results]
    for line, planned in zip(sorted(lines, key=lambda line: line["seed"]), study.planned(), strict=True):
        assert changed_keys(line["config"], planned.config) == []
    assert lines[-1]["config"]["model"]["num_queries"] == 1
    path.write_text(path.read_text().replace('"config"', '"configuration"'))
    with pytest.raises(DataError, match=r"table\.jsonl cannot be read"):
        read_table(path)
