"""Baselines: masks that ignore the expression, and the network given the category's noun alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlt.data.image import read_size
from vlt.data.masks import join_boxes, mask_box, read_targets
from vlt.data.referrals import without_blanks
from vlt.errors import DataError
from vlt.types import Image, Mask, Referral, Referrals

if TYPE_CHECKING:
    from vlt.evaluate.evaluation import MaskFunction


def whole_image(images: Sequence[Image], expressions: Sequence[Sequence[str]]) -> Iterator[list[Mask]]:
    """Predict every pixel of the image, whatever the expression."""
    for image, texts in zip(images, expressions, strict=True):
        yield [np.ones(image.shape[:2], dtype=bool)] * len(texts)


def centred_box(share: tuple[float, float]) -> MaskFunction:
    """Make a baseline that predicts a box in the middle of the image, whatever the expression.

    Args:
        share: (height, width) of the box as shares of the image's, in [0, 1]; rounded to whole pixels, at least one.
    """

    def predict(images: Sequence[Image], expressions: Sequence[Sequence[str]]) -> Iterator[list[Mask]]:
        for image, texts in zip(images, expressions, strict=True):
            sides = zip(image.shape[:2], share, strict=True)
            height, width = (max(1, round(side * part)) for side, part in sides)
            top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
            mask = np.zeros(image.shape[:2], dtype=bool)
            mask[top : top + height, left : left + width] = True
            yield [mask] * len(texts)

    return predict


def mean_box_share(referrals: Referrals) -> tuple[float, float]:
    """Compute the mean height and width of the boxes around the ground truth, each as a share of its image's.

    Every referral counts once, however many expressions it has; those without a target do not count.

    Args:
        referrals: referrals of the train split.

    Returns:
        (height, width), in [0, 1].

    Raises:
        DataError: a target cannot be read, or there is none.
        InputError: the image of a target that is known by its box alone cannot be read.
    """
    shares = []
    for referral in referrals:
        if referral.boxes:
            box = join_boxes(referral.boxes)
            image = referral.image
            height, width = image.shape[:2] if isinstance(image, np.ndarray) else read_size(image)
        else:
            mask = read_targets(referral.targets, (1, 1))
            box, (height, width) = mask_box(mask), mask.shape
        if box is not None:
            shares.append(((box[3] - box[1]) / height, (box[2] - box[0]) / width))
    if not shares:
        raise DataError(f"The mean box cannot be measured: none of the {len(referrals)} referrals has a target.")
    mean = np.mean(shares, axis=0)
    return float(mean[0]), float(mean[1])


def category_nouns(referrals: Referrals, names: Sequence[str]) -> list[Referral]:
    """Replace each expression by the name of its category.

    Args:
        referrals: referrals; those without a named category are left out, and so are blank expressions.
        names: names of the categories, by `Referral.category`.
    """
    return [
        replace(
            referral,
            expressions=tuple(replace(each, text=names[referral.category]) for each in referral.expressions),
        )
        for referral in without_blanks(referrals)[0]
        if 0 <= referral.category < len(names)
    ]
