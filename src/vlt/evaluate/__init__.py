"""How good a model's answers are: every sentence asked, every mask judged at its photo's own size."""

from vlt.evaluate.baselines import centred_box, dummies, mean_box_share, whole_photo
from vlt.evaluate.evaluation import Answerer, Outcome, Shard, describe_device, evaluate
from vlt.evaluate.noun import NounGain, noun_gain, nouns_alone
from vlt.evaluate.record import Record
from vlt.evaluate.report import Provenance, Report, scores_table
from vlt.evaluate.worst import Worst

__all__ = [
    "Answerer",
    "NounGain",
    "Outcome",
    "Provenance",
    "Record",
    "Report",
    "Shard",
    "Worst",
    "centred_box",
    "describe_device",
    "dummies",
    "evaluate",
    "mean_box_share",
    "noun_gain",
    "nouns_alone",
    "scores_table",
    "whole_photo",
]
