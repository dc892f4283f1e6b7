"""The promptable segmenter behind the `Segmenter` protocol."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vlt.config.section import PrecisionName
from vlt.model.precision import mixed, store_weights
from vlt.refine.promptable import PromptableSegmenter
from vlt.refine.refiner import Refiner, prompts
from vlt.types import FloatArray


class TorchSegmenter:
    """Runs a `PromptableSegmenter` on its own device, numpy in and out.

    Args:
        network: in eval mode.
        precision: of products and convolutions.
    """

    def __init__(self, network: PromptableSegmenter, precision: PrecisionName = "no") -> None:
        self.network = network
        self.precision: PrecisionName = precision

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.network.mean.device

    @torch.inference_mode()
    def encode(self, image: FloatArray) -> Tensor:
        """Encode an image; see `Segmenter`."""
        with mixed(self.precision, self.device):
            return self.network.encode(torch.from_numpy(image).to(self.device))

    @torch.inference_mode()
    def segment(self, encoded: Tensor, boxes: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Segment boxes and points; see `Segmenter`."""
        places, kinds = (torch.from_numpy(each).to(encoded.device) for each in prompts(boxes, points))
        with mixed(self.precision, self.device):
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
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # which is faster
    return Refiner(TorchSegmenter(network.eval()))


def in_precision(refiner: Refiner, precision: PrecisionName) -> Refiner:
    """Return a refiner that computes in a precision, with the network of another, whose weights are converted.

    Args:
        refiner: of a `TorchSegmenter`; not to be used any more.
        precision: see `TorchSegmenter`.
    """
    assert isinstance(refiner.segmenter, TorchSegmenter), "PyTorch loaded it"
    network = refiner.segmenter.network
    store_weights(network, precision)
    return Refiner(TorchSegmenter(network, precision))
