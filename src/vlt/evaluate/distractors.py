"""Scores among distractors: expressions whose image has several objects of the target's category."""

from __future__ import annotations

from collections.abc import Mapping

from vlt.evaluate.report import Report, score_results
from vlt.metrics import Scores
from vlt.text.cues import CUES, cues

EVERY_CUE = "all"
"""Name of the group of all expressions."""
WHOLE = "whole expression"
"""Name of the row of the model, beside the names of baselines."""


def among_distractors(report: Report, baselines: Mapping[str, Report]) -> dict[str, dict[str, Scores]]:
    """Score a model and baselines by cue, on the same expressions with distractors.

    Args:
        report: of the model.
        baselines: by name, on the same data set under the same protocol. What any of them leaves out, as
            `category_nouns` does, counts for none.

    Returns:
        Per cue, `EVERY_CUE` first, the scores of `WHOLE` and of each baseline; cues without an expression are left
        out, and an expression with several cues counts in each. Empty: no target is known to have a distractor.
    """
    rows = {
        name: {(each.ref_id, each.sent_id): each for each in one.results}
        for name, one in {WHOLE: report, **baselines}.items()
    }
    shared = [
        key for key, each in rows[WHOLE].items() if each.has_distractor and all(key in row for row in rows.values())
    ]
    found: dict[str, dict[str, Scores]] = {}
    for cue in (EVERY_CUE, *CUES):
        keys = [key for key in shared if cue == EVERY_CUE or cue in cues(rows[WHOLE][key].expression)]
        if keys:
            found[cue] = {
                name: score_results([row[key] for key in keys], report.protocol) for name, row in rows.items()
            }
    return found
