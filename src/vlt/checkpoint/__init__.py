"""A checkpoint is a directory: written whole under another name, renamed, then pointed to; read back strictly."""

from vlt.checkpoint.facts import describe_checkpoint as describe_checkpoint
from vlt.checkpoint.layout import is_checkpoint as is_checkpoint
from vlt.checkpoint.packing import pack_checkpoint as pack_checkpoint
from vlt.checkpoint.read import Checkpoint as Checkpoint
from vlt.checkpoint.read import load_checkpoint as load_checkpoint
from vlt.checkpoint.read import load_weights as load_weights
from vlt.checkpoint.read import usable_device as usable_device
from vlt.checkpoint.run import find_checkpoint as find_checkpoint
from vlt.checkpoint.run import prune_checkpoints as prune_checkpoints
from vlt.checkpoint.run import read_pointer as read_pointer
from vlt.checkpoint.run import set_pointer as set_pointer
from vlt.checkpoint.write import save_checkpoint as save_checkpoint
from vlt.checkpoint.write import source_commit as source_commit
