"""Training: runs from a configuration, which resume exactly after an interruption."""

from vlt.train.loop import train as train
from vlt.train.resume import changed_keys as changed_keys
from vlt.train.resume import flat_keys as flat_keys
