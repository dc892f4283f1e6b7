"""`vlt test`: a table on stdout, files where they belong, and what is refused before anything is computed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from conftest import TINY
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from video_fixture import write_mevis

from vlt.checkpoint import save_checkpoint, set_pointer, source_commit
from vlt.cli import main
from vlt.config import dump_config, parse_config, read_config
from vlt.data.prepared import write_prepared
from vlt.dataset import load_referrals
from vlt.evaluate import whole_image
from vlt.model.build import build_model
from vlt.prepare.published.video import prepare_video
from vlt.prepare.splits import with_halves
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
    assert report["cut_expressions"] == 0
    provenance = report["provenance"]
    assert provenance["split"] == "val"
    assert provenance["checkpoint"] == "run/checkpoints/epoch-1"
    assert provenance["commit"] == source_commit()
    assert provenance["command"].startswith("vlt")
    used = {key: provenance[key] for key in ("threshold", "flip", "refined", "input_size")}
    assert used == {"threshold": 0.5, "flip": False, "refined": False, "input_size": [64, 64]}
    assert "threshold 0.5; flip False; refined False; input_size 64 x 64" in result.stdout


@pytest.mark.parametrize("option", ["--baselines", "--dummies"])
def test_baselines_stand_beside_the_model(run_dir, config_file, option):
    result = invoke("tiny.yaml", option, "--per-sample", "each.jsonl")
    assert result.exit_code == 0, result.stderr
    for name in ("each", "each.whole-image", "each.centred-box", "each.noun-alone"):
        assert len(Path(f"{name}.jsonl").read_text().splitlines()) == 12
    report = json.loads((run_dir / "checkpoints" / "epoch-1.val.json").read_text())
    assert set(report["baselines"]) == {"whole image", "centred box", "noun alone"}
    assert report["baselines"]["noun alone"]["count"] == report["scores"]["count"], "every shape has a name"
    assert report["baselines"]["whole image"]["count"] == report["scores"]["count"]
    for name, scores in report["baselines"].items():
        assert f"{100 * scores['miou']:.2f}" in next(
            line for line in result.stdout.splitlines() if line.startswith(name)
        )


@pytest.fixture
def prepared_config(config_file, tmp_path):
    """The same, on eight images of a prepared data set."""
    masks = [np.pad(np.ones((20, 20), bool), ((10, 34), (left, 76 - left))) for left in (5, 50)]
    photos = [tmp_path / "photos" / f"{number}.png" for number in range(8)]
    photos[0].parent.mkdir()
    referrals = []
    for number, photo in enumerate(photos):
        Image.fromarray(np.where(masks[0] | masks[1], 250, 20).astype(np.uint8)).convert("RGB").save(photo)
        for place, side in enumerate(("left", "right")):
            expression = Expression(2 * number + place, f"{side} square")
            referrals.append(
                Referral(2 * number + place, photo, (masks[place],), (expression,), 0, None, Standing(2, 1 + place))
            )
    splits = with_halves({"train": referrals, "val": referrals})
    write_prepared(tmp_path / "data", "squares", splits, generate_mask=False, images=tmp_path / "photos")
    values = yaml.safe_load(config_file.read_text())
    values["data"] = {"name": "refer", "root": "data", "dataset": "squares", "images": "photos"}
    config_file.write_text(yaml.safe_dump(values))
    return tmp_path / "data/anns/squares/prepare.json"


def test_two_halves_are_the_whole(run_dir, prepared_config):
    reports = {}
    for split in ("val_a", "val_b", "val"):
        result = invoke("tiny.yaml", "--split", split)
        assert result.exit_code == 0, result.stderr
        reports[split] = json.loads((run_dir / "checkpoints" / f"epoch-1.{split}.json").read_text())
        assert reports[split]["provenance"]["split"] == split
    counts = {split: report["scores"]["count"] for split, report in reports.items()}
    assert 0 < counts["val_a"] == 16 - counts["val_b"] < 16
    sums = {split: report["scores"]["miou"] * counts[split] for split, report in reports.items()}
    assert sums["val_a"] + sums["val_b"] == pytest.approx(sums["val"])


def test_expressions_that_are_cut_are_counted_and_printed(run_dir, prepared_config):
    file = prepared_config.with_name("val.json")
    entries = json.loads(file.read_text())
    for entry in entries[:3]:
        entry["sentences"][0]["sent"] = "the small square over there that is left of the other one"
    file.write_text(json.dumps(entries))
    result = invoke("tiny.yaml", "--output", "o.json")
    assert result.exit_code == 0, result.stderr
    assert "3 expressions were cut at model.max_words: their ends were not read" in result.stdout
    assert json.loads((run_dir.parent / "o.json").read_text())["cut_expressions"] == 3


def test_the_noun_alone_needs_the_names_of_categories(run_dir, prepared_config):
    result = invoke("tiny.yaml", "--baselines", "--output", "without.json")
    assert result.exit_code == 0, result.stderr
    assert "warning: The noun alone was not evaluated, since the data set has no category names" in result.stderr
    report = json.loads((run_dir.parent / "without.json").read_text())
    assert "noun alone" not in report["baselines"]
    assert "noun alone" not in report["distractors"]["all"]
    prepared_config.write_text(json.dumps({"categories": ["square"]}))
    result = invoke("tiny.yaml", "--baselines", "--output", "with.json")
    assert result.stderr.count("warning") == 0
    report = json.loads((run_dir.parent / "with.json").read_text())
    assert report["baselines"]["noun alone"]["count"] == report["distractors"]["all"]["noun alone"]["count"] == 16
    assert "several of the category in the image, mIoU:" in result.stdout


def test_several_splits_and_all_files(run_dir, config_file):
    files = ["--output", "o.json", "--per-sample", "s.jsonl", "--worst", 2, "bad"]
    result = invoke("tiny.yaml", "--split", "train", "--split", "val", *files)
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
    ship(run_dir, threshold=0.9, flip=True)
    assert invoke("tiny.yaml", "--protocol", "original").exit_code == 0
    report = json.loads((run_dir / "checkpoints" / "epoch-1.val.original.json").read_text())
    assert report["protocol"]["threshold"] == 0.35
    used = {key: report["provenance"][key] for key in ("threshold", "flip", "refined")}
    assert used == {"threshold": 0.35, "flip": False, "refined": False}


def test_a_prepared_set_of_videos(run_dir, config_file):
    """From the published files over `vlt prepare video` and `vlt test --protocol video` to a table of J&F."""
    folder = run_dir.parent
    write_mevis(folder / "mevis")
    prepare_video(folder / "mevis", folder / "data", name="mevis")
    data = {"name": "refer", "root": "data", "dataset": "mevis", "images": "mevis", "val_split": "valid_u"}
    values = yaml.safe_load(config_file.read_text())
    (folder / "videos.yaml").write_text(yaml.safe_dump(values | {"data": data}))
    result = invoke("videos.yaml", "--protocol", "video", "--output", "videos.json")
    assert result.exit_code == 0, result.stderr
    video = json.loads((folder / "videos.json").read_text())["video"]
    assert (video["expressions"], video["frames"]) == (2, 6)
    shares = [f"{name} {100 * video[key]:.2f}" for name, key in (("J&F", "mean"), ("J", "region"), ("F", "contour"))]
    assert f"{', '.join(shares)} over 2 expressions" in result.stdout
    table = CliRunner().invoke(main, ["table", "videos.json", "--metric", "J&F", "--metric", "J"]).stdout
    assert f"| {100 * video['mean']:.2f} | {100 * video['region']:.2f} |" in table


def test_the_protocol_of_grefcoco(run_dir, config_file):
    assert invoke("tiny.yaml", "--protocol", "grefcoco").exit_code == 0
    report = json.loads((run_dir / "checkpoints" / "epoch-1.val.grefcoco.json").read_text())
    assert (report["protocol"]["name"], report["protocol"]["threshold"]) == ("grefcoco", 0.5)


def test_the_network_is_the_checkpoints_and_the_data_the_configurations(run_dir, config_file):
    values = yaml.safe_load(config_file.read_text())
    values["model"]["dim"] = 64  # would not fit the weights
    values["output_dir"] = "elsewhere"
    values["data"]["val_scenes"] = 3
    config_file.write_text(yaml.safe_dump(values))
    result = invoke("tiny.yaml", "--checkpoint", "run", "--set", "inference.threshold=0.25", "--output", "o.json")
    assert result.exit_code == 0, result.stderr
    report = json.loads((run_dir.parent / "o.json").read_text())
    assert report["protocol"]["threshold"] == 0.25
    assert report["scores"]["count"] == sum(
        len(each.expressions) for each in load_referrals(read_config(config_file).data, "val")
    )


def ship(run_dir, **settings):
    """Change how the checkpoint of a run makes predictions."""
    file = run_dir / "checkpoints" / "epoch-1" / "config.yaml"
    values = yaml.safe_load(file.read_text())
    values["inference"].update(settings)
    file.write_text(yaml.safe_dump(values))


def used_by(result, run_dir):
    """What the report says about how predictions were made."""
    assert result.exit_code == 0, result.stderr
    report = json.loads((run_dir.parent / "o.json").read_text())
    assert report["protocol"]["threshold"] == report["provenance"]["threshold"]
    return {key: report["provenance"][key] for key in ("threshold", "flip", "input_size")}


def test_what_is_tested_is_what_is_shipped(run_dir, config_file):
    """The checkpoint's inference settings are used, not those of CONFIG."""
    values = yaml.safe_load(config_file.read_text())
    values["inference"] |= {"threshold": 0.8, "flip": False}
    config_file.write_text(yaml.safe_dump(values))
    ship(run_dir, threshold=0.3, flip=True)
    result = invoke("tiny.yaml", "--output", "o.json")
    assert used_by(result, run_dir) == {"threshold": 0.3, "flip": True, "input_size": [64, 64]}
    assert "protocol vlt: mask = probability > 0.3" in result.stdout
    assert "threshold 0.3; flip True" in result.stdout


