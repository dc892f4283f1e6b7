"""Graphs of an exported network behind the `Engine` protocol, run by ONNX Runtime. Needs no torch."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vlt.infer.engine import Detected, Logits
from vlt.text.words import WordArray
from vlt.types import FloatArray

AT_ONCE = 16
"""Expressions per run of the graph; memory grows with it, and more are not faster."""


class OnnxEngine:
    """Runs the graphs of an exported network.

    Args:
        images: session of the image encoder.
        expressions: session of all that follows, which takes the features of one image.
    """

    def __init__(self, images: ort.InferenceSession, expressions: ort.InferenceSession) -> None:
        self.images = images
        self.expressions = expressions
        self.features = [output.name for output in images.get_outputs()]
        self.read = {given.name for given in expressions.get_inputs()}
        self.chooses = len(expressions.get_outputs()) > 1

    @property
    def hardware(self) -> str:
        """Name of the device, such as "x86_64 CPU, 2 cores"."""
        provider = self.images.get_providers()[0].removesuffix("ExecutionProvider")
        return f"{platform.machine()} {provider}, {os.cpu_count()} cores"

    def encode(self, images: FloatArray) -> dict[str, npt.NDArray[Any]]:
        """Encode images; see `Engine`."""
        return dict(zip(self.features, self.images.run(None, {"images": images}), strict=True))

    def segment(
        self,
        encoded: dict[str, npt.NDArray[Any]],
        image_index: npt.NDArray[np.int64],
        words: WordArray,
        word_mask: npt.NDArray[np.bool_],
    ) -> Logits:
        """Segment expressions, image by image; see `Engine`."""
        outputs: list[list[npt.NDArray[Any]]] = []
        order: list[npt.NDArray[np.intp]] = []
        for image in np.unique(image_index):
            features = {name: x[image : image + 1] for name, x in encoded.items() if name in self.read}
            rows = np.flatnonzero(image_index == image)
            for start in range(0, len(rows), AT_ONCE):
                some = rows[start : start + AT_ONCE]
                given = {"words": words[some], "word_mask": word_mask[some], **features}
                outputs.append(self.expressions.run(None, given))
                order.append(some)
        places = np.argsort(np.concatenate(order))
        masks, *others = (np.concatenate(parts)[places] for parts in zip(*outputs, strict=True))
        return Logits(masks, *others, *([encoded["boxes"][image_index]] if self.chooses else []))

    def detected(self, encoded: dict[str, npt.NDArray[Any]], index: int) -> Detected:
        """Return what was detected in an image; see `Engine`."""
        there = encoded["valid"][index]
        return Detected(encoded["boxes"][index][there], encoded["scores"][index][there])
