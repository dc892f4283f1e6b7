"""`vlt train`: the way of a newcomer, from a configuration to an overlay, as processes of their own."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from vlt.cli import main
from vlt.config import dump_config
from vlt.dataset import load_referrals


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


def test_a_failure_in_a_loading_process_is_one_sentence_and_ends(folder, tmp_path):
    """An image that cannot be decoded, read by a worker: no traceback, no hang, nothing left behind."""
    for name in ("images", "masks/s", "anns/s"):
        (tmp_path / "data" / name).mkdir(parents=True)
    entries = []
    for number in range(1, 7):
        shutil.copy(tmp_path / "scene.png", tmp_path / "data" / "images" / f"{number}.png")
        PILImage.new("L", (96, 64), 255).save(tmp_path / "data" / "masks" / "s" / f"{number}.png")
        sentence = {"idx": 0, "sent_id": number, "sent": "the circle"}
        entry = {"bbox": [0, 0, 96, 64], "cat": 0, "segment_id": number, "img_name": f"{number}.png"}
        entries.append({**entry, "sentences": [sentence], "sentences_num": 1})
    for split in ("train", "val"):
        (tmp_path / "data" / "anns" / "s" / f"{split}.json").write_text(json.dumps(entries))
    damaged = tmp_path / "data" / "images" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    changes = (
        "data={name: refer, root: data, dataset: s, images: data/images}",
        *("train.workers=2", "train.batch_size=6", "output_dir=run"),
    )
    train = vlt(folder, "train", "tiny.yaml", *(word for change in changes for word in ("--set", change)))
    assert (train.returncode, train.stdout) == (1, ""), train.stderr
    assert "Traceback" not in train.stderr
    assert "error: Referral 3: " in train.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_start_from_the_package_is_named_default(folder, tmp_path):
    """The key takes the name, and a configuration of another network is refused by a short sentence."""
    train = vlt(folder, "train", "tiny.yaml", "--set", "train.start_from=default", "--set", "output_dir=run")
    assert train.returncode == 1
    assert "train.start_from" in train.stderr.splitlines()[-1]
    assert len(train.stderr.splitlines()[-1]) < 600
    assert not (tmp_path / "run").exists()
