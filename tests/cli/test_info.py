"""`vlt info` and `vlt pack`: what a model is, before and after packing."""

import json

import pytest
from click.testing import CliRunner

from vlt.checkpoint import load_checkpoint
from vlt.cli import main


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


def test_lines(packed):
    lines = run("info", packed).stdout.splitlines()
    assert "network     vlt: darknet53, gru, 4 queries" in lines
    assert "input       64 x 64 pixels, 8 words or word pieces" in lines
    assert "trained on  synthetic, split train, fingerprint not stated" in lines
    assert "measured    photos val, half b, refined: mIoU 65.4, oIoU 70.0, Pr@0.5 72.0 over 641 sentences" in lines
    assert "licence     net: Apache-2.0" in lines
    assert "licence     data: CC BY 4.0" in lines


def test_what_is_not_stated_is_said_so(tiny_checkpoint):
    lines = run("info", tiny_checkpoint).stdout.splitlines()
    assert "licence     not stated" in lines
    assert not [line for line in lines if line.startswith(("measured", "chosen")) or "packed" in line]


def test_a_damaged_model_is_noticed(packed):
    (packed / "weights.safetensors").write_bytes(b"")
    result = run("info", packed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is missing or damaged" in result.stderr
