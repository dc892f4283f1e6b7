"""A PyTorch network behind the `Engine` protocol."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vlt.checkpoint.opened import OpenedCheckpoint
from vlt.checkpoint.read import load_opened
from vlt.config.run import Config
from vlt.config.section import PrecisionName
from vlt.infer.engine import Detected, Logits
from vlt.infer.predictor import Predictor
from vlt.model.choice import box_logits
from vlt.model.layers import copy_sharing_weights, fold_norms
from vlt.model.mask_decoder import OUTPUT_STRIDE
from vlt.model.precision import check_precision, mixed, store_weights
from vlt.model.vlt import VLT, Features
from vlt.refine.refiner import Refiner
from vlt.text.reader import TextReader, padded_length
from vlt.text.words import WordArray
from vlt.types import FloatArray


class TorchEngine:
    """Runs a `VLT` network on its own device.

    Args:
        model: in eval mode (see `evaluating` for one that is being trained), not wrapped for distributed training.
        masks: False: masks are the boxes of the chosen candidates, which is much faster; the network has candidates.
        precision: of products and convolutions.

    Raises:
        ConfigError: the device does not have the precision.
    """

    def __init__(self, model: VLT, *, masks: bool = True, precision: PrecisionName = "no") -> None:
        self.model = model
        self.masks = masks
        self.precision: PrecisionName = precision
        check_precision(precision, self.device, "inference.precision")

    @property
    def device(self) -> torch.device:
        """Device of the network's parameters."""
        return next(self.model.parameters()).device

    @property
    def hardware(self) -> str:
        """Name of the device, such as "x86_64 CPU, 2 cores"."""
        return describe_device(self.device)

    @torch.inference_mode()
    def encode(self, images: FloatArray) -> Features:
        """Encode images; see `Engine`."""
        with mixed(self.precision, self.device):
            return self.model.encode(torch.from_numpy(images).to(self.device), masks=self.masks)

    @torch.inference_mode()
    def segment(
        self,
        encoded: Features,
        image_index: npt.NDArray[np.int64],
        words: WordArray,
        word_mask: npt.NDArray[np.bool_],
    ) -> Logits:
        """Segment expressions; see `Engine`."""
        index, tokens, mask = (torch.from_numpy(each).to(self.device) for each in (image_index, words, word_mask))
        features = encoded.select(index)
        with mixed(self.precision, self.device):
            if self.masks:
                output = self.model.segment(features, tokens, mask)
                logits, choice = output.logits, output.choice
            else:
                choice = self.model.choose(features, tokens, mask)
                logits = box_logits(choice, [-(-side // OUTPUT_STRIDE) for side in features.size])
        tensors = [logits] if choice is None else [logits, choice.existing(), choice.boxes]
        return Logits(*(each.float().cpu().numpy() for each in tensors))

    def detected(self, encoded: Features, index: int) -> Detected:
        """Return what was detected in an image; see `Engine`."""
        candidates = encoded.candidates
        assert candidates is not None, "the network has candidates"
        there = candidates.valid[index]
        boxes, scores = (each[index][there].float().cpu().numpy() for each in (candidates.boxes, candidates.scores))
        return Detected(boxes, scores)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the network without its forward hooks."""
        return vars(self) | {"model": without_hooks(self.model)}


def torch_predictor(
    model: VLT, text: TextReader, config: Config, refiner: Refiner | None = None, *, masks: bool = True
) -> Predictor:
    """Make the predictor of a network.

    Args:
        model: the network, in eval mode.
        text: the text reader that the network was trained with.
        config: configuration of the network; its `inference` section says how predictions are made.
        refiner: refines mask outlines; None: masks are the network's own.
        masks: see `TorchEngine`.

    Raises:
        ConfigError: the device does not have the precision of the configuration.
    """
    return Predictor(
        TorchEngine(model, masks=masks, precision=config.inference.precision),
        text,
        config.inference,
        input_size=config.input_size,
        antialias=config.model.antialias,
        pad_to=padded_length(config.model),
        refiner=refiner,
    )


def load_torch_predictor(
    opened: OpenedCheckpoint, device: torch.device | str | None = None, *, refine: bool = True
) -> Predictor:
    """Load the predictor of a checkpoint, arranged for speed: normalisations folded into convolutions, channels last.

    Args:
        opened: the checkpoint.
        device: see `vlt.checkpoint.load_checkpoint`.
        refine: use its refiner, if it has one.

    Raises:
        CheckpointError: see `vlt.checkpoint.load_checkpoint`.
        ConfigError: the machine does not have the device, or the device not the precision.
    """
    loaded = load_opened(opened, device, refine=refine)
    loaded.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # its types know no such layout
    fold_norms(loaded.model)
    precision, refiner = opened.config.inference.precision, loaded.refiner
    store_weights(loaded.model, precision, but=loaded.model.detector)
    if refiner is not None:
        from vlt.refine.torch_segmenter import in_precision  # noqa: PLC0415 (few checkpoints have one, and it takes a while)

        refiner = in_precision(refiner, precision)
    return torch_predictor(loaded.model, loaded.text, opened.config, refiner)


def without_hooks(model: nn.Module) -> nn.Module:
    """Copy a network without the forward hooks of its modules; parameters and buffers are shared, not copied.

    `transformers` adds local functions as hooks, which cannot be pickled. They are added again at the next call,
    because the mark that says that they are there is removed, too.
    """
    twin = copy_sharing_weights(model)
    for module in twin.modules():
        module._forward_hooks.clear()
        module.__dict__.pop("_output_capturing_hooks_installed", None)
    return twin


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set a network to eval mode inside the block, and afterwards each of its modules back to the mode it had."""
    training = [module for module in model.modules() if module.training]  # frozen parts may be in eval mode already
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def describe_device(device: torch.device | str) -> str:
    """Name a device: the GPU's name, or the machine's architecture and number of cores."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device.type.upper()}, {os.cpu_count()} cores"
