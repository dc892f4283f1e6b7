"""`vlt doctor`: everything that is wrong is in one list, the exit code tells, and the run's folder is left alone."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from vlt.cli import main
from vlt.errors import VLTWarning
from vlt.train.learner import Learner
from vlt.train.loop import train
from vlt.train.setup import RunFolder


def files_below(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, and every folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def step_values(diagnosis):
    [step] = [check for check in diagnosis["checks"] if check["name"] == "step"]
    return step["values"]


# ---------------------------------------------------------------- a run without faults


def test_a_run_without_faults_exits_with_0_and_is_measured(configure, examined, results):
    code, diagnosis = examined(configure(train={"epochs": 3}))
    assert (code, diagnosis["ok"], diagnosis["findings"]) == (0, True, [])
    values = step_values(diagnosis)
    assert values["seconds"] > 0
    assert (values["steps_per_epoch"], values["epochs"]) == (2, 3)
    assert values["hours"] == pytest.approx(6 * values["seconds"] / 3600)
    [memory] = [check["values"] for check in diagnosis["checks"] if check["name"] == "memory"]
    assert 1e7 < memory["peak_bytes"] < memory["total_bytes"]
    lines = results(diagnosis)
    assert lines["data"] == "train: 4 drawn scenes\nval: 4 drawn scenes"
    assert lines["training"] == "4 referrals per epoch, 3 epochs of 2 steps of 2 samples"
    assert f"torch {torch.__version__}" in lines["versions"]


def test_splits_and_photos_of_a_prepared_set_are_counted(configure, prepared, doctor):
    result = doctor(configure(data=prepared))
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert "data       train: 4 referrals, 8 expressions, 4 photos" in lines
    assert "data       val: 2 referrals, 4 expressions, 2 photos" in lines
    assert "photos     6 photos there, 6 opened, 0 of them unreadable" in lines
    assert lines[-1] == "Nothing is wrong."


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_written_to_the_runs_folder(configure, doctor, tmp_path, is_there):
    config = configure()
    if is_there:
        config.output_dir.mkdir()
        (config.output_dir / "notes.txt").write_text("mine")
    before = files_below(tmp_path)
    assert doctor(config).exit_code == 0
    after = files_below(tmp_path)
    after.pop(str(tmp_path / "config.yaml"))
    assert after == before
    assert config.output_dir.exists() == is_there


def test_a_feature_cache_is_measured_and_not_changed(configure, examined, tmp_path):
    model = configure().model.model_dump(mode="json")
    model["backbone"]["trainable_blocks"] = 0
    cache = tmp_path / "features"
    code, diagnosis = examined(configure(model=model, train={"map_cache": str(cache), "epochs": 3}))
    values = step_values(diagnosis)
    assert not cache.exists()
    expected = 2 * (values["first_epoch_seconds"] + 2 * values["seconds"]) / 3600
    assert values["hours"] == pytest.approx(expected)
    [finding] = diagnosis["findings"]  # which training warns of, too
    assert (code, finding["severity"]) == (1, "warning")
    assert "keeps the others at random weights" in finding["sentence"]


# ---------------------------------------------------------------- faults


def test_all_faults_are_in_one_list_with_their_remedies(configure, prepared, examined, found, results, tmp_path):
    (tmp_path / "images" / "2.png").unlink()
    (tmp_path / "images" / "6.png").write_text("no photo")
    model = configure().model.model_dump(mode="json")
    model["backbone"] = {"name": "swin", "pretrained": str(tmp_path / "parts" / "swin")}
    model["language"]["words"] = {"source": "text", "path": str(tmp_path / "glove.txt"), "dim": 16}
    config = configure(data=prepared, model=model, output_dir=str(tmp_path / "config.yaml" / "run"))
    code, diagnosis = examined(config)
    assert (code, diagnosis["ok"]) == (1, False)
    sentences = {
        "data train": f"{tmp_path / 'images'} lacks 1 of the 4 photos: 2.png.",
        "data photos": f"1 of 5 photos cannot be read. {tmp_path / 'images' / '6.png'} is not an image",
        "parts backbone": f"There is no folder {tmp_path / 'parts' / 'swin'}",
        "parts words": f"There is no file of word vectors {tmp_path / 'glove.txt'}",
        "output_dir": f"output_dir {tmp_path / 'config.yaml' / 'run'} cannot be made or written to",
    }
    assert {finding["subject"] for finding in found(diagnosis, severity="error")} == set(sentences)
    for subject, sentence in sentences.items():
        [finding] = found(diagnosis, subject=subject)
        assert sentence in finding["sentence"]
        assert finding["remedy"]
        assert not finding["remedy"].endswith(".")
    assert results(diagnosis)["step"] == "not measured, since the run cannot begin, or has ended"
    assert {"devices", "disk", "versions"} <= results(diagnosis).keys()


def test_a_configuration_that_cannot_be_read_exits_with_2(configure, doctor):
    result = doctor(configure(), "--set", "train.epoch=3", "--set", "seed=x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unknown key 'train.epoch' (did you mean 'epochs'?)" in result.stderr
    assert "'seed' is 'x'" in result.stderr
    missing = CliRunner().invoke(main, ["doctor", "nowhere.yaml"])
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("changes", "subject", "sentence"),
    [
        ({"batch_size": 3, "accumulate": 4}, "devices", "train.batch_size is 3, too few for 1 processes"),
        ({"precision": "fp16"}, "devices", "train.precision is 'fp16', which needs a GPU"),
        ({"batch_size": 6}, "training", "has 4 referrals, too few for train.batch_size, 6"),
        ({"schedule": {"warmup_steps": 9}}, "training", "warmup_steps is 9, but the run has only 2 steps"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on a GPU")
def test_training_keys_that_cannot_work_are_found_without_a_step(configure, examined, changes, subject, sentence):
    code, diagnosis = examined(configure(train=changes), "--quick")
    [finding] = diagnosis["findings"]
    assert (code, finding["severity"], finding["subject"]) == (1, "error", subject)
    assert sentence in finding["sentence"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "An optimiser step does not fit into the memory of cpu."),
        (RuntimeError("no compiler\nand a trace"), "An optimiser step failed: no compiler."),
    ],
)
def test_a_step_that_fails_is_a_finding(configure, examined, found, results, monkeypatch, error, sentence):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr(Learner, "gradient", fail)
    code, diagnosis = examined(configure())
    [finding] = found(diagnosis, severity="error")
    assert (code, finding["subject"], finding["sentence"]) == (1, "step", sentence)
    assert results(diagnosis)["step"] == "could not be made"
    assert "versions" in results(diagnosis)


def test_a_busy_machine_is_noted(configure, examined, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (1e4, 0.0, 0.0))
    code, diagnosis = examined(configure())
    [finding] = diagnosis["findings"]
    assert (code, finding["severity"]) == (0, "note")
    assert "The CPU is busy (load 10000.0" in finding["sentence"]


# ---------------------------------------------------------------- quick, and the two forms


def test_quick_makes_no_step(configure, examined, results, monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("a step was made")

    monkeypatch.setattr(Learner, "__init__", refuse)
    code, diagnosis = examined(configure(), "--quick")
    assert (code, results(diagnosis)["step"]) == (0, "not measured (--quick)")
    assert "memory" not in results(diagnosis)


def test_json_and_text_have_the_same_content(configure, prepared, doctor, examined, tmp_path):
    (tmp_path / "images" / "2.png").unlink()
    (tmp_path / "images" / "6.png").write_bytes(b"")
    config = configure(data=prepared, output_dir=str(tmp_path / "config.yaml" / "run"))
    text = doctor(config, "--quick").stdout
    _, diagnosis = examined(config, "--quick")
    assert set(diagnosis) == {"checks", "findings", "ok"}
    lines = [f"{check['name']:<10} {check['result']}" for check in diagnosis["checks"]]
    for finding in diagnosis["findings"]:
        lines += ["", f"{finding['severity']:<10} {finding['subject']}: {finding['sentence']}"]
        lines += [f"{'':<10} remedy: {finding['remedy']}"]
    assert text.splitlines() == [*lines, "", "Something is wrong: 3 errors."]


# ---------------------------------------------------------------- a run that is there already


def test_a_run_that_is_there_is_recognised(configure, examined, results, found):
    config = configure(train={"epochs": 2, "pictures": 0, "schedule": {"name": "constant"}})
    train(config)
    code, diagnosis = examined(config)
    assert code == 0
    assert results(diagnosis)["output"].endswith("holds a run, which would be continued")
    assert results(diagnosis)["training"].endswith("; 2 epochs of a run are done")
    assert results(diagnosis)["step"].endswith("or has ended")

    before = files_below(config.output_dir)
    longer = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 3})})
    code, diagnosis = examined(longer)
    assert (code, step_values(diagnosis)["epochs"]) == (0, 3)
    assert files_below(config.output_dir) == before

    code, diagnosis = examined(config, "--set", "train.lr=1e-2")
    [finding] = found(diagnosis, severity="error")
    assert (code, finding["subject"]) == (1, "output_dir")
    assert "was started with another configuration (train.lr: 0.0005 -> 0.01)" in finding["sentence"]


def test_a_run_with_a_feature_cache_that_is_there_can_be_measured(configure, examined, found, tmp_path):
    model = configure().model.model_dump(mode="json")
    model["backbone"]["trainable_blocks"] = 0
    keys = {"map_cache": str(tmp_path / "features"), "pictures": 0, "schedule": {"name": "constant"}}
    with pytest.warns(VLTWarning, match="keeps the others at random weights"):
        train(configure(model=model, train={**keys, "epochs": 1}))
    before = files_below(tmp_path / "features")
    _, diagnosis = examined(configure(model=model, train={**keys, "epochs": 2}))
    assert found(diagnosis, severity="error") == []
    assert step_values(diagnosis)["seconds"] > 0
    assert files_below(tmp_path / "features") == before


def test_a_folder_in_use_is_found(configure, examined):
    config = configure()
    with RunFolder(config.output_dir, is_main=True):
        code, diagnosis = examined(config, "--quick")
    [finding] = diagnosis["findings"]
    assert (code, finding["subject"]) == (1, "output_dir")
    assert finding["sentence"] == f"Another run is in progress in output_dir {config.output_dir}."
    assert json.dumps(diagnosis)
