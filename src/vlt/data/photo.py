"""Deprecated module: use `vlt.data.image`."""

import warnings

from vlt.data.image import read_image as read_image

warnings.warn("vlt.data.photo is now vlt.data.image.", DeprecationWarning, stacklevel=2)
