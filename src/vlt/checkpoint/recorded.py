"""Reports of `vlt test` as their JSON files and meta.json have them, and whether their scores can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field, TypeAdapter, model_validator

from vlt.errors import DataError
from vlt.files import JsonObject, read_json

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""A score in [0, 1]."""


class RecordedScores(JsonObject):
    """Scores of all expressions, as `vlt.metrics.Scores`; None where version 0.1 did not compute it.

    `accuracy` and `macc` are of targets that are known by their boxes alone, which have no scores of masks.
    """

    miou: Share | None = None
    oiou: Share | None = None
    boundary: Share | None = None
    box: Share | None = None
    precision: dict[str, Share | None] = Field(default_factory=dict)
    accuracy: dict[str, Share] = Field(default_factory=dict)
    macc: Share | None = None
    count: int

    @model_validator(mode="after")
    def _scores_are_complete(self) -> RecordedScores:
        if not self.accuracy and (self.miou is None or self.oiou is None or not self.precision):
            raise ValueError("miou, oiou and precision are missing")
        return self


class RecordedPresence(JsonObject):
    """Accuracy of empty and non-empty masks, as `vlt.evaluate.results.Presence`."""

    n_acc: Share
    t_acc: Share | None
    absent: int


class RecordedVideo(JsonObject):
    """J, F and their mean, as `vlt.evaluate.video.VideoScores`."""

    region: Share
    contour: Share
    mean: Share
    expressions: int


class RecordedProtocol(JsonObject):
    """Definition of the scores, as `vlt.metrics.EvaluationProtocol`; None: not stated by version 0.1."""

    name: str
    threshold: float
    comparison: str
    empty_iou: float
    levels: list[float]
    precision_of: str = "all"
    smoothing: float = 0.0
    is_bare: bool | None = None
    size: str

    @property
    def image_size(self) -> str:
        """Size at which masks are compared; version 0.1 wrote "photo" for "image"."""
        return self.size.replace("photo", "image")


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
    """Scores of all expressions together and what they depend on; groups and baselines are left out."""

    scores: RecordedScores
    presence: RecordedPresence | None = None
    video: RecordedVideo | None = None
    protocol: RecordedProtocol | None = None
    provenance: RecordedProvenance

    @property
    def split(self) -> str:
        """Data set and split, such as "natural val_b"."""
        origin = self.provenance
        parts = [part for part in (origin.split, origin.half) if part]
        return f"{origin.dataset or 'data set not stated'} {'_'.join(parts) or 'split not stated'}"

    @property
    def flip(self) -> bool | None:
        """Whether test-time augmentation was used; None: not stated."""
        origin = self.provenance
        return origin.mirrored if origin.flip is None else origin.flip

    @property
    def is_of_boxes(self) -> bool:
        """Whether targets are known by their boxes alone, so that there are no scores of masks."""
        return bool(self.scores.accuracy)

    def conditions(self, threshold: str | None = None) -> str:
        """Describe the protocol, flip and refinement, for the text around a table.

        Args:
            threshold: description of the threshold; None: that of the protocol.
        """
        flip = {None: "flip not stated", True: "averaged with the flipped image", False: "without the flipped image"}
        refined = {None: "refinement not stated", True: "outlines refined", False: "outlines not refined"}
        ways = f"{flip[self.flip]}, {refined[self.provenance.refined]}"
        if (protocol := self.protocol) is None:
            return f"Protocol not stated; {ways}."
        reached = "above t" if protocol.comparison == ">" else "of at least t"
        counted = " among expressions with a target" if protocol.precision_of == "targets" else ""
        limit = threshold or f"{protocol.threshold:g}"
        if self.is_of_boxes:
            return (
                "Targets are known by their boxes alone: Acc@t counts boxes around masks with IoU of at least t, mAcc "
                f"is its mean over t from {min(self.scores.accuracy)} to {max(self.scores.accuracy)}; a pixel belongs "
                f"to the mask where its probability is above {limit}, at {protocol.image_size} size; {ways}."
            )
        smoothing = f", {protocol.smoothing:g} added to intersection and union" if protocol.smoothing else ""
        return (
            f"Protocol {protocol.name}: a pixel belongs to the mask where its probability is above "
            f"{limit}, at {protocol.image_size} size; Pr@t counts IoU {reached}"
            f"{counted}; two empty masks have IoU {protocol.empty_iou:g}{smoothing}; {ways}."
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A report of which checkpoint, split and protocol are known.

    Attributes:
        path: its file.
        checkpoint: as the report names it.
        report: its content.
        protocol: definition of its scores.
    """

    path: Path
    checkpoint: str
    report: RecordedReport
    protocol: RecordedProtocol

    @property
    def split(self) -> str:
        """Data set and split, such as "natural val_b"."""
        return self.report.split

    def settings(self) -> dict[str, object]:
        """Return all that two reports must share before their scores are compared, by its name in messages."""
        return {
            "masks of the targets": not self.report.is_of_boxes,
            "protocol": self.protocol.name,
            "comparison of Pr@t": self.protocol.comparison,
            "IoU of two empty masks": self.protocol.empty_iou,
            "levels of Pr@t": self.protocol.levels,
            "expressions that Pr@t is a share of": self.protocol.precision_of,
            "smoothing": self.protocol.smoothing,
            "size of the masks": self.protocol.image_size,
            "bare evaluation": self.protocol.is_bare,
            "flip": self.report.flip,
            "refined": self.report.provenance.refined,
        }


REMEDY = "name a report that `vlt test` wrote"
REPORT: TypeAdapter[RecordedReport] = TypeAdapter(RecordedReport)


def read_record(path: Path) -> Record:
    """Read a report that `vlt test` wrote, of this version or of 0.1.

    Raises:
        DataError: it cannot be read, is no report, or states no checkpoint, data set, split or protocol.
    """
    report = read_json(path, REPORT, REMEDY)
    origin, protocol = report.provenance, report.protocol
    if not (origin.checkpoint and origin.dataset and origin.split and protocol):
        raise DataError(
            f"{path} does not state a checkpoint, a data set, a split and a protocol, so that it has no place in a "
            f"table; {REMEDY}."
        )
    return Record(path, origin.checkpoint, report, protocol)


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
