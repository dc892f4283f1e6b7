"""Keras weight files for the tests: layers from the recorded manifests, pseudo-random values, Keras 2.3.1's layout."""

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest

from vlt.config import Darknet53Config, ReferenceConfig, WordsConfig

RECORDINGS = Path(__file__).parent / "recordings"

# A network that is built and filled in milliseconds, and what the recorded sizes are in it.
SMALL_CONFIG = ReferenceConfig(
    image_size=64,
    max_words=5,
    words=WordsConfig(dim=8),
    rnn_dim=64,
    fused_dim=64,
    hidden_dim=16,
    transformer_dim=16,
    heads=2,
    num_queries=5,
    backbone=Darknet53Config(width=1 / 16),
)
SMALL_SIDES = {16: 5, 300: 8, 518: 38, 676: 16}


class Layer(NamedTuple):
    """A layer of a file: its name, and its weights by the part of their names after the layer's, in Keras' order."""

    name: str
    weights: dict[str, np.ndarray]

    def renamed(self, name: str) -> "Layer":
        return Layer(name, {key.replace(self.name, name): value for key, value in self.weights.items()})


class Manifest(NamedTuple):
    """What a recording was made with: the original's flat configuration, and the names and shapes of all weights."""

    config: dict[str, Any]
    shapes: list[tuple[str, dict[str, list[int]]]]


def read_manifest(recording: str) -> Manifest:
    values = json.loads((RECORDINGS / f"{recording}.json").read_text())
    return Manifest(values["config"], [(name, weights) for name, weights in values["layers"]])


def random_layers(shapes: list[tuple[str, dict[str, list[int]]]], seed: int = 1) -> list[Layer]:
    return [
        Layer(name, {leaf: random_weight(f"{name}/{leaf}", shape, seed) for leaf, shape in weights.items()})
        for name, weights in shapes
    ]


def random_weight(name: str, shape: list[int], seed: int) -> np.ndarray:
    """The values that the recordings were made with, a function of the weight's name, its shape and the seed."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    recipes: dict[str, Callable[[], np.ndarray]] = {
        "moving_variance:0": lambda: random.uniform(0.6, 1.4, shape),
        "moving_mean:0": lambda: random.normal(0, 0.1, shape),
        "beta:0": lambda: random.normal(0, 0.1, shape),
        "gamma:0": lambda: random.uniform(0.8, 1.2, shape),
    }
    leaf = name.rsplit("/", 1)[-1]
    if leaf in recipes:
        return recipes[leaf]().astype(np.float32)
    spread = 0.05 if len(shape) == 1 else (1.25 / np.prod(shape[:-1])) ** 0.5
    return random.normal(0, spread, shape).astype(np.float32)


def write_keras_file(
    path: Path, layers: list[Layer], *, text: Callable[[str], Any] = str.encode, group: str = ""
) -> Path:
    """Writes layers as Keras does.

    Args:
        path: of the file.
        layers: in file order.
        text: turns names into what attributes hold.
        group: where a saved model keeps its weights.
    """
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["layer_names"] = [text(layer.name) for layer in layers]
        root.attrs["backend"] = text("tensorflow")
        root.attrs["keras_version"] = text("2.3.1")
        for layer in layers:
            node = root.create_group(layer.name)
            node.attrs["weight_names"] = [text(f"{layer.name}/{leaf}") for leaf in layer.weights]
            for leaf, values in layer.weights.items():
                node.create_dataset(f"{layer.name}/{leaf}", data=values)
    return path


def renumbered(layers: list[Layer], shift: int, *, bare: bool = False) -> list[Layer]:
    """Automatic numbers moved by `shift`; `bare`: number 0 is left out of the name, as newer versions of Keras do."""

    def rename(layer: Layer) -> Layer:
        match = re.fullmatch(r"([a-z_0-9]+?)_(\d+)", layer.name)
        if not match:
            return layer
        number = int(match[2]) + shift
        return layer.renamed(match[1] if bare and number == 0 else f"{match[1]}_{number}")

    return [rename(layer) for layer in layers]


def small_shapes(recording: str = "refcoco") -> list[tuple[str, dict[str, list[int]]]]:
    """The recorded layers at the sizes of `SMALL_CONFIG`: the special sides by table, channels to a sixteenth."""

    def small(side: int) -> int:
        return SMALL_SIDES.get(side, side if side < 32 else side // 16)

    return [
        (name, {leaf: [small(side) for side in shape] for leaf, shape in weights.items()})
        for name, weights in read_manifest(recording).shapes
    ]


@pytest.fixture(scope="session")
def keras() -> SimpleNamespace:
    """The functions above; test modules cannot import a conftest."""
    return SimpleNamespace(
        Layer=Layer,
        recordings=RECORDINGS,
        manifest=read_manifest,
        random_layers=random_layers,
        renumbered=renumbered,
        small_shapes=small_shapes,
        write=write_keras_file,
    )


@pytest.fixture(scope="session")
def small_layers() -> list[Layer]:
    return random_layers(small_shapes())


@pytest.fixture(scope="session")
def small_config() -> ReferenceConfig:
    return SMALL_CONFIG
