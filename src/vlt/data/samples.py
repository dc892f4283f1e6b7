"""Training samples of referrals: an expression is drawn, it and the image are augmented, the image is letterboxed."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from vlt.data.image import read_image, vary_light
from vlt.data.masks import mask_box, read_each_target, unite
from vlt.data.referrals import image_key, image_name, portable_name
from vlt.errors import DataError, VLTError
from vlt.geometry import Letterbox
from vlt.text.augment import mask_words, with_chatter, with_detail, with_slip
from vlt.text.mirror import swap_left_right
from vlt.text.reader import TextReader
from vlt.types import Expression, FloatArray, Image, PackedImage, Referral, Referrals, Sample, Size

VIEWS = 2
"""Number of samples of each referral in a batch with masked contrastive learning."""


class LetterboxedImage(NamedTuple):
    """An image as the samples about it share it.

    Attributes:
        source: see `Referral`.
        flipped: whether it is flipped horizontally.
        image: (3, H, W) float32 in [0, 1], letterboxed.
        letterbox: maps the image to the input.
        targets: by ref_id, `Sample.target` and `Sample.target_boxes` of the referrals that were read.
    """

    source: Path | PackedImage | Image
    flipped: bool
    image: FloatArray
    letterbox: Letterbox
    targets: dict[int, tuple[FloatArray | None, FloatArray]]


class TrainSamples(Dataset[Sample]):
    """One sample per referral with one of its expressions, drawn at random in each epoch; or two samples of each.

    With `mask_ratio`, items 2i and 2i + 1 are two views of referral i: two of its expressions, the second with words
    masked; or its only expression, masked in two ways.

    Item i is a pure function of (seed, epoch, i), so that workers, processes and resumed runs agree. Samples that are
    requested one after the other about one image share the image array, so that a batch holds it once, and those of one
    referral share its target.

    Args:
        referrals: the referrals, without blank expressions.
        text: the reader of expressions.
        input_size: (height, width) of the network's input in pixels.
        antialias: low-pass images before shrinking.
        epoch: counted from 0.
        seed: seed of the run.
        flip: probability that an image is flipped horizontally. Left and right are then swapped in its expression; an
            expression that has no mirrored form keeps its image as it is. `Sample.referral` is never flipped.
        chatter: probability that filler words are added to an expression, see `with_chatter`.
        details: probability that details are added to an expression without a target, see `with_detail`.
        slips: probability that an expression gets a slip of the pen, see `with_slip`.
        light: probability that brightness and gamma of an image are varied, see `vary_light`.
        mask_ratio: share of an expression's words that is masked in second views, in [0, 1]; at least one word stays.
            None: one sample per referral, and nothing is masked.
        masks: letterbox the targets' masks; False: samples have only the boxes around them.
    """

    def __init__(
        self,
        referrals: Referrals,
        text: TextReader,
        input_size: Size,
        antialias: bool,
        *,
        epoch: int,
        seed: int,
        flip: float = 0.0,
        chatter: float = 0.0,
        details: float = 0.0,
        slips: float = 0.0,
        light: float = 0.0,
        mask_ratio: float | None = None,
        masks: bool = True,
    ) -> None:
        self._referrals = referrals
        self._text = text
        self._input_size = input_size
        self._antialias = antialias
        self._key = (seed, epoch)
        self._flip = flip
        self._chatter = chatter
        self._details = details
        self._slips = slips
        self._light = light
        self._mask_ratio = mask_ratio
        self._views = 1 if mask_ratio is None else VIEWS
        self._masks = masks
        self._last: LetterboxedImage | None = None

    def __len__(self) -> int:
        return len(self._referrals) * self._views

    def __getitem__(self, index: int) -> Sample:
        """Draw, read and letterbox a sample.

        Raises:
            DataError: an image, mask or expression that cannot be used, with its referral.
        """
        place, view = divmod(index, self._views)
        referral = self._referrals[place]
        expression, flipped = self._draw(referral, place, view)
        text = expression.text
        if self._mask_ratio and (view or len(referral.expressions) == 1):
            text = mask_words(text, self._mask_ratio, self._text.mask_word, (*self._key, index))
        try:
            current = self._read(referral, flipped)
            if referral.ref_id not in current.targets:
                current.targets[referral.ref_id] = self._read_target(referral, current)
            target, boxes = current.targets[referral.ref_id]
            words = self._text(text).values
            return Sample(current.image, words, target, boxes, current.letterbox, referral, expression)
        except VLTError as error:
            raise DataError(f"Referral {referral.ref_id}: {error}") from None

    def _draw(self, referral: Referral, place: int, view: int) -> tuple[Expression, bool]:
        """Draw the expression of a view, with filler words and slips, and whether the image is flipped.

        Whether an image is flipped is drawn once per epoch, so that its samples share it unless a text forbids it.
        """
        draw, count = np.random.default_rng((*self._key, place)), len(referral.expressions)
        chosen = draw.integers(count)
        if view and count > 1:
            chosen = (chosen + 1 + draw.integers(count - 1)) % count  # any but the first view's
        expression = referral.expressions[chosen]
        if self._chatter and draw.random() < self._chatter:
            expression = replace(expression, text=with_chatter(expression.text, draw))
        if self._details and not referral.targets and draw.random() < self._details:
            expression = replace(expression, text=with_detail(expression.text, draw))
        is_drawn = self._flip and np.random.default_rng((*self._key, image_number(referral))).random() < self._flip
        swapped = swap_left_right(expression.text) if is_drawn else None
        text = expression.text if swapped is None else swapped
        if self._slips and draw.random() < self._slips:
            text = with_slip(text, draw)
        return (expression if text == expression.text else replace(expression, text=text)), swapped is not None

    def _read(self, referral: Referral, flipped: bool) -> LetterboxedImage:
        """Read, augment and letterbox an image, or return that of the last sample where it is the same."""
        source, last = referral.image, self._last
        before = None if last is None else last.source
        files = isinstance(source, Path | PackedImage) and isinstance(before, Path | PackedImage)
        same = source is before or (files and source == before)
        if last is None or not same or flipped != last.flipped:
            image = read_image(referral.image)
            rng = random.Random(f"{self._key} {image_number(referral)}")
            if self._light and rng.random() < self._light:
                image = vary_light(image, rng)
            letterbox = Letterbox((image.shape[0], image.shape[1]), self._input_size, self._antialias)
            letterboxed = letterbox.image(image[:, ::-1] if flipped else image)
            self._last = last = LetterboxedImage(source, flipped, letterboxed, letterbox, {})
        return last

    def _read_target(self, referral: Referral, current: LetterboxedImage) -> tuple[FloatArray | None, FloatArray]:
        """Read the targets of a referral: their letterboxed union, and the box around each as shares of the input."""
        letterbox = current.letterbox
        if referral.boxes and not self._masks:
            width = letterbox.image_size[1]
            seen = [
                (width - x1, y0, width - x0, y1) if current.flipped else (x0, y0, x1, y1)
                for x0, y0, x1, y1 in referral.boxes
            ]
            return None, np.stack([letterbox.box(box) for box in seen])
        masks = read_each_target(referral.targets)
        mask = unite(masks, letterbox.image_size)
        if mask.shape != letterbox.image_size:
            sizes = (" x ".join(map(str, size)) for size in (letterbox.image_size, mask.shape))
            raise DataError(
                "the image {} has {} pixels, but its mask {}; make them one size.".format(image_name(referral), *sizes)
            )
        step = -1 if current.flipped else 1
        boxes = np.zeros((len(masks), 4), np.float32)
        for row, each in zip(boxes, masks, strict=True):
            if (box := mask_box(each[:, ::step])) is not None:
                row[:] = letterbox.box(box)
        return letterbox.target(mask[:, ::step]) if self._masks else None, boxes


def image_number(referral: Referral) -> int:
    """Seed of the augmentation of an image; it does not depend on where the data are stored."""
    key = image_key(referral)
    name = portable_name(key) if isinstance(key, Path | PackedImage) else str(key)
    return zlib.crc32(name.encode())
