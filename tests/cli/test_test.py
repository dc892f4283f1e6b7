"""`vlt test`: a table on stdout, files where they belong, and what is refused before anything is computed."""

import json
import shutil

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from vlt.checkpoint import set_pointer, source_commit
from vlt.cli import main
from vlt.config import dump_config
from vlt.data.prepared import write_prepared
from vlt.types import Expression, Referral, Standing


@pytest.fixture
def run_dir(tiny_checkpoint, tmp_path, monkeypatch):
    """A run with one checkpoint, `tiny.yaml` beside it, and the working directory there."""
    shutil.copytree(tiny_checkpoint, tmp_path / "run" / "checkpoints" / "epoch-1")
    set_pointer(tmp_path / "run", "best", "epoch-1")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def config_file(run_dir, tiny_config):
    path = run_dir.parent / "tiny.yaml"
    path.write_text(dump_config(tiny_config))
    return path


def invoke(*arguments):
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


def test_a_table_and_a_report_beside_the_checkpoint(run_dir, config_file):
    result = invoke("tiny.yaml")
    assert result.exit_code == 0, result.stderr
    assert "mIoU" in result.stdout
    assert "oIoU" in result.stdout
    assert "mIoU" not in result.stderr
    report = json.loads((run_dir / "checkpoints" / "epoch-1.val.json").read_text())
    assert report["scores"]["count"] > 0
    assert report["protocol"]["threshold"] == 0.5
    provenance = report["provenance"]
    assert provenance["split"] == "val"
    assert provenance["checkpoint"] == "run/checkpoints/epoch-1"
    assert provenance["commit"] == source_commit()
    assert provenance["command"].startswith("vlt")


def test_dummies_stand_beside_the_model(run_dir, config_file):
    result = invoke("tiny.yaml", "--dummies")
    assert result.exit_code == 0, result.stderr
    report = json.loads((run_dir / "checkpoints" / "epoch-1.val.json").read_text())
    assert set(report["dummies"]) == {"whole photo", "centred box", "noun alone"}
    assert report["dummies"]["noun alone"]["count"] == report["scores"]["count"], "scenes know all their shapes"
    assert report["dummies"]["whole photo"]["count"] == report["scores"]["count"]
    for name, scores in report["dummies"].items():
        assert f"{100 * scores['miou']:.2f}" in next(
            line for line in result.stdout.splitlines() if line.startswith(name)
        )


@pytest.fixture
def prepared_config(config_file, tmp_path):
    """The same, on eight photos of a prepared data set."""
    masks = [np.pad(np.ones((20, 20), bool), ((10, 34), (left, 76 - left))) for left in (5, 50)]
    photos = [tmp_path / "photos" / f"{number}.png" for number in range(8)]
    photos[0].parent.mkdir()
    referrals = []
    for number, photo in enumerate(photos):
        Image.fromarray(np.where(masks[0] | masks[1], 250, 20).astype(np.uint8)).convert("RGB").save(photo)
        for place, side in enumerate(("left", "right")):
            sentence = Expression(2 * number + place, f"{side} square")
            referrals.append(
                Referral(2 * number + place, photo, masks[place], (sentence,), 0, None, Standing(2, 1 + place))
            )
    splits = {"train": referrals, "val": referrals}
    write_prepared(tmp_path / "data", "squares", splits, generate_mask=False, images=tmp_path / "photos")
    values = yaml.safe_load(config_file.read_text())
    values["data"] = {"name": "refer", "root": "data", "dataset": "squares", "images": "photos"}
    config_file.write_text(yaml.safe_dump(values))
    return tmp_path / "data/anns/squares/prepare.json"


def test_two_halves_are_the_whole(run_dir, prepared_config):
    reports = {}
    for half, name in (("a", "val-a"), ("b", "val-b"), (None, "val")):
        result = invoke("tiny.yaml", *(["--half", half] if half else []))
        assert result.exit_code == 0, result.stderr
        reports[half] = json.loads((run_dir / "checkpoints" / f"epoch-1.{name}.json").read_text())
        assert reports[half]["provenance"]["half"] == half
    counts = {half: report["scores"]["count"] for half, report in reports.items()}
    assert 0 < counts["a"] == 16 - counts["b"] < 16
    sums = {half: report["scores"]["miou"] * counts[half] for half, report in reports.items()}
    assert sums["a"] + sums["b"] == pytest.approx(sums[None])


