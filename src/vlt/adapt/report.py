"""Report of an adaptation: scores on the held-out images before and after, as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.adapt.data import AdaptData
from vlt.evaluate.report import Report
from vlt.files import replacing

FEW = 10
"""Number of held-out expressions below which the report says that its scores are uncertain."""


@dataclass(frozen=True, slots=True)
class AdaptReport:
    """Result of an adaptation.

    Attributes:
        data: the expressions.
        start: the checkpoint that was adapted.
        before: scores of the start on the held-out images.
        after: scores of the adapted network on the same, predicted in the same way.
        epochs: passes over the training part.
        steps: optimiser steps.
        minutes: duration of everything: reading, both evaluations, training.
        peak_memory: largest memory of the process and of the GPU in bytes; None where the system does not say.
    """

    data: AdaptData
    start: Path
    before: Report
    after: Report
    epochs: int
    steps: int
    minutes: float
    peak_memory: int | None

    @property
    def is_kept(self) -> bool:
        """Whether the adapted network is at least as good as its start, by the mIoU on the held-out images."""
        return self.after.scores.miou >= self.before.scores.miou

    def scores(self) -> dict[str, tuple[float, float]]:
        """List the scores of the table, before and after, in [0, 1]."""
        pair = (self.before, self.after)
        rows = {
            "mIoU": tuple(report.scores.miou for report in pair),
            "Pr@0.5": tuple(report.scores.precision[0.5] for report in pair),
            "nothing there, empty mask": tuple(report.presence.n_acc for report in pair if report.presence),
        }
        return {name: (values[0], values[1]) for name, values in rows.items() if values}

    def advice(self) -> str:
        """Say in one sentence why nothing was kept and what to do."""
        before, after = (100 * report.scores.miou for report in (self.before, self.after))
        return (
            f"The adapted network is worse than {self.start} on the held-out images (mIoU {before:.2f} before, "
            f"{after:.2f} after), so no checkpoint was written; add expressions about more images (there are "
            f"{self.data.trained.sentences} of {self.data.trained.images} to train on), or train for fewer --epochs."
        )

    def __str__(self) -> str:
        """The table in percent, and below it the data, the effort, and a caution where few expressions are held out."""
        rows = [f"{'':<26}{'before':>8}{'after':>8}{'gain':>8}"]
        for name, (before, after) in self.scores().items():
            rows.append(f"{name:<26}{100 * before:>8.2f}{100 * after:>8.2f}{100 * (after - before):>+8.2f}")
        memory = "" if self.peak_memory is None else f", peak memory {self.peak_memory / 1e9:.1f} GB"
        lines = [*rows, str(self.data), f"{self.epochs} epochs, {self.steps} steps, {self.minutes:.1f} minutes{memory}"]
        if self.after.scores.count < FEW:
            lines.append(f"Only {self.after.scores.count} expressions are held out: these scores are uncertain.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "data": str(self.data.path),
            "start": str(self.start),
            "kept": self.is_kept,
            "scores": {name: {"before": before, "after": after} for name, (before, after) in self.scores().items()},
            "trained": self.data.trained._asdict(),
            "held_out": self.data.evaluated._asdict(),
            "epochs": self.epochs,
            "steps": self.steps,
            "minutes": self.minutes,
            "peak_memory_bytes": self.peak_memory,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }

    def write(self, path: Path) -> None:
        """Write the report as JSON.

        Raises:
            DataError: it cannot be written.
        """
        with replacing(path) as file:
            file.write((json.dumps(self.to_dict(), indent=1) + "\n").encode())
