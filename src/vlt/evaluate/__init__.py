"""Evaluation: predict every expression of a data set, and score the masks at the images' own size.

Names are imported on first use, so that tables of reports do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlt.evaluate.baselines import category_nouns as category_nouns
    from vlt.evaluate.baselines import centred_box as centred_box
    from vlt.evaluate.baselines import mean_box_share as mean_box_share
    from vlt.evaluate.baselines import whole_image as whole_image
    from vlt.evaluate.distractors import among_distractors as among_distractors
    from vlt.evaluate.evaluation import MaskFunction as MaskFunction
    from vlt.evaluate.evaluation import Shard as Shard
    from vlt.evaluate.evaluation import evaluate as evaluate
    from vlt.evaluate.report import Provenance as Provenance
    from vlt.evaluate.report import Report as Report
    from vlt.evaluate.report import scores_table as scores_table
    from vlt.evaluate.results import ExpressionResult as ExpressionResult
    from vlt.evaluate.results import Outcome as Outcome
    from vlt.evaluate.video import VideoScores as VideoScores
    from vlt.evaluate.worst import Worst as Worst

_MODULES = {
    "ExpressionResult": "results",
    "MaskFunction": "evaluation",
    "Outcome": "results",
    "Provenance": "report",
    "Report": "report",
    "Shard": "evaluation",
    "VideoScores": "video",
    "Worst": "worst",
    "among_distractors": "distractors",
    "category_nouns": "baselines",
    "centred_box": "baselines",
    "evaluate": "evaluation",
    "mean_box_share": "baselines",
    "scores_table": "report",
    "whole_image": "baselines",
}


def __getattr__(name: str) -> Any:
    """Import the module that defines `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module 'vlt.evaluate' has no attribute {name!r}")
    return getattr(import_module(f"vlt.evaluate.{_MODULES[name]}"), name)
