"""From a configuration to a run directory, through any number of interruptions."""

from vlt.train.loop import train as train
from vlt.train.resume import changed_keys as changed_keys
