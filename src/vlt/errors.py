"""What can go wrong, each as one sentence: what, where, both numbers, the remedy.

The command line prints that sentence and exits with `exit_code`; nothing below it prints a traceback.
"""


class VLTError(Exception):
    """Base of every error this package raises on purpose; its text is one sentence for a person."""

    exit_code = 1


class ConfigError(VLTError):
    """A configuration that cannot be used: unknown key, wrong type, or values that contradict each other."""

    exit_code = 2


class DataError(VLTError):
    """A data set, annotation or word-vector file that cannot be used."""


class CheckpointError(VLTError):
    """A checkpoint or weight file that is missing, damaged, too new, or does not fit the model."""


class InputError(VLTError):
    """A photo or an expression that cannot be answered."""


class TrainingError(VLTError):
    """A training run that cannot go on, or that was asked to stop."""


class DivergedError(TrainingError):
    """A training run whose loss or gradient is no longer finite, and would be so again."""


class VLTWarning(UserWarning):
    """Something was answered, but not quite as asked: cut words, unknown words, ignored keys."""
