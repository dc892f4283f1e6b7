"""From one photo and any number of expressions to their masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlt.checkpoint import load_checkpoint
from vlt.data.collate import pad_to, pad_words
from vlt.data.masks import encode_rle, mask_box
from vlt.data.mirrored import mirror_words, second_opinion
from vlt.data.photo import read_image
from vlt.data.text import warn_about
from vlt.errors import InputError
from vlt.geometry import Letterbox

if TYPE_CHECKING:
    from vlt.config import Config
    from vlt.data.photo import PhotoSource
    from vlt.data.text import TextReader
    from vlt.model.vlt import VLT, Features
    from vlt.refine import Outlines, Refiner
    from vlt.types import RLE, Box, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer to one expression.

    Attributes:
        expression: what was asked.
        mask: (H, W) bool, at the photo's size.
        score: how sure the model is that this is there, in [0, 1]: the mean probability inside the mask, above the
            threshold; where the mask is empty, the highest probability in the photo, at most the threshold. Predictions
            of one model and threshold can be ranked by it; it is no calibrated probability. Of the mask before it was
            refined, where there is a refiner.
        box: the smallest one around the mask, xyxy in pixels of the photo, x1 and y1 just outside; None: empty mask.
    """

    expression: str
    mask: Mask
    score: float
    box: Box | None

    @property
    def rle(self) -> RLE:
        """The mask as COCO's compressed run lengths."""
        return encode_rle(self.mask)


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """What a model sees in a photo before anything is asked; a value, good for any number of expressions.

    Attributes:
        letterbox: the way back to the photo.
        features: of the one photo.
        mirrored: of the mirrored one, or None where it is not asked (`evaluate.mirror`).
        model: the one that saw it; others cannot read these features.
        outlines: what the refiner saw, or None where there is none.
    """

    letterbox: Letterbox
    features: Features = field(repr=False)
    mirrored: Features | None = field(repr=False)
    model: VLT = field(repr=False)
    outlines: Outlines | None = field(default=None, repr=False)


class Predictor:
    """Answers expressions about photos. Keeps nothing between calls, so that threads may share one.

    Args:
        model: in eval mode, on the device to compute on.
        text: reads words the way the model was trained on.
        config: of the model, with its threshold and batch size.
        refiner: sharpens the masks; None: they are the model's own.
    """

    def __init__(self, model: VLT, text: TextReader, config: Config, refiner: Refiner | None = None) -> None:
        self.model = model
        self.text = text
        self.config = config
        self.refiner = refiner
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def encode(self, image: PhotoSource) -> ImageFeatures:
        """The part of the work that needs no words, to be done once per photo.

        Args:
            image: a path, a PIL image, or (H, W, 3) uint8 RGB; EXIF rotation is honoured.

        Raises:
            InputError: not a photo, or too large a one; see `vlt.data.photo.read_image`.
        """
        photo = read_image(image)
        letterbox = Letterbox(
            (photo.shape[0], photo.shape[1]), self.config.model.input_size, self.config.model.antialias
        )
        outlines = None if self.refiner is None else self.refiner.see(photo)
        images = letterbox.image(photo)[None].to(self.device)
        mirrored = self.model.encode(images.flip(-1)) if self.config.evaluate.mirror else None
        return ImageFeatures(letterbox, self.model.encode(images), mirrored, self.model, outlines)

    def predict(
        self, image: PhotoSource | ImageFeatures, expressions: str | Sequence[str], *, threshold: float | None = None
    ) -> list[Prediction]:
        """Finds what each expression means in a photo.

        Warns (`VLTWarning`) of words that the model does not know and of expressions that are cut at its limit.

        Args:
            image: as for `encode`, or what `encode` gave.
            expressions: one, or several; answered independently of each other.
            threshold: of the probability, in [0, 1]; None: the checkpoint's.

        Returns:
            One prediction per expression, in order.

        Raises:
            InputError: a blank expression; a threshold outside [0, 1]; features of another model; not a photo.
        """
        asked = [expressions] if isinstance(expressions, str) else list(expressions)
        _refuse_blanks(asked)
        threshold = _checked(self.config.evaluate.threshold if threshold is None else threshold)
        words = self._read(asked)
        seen = image if isinstance(image, ImageFeatures) else self.encode(image)
        if seen.model is not self.model:
            raise InputError("These features were made by another predictor's model; encode the photo with this one.")
        answers = zip(asked, self._logits(seen, asked, words), strict=True)
        return [self._prediction(expression, logits, seen, threshold) for expression, logits in answers]

    def _prediction(self, expression: str, logits: Tensor, seen: ImageFeatures, threshold: float) -> Prediction:
        """The score is that of the model's own mask: the refiner knows outlines, not what was asked."""
        mask = seen.letterbox.mask(logits, threshold)
        score = seen.letterbox.certainty(logits, mask)
        if self.refiner and seen.outlines:
            mask = self.refiner.mask(seen.outlines, logits, seen.letterbox, threshold, otherwise=mask)
        return Prediction(expression, mask, score, mask_box(mask))

    def _read(self, expressions: Sequence[str]) -> list[Tensor]:
        """The words of each expression, with warnings about those that were not read as written."""
        read = [self.text(expression) for expression in expressions]
        for expression, words in zip(expressions, read, strict=True):
            warn_about(expression, words, self.text.max_words)
        return [words.values for words in read]

    @torch.inference_mode()
    def _logits(self, seen: ImageFeatures, expressions: Sequence[str], words: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yields the logits (1, h, w) of each expression on the CPU, computing `evaluate.batch_size` at a time."""
        size, length = self.config.evaluate.batch_size, pad_to(self.config.model)
        for start in range(0, len(expressions), size):
            batch = slice(start, start + size)
            logits = self._answer(seen.features, *pad_words(words[batch], length))
            if seen.mirrored:
                *asked, is_known = mirror_words(expressions[batch], self.text, length)
                logits = second_opinion(logits, self._answer(seen.mirrored, *asked), is_known)
            yield from logits.float().cpu()

    def _answer(self, features: Features, words: Tensor, word_mask: Tensor) -> Tensor:
        """Of B expressions about one photo: logits (B, 1, h, w)."""
        index = torch.zeros(len(words), dtype=torch.int64, device=self.device)
        return self.model.answer(features.select(index), words.to(self.device), word_mask.to(self.device)).logits


def load(
    checkpoint: Path | str | None = None, device: torch.device | str | None = None, *, refine: bool = True
) -> Predictor:
    """Loads a predictor.

    Args:
        checkpoint: the directory of a checkpoint or of a run (its best is taken); None: the model that comes with the
            package.
        device: such as "cpu" or "cuda:1"; None: a GPU where there is one.
        refine: sharpen masks, where the checkpoint brings what that takes; it is most of the time a photo takes.

    Raises:
        CheckpointError: see `vlt.checkpoint.load_checkpoint`.
        ConfigError: a device that this machine does not have.
    """
    loaded = load_checkpoint(checkpoint, device, refine=refine)
    return Predictor(loaded.model, loaded.text, loaded.config, loaded.refiner)


def _refuse_blanks(expressions: Sequence[str]) -> None:
    for number, expression in enumerate(expressions, 1):
        if not isinstance(expression, str):
            raise InputError(f"Expression {number} of {len(expressions)} is {type(expression).__name__}, not text.")
        if not expression.strip():
            raise InputError(f"Expression {number} of {len(expressions)} is empty; say what to find in the photo.")


def _checked(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise InputError(f"The threshold is {threshold}, but a probability lies between 0 and 1.")
    return threshold
