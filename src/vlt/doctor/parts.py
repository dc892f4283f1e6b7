"""Checks of the pretrained parts that a configuration names: whether each can be loaded, its licence, its training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vlt.checkpoint.read import Checkpoint
from vlt.config.data import ReferDataConfig
from vlt.config.model import (
    BackboneConfig,
    BertConfig,
    CandidatesConfig,
    Darknet53Config,
    ModelConfig,
    VLTConfig,
)
from vlt.config.run import Config
from vlt.doctor.diagnosis import Diagnosis
from vlt.files import read_text
from vlt.legacy.weights import load_keras_backbone
from vlt.model.build import BACKBONES, LANGUAGES, build_darknet53, load_detector
from vlt.model.detector import Detector
from vlt.model.pretrained import read_architecture
from vlt.text.reader import build_text, word_source
from vlt.train.setup import load_start, start_text

PARTS = "parts"
"""Beginning of the subjects of findings about pretrained parts."""
FETCH = "make the part again as tools/README.md says"
"""Remedy of a part whose error names none."""
CARD = "README.md"
"""File in which a model of the hub states its licence and its training data, in YAML before the text."""
LICENCES = ("LICENSE", "LICENCE", "LICENSE.txt", "LICENSE.md", "NOTICE")
"""Files in which a folder states its licence in words."""
LONGEST = 80
"""Largest number of characters quoted from a file."""


class Part(NamedTuple):
    """A pretrained part that a configuration names.

    Attributes:
        name: name of the part.
        source: the folder, file or name on the hub that the configuration gives.
        load: loads it; raises a `VLTError` where that fails.
    """

    name: str
    source: str
    load: Callable[[], object]


def check_parts(config: Config, diagnosis: Diagnosis) -> Checkpoint | None:
    """Check that everything pretrained that a run needs can be loaded, and tell its licence and its training.

    Args:
        config: configuration of the run.
        diagnosis: receives the results.

    Returns:
        The checkpoint that the run starts from; None: none, or it cannot be loaded.
    """
    before = len(diagnosis.checks)
    start = check_start(config, diagnosis)
    for part in parts_of(config, start):
        loaded = diagnosis.attempt(f"{PARTS} {part.name}", part.load, FETCH) is not None
        origin = f", {stated_origin(part.source)}" if loaded else ""
        diagnosis.report("parts", f"{part.name} {part.source}: {'can' if loaded else 'cannot'} be loaded{origin}")
    if len(diagnosis.checks) == before:
        diagnosis.report("parts", "none: training starts from random weights")
    note_coco(config.model, start, diagnosis)
    return start


def check_start(config: Config, diagnosis: Diagnosis) -> Checkpoint | None:
    """Load the checkpoint of `train.start_from`, and its tokenizer; None: there is none, or it cannot be loaded."""
    path = config.train.start_from
    if path is None:
        return None
    start = diagnosis.attempt(f"{PARTS} start_from", lambda: load_start(path), "set train.start_from to another one")
    if start is None:
        diagnosis.report("parts", f"start_from {path}: cannot be loaded")
        return None
    diagnosis.attempt(f"{PARTS} tokenizer", lambda: start_text(config, start), FETCH)
    diagnosis.report("parts", f"start_from {path}: can be loaded, {start_origin(start)}")
    return start


def parts_of(config: Config, start: Checkpoint | None) -> Iterator[Part]:
    """List the parts that a run needs; a checkpoint to start from replaces those that it holds.

    Args:
        config: configuration of the run.
        start: see `check_start`; whether one that cannot be loaded holds a detector is not known.
    """
    model, is_fresh = config.model, config.train.start_from is None
    backbone, language = model.backbone, getattr(model, "language", None)
    if is_fresh and backbone.pretrained is not None:
        yield Part("backbone", str(backbone.pretrained), lambda: load_backbone(backbone))
    if is_fresh and isinstance(language, BertConfig):
        if language.pretrained:
            yield Part("language", language.pretrained, lambda: load_language(language, model))
        yield Part("tokenizer", str(language.tokenizer or language.pretrained), lambda: build_text(config.model, ()))
    words = word_source(model)
    if not isinstance(words, BertConfig) and words.path is not None:
        yield Part("words", words.path, lambda: build_text(config.model, ()))
    holds_detector = start is not None and start.model.detector is not None
    candidates = None if holds_detector else getattr(model, "candidates", None)
    if candidates is not None and candidates.detector is not None:
        yield Part("detector", str(candidates.detector), lambda: load_candidates(candidates))


def load_backbone(config: BackboneConfig) -> object:
    """Load a pretrained backbone.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: an architecture that `transformers` refuses, or depths that it does not have.
    """
    if isinstance(config, Darknet53Config):
        assert config.pretrained is not None, "only pretrained backbones are loaded"
        return load_keras_backbone(config.pretrained, build_darknet53(config, False))
    architecture = config.architecture or read_architecture(str(config.pretrained))
    return BACKBONES[config.name](config.model_copy(update={"architecture": architecture}), True)


def load_language(config: BertConfig, model: ModelConfig) -> object:
    """Load a pretrained language encoder.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    assert isinstance(model, VLTConfig), "the reference network has a GRU"
    architecture = config.architecture or read_architecture(str(config.pretrained))
    return LANGUAGES[config.name](config.model_copy(update={"architecture": architecture}), model, True)


