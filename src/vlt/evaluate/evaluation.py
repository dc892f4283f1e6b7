"""The evaluation loop: predict every expression of a data set and compare each mask with its ground truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate.utils import gather_object
from tqdm import tqdm

from vlt.data.image import read_image
from vlt.data.loading import load_batches
from vlt.data.masks import box_overlap, fill_box, join_boxes, mask_box, read_targets
from vlt.data.referrals import check_one_kind, image_key, video_name, without_blanks
from vlt.errors import ConfigError, DataError, VLTError, VLTWarning
from vlt.evaluate.report import Provenance, Report
from vlt.evaluate.results import ExpressionResult, Outcome
from vlt.infer.predictor import IMAGES_AT_ONCE, Predictor
from vlt.metrics import PROTOCOLS, EvaluationProtocol, boundary_f, overlap
from vlt.types import Expression, Image, Mask, Referral, Referrals

MaskFunction: TypeAlias = Callable[[Sequence[Image], Sequence[Sequence[str]]], Iterable[Sequence[Mask]]]
"""A function from images, and the expressions about each, to a mask per expression at the image's size, per image."""

MOST_EXPRESSIONS = 64
"""Largest number of expressions about one image whose masks are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One process's share of an evaluation.

    A share is a run of neighbouring expressions, so that those about one image stay together; shares differ by at most
    one expression and none is padded, so nothing counts twice.

    Attributes:
        rank: rank of this process, 0-based.
        world: number of processes.
        gather: takes the list of one process and returns those of all, joined in the order of ranks, to each.
    """

    rank: int = 0
    world: int = 1
    gather: Callable[[list[Any]], list[Any]] = list

    @classmethod
    def of(cls, state: Any) -> Shard:
        """Make the share of the process of an `accelerate.Accelerator` or `PartialState`."""
        return cls(state.process_index, state.num_processes, gather_object)

    def indices(self, count: int) -> range:
        """Return which of `count` expressions are this process's."""
        return range(count * self.rank // self.world, count * (self.rank + 1) // self.world)


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """Neighbouring expressions of a data set about one image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        expressions: each with its referral, in the order of the data set.
    """

    image: Image
    expressions: list[tuple[Referral, Expression]]


class ImageGroups:
    """A share of a data set as `ImageGroup`s of at most `MOST_EXPRESSIONS`; an image is read when its group is.

    Args:
        referrals: referrals without blank expressions.
        indices: indices of the expressions, counted over all referrals.
    """

    def __init__(self, referrals: Referrals, indices: range) -> None:
        self.referrals = referrals
        self.places: list[list[tuple[int, int]]] = []  # of each group: (referral, expression of it)
        position, last_key = 0, None
        for row, referral in enumerate(referrals):
            key = image_key(referral)
            for number in range(len(referral.expressions)):
                if position in indices:
                    if key != last_key or len(self.places[-1]) == MOST_EXPRESSIONS:
                        self.places.append([])
                    self.places[-1].append((row, number))
                    last_key = key
                position += 1

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> ImageGroup:
        """Read the image of a group.

        Raises:
            DataError: it cannot be read, with its referral.
        """
        rows = {row: self.referrals[row] for row, _ in self.places[index]}
        first = next(iter(rows.values()))
        try:
            image = read_image(first.image)
        except VLTError as error:
            raise DataError(f"Referral {first.ref_id}: {error}") from None
        return ImageGroup(image, [(rows[row], rows[row].expressions[number]) for row, number in self.places[index]])


def evaluate(
    predictor: Predictor | MaskFunction,
    referrals: Referrals,
    *,
    protocol: str | EvaluationProtocol = "vlt",
    on_outcome: Callable[[Outcome], None] | None = None,
    shard: Shard | None = None,
    provenance: Provenance | None = None,
    workers: int = 0,
    progress: bool = False,
) -> Report:
    """Predict every expression of `referrals` and score the masks at the images' own size.

    Args:
        predictor: makes predictions with its own settings; or a baseline, see `vlt.evaluate.baselines`.
        referrals: expressions and ground truth.
        protocol: a name in `vlt.metrics.PROTOCOLS`, or one of your own. "vlt" uses the threshold of the predictor's
            settings; any other has its own, and one that `is_bare` uses neither test-time augmentation nor a refiner.
        on_outcome: called with each prediction of this process, in order.
        shard: this process's share; None: all. The report covers the shares of all processes.
        provenance: where the numbers come from; the settings of the predictor are filled in.
        workers: processes that read images; 0: this one.
        progress: show a progress bar on stderr, in the first process.

    Raises:
        ConfigError: there is no such protocol, or it needs masks that the data set does not have.
        DataError: no expression to evaluate; an image or ground truth that cannot be read, or of different sizes; see
            `vlt.data.referrals.check_one_kind`.
        CheckpointError: the network's output is not finite.
    """
    shard = shard or Shard()
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            raise ConfigError(f"There is no evaluation protocol {protocol!r}; known: {', '.join(PROTOCOLS)}.")
        protocol = PROTOCOLS[protocol]
        if protocol.name == "vlt" and isinstance(predictor, Predictor):
            protocol = replace(protocol, threshold=predictor.settings.threshold)
    kept, blank = without_blanks(referrals)
    total = sum(len(referral.expressions) for referral in kept)
    if not total:
        raise DataError(f"There is no expression to evaluate: {len(referrals)} referrals, {blank} blank expressions.")
    boxes_alone = check_one_kind(kept)
    if boxes_alone and protocol.is_video:
        raise ConfigError(
            "The protocol 'video' compares masks, but the targets are known by their boxes alone; choose 'vlt'."
        )
    if protocol.is_video and len({each.sent_id for referral in kept for each in referral.expressions}) == total:
        message = (
            "The protocol 'video' averages over the frames of an expression, but each expression is about one image, "
            "as in a data set that is none of videos; `vlt prepare video` prepares those."
        )
        warnings.warn(VLTWarning(message), stacklevel=2)
    provenance, cut = provenance or Provenance(), 0
    if isinstance(predictor, Predictor):
        if protocol.is_bare:
            predictor = predictor.with_settings(flip=False, refine=False)
        predictor = predictor.with_settings(threshold=protocol.threshold)
        provenance = provenance.completed(predictor)
        texts = (expression.text for referral in kept for expression in referral.expressions)
        cut = sum(predictor.text(text).cut > 0 for text in texts)
    indices = shard.indices(total)
    groups = ImageGroups(kept, indices)
    batches = [
        range(start, min(start + IMAGES_AT_ONCE, len(groups))) for start in range(0, len(groups), IMAGES_AT_ONCE)
    ]
    results: list[ExpressionResult] = []
    with tqdm(total=len(indices), desc="evaluate", unit="expression", disable=not progress or shard.rank > 0) as bar:
        for batch in load_batches(groups, batches, list, workers=workers):
            for group, predicted in zip(batch, predict_masks(predictor, batch), strict=True):
                for outcome in compare_masks(group, predicted, protocol, boxes_alone=boxes_alone):
                    results.append(outcome.result)
                    if on_outcome is not None:
                        on_outcome(outcome)
                bar.update(len(group.expressions))
    return Report.of(
        shard.gather(results), protocol, blank_expressions=blank, cut_expressions=cut, provenance=provenance
    )


def predict_masks(
    predictor: Predictor | MaskFunction, groups: Sequence[ImageGroup]
) -> Iterable[Sequence[tuple[Mask, float | None]]]:
    """Predict the mask of each expression about some images, and its score; a baseline has none."""
    images = [group.image for group in groups]
    texts = [[expression.text for _, expression in group.expressions] for group in groups]
    if isinstance(predictor, Predictor):
        different = [list(dict.fromkeys(some)) for some in texts]  # those of the noun alone are mostly alike
        predictions = predictor.predict(images, different, warn=False)
        found = [dict(zip(some, row, strict=True)) for some, row in zip(different, predictions, strict=True)]
        return [[(row[text].mask, row[text].score) for text in some] for some, row in zip(texts, found, strict=True)]
    return ([(mask, None) for mask in masks] for masks in predictor(images, texts))


def compare_masks(
    group: ImageGroup,
    predicted: Sequence[tuple[Mask, float | None]],
    protocol: EvaluationProtocol,
    *,
    boxes_alone: bool = False,
) -> Iterable[Outcome]:
    """Compare predicted masks with their ground truth.

    Args:
        group: an image and the expressions about it.
        predicted: the mask of each expression, and its score.
        protocol: definition of the IoU.
        boxes_alone: compare the boxes of the masks with those of the targets, which have no masks.

    Raises:
        DataError: ground truth of another size than its image, or that cannot be read, with its referral.
    """
    for (referral, expression), (mask, score) in zip(group.expressions, predicted, strict=True):
        size = mask.shape[0], mask.shape[1]
        if boxes_alone:
            box = join_boxes(referral.boxes)
            truth = np.zeros(size, dtype=bool) if box is None else fill_box(box, size)
        else:
            try:
                truth = read_targets(referral.targets, size)
            except DataError as error:
                raise DataError(f"Referral {referral.ref_id}: {error}") from None
            box = mask_box(truth)
        if truth.shape != mask.shape:
            raise DataError(
                f"Referral {referral.ref_id}: its ground truth has {truth.shape[0]} x {truth.shape[1]} pixels, but its "
                f"image {mask.shape[0]} x {mask.shape[1]}; run `vlt prepare` again."
            )
        iou, intersection, union, boundary = (None,) * 4 if boxes_alone else mask_numbers(mask, truth, protocol)
        result = ExpressionResult(
            ref_id=referral.ref_id,
            sent_id=expression.sent_id,
            expression=expression.text,
            iou=iou,
            intersection=intersection,
            union=union,
            boundary=boundary,
            box=box_overlap(mask_box(mask), box),
            target=int(truth.sum()),
            photo=truth.size,
            predicted=int(mask.sum()),
            standing=referral.standing,
            score=score,
            video=video_name(referral) if protocol.is_video else None,
        )
        yield Outcome(result, referral, mask, truth)


def mask_numbers(mask: Mask, truth: Mask, protocol: EvaluationProtocol) -> tuple[float, int, int, float]:
    """Compute IoU, intersection, union and boundary F-score of a predicted mask and its ground truth."""
    intersection, union = overlap(mask, truth)
    iou = protocol.iou(torch.tensor(intersection), torch.tensor(union)).item()
    return iou, intersection, union, boundary_f(mask, truth, protocol.boundary)