@pytest.mark.parametrize("name", ["inference.threshold", "evaluate.threshold"])
@pytest.mark.filterwarnings("ignore:--set")
def test_settings_on_the_command_line_override_the_checkpoints(run_dir, config_file, name):
    """The key of version 0.1 works too, and says so."""
    ship(run_dir, threshold=0.9, flip=True)
    result = invoke("tiny.yaml", "--set", f"{name}=0.3", "--output", "o.json")
    assert used_by(result, run_dir) == {"threshold": 0.3, "flip": True, "input_size": [64, 64]}
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert len(warnings) == (name == "evaluate.threshold")
    assert all("evaluate.threshold is now inference.threshold" in line for line in warnings)


def test_flip_on_the_command_line(run_dir, config_file):
    for key in ("inference.flip", "evaluate.mirror"):
        result = invoke("tiny.yaml", "--set", f"{key}=true", "--output", "o.json")
        assert used_by(result, run_dir)["flip"] is True


def test_nan_is_an_error_and_no_report_is_written(run_dir, config_file):
    file = run_dir / "checkpoints" / "epoch-1" / "weights.safetensors"
    with safe_open(file, "pt") as opened:
        meta = opened.metadata()
    tensors = load_file(file)
    key = next(key for key in sorted(tensors) if key.startswith("mask_decoder") and tensors[key].is_floating_point())
    save_file({**tensors, key: torch.full_like(tensors[key], float("nan"))}, file, metadata=meta)
    result = invoke("tiny.yaml", "--output", "o.json")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert "mIoU" not in result.stdout
    assert not (run_dir.parent / "o.json").exists()


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["none.yaml"], 2, "error: There is no configuration file none.yaml"),
        (["tiny.yaml", "--set", "inference.treshold=0.3"], 2, "did you mean 'threshold'?"),
        (["tiny.yaml", "--set", "inference.threshold=3"], 2, "'inference.threshold' is 3"),
        (["tiny.yaml", "--set", "inference.image_size=[65, 64]"], 2, "inference.image_size"),
        (["tiny.yaml", "--set", "model.dim=64"], 2, "`vlt test` takes the network from the checkpoint"),
        (["tiny.yaml", "--checkpoint", "nowhere"], 1, "error: There is no checkpoint nowhere"),
        (["tiny.yaml", "--set", "output_dir=nowhere"], 1, "error: There is no checkpoint nowhere"),
        (["tiny.yaml", "--split", "val", "--split", "tset"], 2, "'tset'"),
        (["tiny.yaml", "--split", "val_a"], 2, "'val_a'"),
        (["tiny.yaml", "--half", "a"], 2, "No such option"),
        (["tiny.yaml", "--protocol", "mine"], 2, "'mine' is not one of 'vlt', 'original', 'grefcoco'"),
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


