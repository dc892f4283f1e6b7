"""What preparing a data set found: counts beside the expected ones, and every defect with its ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vlt.errors import DataError
from vlt.files import replacing

if TYPE_CHECKING:
    from vlt.types import Referral

SHOWN_IDS = 20
"""How many ids of one kind of defect are printed; the JSON file has them all."""


class Counts(NamedTuple):
    """How much there is in a split; None where it is not known."""

    refs: int | None
    images: int | None
    sentences: int | None


def count(referrals: Sequence[Referral]) -> Counts:
    """Referrals, distinct photos and sentences."""
    images = {str(referral.image) for referral in referrals}
    return Counts(len(referrals), len(images), sum(len(referral.expressions) for referral in referrals))


@dataclass(frozen=True, slots=True)
class DefectKind:
    """A way in which data can be wrong.

    Attributes:
        name: such as "missing photo".
        of: what its ids name, such as "ref_id".
        outcome: what was done about it, such as "left out".
    """

    name: str
    of: str
    outcome: str


class Defects(dict[DefectKind, list[int | str]]):
    """Every defect met, as kind -> ids."""

    def add(self, kind: DefectKind, which: int | str) -> None:
        """Notes one more defect."""
        self.setdefault(kind, []).append(which)


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was written, and what was wrong.

    Attributes:
        dataset: name of its folder under `anns/` and `masks/`.
        source: what it was prepared from, such as {"dataset": "refcoco", "split": "unc"}; JSON values.
        folder: where its annotations lie.
        counts: per split that was written.
        expected: the published counts per split, where they are known.
        defects: all that were met.
        notes: sentences about the run as a whole.
        categories: what each category is called, by the index that annotations have; empty where it is not known.
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
        """A sentence for each number that is not the expected one."""
        return [
            f"{split}: {found:,} {what}, expected {wanted:,}"
            for split, expected in self.expected.items()
            for what, found, wanted in zip(
                Counts._fields, self.counts.get(split, Counts(0, 0, 0)), expected, strict=True
            )
            if wanted is not None and found != wanted
        ]

    def __str__(self) -> str:
        """The report as it is printed."""
        return "\n".join([*self._table(), *self._verdict(), *self.notes, *self._defect_lines()])

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, with all ids."""
        return {
            "dataset": self.dataset,
            "source": dict(self.source),
            "counts": {split: counts._asdict() for split, counts in self.counts.items()},
            "expected": {split: counts._asdict() for split, counts in self.expected.items()},
            "differences": self.differences(),
            "notes": list(self.notes),
            "categories": list(self.categories),
            "defects": [
                {"kind": kind.name, "of": kind.of, "outcome": kind.outcome, "ids": ids}
                for kind, ids in self.defects.items()
            ],
        }

    def write(self) -> None:
        """Writes `prepare.json` beside the annotations.

        Raises:
            DataError: it cannot be written.
        """
        with replacing(self.folder / "prepare.json") as file:
            file.write(json.dumps(self.to_dict(), indent=1).encode())

    def _table(self) -> Iterable[str]:
        yield f"{self.dataset}: refs / images / sentences, in {self.folder}"
        for split, counts in self.counts.items():
            expected = self.expected.get(split)
            yield f"  {split:<6} {_numbers(counts):>26}" + (f"   expected {_numbers(expected)}" if expected else "")

    def _verdict(self) -> Iterable[str]:
        if not self.expected:
            return ["No expected counts are known for this set."]
        differences = self.differences()
        return [f"Differs: {line}." for line in differences] or ["All counts are the expected ones."]

    def _defect_lines(self) -> Iterable[str]:
        if not self.defects:
            yield "No defects."
        for kind, ids in self.defects.items():
            more = f" and {len(ids) - SHOWN_IDS:,} more, see prepare.json" if len(ids) > SHOWN_IDS else ""
            shown = ", ".join(str(which) for which in ids[:SHOWN_IDS])
            yield f"{kind.name}: {len(ids):,} ({kind.outcome}); {kind.of} {shown}{more}"


def refuse_other(folder: Path, source: Mapping[str, Any]) -> None:
    """Refuses to mix two ways of preparing in one folder: what one trains on, the other may test on.

    Args:
        folder: where the annotations are to lie.
        source: what they are to be prepared from, as in `PrepareReport`.

    Raises:
        DataError: the folder's `prepare.json` tells of another source.
    """
    for before in earlier_sources(folder):
        if before != source:
            raise DataError(
                f"{folder} holds {before}, not {source}; take another output folder, or remove that one first."
            )


def earlier_sources(folder: Path) -> list[Any]:
    """What `folder`'s `prepare.json` says it was prepared from; none where nothing was prepared, or not by us."""
    try:
        return [json.loads((folder / "prepare.json").read_bytes())["source"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, by which a source is known again wherever it lies."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _numbers(counts: Counts) -> str:
    return " / ".join("-" if number is None else f"{number:,}" for number in counts)
