"""The original's Keras weights, brought into our modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vlt.config import ReferenceConfig, parse_config, read_yaml
from vlt.errors import CheckpointError, ConfigError
from vlt.legacy.config import is_original, translate_model
from vlt.legacy.hdf5 import keras_layers
from vlt.legacy.layers import creation_order, expected_layers, named_layers
from vlt.legacy.matching import Match, describe, match_layers
from vlt.model.build import build_model
from vlt.model.darknet import Darknet53
from vlt.model.vlt import VLT


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was loaded from a file that holds more than was asked for.

    Attributes:
        loaded: a file's layer -> our module that holds its weights now.
        ignored: layers of the file that were not used, in the file's order.
    """

    loaded: Mapping[str, str]
    ignored: tuple[str, ...]


def load_keras_checkpoint(path: Path | str, config: Mapping[str, Any] | Path | str | ReferenceConfig) -> VLT:
    """Builds the reference network and fills it from a checkpoint of the original.

    Neither the order of the layers in the file nor the number that automatic names start with matters.

    Args:
        path: of a Keras 2.3.1 HDF5 weight file.
        config: the original's flat keys or the path of one of its YAML files, merged over its base values; or a
            `ReferenceConfig`; or a configuration of ours whose model is the reference network.

    Returns:
        The model in eval mode; `model(images, words)` takes images (B, 3, 416, 416) float in [0, 1] and words
        (B, T, 300) float.

    Raises:
        CheckpointError: a file that is missing, a directory, damaged or no Keras file; layers that are missing,
            surplus or of another shape, all of them listed.
        ConfigError: a configuration that cannot be used.
    """
    model = build_model(_reference_config(config), pretrained=False)
    with keras_layers(Path(path)) as layers:
        match = match_layers(layers, expected_layers(model, creation_order(model)), named_layers(model))
        surplus = [f"{layer.name} is surplus: {describe(layer.weights)}" for layer in match.surplus]
        _refuse(match.problems + surplus, path, "the network of its configuration")
        _fill(match)
    return model.eval()


def load_keras_backbone(path: Path | str, backbone: Darknet53) -> LoadReport:
    """Fills a Darknet-53 from a Keras file that begins with one, such as MCN's.

    Args:
        path: of a Keras HDF5 weight file whose first 58 convolutions, in creation order, are the body's 52 and the
            neck's 6. What was created after them is somebody else's head and is left alone.
        backbone: filled in place.

    Returns:
        What was loaded and what not.

    Raises:
        CheckpointError: a file that is missing, a directory, damaged or no Keras file; layers of the backbone that are
            missing or of another shape, all of them listed; nothing is loaded then.
    """
    with keras_layers(Path(path)) as layers:
        match = match_layers(layers, expected_layers(backbone, backbone.blocks()))
        _refuse(match.problems, path, "Darknet-53 with its neck")
        _fill(match)
        surplus = {layer.name for layer in match.surplus}
        ignored = tuple(layer.name for layer in layers if layer.name in surplus)
    return LoadReport({layer.name: expected.module for layer, expected in match.pairs}, ignored)


def _refuse(problems: list[str], path: Path | str, what: str) -> None:
    if problems:
        raise CheckpointError(f"{path} does not fit {what}, misfits: {len(problems)}: {'; '.join(problems)}.")


@torch.no_grad()
def _fill(match: Match) -> None:
    for layer, expected in match.pairs:
        for index, slot in enumerate(expected.slots):
            slot.fill(layer.values(index))


def _reference_config(config: Mapping[str, Any] | Path | str | ReferenceConfig) -> ReferenceConfig:
    if isinstance(config, ReferenceConfig):
        return config
    where = "the configuration" if isinstance(config, Mapping) else str(config)
    values = config if isinstance(config, Mapping) else read_yaml(Path(config))
    if is_original(values) or "model" not in values:
        return translate_model(values, where)
    model = parse_config(values, where).model
    if not isinstance(model, ReferenceConfig):
        raise ConfigError(f"{where} describes the network {model.name!r}, but Keras weights fit 'reference' only.")
    return model
