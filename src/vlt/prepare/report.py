"""Report of a prepared data set: counts beside the published ones, and every defect with its ids and reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vlt.files import replacing
from vlt.types import Referral

SHOWN_IDS = 20
"""Largest number of ids printed for one kind of defect; the JSON file has all."""
SHOWN_REASONS = 3
"""Largest number of reasons printed for one kind of defect; the JSON file has all."""


class Counts(NamedTuple):
    """Sizes of a split; None where a number is unknown."""

    refs: int | None
    images: int | None
    sentences: int | None


def count(referrals: Sequence[Referral]) -> Counts:
    """Count referrals, distinct images and expressions."""
    images = {str(referral.image) for referral in referrals}
    return Counts(len(referrals), len(images), sum(len(referral.expressions) for referral in referrals))


@dataclass(frozen=True, slots=True)
class DefectKind:
    """A kind of defect of a data set.

    Attributes:
        name: name of the kind, such as "missing photo".
        of: name of the ids by which it is reported, such as "ref_id".
        outcome: the consequence, such as "left out".
    """

    name: str
    of: str
    outcome: str


class Defects(dict[DefectKind, list[int | str]]):
    """All defects of a data set, as kind -> ids.

    Attributes:
        reasons: kind -> reason -> number of cases.
        examples: (kind, reason) -> the first case.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[DefectKind, Counter[str]] = {}
        self.examples: dict[tuple[DefectKind, str], str] = {}

    def add(self, kind: DefectKind, which: int | str, reason: str = "", example: str = "") -> None:
        """Record one defect.

        Args:
            kind: kind of the defect.
            which: the id of the entry.
            reason: a clause that names the cause and the remedy where it is known.
            example: what is wrong in this case; the first per reason is printed.
        """
        self.setdefault(kind, []).append(which)
        if reason or example:
            self.reasons.setdefault(kind, Counter())[reason] += 1
            self.examples.setdefault((kind, reason), example or f"{kind.of} {which}")

    def summary(self) -> str:
        """Name all kinds with their numbers, reasons and examples in one clause, such as "missing photo 2 times"."""
        return ", ".join(
            f"{kind.name} {len(ids):,} time{'s' * (len(ids) != 1)}{self.explain(kind)}" for kind, ids in self.items()
        )

    def explain(self, kind: DefectKind) -> str:
        """Name the most frequent reasons of a kind with an example each, in parentheses; empty without reasons."""
        reasons = self.reasons.get(kind, Counter()).most_common(SHOWN_REASONS)
        shown = [
            (f"{times:,} x {reason}, " if reason else "") + f"such as {self.examples[kind, reason]}"
            for reason, times in reasons
        ]
        return f" ({'; '.join(shown)})" if shown else ""


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """Contents of a prepared data set, and the defects of its sources.

    Attributes:
        dataset: name of its folder under `anns/` and `masks/`.
        source: what it was prepared from, such as {"dataset": "refcoco", "split": "unc"}; JSON values.
        folder: folder of its annotations.
        counts: per split that was written.
        expected: the published counts per split, where they are known.
        defects: all defects found.
        notes: sentences about the run as a whole.
        categories: names of the categories, by the index that annotations have; empty where they are unknown.
    """

    dataset: str
    source: Mapping[str, Any]
    folder: Path
    counts: Mapping[str, Counts]
    expected: Mapping[str, Counts] = field(default_factory=dict)
    defects: Defects = field(default_factory=Defects)
    notes: Sequence[str] = ()
    categories: Sequence[str] = ()

    def differences(self) -> list[str]:
        """Describe each number that differs from the expected one."""
        return [
            f"{split}: {found:,} {what}, expected {wanted:,}"
            for split, expected in self.expected.items()
            for what, found, wanted in zip(
                Counts._fields, self.counts.get(split, Counts(0, 0, 0)), expected, strict=True
            )
            if wanted is not None and found != wanted
        ]

    def __str__(self) -> str:
        """The report as it is printed: counts, differences, notes, defects."""
        lines = [f"{self.dataset}: refs / images / sentences, in {self.folder}"]
        for split, counts in self.counts.items():
            found, expected = (
                None if each is None else " / ".join("-" if number is None else f"{number:,}" for number in each)
                for each in (counts, self.expected.get(split))
            )
            lines.append(f"  {split:<6} {found:>26}" + (f"   expected {expected}" if expected else ""))
        if not self.expected:
            lines.append("No expected counts are known for this set.")
        else:
            differences = [f"Differs: {line}." for line in self.differences()]
            lines += differences or ["All counts are the expected ones."]
        lines += self.notes or ()
        for kind, ids in self.defects.items():
            more = f" and {len(ids) - SHOWN_IDS:,} more, see prepare.json" if len(ids) > SHOWN_IDS else ""
            shown = ", ".join(str(which) for which in ids[:SHOWN_IDS])
            lines.append(
                f"{kind.name}: {len(ids):,} ({kind.outcome}); {kind.of} {shown}{more}{self.defects.explain(kind)}"
            )
        return "\n".join(lines if self.defects else [*lines, "No defects."])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, with all ids and reasons."""
        defects = []
        for kind, ids in self.defects.items():
            entry: dict[str, Any] = {"kind": kind.name, "of": kind.of, "outcome": kind.outcome, "ids": ids}
            if reasons := {text: times for text, times in self.defects.reasons.get(kind, {}).items() if text}:
                entry["reasons"] = reasons
            defects.append(entry)
        return {
            "dataset": self.dataset,
            "source": dict(self.source),
            "counts": {split: counts._asdict() for split, counts in self.counts.items()},
            "expected": {split: counts._asdict() for split, counts in self.expected.items()},
            "differences": self.differences(),
            "notes": list(self.notes),
            "categories": list(self.categories),
            "defects": defects,
        }

    def write(self) -> None:
        """Write `prepare.json` beside the annotations.

        Raises:
            DataError: it cannot be written.
        """
        with replacing(self.folder / "prepare.json") as file:
            file.write(json.dumps(self.to_dict(), indent=1).encode())
