"""What an evaluation found, with everything its numbers depend on: for people, for JSON, and sentence by sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vlt.evaluate.groups import Presence, group, groupings, presence
from vlt.files import make_folder, replacing
from vlt.metrics import Protocol, ReferringMetrics, Scores
from vlt.version import __version__

if TYPE_CHECKING:
    from vlt.evaluate.noun import NounGain
    from vlt.evaluate.record import Record
    from vlt.types import Size


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where numbers come from; None where it was not said.

    Attributes:
        dataset: its name.
        split: such as "val".
        half: of the split, "a" or "b"; None: the whole.
        checkpoint: the checkpoint or run that answered, or the name of a baseline.
        refined: whether a refiner drew the masks' outlines.
        mirrored: whether the mirrored photo was asked, too.
        commit: of the code.
        seed: of the configuration.
        hardware: what it ran on.
        command: what was typed.
        version: of this package.
    """

    dataset: str | None = None
    split: str | None = None
    half: str | None = None
    checkpoint: str | None = None
    refined: bool | None = None
    mirrored: bool | None = None
    commit: str | None = None
    seed: int | None = None
    hardware: str | None = None
    command: str | None = None
    version: str = __version__

    def __str__(self) -> str:
        """What is known, on one line."""
        return "; ".join(f"{name} {value}" for name, value in asdict(self).items() if value is not None)


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes:
        protocol: what counts as what.
        scores: over all sentences, those without a referent included.
        groups: per way to group (see `vlt.evaluate.groups`) and group; groups without a sentence are left out. An
            expression with several kinds of cue counts in each.
        presence: how well the absence of a referent is noticed; None where every sentence has one.
        blank_sentences: how many could not be asked because they say nothing; they are in none of the scores.
        input_size: (height, width) in pixels at which the model sees photos; it is judged at the photo's own size.
        provenance: where the numbers come from.
        records: one per sentence, in the order of the data set.
        dummies: what answers to less than photo and sentence score (see `vlt.evaluate.baselines`, `.noun`), by name;
            empty: they were not asked.
        noun_gain: how much more whole sentences tell than their nouns; None where that was not asked or is not known.
    """

    protocol: Protocol
    scores: Scores
    groups: dict[str, dict[str, Scores]]
    presence: Presence | None
    blank_sentences: int
    input_size: Size
    provenance: Provenance
    records: tuple[Record, ...]
    dummies: Mapping[str, Scores] = field(default_factory=dict)
    noun_gain: NounGain | None = None

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        protocol: Protocol,
        *,
        input_size: Size,
        blank_sentences: int = 0,
        provenance: Provenance | None = None,
    ) -> Report:
        """Scores the records, all together and in groups.

        Args:
            records: at least one, judged under `protocol`.
            protocol: what counts as what.
            input_size: (height, width) in pixels at which the model sees photos.
            blank_sentences: how many were left out.
            provenance: where the numbers come from.
        """
        return cls(
            protocol=protocol,
            scores=measure(records, protocol),
            groups={
                name: {each: measure(members, protocol) for each, members in group(records, grouping).items()}
                for name, grouping in groupings(records).items()
            },
            presence=presence(records),
            blank_sentences=blank_sentences,
            input_size=input_size,
            provenance=provenance or Provenance(),
            records=tuple(records),
        )

    def __str__(self) -> str:
        """The report as it is printed: a table in percent, and below it what the numbers depend on."""
        groups = {name: scores for groups in self.groups.values() for name, scores in groups.items()}
        table = scores_table({"all": self.scores, **groups, **self.dummies})
        findings = [str(found) for found in (self.presence, self.noun_gain) if found]
        height, width = self.input_size
        left_out = f"input {height} x {width}; {self.blank_sentences} blank sentences left out"
        return "\n".join([table, *findings, str(self.protocol), left_out, str(self.provenance)])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, without the records."""
        return {
            "scores": self.scores.to_dict(),
            **{f"by_{name}": _to_dicts(groups) for name, groups in self.groups.items()},
            "presence": self.presence and self.presence._asdict(),
            "dummies": _to_dicts(self.dummies),
            "noun_gain": self.noun_gain and self.noun_gain._asdict(),
            "protocol": {**asdict(self.protocol), "levels": list(self.protocol.levels), "size": "the photo's own"},
            "blank_sentences": self.blank_sentences,
            "input_size": list(self.input_size),
            "provenance": asdict(self.provenance),
        }

    def write(self, path: Path) -> None:
        """Writes the report as JSON, making the folders above it.

        Raises:
            DataError: it cannot be written.
        """
        _write(path, json.dumps(self.to_dict(), indent=1) + "\n")

    def write_records(self, path: Path) -> None:
        """Writes a line of JSON per sentence, making the folders above the file.

        Raises:
            DataError: it cannot be written.
        """
        lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in self.records)
        _write(path, "".join(lines))


def measure(records: Sequence[Record], protocol: Protocol) -> Scores:
    """The scores of some records; at least one."""
    metrics = ReferringMetrics(protocol, sync_on_compute=False)  # the records are those of all processes already
    metrics.update(
        torch.tensor([record.intersection for record in records]),
        torch.tensor([record.union for record in records]),
        torch.tensor([record.boundary for record in records], dtype=torch.float64),
    )
    scores: Scores = metrics.compute()
    return scores


def scores_table(rows: Mapping[str, Scores]) -> str:
    """Scores in aligned columns, in percent.

    Args:
        rows: what each row is called, and its scores; at least one, all with the same levels of Pr@t.

    Example:
        >>> print(scores_table({"all": Scores(miou=0.5, oiou=0.25, boundary=1, precision={0.5: 1 / 3}, count=3)}))
             sentences   mIoU   oIoU  boundary F  Pr@0.5
        all          3  50.00  25.00      100.00   33.33
    """
    levels = next(iter(rows.values())).precision
    cells = [["", "sentences", "mIoU", "oIoU", "boundary F", *(f"Pr@{level:g}" for level in levels)]]
    for name, scores in rows.items():
        shares = [scores.miou, scores.oiou, scores.boundary, *scores.precision.values()]
        cells.append([name, str(scores.count), *(f"{100 * share:.2f}" for share in shares)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths) for row in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row: names to the left, numbers to the right."""
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers])


def _to_dicts(rows: Mapping[str, Scores]) -> dict[str, Any]:
    return {name: scores.to_dict() for name, scores in rows.items()}


def _write(path: Path, text: str) -> None:
    make_folder(path.parent)
    with replacing(path) as file:
        file.write(text.encode())
