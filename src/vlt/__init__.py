"""vlt: point at things in photos with words.

    predictor = vlt.load("runs/tiny")
    predictions = predictor.predict("photo.jpg", ["the dog on the left", "the ball"])

What stands here is imported on first use, so that `import vlt` and `vlt --help` do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vlt.version import __version__ as __version__

if TYPE_CHECKING:
    from vlt.errors import VLTError as VLTError
    from vlt.errors import VLTWarning as VLTWarning
    from vlt.legacy import read_config as read_config
    from vlt.model.build import build_model as build_model
    from vlt.model.vlt import VLT as VLT
    from vlt.predict import ImageFeatures as ImageFeatures
    from vlt.predict import Prediction as Prediction
    from vlt.predict import Predictor as Predictor
    from vlt.predict import load as load

_HOMES = {
    "ImageFeatures": "vlt.predict",
    "Prediction": "vlt.predict",
    "Predictor": "vlt.predict",
    "VLT": "vlt.model.vlt",
    "VLTError": "vlt.errors",
    "VLTWarning": "vlt.errors",
    "build_model": "vlt.model.build",
    "load": "vlt.predict",
    "read_config": "vlt.legacy",
}


def __getattr__(name: str) -> Any:
    """Imports the module that `name` lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vlt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
