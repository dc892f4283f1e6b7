"""Referrals to samples: what is learnt from them, and what is asked about them."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Dataset

from vlt.data.dataset import photo_key, photo_name
from vlt.data.expressions import swap_left_right, with_chatter
from vlt.data.masks import read_target
from vlt.data.photo import lit, read_image
from vlt.errors import DataError, VLTError
from vlt.geometry import Letterbox
from vlt.types import Expression, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from vlt.data.text import TextReader
    from vlt.types import Referral, Referrals, Size

READINGS = 2
"""Of each referral in a batch, where readings are contrasted."""


class TrainSamples(Dataset[Sample]):
    """One sample per referral, one of its sentences, drawn at random for each epoch; or two readings of each.

    With `mask_ratio`, items 2i and 2i + 1 are readings of referral i: two of its sentences, the second with words
    masked; or its only one, masked in two ways.

    Item i is a pure function of (seed, epoch, i), so that workers, processes and resumed runs agree. Samples asked one
    after the other about one photo share the image tensor, so that a batch holds it once.

    Args:
        referrals: none with a blank sentence.
        text: reads the sentences.
        input_size: (height, width) of the model's input in pixels.
        antialias: low-pass photos before shrinking.
        epoch: counted from 0.
        seed: of the run.
        flip: how often a photo is mirrored, in [0, 1]. Its sentence then has left and right swapped; where the words
            forbid that, the photo stays as it is. `Sample.referral` always speaks of the photo as it lies on disk.
        chatter: how often a sentence is given words more that tell nothing, in [0, 1], see `with_chatter`.
        light: how often a photo is shown in other light, in [0, 1], see `vlt.data.photo.lit`.
        mask_ratio: share of a sentence's words that is masked in second readings, in [0, 1]; at least one word stays.
            None: referrals are read once, and nothing is masked.
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
        light: float = 0.0,
        mask_ratio: float | None = None,
    ) -> None:
        self._referrals = referrals
        self._text = text
        self._input_size = input_size
        self._antialias = antialias
        self._key = (seed, epoch)
        self._flip = flip
        self._chatter = chatter
        self._light = light
        self._mask_ratio = mask_ratio
        self._readings = 1 if mask_ratio is None else READINGS
        self._last: _Shown | None = None

    def __len__(self) -> int:
        return len(self._referrals) * self._readings

    def __getitem__(self, index: int) -> Sample:
        """Draws, reads and letterboxes.

        Raises:
            DataError: a photo, mask or sentence that cannot be used, named with its referral.
        """
        place, reading = divmod(index, self._readings)
        referral = self._referrals[place]
        expression, mirrored = self._draw(referral, place, reading)
        with _named(referral):
            shown = self._show(referral, mirrored)
            mask = read_target(referral.target)
            _refuse_other_size(referral, shown.letterbox.photo_size, mask.shape)
            target = shown.letterbox.target(mask[:, ::-1] if mirrored else mask)
            words = self._text(self._masked(expression, referral, index)).values
            return Sample(shown.image, words, target, shown.letterbox, referral, expression)

    def _draw(self, referral: Referral, place: int, reading: int) -> tuple[Expression, bool]:
        """Which sentence, and whether mirrored: a photo is or is not in an epoch, unless a sentence forbids it."""
        draw, count = np.random.default_rng((*self._key, place)), len(referral.expressions)
        chosen = draw.integers(count)
        if reading and count > 1:
            chosen = (chosen + 1 + draw.integers(count - 1)) % count  # any but the first reading's
        expression = referral.expressions[chosen]
        if self._chatter and draw.random() < self._chatter:
            expression = replace(expression, text=with_chatter(expression.text, draw))
        is_drawn = np.random.default_rng((*self._key, _photo_number(referral))).random() < self._flip
        swapped = swap_left_right(expression.text) if is_drawn else None
        return (expression, False) if swapped is None else (replace(expression, text=swapped), True)

    def _masked(self, expression: Expression, referral: Referral, index: int) -> str:
        """The sentence as it is read: with words masked in a second reading, and where it is the only one."""
        is_masked = index % self._readings or len(referral.expressions) == 1
        if not self._mask_ratio or not is_masked:
            return expression.text
        return mask_words(expression.text, self._mask_ratio, self._text.mask_word, (*self._key, index))

    def _show(self, referral: Referral, mirrored: bool) -> _Shown:
        """The photo, from the last sample where it is the same."""
        last = self._last
        if last is None or last.mirrored != mirrored or not _same_photo(referral, last.referral):
            light = self._light_of(referral)
            self._last = last = _read(referral, self._input_size, self._antialias, mirrored, light)
        return last

    def _light_of(self, referral: Referral) -> random.Random | None:
        """Draws the light of a photo in this epoch; None: as it is."""
        if not self._light:
            return None
        rng = random.Random(f"{self._key} {_photo_number(referral)}")
        return rng if rng.random() < self._light else None


