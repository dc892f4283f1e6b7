"""Load the original's Keras weights into our modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.config.model import ReferenceConfig
from vlt.config.original import is_original
from vlt.config.reading import parse_config, translate_model
from vlt.config.yaml_file import read_yaml
from vlt.errors import ConfigError
from vlt.legacy.hdf5 import keras_layers
from vlt.legacy.layers import creation_order, expected_layers, named_layers
from vlt.legacy.matching import describe, match_layers
from vlt.model.backbone import Darknet53
from vlt.model.build import build_model
from vlt.model.vlt import VLT


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Layers of a file that were loaded, and those that were not.

    Attributes:
        loaded: name of each layer that was used -> our module that holds its weights now.
        ignored: names of the other layers, in the file's order.
    """

    loaded: Mapping[str, str]
    ignored: tuple[str, ...]


def load_keras_checkpoint(path: Path | str, config: Mapping[str, Any] | Path | str | ReferenceConfig) -> VLT:
    """Build the reference network and fill it from a checkpoint of the original.

    Neither the order of the layers in the file nor the number that automatic names start with matters.

    Args:
        path: path of a Keras 2.3.1 HDF5 weight file.
        config: the original's flat keys or the path of one of its YAML files, set over its base values; or a
            `ReferenceConfig`; or a configuration of ours whose model is the reference network.

    Returns:
        The model in eval mode; `model(images, words)` takes images (B, 3, 416, 416) float in [0, 1] and words
        (B, T, 300) float, and returns logits (B, 1, 416 / s, 416 / s) at the output stride s.

    Raises:
        CheckpointError: a file that is missing, a directory, damaged or no Keras file; layers that are missing,
            surplus or of another shape, all of them listed.
        ConfigError: a configuration that cannot be used.
    """
    if not isinstance(config, ReferenceConfig):
        where = "the configuration" if isinstance(config, Mapping) else str(config)
        values = config if isinstance(config, Mapping) else read_yaml(Path(config))
        if is_original(values) or "model" not in values:
            config = translate_model(values, where)
        else:
            ours = parse_config(values, where).model
            if not isinstance(ours, ReferenceConfig):
                raise ConfigError(
                    f"{where} describes the network {ours.name!r}, but Keras weights fit 'reference' only."
                )
            config = ours
    model = build_model(config, pretrained=False)
    with keras_layers(Path(path)) as layers:
        match = match_layers(layers, expected_layers(model, creation_order(model)), named_layers(model))
        match.problems += [f"{layer.name} is surplus: {describe(layer.weights)}" for layer in match.surplus]
        match.fill(path, "the network of its configuration")
    return model.eval()


def load_keras_backbone(path: Path | str, backbone: Darknet53) -> LoadReport:
    """Fill a Darknet-53 from a Keras file that begins with one, such as MCN's.

    Args:
        path: path of a Keras HDF5 weight file whose first 58 convolutions, in the order of creation, are the body's 52
            and the neck's 6. Layers that were created after them belong to another network and are ignored.
        backbone: filled in place.

    Raises:
        CheckpointError: a file that is missing, a directory, damaged or no Keras file; layers of the backbone that are
            missing or of another shape, all of them listed; nothing is loaded then.
    """
    with keras_layers(Path(path)) as layers:
        match = match_layers(layers, expected_layers(backbone, backbone.blocks()))
        match.fill(path, "Darknet-53 with its neck")
    surplus = {layer.name for layer in match.surplus}
    ignored = tuple(layer.name for layer in layers if layer.name in surplus)
    return LoadReport({layer.name: expected.module for layer, expected in match.pairs}, ignored)
