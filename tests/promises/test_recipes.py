"""The recipes of docs/recipes.md from a REFER folder to scores, at reduced width on drawn scenes.

RefCOCO, RefCOCO+ and RefCOCOg share images, as the published ones do: each validates on training images of another.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from refer_fixture import annotation, photo, ref, write_refer

from vlt.cli import main
from vlt.config.reading import read_config
from vlt.data.masks import encode_rle, mask_box
from vlt.dataset import load_referrals
from vlt.synth.shapes import SyntheticReferrals

ROOT = Path(__file__).parents[2]
SCENES, SIZE = 12, (64, 64)
SETS = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}
FEW = {"train.epochs": 2, "train.workers": 0, "train.save_every_steps": 1, "train.schedule.warmup_steps": 0}
SMALL_VLT = {
    **FEW,
    "train.batch_size": 4,
    "train.precision": "no",
    "model.dim": 16,
    "model.mask_dim": 8,
    "model.feedforward_dim": 16,
    "model.heads": 2,
    "model.num_queries": 2,
    "model.language.pretrained": "null",
    "model.language.tokenizer": ROOT / "src/vlt/weights/tokenizer",
    "model.language.architecture": "{hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}",
    "model.backbone.pretrained": "null",
}
SMALL_SWIN = {
    **SMALL_VLT,
    "model.image_size": "[64, 64]",
    "model.backbone.architecture": "{embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2], window_size: 2}",
}
SMALL_DINOV2 = {
    **SMALL_VLT,
    "model.image_size": "[56, 56]",
    "model.backbone.trainable_blocks": "null",
    "model.backbone.architecture": "{hidden_size: 16, num_hidden_layers: 4, num_attention_heads: 2}",
}
SMALL_REFERENCE = {
    **FEW,
    "train.schedule.milestones": "[1]",
    "train.batch_size": 4,
    "model.image_size": 64,
    "model.words": "{source: hash, dim: 8}",
    "model.backbone": "{width: 0.0625, blocks: [1, 1, 1, 1, 1]}",
    "model.rnn_dim": 16,
    "model.fused_dim": 64,
    "model.hidden_dim": 16,
    "model.transformer_dim": 16,
    "model.heads": 2,
    "model.num_queries": 2,
}
RECIPES = {
    "reference_refcoco": SMALL_REFERENCE,
    "reference_refcocog_umd": SMALL_REFERENCE,
    "swin_refcoco": SMALL_SWIN,
    "swin_joint": SMALL_SWIN,
    "dinov2_refcoco+": SMALL_DINOV2,
    "dinov2_joint": SMALL_DINOV2,
}


def split_of(scene, dataset):
    """A tenth or so of the scenes for each split; which ones, differs between the data sets."""
    place = (scene + 3 * list(SETS).index(dataset)) % SCENES
    return {0: "val", 1: "testA" if dataset != "refcocog" else "test", 2: "testB"}.get(place, "train")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with `data/`, prepared from REFER folders by `vlt prepare refer`."""
    folder = tmp_path_factory.mktemp("recipes")
    images = folder / "data" / "images" / "train2014"
    images.mkdir(parents=True)
    scenes = list(SyntheticReferrals(SCENES, SIZE, 0, "train", kinds={"category": 1, "position": 1}))
    photos = [photo(number, *SIZE) for number in range(len(scenes))]
    for each, scene in zip(photos, scenes, strict=True):
        Image.fromarray(scene.image).save(images / each["file_name"])
    annotations = []
    for number, scene in enumerate(scenes):
        left, top, right, bottom = mask_box(scene.targets[0])
        annotations.append(annotation(number, (left, top, right - left, bottom - top), encode_rle(scene.targets[0])))
        annotations[-1]["image_id"] = number
    for dataset, split_by in SETS.items():
        refs = [
            ref(number, number, number, split_of(number, dataset), *(each.text for each in scene.expressions))
            for number, scene in enumerate(scenes)
        ]
        write_refer(folder / "refer", refs, photos, annotations, dataset=dataset, split_by=split_by)
        where = ["--data-root", folder / "refer", "--output-dir", folder / "data", "--images", images]
        run("prepare", "refer", *where, "--dataset", dataset, "--split", split_by)
    return folder


def run(*arguments):
    """The output of a `vlt` command that must succeed."""
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def settings(recipe):
    return [part for key, value in RECIPES[recipe].items() for part in ("--set", f"{key}={value}")]


def train_killed(recipe):
    """Begin a run and kill it, without any warning, once it has saved its state."""
    command = [sys.executable, "-m", "vlt", "train", str(ROOT / "configs" / f"{recipe}.yaml"), *settings(recipe)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state, end = Path("runs") / recipe / "resume" / "state.pt", time.monotonic() + 240
    while not state.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert state.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    "recipe", [each if each == "swin_joint" else pytest.param(each, marks=pytest.mark.slow) for each in RECIPES]
)
@pytest.mark.filterwarnings("ignore::vlt.errors.VLTWarning")  # random weights; what is held out
def test_a_recipe_from_its_files_to_scores(recipe, data, monkeypatch):
    monkeypatch.chdir(data)
    config = ROOT / "configs" / f"{recipe}.yaml"
    assert "Nothing is wrong" in run("doctor", config, *settings(recipe))
    if recipe != "swin_joint":
        train_killed(recipe)
    said = run("train", config, *settings(recipe))
    assert ("Continuing" in said) == (recipe != "swin_joint")
    test_split = "test" if "cocog" in recipe else "testA"
    run("test", config, "--split", test_split, "--output", f"{recipe}.json")
    report = json.loads(Path(f"{recipe}.json").read_bytes())
    assert report["scores"]["count"] > 0
    assert report["provenance"]["split"] == test_split
    table = run("table", f"{recipe}.json", "--metric", "mIoU")
    assert f" | {100 * report['scores']['miou']:.2f} |" in table


@pytest.mark.filterwarnings("ignore::vlt.errors.VLTWarning")
def test_a_joint_recipe_trains_on_no_image_that_is_validated_or_tested_on(data, monkeypatch):
    monkeypatch.chdir(data)
    config = read_config(ROOT / "configs" / "swin_joint.yaml")
    trained = {int(referral.image.stem[-12:]) for referral in load_referrals(config.data, "train")}
    held_out = {scene for scene in range(SCENES) for name in SETS if split_of(scene, name) != "train"}
    assert trained == set(range(SCENES)) - held_out != set()
