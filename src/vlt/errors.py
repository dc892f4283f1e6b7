"""Errors, each one sentence: what is wrong, where, the numbers, the remedy.

The command line prints that sentence and exits with `exit_code`, without a traceback.
"""


class VLTError(Exception):
    """Base of every error that this package raises deliberately; its text is one sentence for the user."""

    exit_code = 1


class ConfigError(VLTError):
    """A configuration that cannot be used: unknown key, wrong type, or values that contradict each other."""

    exit_code = 2


class DataError(VLTError):
    """A data set, annotation or word-vector file that cannot be used."""


class CheckpointError(VLTError):
    """A checkpoint or weight file that is missing, damaged, too new, or does not fit the model."""


class InputError(VLTError):
    """An image or an expression that cannot be used for a prediction."""


class TrainingError(VLTError):
    """A training run that cannot continue, or that was stopped by a signal."""


class DivergedError(TrainingError):
    """A training run whose loss or gradient is no longer finite."""


class VLTWarning(UserWarning):
    """A result that is not quite what was requested: words that were cut or are unknown, keys that were ignored."""


def reason(error: BaseException) -> str:
    """Quote the message of a library's error on one line, without its full stop; its class where it has none."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".") or type(error).__name__