def mask_words(expression: str, ratio: float, mask_word: str, key: Sequence[int]) -> str:
    """An expression with some of its words hidden.

    Args:
        expression: some words.
        ratio: share of the words that is hidden, in [0, 1], rounded; at least one word stays.
        mask_word: what stands for a hidden one.
        key: draws which ones.

    Example:
        >>> mask_words("the left zebra", 0.4, "[MASK]", key=(0, 1))
        'the left [MASK]'
    """
    words = expression.split()
    hidden = min(round(ratio * len(words)), len(words) - 1)
    chosen = np.random.default_rng(key).permutation(len(words))[:hidden]
    return " ".join(mask_word if place in chosen else word for place, word in enumerate(words))


class EvaluateSamples(Dataset[Sample]):
    """Every sentence of every referral, in order, without targets: answers are judged at the photo's own size.

    Consecutive samples about one photo share the image tensor, which is read once, so that a batch holds it once.

    Args:
        referrals: none with a blank sentence.
        text: reads the sentences.
        input_size: (height, width) of the model's input in pixels.
        antialias: low-pass photos before shrinking.
    """

    def __init__(self, referrals: Referrals, text: TextReader, input_size: Size, antialias: bool) -> None:
        self._referrals = referrals
        self._text = text
        self._input_size = input_size
        self._antialias = antialias
        counts = (len(referral.expressions) for referral in referrals)
        self._questions = [(row, number) for row, count in enumerate(counts) for number in range(count)]
        self._asked: tuple[int, Referral] | None = None
        self._last: _Shown | None = None

    def __len__(self) -> int:
        return len(self._questions)

    def __getitem__(self, index: int) -> Sample:
        """Reads and letterboxes, or takes the photo of the last sample.

        Raises:
            DataError: a photo or sentence that cannot be used, named with its referral.
        """
        row, number = self._questions[index]
        referral = self._referral(row)
        expression = referral.expressions[number]
        with _named(referral):
            words = self._text(expression.text).values
            shown = self._show(referral)
        return Sample(shown.image, words, None, shown.letterbox, referral, expression)

    def _show(self, referral: Referral) -> _Shown:
        """The photo, from the last sample where it is the same."""
        if self._last is None or not _same_photo(referral, self._last.referral):
            self._last = _read(referral, self._input_size, self._antialias)
        return self._last

    def _referral(self, row: int) -> Referral:
        """From the last sample where it is the same: some are drawn when they are asked for."""
        if self._asked is None or self._asked[0] != row:
            self._asked = row, self._referrals[row]
        return self._asked[1]


@dataclass(frozen=True)
class _Shown:
    """A photo that has been read."""

    referral: Referral
    mirrored: bool
    image: Tensor
    letterbox: Letterbox


def _read(
    referral: Referral, input_size: Size, antialias: bool, mirrored: bool = False, light: random.Random | None = None
) -> _Shown:
    image = read_image(referral.image)
    image = image if light is None else lit(image, light)
    letterbox = Letterbox(image.shape[:2], input_size, antialias)
    return _Shown(referral, mirrored, letterbox.image(image[:, ::-1] if mirrored else image), letterbox)


def _photo_number(referral: Referral) -> int:
    """What is drawn for a photo is drawn by this: equal wherever the data lie."""
    key = photo_key(referral)
    name = "/".join(key.parts[-2:]) if isinstance(key, Path) else str(key)
    return zlib.crc32(name.encode())


def _refuse_other_size(referral: Referral, photo: Size, mask: Size) -> None:
    if photo != mask:
        sizes = (" x ".join(map(str, size)) for size in (photo, mask))
        raise DataError(
            "the photo {} has {} pixels, but its mask {}; make them one size.".format(photo_name(referral), *sizes)
        )


def _same_photo(one: Referral, other: Referral) -> bool:
    if isinstance(one.image, Path) and isinstance(other.image, Path):
        return one.image == other.image
    return one.image is other.image


@contextmanager
def _named(referral: Referral) -> Iterator[None]:
    """Errors inside say which referral they are about."""
    try:
        yield
    except VLTError as error:
        raise DataError(f"Referral {referral.ref_id}: {error}") from None