def load_candidates(config: CandidatesConfig) -> object:
    """Load a detector.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    assert config.detector is not None, "only pretrained detectors are loaded"
    detector = Detector(width=config.detector_width, count=config.count)
    load_detector(detector, config.detector)
    return detector


def note_coco(model: ModelConfig, start: Checkpoint | None, diagnosis: Diagnosis) -> None:
    """Note the parts that were trained on COCO's photos.

    Args:
        model: configuration of the network.
        start: see `check_start`.
        diagnosis: receives the notes.
    """
    own, started = getattr(model, "candidates", None), None if start is None else start.config.model
    detects = own is not None and own.detector is not None
    seen = {
        "The backbone was trained with COCO's labels": any(
            each is not None and each.backbone.seen_coco_labels for each in (model, started)
        ),
        "The detector was trained on COCO train2017": detects or getattr(started, "candidates", None) is not None,
    }
    for sentence in (sentence for sentence, is_seen in seen.items() if is_seen):
        diagnosis.find(
            "note",
            f"{PARTS} COCO",
            f"{sentence}, which contains RefCOCO's photos, those that are tested on included.",
            "state it beside scores on RefCOCO, as `vlt info` does",
        )


def stated_origin(source: str) -> str:
    """Tell the licence and the training data of a part, as far as its folder states them.

    Read are the model card, which folders of a hub and those that the scripts in tools/ make have, and licence files.

    Args:
        source: see `Part`.
    """
    folder = Path(source).expanduser()
    card = read_card(folder / CARD)
    licence = card.get("license")
    for name in LICENCES:
        if not licence and (folder / name).is_file():
            with suppress(OSError, UnicodeDecodeError):
                licence = next((line.strip() for line in read_text(folder / name).splitlines() if line.strip()), None)
    data = card.get("datasets")
    trained = f", trained on {', '.join(map(str, data))[:LONGEST]}" if isinstance(data, list) and data else ""
    return f"licence {str(licence)[:LONGEST] if licence else 'not stated'}{trained}"


def read_card(path: Path) -> dict[str, Any]:
    """Read the YAML at the head of a model card, such as `license` and `datasets`; nothing where there is none."""
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        head = re.match(r"---\n(.*?)\n---", read_text(path), re.DOTALL)
        values = yaml.safe_load(head[1]) if head else None
        return values if isinstance(values, dict) else {}
    return {}


def start_origin(start: Checkpoint) -> str:
    """Tell the licences and the training data that a checkpoint states."""
    data = start.config.data
    licences = "; ".join(map(str, start.meta.get("licences") or ["not stated"]))
    name = f'data set "{data.dataset}"' if isinstance(data, ReferDataConfig) else "drawn shapes"
    return f"trained on {name}, split {data.train_split}; licence {licences}"
