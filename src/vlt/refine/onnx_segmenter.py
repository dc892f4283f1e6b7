"""The exported promptable segmenter behind the `Segmenter` protocol, run by ONNX Runtime. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vlt.refine.refiner import prompts
from vlt.types import FloatArray


class OnnxSegmenter:
    """Runs the graphs of an exported `PromptableSegmenter`.

    Args:
        images: session of its image encoder.
        outlines: session of its mask decoder.
    """

    def __init__(self, images: ort.InferenceSession, outlines: ort.InferenceSession) -> None:
        self.images = images
        self.outlines = outlines

    def encode(self, image: FloatArray) -> npt.NDArray[Any]:
        """Encode an image; see `Segmenter`."""
        [encoded] = self.images.run(None, {"image": image[None]})
        return encoded

    def segment(
        self, encoded: npt.NDArray[Any], boxes: FloatArray, points: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Segment boxes and points, one after the other, which is faster than together; see `Segmenter`."""
        places, kinds = prompts(boxes, points)
        drawn = [
            self.outlines.run(None, {"encoded": encoded, "places": places[i : i + 1], "kinds": kinds[i : i + 1]})
            for i in range(len(kinds))
        ]
        logits, quality = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return logits, quality
