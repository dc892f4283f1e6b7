"""Checks of the machine: devices and processes, free disk space, versions of packages."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import torch
from accelerate import Accelerator
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from torch import nn

from vlt.config.run import Config
from vlt.doctor.diagnosis import Diagnosis, counted, sized
from vlt.model.build import build_model
from vlt.model.pretrained import SkipInitialisation
from vlt.model.vlt import VLT
from vlt.train.memory import machine_memory
from vlt.train.setup import freeze_untrained, join_processes, start_accelerator

INSTALL = '`pip install "vlt[train]"`'
"""Remedy of a package vlt that is not installed."""
EXTRA = "train"
"""Extra of the package that training needs."""
SHOWN = ("torch", "transformers", "accelerate", "onnxruntime", "numpy")
"""Packages whose versions are listed; those of the others are compared, too."""
KEPT_CHECKPOINTS = 3
"""Checkpoints on the disk at the most crowded moment: best, last, and the one that is being written."""
KEPT_STATES = 2
"""Resume states on the disk while one replaces the other."""


# ---------------------------------------------------------------- devices


def check_devices(config: Config, diagnosis: Diagnosis) -> Accelerator | None:
    """List what a run can compute with, and check that precision, batch and processes fit each other.

    Args:
        config: configuration of the run.
        diagnosis: receives the results.

    Returns:
        The accelerator of a run; None: the configuration does not fit the devices.
    """
    state, memory = join_processes(), machine_memory()
    cores = counted(os.cpu_count() or 1, "CPU core")
    size = "" if memory is None else f", {sized(memory)} of memory"
    diagnosis.report("devices", f"{cores}, {counted(torch.get_num_threads(), 'thread')}{size}")
    for line in describe_gpus():
        diagnosis.report("devices", line)
    noun = "process" if state.num_processes == 1 else "processes"
    precision = f"train.precision {config.train.precision}"
    diagnosis.report("devices", f"{state.num_processes} {noun} on {state.device.type}, {precision}")
    if state.device.type == "cuda" and torch.cuda.device_count() > state.num_processes:
        diagnosis.find(
            "note",
            "devices",
            f"Of {torch.cuda.device_count()} GPUs the run uses {state.num_processes}.",
            "start it with `accelerate launch -m vlt train CONFIG` to use all",
        )
    return diagnosis.attempt(
        "devices",
        lambda: start_accelerator(config),
        "change train.batch_size, train.accumulate or train.precision",
    )


def describe_gpus() -> Iterator[str]:
    """Describe each GPU in one line: name, memory, half precision."""
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        half = "bf16" if properties.major >= 8 or torch.version.hip else "fp16, no bf16"
        yield f"cuda:{number}: {properties.name}, {sized(properties.total_memory)} of memory, {half}"
    if not torch.cuda.is_available():
        other = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        yield "no GPU that PyTorch can use" if other is None else f"accelerator {other.type}"


# ---------------------------------------------------------------- disk


def check_disk(config: Config, resolved: Config | None, diagnosis: Diagnosis) -> None:
    """Compare the free space of the run's file system with what its checkpoints and resume states take.

    Args:
        config: configuration of the run.
        resolved: the same with its architecture resolved; None: a pretrained part cannot be loaded.
        diagnosis: receives the results.
    """
    free = shutil.disk_usage(existing_parent(config.output_dir)).free
    there = f"{sized(free)} free for {config.output_dir}"
    network = diagnosis.attempt("disk", lambda: build_untrained(resolved), "correct model") if resolved else None
    if network is None:
        diagnosis.report("disk", f"{there}; the need is not known, since the network cannot be built", free_bytes=free)
        return
    checkpoint, state = estimate_sizes(network, ema=config.train.ema is not None)
    present = sum(size_of(config.output_dir / name) for name in ("checkpoints", "resume"))
    needed = max(0, KEPT_CHECKPOINTS * checkpoint + KEPT_STATES * state - present)
    diagnosis.report(
        "disk",
        f"{there}, about {sized(needed)} needed: {KEPT_CHECKPOINTS} checkpoints of {sized(checkpoint)} and "
        f"{KEPT_STATES} resume states of {sized(state)}",
        free_bytes=free,
        needed_bytes=needed,
    )
    if free < needed:
        diagnosis.find(
            "error",
            "disk",
            f"The file system of {config.output_dir} has {sized(free)} free, but the run needs about "
            f"{sized(needed)} for checkpoints and resume states.",
            "make room, or set output_dir to a folder on another file system",
        )


def build_untrained(config: Config) -> VLT:
    """Build the network of a run without its weights, but with the parts frozen that the run freezes."""
    with SkipInitialisation():
        network = build_model(config.model, pretrained=False)
    freeze_untrained(network, config.train.only)
    return network


def estimate_sizes(network: nn.Module, *, ema: bool) -> tuple[int, int]:
    """Estimate the sizes of a checkpoint and of a resume state of a network, in bytes.

    A resume state holds the weights, two values of Adam for each trained one, and the moving average of these.

    Args:
        network: the network; what it does not train is frozen.
        ema: whether there is a moving average.
    """
    weights = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    trained = sum(each.numel() * each.element_size() for each in network.parameters() if each.requires_grad)
    return weights, weights + (3 if ema else 2) * trained


def existing_parent(path: Path) -> Path:
    """Find the nearest folder at or above a path that exists."""
    return next((each for each in (path.absolute(), *path.absolute().parents) if each.is_dir()), Path())


def size_of(folder: Path) -> int:
    """Add up the sizes of the files below a folder, in bytes; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------- versions


def check_versions(diagnosis: Diagnosis) -> None:
    """List the versions of Python and of the packages, and compare all with what the package requires."""
    try:
        own, needed = metadata("vlt"), requires("vlt") or []
    except PackageNotFoundError:
        diagnosis.find("error", "versions", "The package vlt is not installed, only on Python's path.", INSTALL)
        return
    installed = {requirement.name: found_version(requirement.name) for requirement in requirements(needed)}
    shown = ", ".join(f"{name} {installed.get(name) or 'missing'}" for name in SHOWN)
    diagnosis.report("versions", f"vlt {own['Version']}, Python {platform.python_version()}, {shown}")
    if not SpecifierSet(own["Requires-Python"] or "").contains(platform.python_version(), prereleases=True):
        sentence = f"Python is {platform.python_version()}, but vlt supports {own['Requires-Python']}."
        diagnosis.find("error", "versions", sentence, "use a Python that it supports")
    for requirement in requirements(needed):
        found = installed[requirement.name]
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            is_there = "is not installed" if found is None else f"is {found}"
            sentence = f"{requirement.name} {is_there}, but vlt supports {requirement.specifier}."
            diagnosis.find("error", "versions", sentence, f'`pip install "{requirement.name}{requirement.specifier}"`')


def requirements(needed: list[str]) -> Iterator[Requirement]:
    """Yield the requirements of the package and of its extra for training.

    Args:
        needed: the entries `Requires-Dist` of the package.
    """
    for requirement in map(Requirement, needed):
        if requirement.marker is None or requirement.marker.evaluate({"extra": EXTRA}):
            yield requirement


def found_version(name: str) -> str | None:
    """Return the installed version of a package; None: it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
