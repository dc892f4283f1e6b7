"""Sessions of ONNX Runtime: graph files to something that runs, on a device of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from vlt.errors import CheckpointError, ConfigError

SUFFIX = "ExecutionProvider"
WEIGHTS_KEY = "weights_sha256"
"""Key of the SHA-256 of the weight file in the metadata of a graph."""
LONGEST_REASON = 160
"""Largest number of characters quoted from a message of ONNX Runtime."""
SETTINGS = {
    "session.intra_op.allow_spinning": "0",  # threads that wait would keep other programs from working
    "session.use_env_allocators": "1",  # see `share_memory`
    "optimization.disable_specified_optimizers": "SkipLayerNormFusion;BiasGeluFusion",  # slower than what they join
}
GROW_BY_NEED = 1
"""ONNX Runtime's number for an arena that grows by what is needed, not to the next power of two."""


def has_provider(device: str | None) -> bool:
    """Whether the installed ONNX Runtime can use a device, see `find_provider`."""
    try:
        find_provider(device)
    except ConfigError:
        return False
    return True


def find_provider(device: str | None) -> tuple[str, dict[str, Any]]:
    """Find the execution provider for a device.

    Args:
        device: "cpu", or a provider of the installed ONNX Runtime in lower case, such as "cuda" or "coreml", with the
            number of the device where there are several: "cuda:1". None: CUDA if it is there, else the CPU.

    Returns:
        Name and options, as ONNX Runtime takes them.

    Raises:
        ConfigError: it is not there.
    """
    known = {name.removesuffix(SUFFIX).lower(): name for name in ort.get_available_providers()}
    wanted, _, number = (device or ("cuda" if "cuda" in known else "cpu")).partition(":")
    if wanted not in known or (number and not number.isdecimal()):
        there = ", ".join(sorted(known))
        raise ConfigError(
            f"The device {device!r} cannot be used by this ONNX Runtime, which has {there}; take one of these, or "
            "install the ONNX Runtime for it (such as onnxruntime-gpu)."
        )
    return known[wanted], {"device_id": int(number)} if number else {}


def usable_cores() -> int:
    """Count the CPU cores that this process may use; OMP_NUM_THREADS, which launchers of processes set, limits them."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit):
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def share_memory() -> None:
    """Let the sessions of this process take their memory from one arena, unless the process has made one already.

    With an arena each, every session would keep as much as it once needed.
    """
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    limits = {"max_mem": 0, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    with suppress(RuntimeError):  # there is one already
        ort.create_and_register_allocator(place, ort.OrtArenaCfg({**limits, "arena_extend_strategy": GROW_BY_NEED}))


def open_session(
    path: Path, weights: str | None, *, device: str | None = None, threads: int | None = None
) -> ort.InferenceSession:
    """Load a graph.

    Args:
        path: path of the graph; its weights lie beside it.
        weights: SHA-256 of the weight file in hexadecimal.
        device: see `find_provider`.
        threads: CPU threads; None: one per core that this process may use.

    Raises:
        CheckpointError: the graph is missing, damaged, belongs to other weights, or is too new for this ONNX Runtime.
        ConfigError: the device is not there.
    """
    provider, options = find_provider(device)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads or usable_cores()
    settings.log_severity_level = 4  # errors are raised, too
    settings.enable_mem_pattern = False  # patterns reserve memory for each size that was met
    share_memory()
    for key, value in SETTINGS.items():
        settings.add_session_config_entry(key, value)
    try:
        session = ort.InferenceSession(str(path), settings, providers=[(provider, options)])
    except Exception as error:  # ONNX Runtime raises a dozen classes without a common base
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise CheckpointError(
            f"The graph {path} cannot be loaded by ONNX Runtime {ort.__version__} ({reason}); export the checkpoint "
            "again, or upgrade onnxruntime."
        ) from None
    made_for = session.get_modelmeta().custom_metadata_map.get(WEIGHTS_KEY)
    if made_for != weights:
        raise CheckpointError(
            f"The graph {path} belongs to other weights (SHA-256 {str(made_for)[:12]}…) than those beside it "
            f"({str(weights)[:12]}…); export the checkpoint again."
        )
    return session
