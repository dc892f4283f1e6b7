"""Checkpoints: directories that are written atomically, read strictly, packed, and found by run or pointer.

Names are imported on first use, so that what needs no torch does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlt.checkpoint.directory import find_checkpoint as find_checkpoint
    from vlt.checkpoint.directory import is_checkpoint as is_checkpoint
    from vlt.checkpoint.directory import prune_checkpoints as prune_checkpoints
    from vlt.checkpoint.directory import read_pointer as read_pointer
    from vlt.checkpoint.directory import set_pointer as set_pointer
    from vlt.checkpoint.opened import OpenedCheckpoint as OpenedCheckpoint
    from vlt.checkpoint.opened import open_checkpoint as open_checkpoint
    from vlt.checkpoint.packing import pack_checkpoint as pack_checkpoint
    from vlt.checkpoint.read import Checkpoint as Checkpoint
    from vlt.checkpoint.read import load_checkpoint as load_checkpoint
    from vlt.checkpoint.read import load_weights as load_weights
    from vlt.checkpoint.read import usable_device as usable_device
    from vlt.checkpoint.share import copy_checkpoint as copy_checkpoint
    from vlt.checkpoint.share import push_checkpoint as push_checkpoint
    from vlt.checkpoint.write import save_checkpoint as save_checkpoint
    from vlt.checkpoint.write import source_commit as source_commit

_MODULES = {
    "Checkpoint": "read",
    "OpenedCheckpoint": "opened",
    "copy_checkpoint": "share",
    "find_checkpoint": "directory",
    "is_checkpoint": "directory",
    "load_checkpoint": "read",
    "load_weights": "read",
    "open_checkpoint": "opened",
    "pack_checkpoint": "packing",
    "prune_checkpoints": "directory",
    "push_checkpoint": "share",
    "read_pointer": "directory",
    "save_checkpoint": "write",
    "set_pointer": "directory",
    "source_commit": "write",
    "usable_device": "read",
}


def __getattr__(name: str) -> Any:
    """Import the module that defines `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module 'vlt.checkpoint' has no attribute {name!r}")
    return getattr(import_module(f"vlt.checkpoint.{_MODULES[name]}"), name)
