"""`vlt train`: the way of a newcomer, from a configuration to an overlay, as processes of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from vlt.cli import main
from vlt.config import dump_config
from vlt.data.dataset import load_referrals


@pytest.fixture
def folder(tmp_path, tiny_config):
    """A configuration and a scene of its data as a picture."""
    (tmp_path / "tiny.yaml").write_text(dump_config(tiny_config))
    scene = load_referrals(tiny_config.data, "val")[0]
    PILImage.fromarray(np.asarray(scene.image)).save(tmp_path / "scene.png")
    return tmp_path


def vlt(folder, *arguments):
    command = [sys.executable, "-m", "vlt", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_train_test_predict(folder, tiny_config):
    train = vlt(folder, "train", "tiny.yaml", "--set", "output_dir=runs/one", "--set", "train.lr=1e-3")
    assert train.returncode == 0, train.stderr
    assert train.stdout == "runs/one\n"
    assert "Traceback" not in train.stderr
    assert "Warning" not in train.stderr

    test = vlt(folder, "test", "tiny.yaml", "--checkpoint", "runs/one", "--output", "val.json")
    assert test.returncode == 0, test.stderr
    report = json.loads((folder / "val.json").read_text())
    history = json.loads((folder / "runs" / "one" / "history.jsonl").read_text().splitlines()[-1])
    assert report["scores"]["miou"] == pytest.approx(history["miou"], abs=1e-6)

    expression = load_referrals(tiny_config.data, "val")[0].expressions[0].text
    predict = vlt(folder, "predict", "scene.png", expression, "--checkpoint", "runs/one")
    assert predict.returncode == 0, predict.stderr
    assert predict.stderr == ""
    assert (folder / "scene-vlt.png").is_file()


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("train.epoch=3", "unknown key 'train.epoch' (did you mean 'epochs'?)"),
        ("train.lr=fast", "'train.lr' is 'fast'"),
        ("model.image_size=[400, 64]", "400, not a multiple of darknet53's coarsest stride, 32; take 384 or 416"),
        ("train", "--set 'train' is not of the form a.b=value."),
        ("output_dir=tiny.yaml/run", "tiny.yaml/run cannot be made"),
    ],
)
def test_what_is_refused(folder, monkeypatch, assignment, sentence):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(main, ["train", "tiny.yaml", "--set", assignment])
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
