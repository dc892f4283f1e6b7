"""Reports of `vlt test` as their JSON files have them, and whether their scores can be compared. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field, TypeAdapter

from vlt.errors import DataError
from vlt.files import JsonObject, read_json

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""A score in [0, 1]."""


class RecordedScores(JsonObject):
    """Scores of all expressions, as `vlt.metrics.Scores`; None where version 0.1 did not compute it."""

    miou: Share
    oiou: Share
    boundary: Share | None = None
    box: Share | None = None
    precision: dict[str, Share | None]
    count: int


class RecordedPresence(JsonObject):
    """Accuracy of empty and non-empty masks, as `vlt.evaluate.results.Presence`."""

    n_acc: Share
    t_acc: Share | None
    absent: int


class RecordedProtocol(JsonObject):
    """Definition of the scores, as `vlt.metrics.EvaluationProtocol`; None where version 0.1 did not state it."""

    name: str
    threshold: float
    comparison: str
    empty_iou: float
    levels: list[float]
    precision_of: str = "all"
    smoothing: float = 0.0
    is_bare: bool | None = None
    size: str


class RecordedProvenance(JsonObject):
    """Origin of the scores, as `vlt.evaluate.report.Provenance`; `half` and `mirrored` are of version 0.1."""

    dataset: str | None = None
    split: str | None = None
    half: str | None = None
    checkpoint: str | None = None
    flip: bool | None = None
    mirrored: bool | None = None
    refined: bool | None = None


class RecordedReport(JsonObject):
    """What a report states about all expressions together; its groups and baselines are left out."""

    scores: RecordedScores
    presence: RecordedPresence | None = None
    protocol: RecordedProtocol
    provenance: RecordedProvenance


@dataclass(frozen=True, slots=True)
class Record:
    """A report with the names under which it stands in a table.

    Attributes:
        path: its file.
        checkpoint: as the report names it.
        split: data set and split, such as "natural val_b".
        report: its content.
    """

    path: Path
    checkpoint: str
    split: str
    report: RecordedReport

    @property
    def flip(self) -> bool | None:
        """Whether test-time augmentation was used; None: not stated."""
        origin = self.report.provenance
        return origin.mirrored if origin.flip is None else origin.flip

    def settings(self) -> dict[str, object]:
        """Return all that two reports must share before their scores are compared, by its name in messages."""
        protocol = self.report.protocol
        return {
            "protocol": protocol.name,
            "comparison of Pr@t": protocol.comparison,
            "IoU of two empty masks": protocol.empty_iou,
            "levels of Pr@t": protocol.levels,
            "expressions that Pr@t is a share of": protocol.precision_of,
            "smoothing": protocol.smoothing,
            "size of the masks": protocol.size.replace("photo", "image"),  # the wording of version 0.1
            "bare evaluation": protocol.is_bare,
            "flip": self.flip,
            "refined": self.report.provenance.refined,
        }


REMEDY = "name a report that `vlt test` wrote"
REPORT: TypeAdapter[RecordedReport] = TypeAdapter(RecordedReport)


def read_record(path: Path) -> Record:
    """Read a report that `vlt test` wrote, of this version or of 0.1.

    Raises:
        DataError: it cannot be read, is no report, or states no checkpoint, data set or split.
    """
    report = read_json(path, REPORT, REMEDY)
    origin = report.provenance
    for name, value in (("checkpoint", origin.checkpoint), ("data set", origin.dataset), ("split", origin.split)):
        if not value:
            raise DataError(f"{path} states no {name}, so that it has no place in a table; {REMEDY}.")
    split = f"{origin.split}_{origin.half}" if origin.half else origin.split
    return Record(path, str(origin.checkpoint), f"{origin.dataset} {split}", report)


def check_comparable(records: Sequence[Record]) -> None:
    """Check that records were scored in the same way, each checkpoint once on a split, all on the same expressions.

    Args:
        records: at least one.

    Raises:
        DataError: the first two files that differ, and in which.
    """
    first = records[0].settings()
    for record in records[1:]:
        for name, value in record.settings().items():
            if value != first[name]:
                raise DataError(
                    f"{records[0].path} and {record.path} differ in {name} ({shown(first[name])} and {shown(value)}), "
                    "so that their scores cannot be compared; test again with the same settings, or make two tables."
                )
    by_place: dict[tuple[str, str], Record] = {}
    by_split: dict[str, Record] = {}
    for record in records:
        other = by_place.setdefault((record.checkpoint, record.split), record)
        if other is not record:
            raise DataError(
                f"{other.path} and {record.path} are both reports of {record.checkpoint} on {record.split}; "
                "name one of them."
            )
        other = by_split.setdefault(record.split, record)
        counts = other.report.scores.count, record.report.scores.count
        if counts[0] != counts[1]:
            raise DataError(
                f"{other.path} and {record.path} have scores of {counts[0]:,} and {counts[1]:,} expressions of "
                f"{record.split}, so that they cannot be compared; test again with the same data."
            )


def shown(value: object) -> str:
    """Format a setting for a message."""
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
