"""Evaluation: predict every expression of a data set, and score the masks at the images' own size."""

from vlt.evaluate.baselines import NounGain, category_nouns, centred_box, mean_box_share, noun_gain, whole_image
from vlt.evaluate.evaluation import MaskFunction, Shard, evaluate
from vlt.evaluate.report import Provenance, Report, scores_table
from vlt.evaluate.results import ExpressionResult, Outcome
from vlt.evaluate.worst import Worst

__all__ = [
    "ExpressionResult",
    "MaskFunction",
    "NounGain",
    "Outcome",
    "Provenance",
    "Report",
    "Shard",
    "Worst",
    "category_nouns",
    "centred_box",
    "evaluate",
    "mean_box_share",
    "noun_gain",
    "scores_table",
    "whole_image",
]
