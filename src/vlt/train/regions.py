"""Activation checkpointing (activations are computed again instead of kept) and compilation of parts of a network."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from vlt.model.fusion import Fusion
from vlt.model.mask_decoder import MaskDecoder
from vlt.model.photo import PixelDecoder, ScaleNeck
from vlt.model.transformer import DecoderLayer, EncoderLayer
from vlt.model.vlt import VLT

UNITS = (EncoderLayer, DecoderLayer, ScaleNeck, PixelDecoder, Fusion, MaskDecoder)
"""Modules of the network that keep only their inputs. None has a batch normalisation, whose statistics a second pass
would count twice; so the reference network's convolutions keep their activations."""


def recompute_activations(network: nn.Module) -> None:
    """Let the parts of a network that train keep their inputs only.

    Args:
        network: changed in place; its weights and their names stay as they are.
    """
    for module in network.modules():
        if not any(parameter.requires_grad for parameter in module.parameters()):
            continue
        if isinstance(module, UNITS):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)  # type: ignore[method-assign]
        elif isinstance(module, PreTrainedModel) and module.supports_gradient_checkpointing:
            module.gradient_checkpointing_enable({"use_reentrant": False})


def compile_regions(network: VLT) -> None:
    """Compile the backbone and the parts of the network that repeat, each by itself, when they first run.

    Losses, and what depends on numbers of words, stay as they are: they would be compiled again and again.

    Args:
        network: changed in place; its weights and their names stay as they are.
    """
    for module in (network.backbone, *(each for each in network.modules() if isinstance(each, UNITS))):
        module.compile(dynamic=True)
