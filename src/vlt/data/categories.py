"""What the categories of a data set are called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vlt.config import ReferDataConfig
from vlt.data.prepared import annotation_folder
from vlt.data.synthetic import OUTLINES

if TYPE_CHECKING:
    from vlt.config import DataConfig


def category_names(config: DataConfig) -> tuple[str, ...]:
    """The names of a data set's categories, by `Referral.category`.

    Args:
        config: which data set.

    Returns:
        None of them where `prepare.json` does not tell, as in sets of the original's script.
    """
    if not isinstance(config, ReferDataConfig):
        return tuple(OUTLINES)
    try:
        report = json.loads((annotation_folder(config.root, config.dataset) / "prepare.json").read_bytes())
        return tuple(str(name) for name in report["categories"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()
