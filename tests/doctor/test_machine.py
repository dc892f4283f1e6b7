"""Checks of the machine: versions that do not fit, memory, and disk space estimated as files turn out."""

import shutil
from importlib import metadata

import pytest
import torch

from vlt.checkpoint.directory import WEIGHTS
from vlt.doctor import machine, step
from vlt.doctor.diagnosis import Diagnosis
from vlt.train.loop import train


@pytest.mark.parametrize("ema", [None, 0.9])
def test_sizes_are_estimated_as_training_writes_them(configure, ema):
    config = configure(train={"ema": ema, "pictures": 0})
    train(config)
    checkpoint, state = machine.estimate_sizes(machine.build_untrained(config), ema=ema is not None)
    [written] = (config.output_dir / "checkpoints").glob(f"*/{WEIGHTS}")
    assert written.stat().st_size == pytest.approx(checkpoint, rel=0.1)
    assert (config.output_dir / "resume" / "state.pt").stat().st_size == pytest.approx(state, rel=0.2)


def test_a_disk_without_room_is_an_error_and_a_run_that_is_there_needs_less(configure, examined, monkeypatch):
    config = configure(train={"epochs": 2, "pictures": 0, "schedule": {"name": "constant"}})
    network = machine.build_untrained(config)
    checkpoint, state = machine.estimate_sizes(network, ema=False)
    usage = shutil.disk_usage(config.output_dir.parent)
    free = 3 * checkpoint + 2 * state
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free - 1))
    code, diagnosis = examined(config, "--quick")
    [finding] = diagnosis["findings"]
    assert (code, finding["severity"], finding["subject"]) == (1, "error", "disk")
    assert f"{config.output_dir} has {free / 1e6:.1f} MB free" in finding["sentence"]
    [disk] = [check for check in diagnosis["checks"] if check["name"] == "disk"]
    assert disk["values"] == {"free_bytes": free - 1, "needed_bytes": free}
    train(config)
    assert examined(config, "--quick")[0] == 0


def test_frozen_parts_have_no_optimiser_state(configure):
    model = configure().model.model_dump(mode="json")
    model["backbone"]["trainable_blocks"] = 0
    trained = machine.estimate_sizes(machine.build_untrained(configure()), ema=False)
    frozen = machine.estimate_sizes(machine.build_untrained(configure(model=model)), ema=False)
    assert frozen[0] == trained[0]
    assert frozen[1] < trained[1]


def test_parts_that_are_not_trained_have_none_either(configure):
    model = configure().model.model_dump(mode="json")
    model["candidates"] = {"dim": 16, "heads": 2, "layers": 1, "detector_width": 0.0625, "grid": 2, "num_queries": 2}
    sizes = {}
    for only in (None, "candidates"):
        config = configure(model=model, loss={"candidate": 1.0}, train={"only": only})
        sizes[only] = machine.estimate_sizes(machine.build_untrained(config), ema=False)
    assert sizes["candidates"][0] == sizes[None][0]
    assert sizes["candidates"][1] < sizes[None][1]


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        ("torch", "2.5.1+cu124", "torch is 2.5.1+cu124, but vlt supports <2.14,>=2.6."),
        ("torch", "3.0", "torch is 3.0, but vlt supports <2.14,>=2.6."),
        ("tqdm", None, "tqdm is not installed, but vlt supports >=4.66."),
    ],
)
def test_a_version_outside_the_supported_range_is_an_error(monkeypatch, name, version, sentence):
    real = metadata.version

    def pretended(package):
        if package == name and version is None:
            raise metadata.PackageNotFoundError(package)
        return version if package == name else real(package)

    monkeypatch.setattr(machine, "version", pretended)
    monkeypatch.setattr(machine, "requires", lambda _package: REQUIRED)
    diagnosis = Diagnosis()
    machine.check_versions(diagnosis)
    [finding] = diagnosis.findings
    assert (finding.severity, finding.subject, finding.sentence) == ("error", "versions", sentence)
    assert finding.remedy.startswith(f'`pip install "{name}')


REQUIRED = [
    "numpy>=1.26",
    'torch<2.14,>=2.6; extra == "train"',
    'tqdm>=4.66; extra == "train"',
    'spacy>=99; extra == "spacy"',
]
"""Entries of the package; those of another extra do not count."""


def test_the_versions_here_are_supported_and_listed():
    diagnosis = Diagnosis()
    machine.check_versions(diagnosis)
    assert diagnosis.findings == []
    [check] = diagnosis.checks
    assert check.result.startswith("vlt ")
    assert f"torch {torch.__version__}" in check.result


def test_a_python_outside_the_supported_range_is_an_error(monkeypatch):
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.9.1")
    diagnosis = Diagnosis()
    machine.check_versions(diagnosis)
    assert [finding.sentence for finding in diagnosis.findings] == ["Python is 3.9.1, but vlt supports >=3.10."]


@pytest.mark.parametrize(("peak", "count"), [(8_900_000_000, 0), (9_100_000_000, 1)])
def test_a_step_that_nearly_fills_the_memory_is_a_warning(peak, count):
    diagnosis = Diagnosis()
    step.check_memory("memory", peak, 10_000_000_000, diagnosis)
    assert diagnosis.count("warning") == len(diagnosis.findings) == count
    assert diagnosis.checks[0].result == f"{peak / 1e9:.1f} GB at the peak of a process, of 10.0 GB"


def test_the_nearest_folder_that_exists_is_looked_at(tmp_path):
    (tmp_path / "file").write_text("")
    assert machine.existing_parent(tmp_path / "a" / "b") == tmp_path
    assert machine.existing_parent(tmp_path / "file" / "b") == tmp_path
