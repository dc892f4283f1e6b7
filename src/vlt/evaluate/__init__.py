"""Evaluation: predict every expression of a data set, and score the masks at the images' own size."""

from vlt.evaluate.baselines import category_nouns, centred_box, mean_box_share, whole_image
from vlt.evaluate.distractors import among_distractors
from vlt.evaluate.evaluation import MaskFunction, Shard, evaluate
from vlt.evaluate.report import Provenance, Report, scores_table
from vlt.evaluate.results import ExpressionResult, Outcome
from vlt.evaluate.worst import Worst

__all__ = [
    "ExpressionResult",
    "MaskFunction",
    "Outcome",
    "Provenance",
    "Report",
    "Shard",
    "Worst",
    "among_distractors",
    "category_nouns",
    "centred_box",
    "evaluate",
    "mean_box_share",
    "scores_table",
    "whole_image",
]
