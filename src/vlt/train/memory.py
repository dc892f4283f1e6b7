"""Memory of this process, of its GPU and of the machine, in bytes."""

from __future__ import annotations

import os
import sys

import torch


def peak_memory() -> int | None:
    """Read the largest memory that this process has used so far, in bytes, that of the GPU added; None on Windows."""
    own = peak_process_memory()
    return None if own is None else own + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)


def peak_process_memory() -> int | None:
    """Read the largest memory that this process has used so far, in bytes, without that of a GPU; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 (Windows does not have it)

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine_memory() -> int | None:
    """Read the memory of this machine in bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