def test_the_noun_alone_needs_the_names_of_categories(run_dir, prepared_config):
    result = invoke("tiny.yaml", "--dummies", "--output", "without.json")
    assert result.exit_code == 0, result.stderr
    assert "warning: The noun alone was not asked: the data do not tell" in result.stderr
    report = json.loads((run_dir.parent / "without.json").read_text())
    assert "noun alone" not in report["dummies"]
    assert report["noun_gain"] is None
    prepared_config.write_text(json.dumps({"categories": ["square"]}))
    result = invoke("tiny.yaml", "--dummies", "--output", "with.json")
    assert result.stderr.count("warning") == 0
    report = json.loads((run_dir.parent / "with.json").read_text())
    assert report["dummies"]["noun alone"]["count"] == report["noun_gain"]["count"] == 16
    assert "16 sentences: mIoU" in result.stdout


def test_several_splits_and_all_files(run_dir, config_file):
    asked = ["--split", "train", "--split", "val", "--output", "o.json", "--per-sample", "s.jsonl", "--worst", 2, "bad"]
    result = invoke("tiny.yaml", *asked)
    assert result.exit_code == 0, result.stderr
    for split in ("train", "val"):
        report = json.loads((run_dir.parent / f"o.{split}.json").read_text())
        lines = (run_dir.parent / f"s.{split}.jsonl").read_text().splitlines()
        assert len(lines) == report["scores"]["count"]
        assert {"ref_id", "sent_id", "iou"} <= set(json.loads(lines[0]))
        assert report["scores"]["miou"] == pytest.approx(sum(json.loads(line)["iou"] for line in lines) / len(lines))
        assert len(list((run_dir.parent / "bad" / split).glob("*.png"))) == 2
    assert not (run_dir / "checkpoints" / "epoch-1.val.json").exists()


def test_one_split_keeps_the_names_given(run_dir, config_file):
    result = invoke("tiny.yaml", "--output", "o.json", "--per-sample", "s.jsonl", "--worst", 1, "bad")
    assert result.exit_code == 0, result.stderr
    assert (run_dir.parent / "o.json").is_file()
    assert (run_dir.parent / "s.jsonl").is_file()
    assert len(list((run_dir.parent / "bad").glob("*.png"))) == 1


def test_the_originals_protocol(run_dir, config_file):
    assert invoke("tiny.yaml", "--protocol", "original").exit_code == 0
    report = json.loads((run_dir / "checkpoints" / "epoch-1.val.original.json").read_text())
    assert report["protocol"]["threshold"] == 0.35


def test_the_network_is_the_checkpoints_and_the_rest_the_configurations(run_dir, config_file, tiny_checkpoint):
    values = yaml.safe_load(config_file.read_text())
    values["model"]["dim"] = 64  # would not fit the weights
    values["output_dir"] = "elsewhere"
    config_file.write_text(yaml.safe_dump(values))
    result = invoke("tiny.yaml", "--checkpoint", "run", "--set", "evaluate.threshold=0.25", "--output", "o.json")
    assert result.exit_code == 0, result.stderr
    assert json.loads((run_dir.parent / "o.json").read_text())["protocol"]["threshold"] == 0.25


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["none.yaml"], 2, "error: There is no configuration file none.yaml"),
        (["tiny.yaml", "--set", "evaluate.treshold=0.3"], 2, "did you mean 'threshold'?"),
        (["tiny.yaml", "--set", "model.dim=64"], 2, "`vlt test` takes the network from the checkpoint"),
        (["tiny.yaml", "--checkpoint", "nowhere"], 1, "error: There is no checkpoint nowhere"),
        (["tiny.yaml", "--set", "output_dir=nowhere"], 1, "error: There is no checkpoint nowhere"),
        (["tiny.yaml", "--split", "val", "--split", "tset"], 2, "'tset'"),
        (["tiny.yaml", "--half", "c"], 2, "'c' is not one of 'a', 'b'"),
        (["tiny.yaml", "--half", "a"], 2, "Scenes drawn in memory have no names to halve them by"),
        (["tiny.yaml", "--protocol", "mine"], 2, "'mine' is not one of 'vlt', 'original'"),
        (["tiny.yaml", "--output", "no/o.json"], 2, "there is no folder no for o.json; make it first."),
        (["tiny.yaml", "--output", "run"], 2, "run is a directory; name a file inside it."),
        (["tiny.yaml", "--per-sample", "no/s.jsonl"], 2, "there is no folder no for s.jsonl"),
        (["tiny.yaml", "--worst", "0", "bad"], 2, "0 is not in the range x>=1"),
        (["tiny.yaml", "--worst", "3", "tiny.yaml"], 1, "tiny.yaml cannot be made"),
    ],
)
def test_what_is_refused(run_dir, config_file, arguments, code, sentence):
    result = invoke(*arguments)
    assert result.exit_code == code
    assert sentence in " ".join(result.stderr.split())
    assert "mIoU" not in result.stdout
