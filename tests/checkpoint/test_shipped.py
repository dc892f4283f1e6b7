"""The model in the package: found without a name, missed with one sentence, and part of what is built."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import vlt
from vlt.checkpoint import directory, load_checkpoint, pack_checkpoint
from vlt.cli import main
from vlt.data.masks import box_overlap
from vlt.errors import CheckpointError

ROOT = Path(__file__).parents[2]


def test_without_a_name_it_is_loaded(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(directory, "SHIPPED", tiny_checkpoint)
    assert load_checkpoint().path == tiny_checkpoint
    saved = load_checkpoint(tiny_checkpoint).config.inference
    assert vlt.load(device="cpu", correct_spelling=saved.correct_spelling).settings == saved


def test_where_there_is_none_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match=r"^No trained model comes with this copy of vlt; .*--checkpoint RUN"):
        vlt.load()
    for command in (["info"], ["predict", str(ROOT / "examples" / "shapes.png"), "star", "--json"]):
        result = CliRunner().invoke(main, command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: No trained model comes with this copy of vlt")
        assert result.stderr.count("\n") == 1


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_holds_it(tiny_checkpoint, tmp_path):
    """Built of a copy of this tree with a model in it; unpacked, and used as installed."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "src" / "vlt", tree / "src" / "vlt", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    pack_checkpoint(tiny_checkpoint, tree / "src" / "vlt" / "weights")
    build = f"from setuptools import build_meta; print(build_meta.build_wheel({str(tmp_path)!r}))"
    wheel = run(sys.executable, "-c", build, cwd=tree).splitlines()[-1]
    with zipfile.ZipFile(tmp_path / wheel) as content:
        assert {"vlt/py.typed", "vlt/weights/meta.json", "vlt/weights/vocabulary.npz"} <= set(content.namelist())
        content.extractall(tmp_path / "site")
    load = "import vlt; print(vlt.load(device='cpu').predict('shapes.png', 'star')[0].mask.shape)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    assert run(sys.executable, "-c", load, cwd=ROOT / "examples", env=environment) == "(256, 256)\n"


# ---------------------------------------------------------------- the model itself


def test_it_keeps_within_its_size():
    assert sum(path.stat().st_size for path in directory.SHIPPED.rglob("*") if path.is_file()) <= 90e6


def test_it_says_what_it_is():
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 0, result.output
    for part in (
        "dinov2",
        "bert",
        "refiner",
        "detector",
        "nothing matches below a presence of 0.",
        "agreement with the network's mask",
        "MobileSAM: Apache-2.0",
        "NanoDet-g: Apache-2.0",
        "COCO labels none seen in the backbone's pretraining; the detector was trained on those of train2017",
        "selected    on split val_a",
        'on data set "natural", split val_b, 3260',
    ):
        assert part in result.stdout


def test_it_finds_what_lies_in_photos_that_it_never_saw():
    """Boxes drawn by hand around the cup, the woman and the helmet; half of a box must be met."""
    expected = {
        ("coffee.jpg", "cup"): (172, 18, 402, 312),
        ("astronaut.jpg", "woman"): (20, 12, 372, 512),
        ("astronaut.jpg", "black helmet bottom right"): (276, 344, 500, 512),
    }
    predictor = vlt.load(device="cpu")
    for (photo, expression), box in expected.items():
        [found] = predictor.predict(ROOT / "examples" / photo, expression)
        assert found.box is not None, expression
        assert box_overlap(found.box, box) > 0.5, (expression, found.box)


def test_it_says_that_nothing_matches():
    predictor = vlt.load(device="cpu")
    for photo, expression in (("coffee.jpg", "a dog"), ("astronaut.jpg", "the red bus on the left")):
        [found] = predictor.predict(ROOT / "examples" / photo, expression)
        assert (found.matches, found.mask.any()) == (False, False), expression


def test_both_engines_find_the_same_instances():
    """Drawn shapes, which the model was not trained for: what matters is that both take the same."""
    found = []
    for engine in ("onnx", "torch"):
        predictor = vlt.load(device="cpu", engine=engine, fast=True)
        [one] = predictor.predict(ROOT / "examples" / "shapes.png", "all stars", instances=True)
        found.append(one.instances)
    assert len(found[0]) > 1
    for one, other in zip(*found, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert np.count_nonzero(one.mask != other.mask) <= 0.01 * np.count_nonzero(one.mask)
