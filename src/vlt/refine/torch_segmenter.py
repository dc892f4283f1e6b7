"""The promptable segmenter behind the `Segmenter` protocol."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlt.refine.promptable import PromptableSegmenter
from vlt.refine.refiner import Refiner, prompts
from vlt.types import FloatArray


class TorchSegmenter:
    """Runs a `PromptableSegmenter` on its own device, numpy in and out.

    Args:
        network: in eval mode.
    """

    def __init__(self, network: PromptableSegmenter) -> None:
        self.network = network

    @torch.inference_mode()
    def encode(self, image: FloatArray) -> Tensor:
        """Encode an image; see `Segmenter`."""
        return self.network.encode(torch.from_numpy(image).to(self.network.mean.device))

    @torch.inference_mode()
    def segment(self, encoded: Tensor, boxes: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Segment boxes and points; see `Segmenter`."""
        places, kinds = (torch.from_numpy(each).to(encoded.device) for each in prompts(boxes, points))
        logits, quality = self.network.segment(encoded, places, kinds)
        return logits.float().cpu().numpy(), quality.float().cpu().numpy()


def build_refiner(tensors: Mapping[str, Tensor], device: torch.device | str = "cpu") -> Refiner:
    """Build a refiner from the weights of its segmenter.

    Args:
        tensors: by the names of `PromptableSegmenter`.
        device: where it runs.

    Raises:
        RuntimeError: they do not fit.
    """
    network = PromptableSegmenter()
    network.load_state_dict(dict(tensors))
    return Refiner(TorchSegmenter(network.to(device).eval()))
