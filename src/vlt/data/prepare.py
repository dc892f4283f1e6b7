"""Preparing data sets: REFER folders to annotations and masks, with a report of what was found."""

from __future__ import annotations

from vlt.data.report import Counts, DefectKind, Defects, PrepareReport, count

__all__ = ["Counts", "DefectKind", "Defects", "PrepareReport", "count"]
