"""vlt: point at things in photos with words."""

from vlt.version import __version__ as __version__
