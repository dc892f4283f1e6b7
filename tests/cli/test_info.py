"""`vlt info` and `vlt pack`: what a model is, before and after packing."""

import json

import pytest
from click.testing import CliRunner

from vlt.checkpoint import load_checkpoint, save_checkpoint
from vlt.checkpoint.describe import info_lines
from vlt.cli import main
from vlt.config import parse_config


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


REPORT = {
    "scores": {"miou": 0.6543, "oiou": 0.7, "precision": {"0.5": 0.72}, "count": 641},
    "provenance": {"dataset": "photos", "split": "val", "half": "b", "refined": True, "mirrored": False},
}


@pytest.fixture
def packed(tiny_checkpoint, tmp_path):
    """Packed by the command, with a report and two licences."""
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    options = ["--report", tmp_path / "report.json", "--licence", "net: Apache-2.0", "--licence", "data: CC BY 4.0"]
    result = run("pack", tiny_checkpoint, tmp_path / "packed", *options)
    assert result.exit_code == 0, result.stderr
    size = sum(path.stat().st_size for path in (tmp_path / "packed").iterdir())
    assert result.stdout == f"{tmp_path / 'packed'}  {size / 1e6:.1f} MB\n"
    return tmp_path / "packed"


def test_json(packed):
    facts = json.loads(run("info", packed, "--json").stdout)
    model = load_checkpoint(packed).model
    assert facts["checkpoint"] == str(packed)
    assert facts["packed"] is True
    assert facts["architecture"]["input_size"] == [64, 64]
    assert facts["parameters"]["total"] == sum(one.numel() for one in model.parameters())
    assert facts["parameters"]["backbone"] == sum(one.numel() for one in model.backbone.parameters())
    assert sum(facts["parameters"].values()) == 2 * facts["parameters"]["total"]
    assert facts["backbone_seen_coco_labels"] is False
    assert facts["training"]["seed"] == 0
    assert facts["training"]["data"]["name"] == "synthetic"
    assert facts["reports"] == [REPORT]
    assert facts["licences"] == ["net: Apache-2.0", "data: CC BY 4.0"]
    assert facts["files"] == {path.name: path.stat().st_size for path in packed.iterdir()}


def test_lines_name_all_data_sets_and_what_the_detector_saw(packed):
    facts = json.loads(run("info", packed, "--json").stdout)
    assert facts["detector_seen_coco_labels"] is False
    assert dict(info_lines(facts))["COCO labels"] == "none seen in the backbone's pretraining"
    data = {"name": "refer", "dataset": "one", "mixed_with": [{"dataset": "two"}], "train_split": "train"}
    changed = {**facts, "detector_seen_coco_labels": True, "training": {**facts["training"], "data": data}}
    lines = dict(info_lines(changed))
    assert lines["COCO labels"].endswith("; the detector was trained on those of train2017")
    assert lines["trained on"].startswith('data set "one" and data set "two", split train; ')


def test_lines_of_a_network_that_says_that_nothing_matches(packed):
    facts = json.loads(run("info", packed, "--json").stdout)
    assert not {"presence", "selection", "several"} & dict(info_lines(facts)).keys()
    rated = dict(info_lines({**facts, "inference": {**facts["inference"], "agreement": 0.5}}))
    assert rated["selection"].endswith("to the power of 0.5")
    taken = dict(info_lines({**facts, "inference": {**facts["inference"], "several": 0.25}}))
    assert taken["several"] == "candidates from 0.25 times the most probable one's probability"
    for changes, line in (
        ({"presence": 0.25}, "nothing matches below a presence of 0.25, temperature 1"),
        ({"temperature": 1.5}, "nothing matches below a presence of 0, temperature 1.5"),
    ):
        assert dict(info_lines({**facts, "inference": {**facts["inference"], **changes}}))["presence"] == line


def test_lines(packed):
    lines = run("info", packed).stdout.splitlines()
    assert "network     vlt: darknet53, gru, 4 queries" in lines
    assert "input       64 x 64 pixels, 8 words or word pieces" in lines
    assert "prediction  threshold 0.5, no test-time augmentation, outlines not refined" in lines
    assert "trained on  drawn shapes, split train; fingerprint not stated" in lines
    scores = "mIoU 65.4, oIoU 70.0, Pr@0.5 72.0"
    assert f'tested      on data set "photos", split val_b, 641 expressions, refined: {scores}' in lines
    assert "licence     net: Apache-2.0" in lines
    assert "licence     data: CC BY 4.0" in lines


def test_what_is_not_stated_is_said_so(tiny_checkpoint):
    lines = run("info", tiny_checkpoint).stdout.splitlines()
    assert "licence     not stated" in lines
    assert not [line for line in lines if line.startswith(("tested", "selected")) or "packed" in line]


def test_a_damaged_model_is_noticed(packed):
    (packed / "weights.safetensors").write_bytes(b"")
    result = run("info", packed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is missing or damaged" in result.stderr


def test_each_number_names_its_split(tiny_config, tiny_model, tiny_text, tmp_path):
    """A checkpoint of version 0.1 names the whole split, and the half that selected it in its configuration."""
    values = tiny_config.model_dump(mode="json")
    del values["inference"]
    values["evaluate"] = {"threshold": 0.5, "batch_size": 3, "mirror": True, "half": "a", "select_by": "miou"}
    values["data"] = {"name": "refer", "root": "d", "dataset": "fresh", "images": "i", "val_split": "val"}
    config = parse_config(values, "test")
    meta = {
        "metric": "miou",
        "split": "val",
        "score": 0.478,
        "epoch": 2,
        "step": 7,
        "data_fingerprint": "0123456789abc",
    }
    save_checkpoint(tmp_path / "one", model=tiny_model, config=config, text=tiny_text, meta=meta)
    stored = json.loads((tmp_path / "one" / "meta.json").read_text())
    report = {"scores": REPORT["scores"], "provenance": {"dataset": "fresh", "split": "val_b", "flip": True}}
    stored |= {"commit": "1234-dirty", "reports": [report]}
    (tmp_path / "one" / "meta.json").write_text(json.dumps(stored))
    lines = run("info", tmp_path / "one").stdout.splitlines()
    assert "selected    on split val_a, by miou 47.8 (epoch 2, step 7)" in lines
    assert any(
        line.startswith('tested      on data set "fresh", split val_b, 641 expressions, with flip: ') for line in lines
    )
    assert 'trained on  data set "fresh", split train; fingerprint 0123456789ab' in lines
    assert "prediction  threshold 0.5, averaged with the flipped image, outlines not refined" in lines
    assert any("commit 1234 with uncommitted changes, seed 0" in line for line in lines)
    assert "dirty" not in "".join(lines)
    facts = json.loads(run("info", tmp_path / "one", "--json").stdout)
    assert facts["inference"] == {
        "threshold": 0.5,
        "presence": 0.0,
        "temperature": 1.0,
        "agreement": 0.0,
        "several": None,
        "flip": True,
        "refine": False,
        "input_size": [64, 64],
    }
    assert facts["training"]["split"] == "val_a"


def test_json_for_a_console_of_another_encoding(tiny_checkpoint, tmp_path):
    assert (
        run("pack", tiny_checkpoint, tmp_path / "packed", "--licence", "free \N{SMILE}\N{GRINNING FACE}").exit_code == 0
    )
    result = CliRunner(charset="cp1252").invoke(main, ["info", str(tmp_path / "packed"), "--json"])
    assert json.loads(result.stdout)["licences"] == ["free \N{SMILE}\N{GRINNING FACE}"]
