"""The predictor: images and expressions to masks. All commands make their predictions with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from vlt.config.inference import InferenceConfig
from vlt.data.image import ImageSource, read_image
from vlt.errors import CheckpointError, ConfigError, InputError
from vlt.geometry import Letterbox
from vlt.infer.checks import check_expressions, check_threshold
from vlt.infer.choice import Decision, Distribution, Outcome, View
from vlt.infer.engine import Encoded, Engine, check_finite
from vlt.infer.features import ImageFeatures
from vlt.infer.flip import merge_views
from vlt.infer.instance import distinct_instances, masks_in_boxes, part_instances
from vlt.infer.prediction import Prediction
from vlt.infer.selection import select
from vlt.refine.refiner import Refiner
from vlt.text.mirror import swap_left_right
from vlt.text.reader import TextReader
from vlt.text.spelling import correct_spelling
from vlt.text.words import pad_words, warn_about
from vlt.types import FloatArray

IMAGES_AT_ONCE = 4
"""Largest number of images encoded in one pass; larger batches take more memory and are not faster."""
INSTANCES_SHARE = 0.25
"""`inference.several` of predictions with instances, where the settings have none; chosen on the split val_a."""

Source: TypeAlias = ImageSource | ImageFeatures
"""An image to predict on: a path, a PIL image, an array, bytes, an open binary file, or features."""

SomeSource = TypeVar("SomeSource", bound=Source)
"""For lists of one kind of source."""


class Predictor:
    """Predicts masks for expressions about images. Keeps nothing between calls, so that threads may share one.

    Args:
        engine: runs the network.
        text: the text reader that the network was trained with.
        settings: threshold, test-time augmentation, refinement, batch size.
        input_size: (height, width) of the network's input in pixels.
        antialias: low-pass images before shrinking, see `Letterbox`.
        pad_to: length that expressions are padded to; None: the longest of a batch.
        refiner: refines mask outlines where `settings.refine`; None: masks are the network's own.
        checkpoint: folder of the checkpoint that it was loaded from, for `save_pretrained`; None: it has none.
    """

    def __init__(
        self,
        engine: Engine,
        text: TextReader,
        settings: InferenceConfig,
        *,
        input_size: tuple[int, int],
        antialias: bool = True,
        pad_to: int | None = None,
        refiner: Refiner | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self.engine = engine
        self.text = text
        self.settings = settings
        self.input_size = input_size
        self.antialias = antialias
        self.pad_to = pad_to
        self.refiner = refiner
        self.checkpoint = checkpoint

    @classmethod
    def from_pretrained(cls, name_or_folder: Path | str, *, revision: str | None = None, **options: Any) -> Predictor:
        """Load a predictor as other libraries of the Hugging Face hub do; `vlt.load` with names of the hub unmarked.

        Args:
            name_or_folder: a folder that exists, or OWNER/NAME of a model of the hub.
            revision: a branch, a tag or a commit of the hub; None: the newest.
            options: of `vlt.load`.

        Raises:
            CheckpointError: see `vlt.load`; a revision of a folder.
            ConfigError: see `vlt.load`.
        """
        from vlt.checkpoint.hub import local_or_hub_name  # noqa: PLC0415 (loads only where it is needed)
        from vlt.infer.loading import load  # noqa: PLC0415 (it imports this module)

        return load(local_or_hub_name(name_or_folder, revision), **options)

    def save_pretrained(self, folder: Path | str) -> None:
        """Copy the checkpoint of this predictor, unchanged, to a folder that `from_pretrained` and `vlt.load` read.

        Settings changed after loading are not part of it; `vlt pack --set` writes a checkpoint with others. A model
        card, README.md, is written beside the files.

        Args:
            folder: to be made; it may be an empty directory.

        Raises:
            CheckpointError: this predictor has no checkpoint, or the folder cannot be written.
        """
        from vlt.checkpoint.share import copy_checkpoint  # noqa: PLC0415 (loads only where it is needed)

        copy_checkpoint(self._require_checkpoint(), folder)

    def push_to_hub(self, name: str, *, private: bool = False, commit_message: str | None = None) -> str:
        """Upload the checkpoint of this predictor to the Hugging Face hub, as `save_pretrained` copies it.

        Args:
            name: OWNER/NAME.
            private: make a new repository private.
            commit_message: message of the commit; None: the version of this package.

        Returns:
            The address of the repository.

        Raises:
            CheckpointError: this predictor has no checkpoint; see `vlt.checkpoint.share.push_checkpoint`.
        """
        from vlt.checkpoint.share import push_checkpoint  # noqa: PLC0415 (loads only where it is needed)

        return push_checkpoint(self._require_checkpoint(), name, private=private, message=commit_message)

    def _require_checkpoint(self) -> Path:
        """Return the checkpoint; raises `CheckpointError` where there is none."""
        if self.checkpoint is None:
            raise CheckpointError(
                "This predictor was not loaded from a checkpoint, so that there are no files to share; load one with "
                "vlt.load."
            )
        return self.checkpoint

    @property
    def refines(self) -> bool:
        """Whether mask outlines are refined."""
        return self.refiner is not None and self.settings.refine

    def with_settings(self, **changes: object) -> Predictor:
        """Return a predictor of the same network with other settings, such as `threshold=0.35` or `refine=False`.

        Args:
            changes: keys of `InferenceConfig`, but not `image_size`, which the network must fit.

        Raises:
            ConfigError: there is no such setting, or its value is not allowed.
        """
        if "image_size" in changes:
            raise ConfigError("inference.image_size cannot be changed after loading; set it in the configuration.")
        try:
            settings = InferenceConfig.model_validate({**self.settings.model_dump(), **changes})
        except ValidationError as error:
            faults = [f"{fault['loc'][0]} is {fault['input']!r} ({fault['msg']})" for fault in error.errors()]
            known = ", ".join(InferenceConfig.model_fields)
            raise ConfigError(f"These settings cannot be used: {'; '.join(faults)}; known: {known}.") from None
        return Predictor(
            self.engine,
            self.text,
            settings,
            input_size=self.input_size,
            antialias=self.antialias,
            pad_to=self.pad_to,
            refiner=self.refiner,
            checkpoint=self.checkpoint,
        )

    def encode(self, image: ImageSource) -> ImageFeatures:
        """Encode an image once, for any number of expressions.

        Args:
            image: a path, a PIL image, an array (H, W, 3) uint8 RGB, bytes or an open binary file; EXIF rotation is
                applied.

        Raises:
            InputError: not an image, or too large; see `vlt.data.image.read_image`.
        """
        return self.encode_images([image])[0]

    def encode_images(self, images: Sequence[Source]) -> list[ImageFeatures]:
        """Encode several images in one pass; features among them are checked and returned. Memory grows with both.

        Raises:
            InputError: not an image; features of another predictor, or made with other settings.
        """
        pixels = [read_image(image) for image in images if not isinstance(image, ImageFeatures)]
        boxes = [Letterbox((one.shape[0], one.shape[1]), self.input_size, self.antialias) for one in pixels]
        encoded, flipped = None, None
        if pixels:
            inputs = np.stack([box.image(one) for box, one in zip(boxes, pixels, strict=True)])
            encoded = self.engine.encode(inputs)
            if self.settings.flip:
                flipped = self.engine.encode(np.ascontiguousarray(inputs[..., ::-1]))
        outlines = [
            self.refiner.encode(one, self.settings.refine_side) if self.refiner and self.settings.refine else None
            for one in pixels
        ]
        new = (
            ImageFeatures(one, box, self.engine, encoded, index, flipped, outline)
            for index, (one, box, outline) in enumerate(zip(pixels, boxes, outlines, strict=True))
        )
        features = [image if isinstance(image, ImageFeatures) else next(new) for image in images]
        for each in features:
            lacks_flip = self.settings.flip and each.flipped is None
            if each.engine is not self.engine or lacks_flip or (self.refines and each.outlines is None):
                raise InputError(
                    "These features were made by another predictor, or with other settings; encode the image with "
                    "this predictor."
                )
        return features

    @overload
    def predict(
        self,
        image: Source,
        expressions: str | Sequence[str],
        *,
        threshold: float | None = None,
        warn: bool = True,
        instances: bool = False,
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self,
        image: list[SomeSource] | tuple[SomeSource, ...],
        expressions: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        threshold: float | None = None,
        warn: bool = True,
        instances: bool = False,
    ) -> list[list[Prediction]]: ...

    def predict(
        self,
        image: Source | list[SomeSource] | tuple[SomeSource, ...],
        expressions: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        threshold: float | None = None,
        warn: bool = True,
        instances: bool = False,
    ) -> list[Prediction] | list[list[Prediction]]:
        """Predict the mask of what each expression refers to.

        Args:
            image: one image (as for `encode`, or the features that `encode` returned), or a list of images.
            expressions: one or several, independent of each other. With a list of images: the same for each image, or
                a list of expressions per image.
            threshold: threshold of the probability, in [0, 1]; None: that of the settings. A larger one gives no larger
                mask.
            warn: warn (`VLTWarning`) of words that the model does not know, of expressions that were cut or are not in
                English, and of corrected spellings (`SpellingWarning`).
            instances: find the single objects (`Prediction.instances`), too: one for each candidate taken, where the
                network chose candidates, else one for each connected part of the mask. Several candidates are then
                taken also where the settings take one (`inference.several` is null): with `INSTANCES_SHARE`.

        Returns:
            One prediction per expression, in order; with a list of images a list of these per image.

        Raises:
            InputError: a blank expression; a threshold outside [0, 1]; features of another predictor; not an image;
                numbers of images and lists of expressions that differ.
            CheckpointError: the output of the network or of the refiner is not finite.
        """
        several = isinstance(image, list | tuple)
        images = list(image) if isinstance(image, list | tuple) else [image]
        texts = check_expressions(expressions, len(images), several=several)
        threshold = self.settings.threshold if threshold is None else check_threshold(threshold)
        share = self.settings.several or (INSTANCES_SHARE if instances else None)
        read: dict[str, str] = {}  # expressions as the network reads them
        for text in dict.fromkeys(text for some in texts for text in some):
            read[text], changes = correct_spelling(text) if self.settings.correct_spelling else (text, {})
            if warn:
                warn_about(text, self.text(read[text]), self.text.max_words, changes)
        predictions: list[list[Prediction]] = []
        for start in range(0, len(images), IMAGES_AT_ONCE):
            some = slice(start, start + IMAGES_AT_ONCE)
            features, rows = self.encode_images(images[some]), texts[some]
            repeated = [each for each, row in zip(features, rows, strict=True) for _ in row]
            outputs = iter(self._segment(repeated, [read[text] for row in rows for text in row], share))
            predictions += [
                [self._finish(each, text, *next(outputs), threshold, instances) for text in row]
                for each, row in zip(features, rows, strict=True)
            ]
            del features, repeated  # bounds memory: free them before the next images are encoded
        return predictions if several else predictions[0]

    def _segment(
        self, features: Sequence[ImageFeatures], texts: Sequence[str], share: float | None
    ) -> list[tuple[FloatArray, Decision | None]]:
        """Compute the logits (1, h, w) and the decision for each expression, `settings.batch_size` at a time.

        With test-time augmentation the flipped images are segmented too, with left and right swapped in the
        expressions, and both views are merged. Without a choice among candidates there is no decision; for `share` see
        `Distribution.decide`.
        """
        rows: list[tuple[FloatArray, Decision | None]] = []
        start = 0
        while start < len(texts):
            first, stop = features[start], start + 1
            while stop < min(start + self.settings.batch_size, len(texts)) and features[stop].encoded is first.encoded:
                stop += 1
            index = np.array([each.index for each in features[start:stop]], np.int64)
            view = self._view(first.encoded, index, texts[start:stop])
            if self.settings.flip:
                swapped = [swap_left_right(text) for text in texts[start:stop]]
                pairs = zip(texts[start:stop], swapped, strict=True)
                flipped = self._view(first.flipped, index, [text if other is None else other for text, other in pairs])
                view = merge_views(view, flipped, np.array([other is not None for other in swapped]))
            rows += [view.row(number, share) for number in range(stop - start)]
            start = stop
        return rows

    def _view(self, encoded: Encoded, index: npt.NDArray[np.int64], texts: Sequence[str]) -> View:
        """Run the network for expressions about images, each at its `index` among those encoded."""
        words = pad_words([self.text(text).values for text in texts], self.pad_to)
        output = self.engine.segment(encoded, index, *words)
        check_finite(output, texts)
        if output.outcomes is None or output.boxes is None:
            return View(output.masks)
        return View(output.masks, Distribution.of(output.outcomes, output.boxes, self.settings.temperature))

    def _finish(
        self,
        features: ImageFeatures,
        text: str,
        logits: FloatArray,
        decision: Decision | None,
        threshold: float,
        instances: bool,
    ) -> Prediction:
        """Turn the output for one expression into its prediction, with refined outlines where there is a refiner."""
        letterbox, image = features.letterbox, features.image
        presence = None if decision is None else decision.presence
        if presence is not None and presence < self.settings.presence:
            nothing = Prediction(
                text,
                np.zeros(letterbox.image_size, bool),
                presence,
                threshold,
                image,
                logits,
                letterbox,
                presence,
                False,
            )
            return replace(nothing, instances=()) if instances else nothing
        draw, refined = None, features.outlines
        if self.refiner is not None and self.settings.refine and refined is not None:
            # The outline depends on the settings' threshold alone, so that a larger `threshold` never gives more mask.
            draw = partial(self.refiner.refine, refined, logits, letterbox, self.settings.threshold)
        selected = select(decision or Decision(1, (Outcome(1, None),)), draw, self.settings.agreement)
        outlines = [each.outline.logits for each in selected if each.outline is not None]
        boxes = [each.outcome.box for each in selected if each.outcome.box is not None]
        own, parts = logits, []
        if refined is not None and outlines and boxes:  # they replace the network's mask, even by an empty one
            letterbox, logits = refined.letterbox, np.maximum.reduce(outlines)
            mask, score = letterbox.mask_and_score(logits, threshold)
            if instances:
                parts = [letterbox.mask(each, threshold) for each in outlines] if len(outlines) > 1 else [mask]
        else:
            mask, score = letterbox.mask_and_score(logits, threshold)
            parts = masks_in_boxes(mask, boxes, letterbox) if instances else []
            if refined is not None and outlines:
                letterbox, logits = refined.letterbox, outlines[0]
                mask = letterbox.mask(logits, threshold) if mask.any() else mask
        shares = [each.outcome.probability for each in selected]
        if presence is not None:
            score = shares[0] if len(shares) == 1 else min(sum(shares), presence)
        result = Prediction(text, mask, score, threshold, image, logits, letterbox, presence)
        if not instances:
            return result
        found = distinct_instances(image, zip(parts, shares, strict=False))  # no parts where no candidate was chosen
        return replace(result, instances=found or part_instances(image, mask, own, features.letterbox))
