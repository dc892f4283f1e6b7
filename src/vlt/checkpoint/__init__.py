"""Checkpoints: directories that are written atomically, read strictly, packed, and found by run or pointer."""

from vlt.checkpoint.directory import find_checkpoint as find_checkpoint
from vlt.checkpoint.directory import is_checkpoint as is_checkpoint
from vlt.checkpoint.directory import prune_checkpoints as prune_checkpoints
from vlt.checkpoint.directory import read_pointer as read_pointer
from vlt.checkpoint.directory import set_pointer as set_pointer
from vlt.checkpoint.packing import pack_checkpoint as pack_checkpoint
from vlt.checkpoint.read import Checkpoint as Checkpoint
from vlt.checkpoint.read import load_checkpoint as load_checkpoint
from vlt.checkpoint.read import load_weights as load_weights
from vlt.checkpoint.read import usable_device as usable_device
from vlt.checkpoint.write import save_checkpoint as save_checkpoint
from vlt.checkpoint.write import source_commit as source_commit
