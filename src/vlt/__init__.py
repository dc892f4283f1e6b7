"""vlt: referring segmentation. An image and an expression go in, the mask of what the expression refers to comes out.

    predictor = vlt.load()
    [dog, ball] = predictor.predict("photo.jpg", ["the dog on the left", "the ball"])

Names are imported on first use, so that `import vlt` and `vlt --help` do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vlt.version import __version__ as __version__

if TYPE_CHECKING:
    from vlt.config import read_config as read_config
    from vlt.errors import VLTError as VLTError
    from vlt.errors import VLTWarning as VLTWarning
    from vlt.infer import ImageFeatures as ImageFeatures
    from vlt.infer import Prediction as Prediction
    from vlt.infer import Predictor as Predictor
    from vlt.infer import load as load
    from vlt.model.build import build_model as build_model
    from vlt.model.vlt import VLT as VLT

_MODULES = {
    "ImageFeatures": "vlt.infer",
    "Prediction": "vlt.infer",
    "Predictor": "vlt.infer",
    "VLT": "vlt.model.vlt",
    "VLTError": "vlt.errors",
    "VLTWarning": "vlt.errors",
    "build_model": "vlt.model.build",
    "load": "vlt.infer",
    "read_config": "vlt.config",
}


def __getattr__(name: str) -> Any:
    """Import the module that defines `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module 'vlt' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