def test_the_detector_with_rules_is_a_baseline_of_networks_with_a_detector(
    run_dir, config_file, tiny_text, monkeypatch
):
    """The rules have tests of their own; here they mark the whole image."""
    monkeypatch.setattr("vlt.evaluate.rules.detector_with_rules", lambda predictor: whole_image)
    small = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}
    model = {**TINY["model"], "candidates": small}
    config = parse_config({**TINY, "model": model, "loss": {"candidate": 1.0}}, "tests")
    network = build_model(config.model).eval()
    save_checkpoint(run_dir / "checkpoints" / "epoch-1", model=network, config=config, text=tiny_text, meta={})
    assert invoke("tiny.yaml", "--baselines").exit_code == 0
    baselines = json.loads((run_dir / "checkpoints" / "epoch-1.val.json").read_text())["baselines"]
    assert baselines["detector with rules"] == baselines["whole image"]


@pytest.mark.slow
def test_two_processes_report_what_one_does(run_dir, config_file, tmp_path):
    def run(name, *launcher):
        files = [str(tmp_path / f"{name}{ending}") for ending in (".json", ".jsonl", ".worst")]
        options = ["--output", files[0], "--per-sample", files[1], "--worst", "2", files[2], "--baselines"]
        command = [sys.executable, *launcher, "-m", "vlt", "test", str(config_file), *options]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 0, result.stderr
        report = json.loads(Path(files[0]).read_bytes())
        del report["provenance"]
        pictures = {path.name: path.read_bytes() for path in Path(files[2]).iterdir()}
        return report, Path(files[1]).read_text(), pictures, result.stdout.count("Pr@0.5")

    launcher = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d")
    alone, both = run("alone"), run("both", *launcher, "--rdzv-endpoint=localhost:0")
    assert both == alone
