"""Deprecated module: use `vlt.prepare.coco`."""

import warnings

from vlt.prepare.coco import is_validation as is_validation
from vlt.prepare.coco import prepare_coco as prepare_coco

warnings.warn("vlt.data.prepare.coco is now vlt.prepare.coco.", DeprecationWarning, stacklevel=2)
