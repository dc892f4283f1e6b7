"""The report of an evaluation: its scores with everything they depend on, as text, JSON and one line per expression."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from vlt.evaluate.reliability import ScoreBin, calibration_error, score_bins
from vlt.evaluate.results import ExpressionResult, Presence, group_results
from vlt.evaluate.video import VideoScores, score_videos
from vlt.files import make_folder, replacing
from vlt.infer.predictor import Predictor
from vlt.metrics import BOX_LEVELS, EvaluationProtocol, ReferringMetrics, Scores
from vlt.types import Size
from vlt.version import __version__

SHOWN_LEVELS = (0.5, 0.75, 0.9)
"""The t of Acc@t that are printed, as Ref-L4 reports it; the JSON file has all."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of the numbers of a report; None where it is not known.

    Attributes:
        dataset: its name.
        split: such as "val".
        checkpoint: the checkpoint or run that was evaluated, or the name of a baseline.
        threshold: probability above which a pixel belongs to the mask.
        flip: whether test-time augmentation was used.
        refined: whether a refiner replaced the outlines.
        input_size: (height, width) of the network's input in pixels.
        commit: commit of the code.
        seed: seed of the configuration.
        hardware: what it ran on.
        command: as typed.
        version: version of this package.
    """

    dataset: str | None = None
    split: str | None = None
    checkpoint: str | None = None
    threshold: float | None = None
    flip: bool | None = None
    refined: bool | None = None
    input_size: Size | None = None
    commit: str | None = None
    seed: int | None = None
    hardware: str | None = None
    command: str | None = None
    version: str = __version__

    def completed(self, predictor: Predictor) -> Provenance:
        """Fill in the settings of a predictor: threshold, augmentation, refinement, input size, hardware."""
        return replace(
            self,
            threshold=predictor.settings.threshold,
            flip=predictor.settings.flip,
            refined=predictor.refines,
            input_size=predictor.input_size,
            hardware=self.hardware or predictor.engine.hardware,
        )

    def __str__(self) -> str:
        """All known values, on one line."""
        values = asdict(self)
        if self.input_size:
            values["input_size"] = f"{self.input_size[0]} x {self.input_size[1]}"
        return "; ".join(f"{name} {value}" for name, value in values.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of an evaluation.

    Attributes:
        protocol: definition of the scores.
        scores: over all expressions, those without a referent included.
        groups: per grouping (see `vlt.evaluate.results`) and group; groups without an expression are left out. An
            expression with several kinds of cue counts in each.
        presence: accuracy of empty and non-empty masks; None where every expression has one.
        blank_expressions: number of blank expressions, which are in none of the scores.
        cut_expressions: number of expressions that are longer than `model.max_words` and were cut.
        provenance: where the numbers come from.
        results: one per expression, in the order of the data set.
        baselines: scores of baselines by name (see `vlt.evaluate.baselines`); empty: none were evaluated.
        distractors: scores of the model and of baselines among distractors (see `vlt.evaluate.distractors`); empty: no
            baselines were evaluated, or no target is known to have a distractor.
        reliability: scores compared with shares of right masks; empty where results have no scores.
        video: J and F of all expressions; None unless the protocol is one of videos.
        videos: the same per video.
    """

    protocol: EvaluationProtocol
    scores: Scores
    groups: dict[str, dict[str, Scores]]
    presence: Presence | None
    blank_expressions: int
    cut_expressions: int
    provenance: Provenance
    results: tuple[ExpressionResult, ...]
    baselines: Mapping[str, Scores] = field(default_factory=dict)
    distractors: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    reliability: tuple[ScoreBin, ...] = ()
    video: VideoScores | None = None
    videos: Mapping[str, VideoScores] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        results: Sequence[ExpressionResult],
        protocol: EvaluationProtocol,
        *,
        blank_expressions: int = 0,
        cut_expressions: int = 0,
        provenance: Provenance | None = None,
    ) -> Report:
        """Score results, all together and in groups.

        Args:
            results: at least one, under `protocol`.
            protocol: definition of the scores.
            blank_expressions: number of blank expressions that were left out.
            cut_expressions: number of expressions that were cut.
            provenance: where the numbers come from.
        """
        return cls(
            protocol=protocol,
            scores=score_results(results, protocol),
            groups={
                grouping: {name: score_results(members, protocol) for name, members in groups.items()}
                for grouping, groups in group_results(results).items()
            },
            presence=Presence.of(results),
            blank_expressions=blank_expressions,
            cut_expressions=cut_expressions,
            provenance=provenance or Provenance(),
            results=tuple(results),
            reliability=score_bins(results),
            video=VideoScores.of(results) if protocol.is_video else None,
            videos=score_videos(results) if protocol.is_video else {},
        )

    def __str__(self) -> str:
        """The report as it is printed: a table in percent, and below it what the numbers depend on."""
        groups = {name: scores for groups in self.groups.values() for name, scores in groups.items()}
        lines = [scores_table({"all": self.scores, **groups, **self.baselines})]
        if self.distractors:
            metric = "mIoU" if self.scores.accuracy is None else "box accuracy"
            lines += [f"several of the category in the image, {metric}:", distractors_table(self.distractors)]
        lines += [str(each) for each in (self.video, self.presence) if each]
        if self.reliability:
            error = calibration_error(self.reliability)
            lines.append(f"expected calibration error of scores: {100 * error:.2f} points, over non-empty masks")
        if self.scores.accuracy is None:
            lines.append(str(self.protocol))
        else:
            lines.append(
                "targets are known by their boxes alone: Acc@t = share of the boxes around predicted masks with IoU >= "
                f"t (an empty mask counts where nothing matches), mAcc = mean over t from {BOX_LEVELS[0]:g} to "
                f"{BOX_LEVELS[-1]:g}; mask = probability > {self.protocol.threshold:g}"
            )
        if self.blank_expressions:
            lines.append(f"{self.blank_expressions} blank expressions left out")
        if self.cut_expressions:
            lines.append(f"{self.cut_expressions} expressions were cut at model.max_words: their ends were not read")
        return "\n".join([*lines, str(self.provenance)])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, without the results of single expressions."""
        size = self.provenance.input_size
        return {
            "scores": self.scores.to_dict(),
            **{
                f"by_{grouping}": {name: scores.to_dict() for name, scores in groups.items()}
                for grouping, groups in self.groups.items()
            },
            "presence": self.presence and self.presence._asdict(),
            "video": self.video and self.video.to_dict(),
            "videos": {name: scores.to_dict() for name, scores in self.videos.items()},
            "baselines": {name: scores.to_dict() for name, scores in self.baselines.items()},
            "distractors": {
                cue: {name: scores.to_dict() for name, scores in rows.items()} for cue, rows in self.distractors.items()
            },
            "reliability": [each._asdict() for each in self.reliability],
            "protocol": {**asdict(self.protocol), "levels": list(self.protocol.levels), "size": "the image's own"},
            "blank_expressions": self.blank_expressions,
            "cut_expressions": self.cut_expressions,
            "provenance": {**asdict(self.provenance), "input_size": size and list(size)},
        }

    def write(self, path: Path) -> None:
        """Write the report as JSON, making the folders above it.

        Raises:
            DataError: it cannot be written.
        """
        make_folder(path.parent)
        with replacing(path) as file:
            file.write((json.dumps(self.to_dict(), indent=1) + "\n").encode())

    def write_results(self, path: Path) -> None:
        """Write a line of JSON per expression, making the folders above the file.

        Raises:
            DataError: it cannot be written.
        """
        make_folder(path.parent)
        with replacing(path) as file:
            for result in self.results:
                file.write((json.dumps(asdict(result), ensure_ascii=False) + "\n").encode())


def score_results(results: Sequence[ExpressionResult], protocol: EvaluationProtocol) -> Scores:
    """Compute the scores of some results; at least one, all of masks or all of boxes alone."""
    if results[0].is_of_boxes:
        return Scores.of_boxes(torch.tensor([result.box for result in results], dtype=torch.float64))
    metrics = ReferringMetrics(protocol, sync_on_compute=False)  # the results are those of all processes already
    metrics.update(
        torch.tensor([result.intersection for result in results]),
        torch.tensor([result.union for result in results]),
        torch.tensor([result.boundary for result in results], dtype=torch.float64),
        torch.tensor([result.box for result in results], dtype=torch.float64),
        torch.tensor([result.target for result in results]),
    )
    scores: Scores = metrics.compute()
    return scores


def scores_table(rows: Mapping[str, Scores]) -> str:
    """Format scores in aligned columns, in percent.

    Args:
        rows: name and scores of each row; at least one, all with the same levels of Pr@t, or all of boxes alone.

    Example:
        >>> print(scores_table({"all": Scores(0.5, 0.25, 1, box=0.75, precision={0.5: 1 / 3}, count=3)}))
             expressions   mIoU   oIoU  boundary F  box acc.  Pr@0.5
        all            3  50.00  25.00      100.00     75.00   33.33
    """
    first = next(iter(rows.values()))
    heads = ["mIoU", "oIoU", "boundary F", "box acc.", *(f"Pr@{level:g}" for level in first.precision)]
    if first.accuracy is not None:
        heads = [*(f"Acc@{level:g}" for level in SHOWN_LEVELS), "mAcc"]
    cells = [["", "expressions", *heads]]
    for name, scores in rows.items():
        shares = [scores.miou, scores.oiou, scores.boundary, scores.box, *scores.precision.values()]
        if scores.accuracy is not None:
            shares = [*(scores.accuracy[level] for level in SHOWN_LEVELS), scores.macc or 0.0]
        cells.append([name, str(scores.count), *(f"{100 * share:.2f}" for share in shares)])
    return aligned(cells)


def distractors_table(rows: Mapping[str, Mapping[str, Scores]]) -> str:
    """Format the mIoU, of boxes alone the box accuracy, among distractors in aligned columns, in percent.

    There is a row per cue, and a column per predictor.

    Args:
        rows: as `Report.distractors`; at least one.
    """
    names = list(next(iter(rows.values())))
    cells = [["", "expressions", *names]]
    for cue, scores in rows.items():
        shares = [each.miou if each.accuracy is None else each.box for each in (scores[name] for name in names)]
        cells.append([cue, str(scores[names[0]].count), *(f"{100 * share:.2f}" for share in shares)])
    return aligned(cells)


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Join rows of text, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for head, *others in cells:
        right = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([head.ljust(widths[0]), *right]))
    return "\n".join(lines)
