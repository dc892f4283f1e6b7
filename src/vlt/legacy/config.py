"""The original's flat YAML configurations, read as ours.

Base values are those of its base file; what the keys mean in the network stands in docs/model.md.
"""

from __future__ import annotations

import difflib
import os.path
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from vlt.config import Config, ReferenceConfig, override, parse_config, read_yaml
from vlt.config.section import Section
from vlt.errors import ConfigError, VLTWarning

INERT = {
    "query_balance": "never read by the original, which always balances",
    "evaluate_model": "convert those weights with `vlt convert` and test the result",
    "start_epoch": "a run that was stopped continues by itself",
    "max_queue_size": "the data loader sizes its own queue",
    "multi_thres": "Pr@0.5 to 0.9 are always reported",
}
"""Keys that change nothing here, and why."""

TRAINED_CONVOLUTIONS = {0: None, 1: 2, 2: 1}
"""free_body -> how many of the backbone's last convolutions train; None: all."""


class OriginalConfig(Section):
    """The original's keys. A default is the value of its base file; None: the base file's value is not known."""

    train_set: str | None = None
    evaluate_set: str | None = None
    seg_gt_path: str | None = None
    image_path: str | None = None
    pretrained_weights: str | None = None
    log_path: str | None = None
    evaluate_model: Any = None
    seed: int = 10010
    input_size: int = 416
    seg_out_stride: int = 2
    free_body: Literal[0, 1, 2] = 1
    hidden_dim: int = 256
    batch_size: int = 24
    lr_scheduler: Literal["step"] = "step"
    lr: float = 1e-3
    steps: tuple[int, ...] = (40, 45, 50)
    epoches: int = 50
    start_epoch: Any = None
    workers: int | None = None
    max_queue_size: Any = None
    word_embed: str = "en_vectors_web_lg"
    word_len: int = 15
    embed_dim: int = 300
    lang_att: bool = True
    jemb_dim: int = 1024
    rnn_bidirectional: bool = True
    rnn_hidden_size: int = 1024
    rnn_drop_out: float = 0.1
    segment_thresh: float = 0.35
    log_images: int | None = None
    multi_thres: Any = None
    transformer_hidden_dim: int = 256
    transformer_encoder_num: int = 2
    transformer_decoder_num: int = 2
    transformer_head_num: int = 8
    num_query: int = 32
    query_balance: Any = True


def is_original(values: Mapping[str, Any]) -> bool:
    """Whether `values`, as read from YAML, are the original's flat keys rather than our sections."""
    ours = set(Config.model_fields)
    return any(key in OriginalConfig.model_fields and key not in ours for key in values)


def translate(
    values: Mapping[str, Any], base: Mapping[str, Any] | None = None, *, where: str = "The original's configuration"
) -> dict[str, Any]:
    """The original's flat configuration as values for `vlt.config.parse_config`.

    Warns with one `VLTWarning` that names the keys of `values` that change nothing here.

    Args:
        values: flat, as read from one of the original's YAML files.
        base: flat, a base file to merge `values` over; what it does not hold takes the published base values.
        where: the file or source named in errors and the warning.

    Raises:
        ConfigError: naming every unknown key (with a suggestion) and wrong value; `lang_att: false`; no data set, or
            paths that are not laid out as the original's.
    """
    original = _parse({**(base or {}), **values}, where)
    _warn_of_inert(values, where)
    return {
        "model": _model(original),
        "data": _data(original, where),
        "loss": {"bce": 1.0, "dice": 0.0, "reduction": "sum", "conv_l2": 5e-4},
        "train": _train(original),
        "evaluate": {"threshold": original.segment_thresh, "select_by": "miou"},
        "seed": original.seed,
        "output_dir": _required(original, "log_path", "the folder that the run is written to", where),
    }


def translate_model(values: Mapping[str, Any], where: str) -> ReferenceConfig:
    """The network that the original's flat `values` describe, merged over its base values.

    Warns if `query_balance` is false, which the original does not heed.

    Args:
        values: flat, as read from one of the original's YAML files; paths and keys about training are not looked at.
        where: the file or source named in errors.

    Raises:
        ConfigError: unknown keys, wrong values, `lang_att: false`, or sizes that contradict each other.
    """
    original = _parse(values, where)
    if not original.query_balance:
        _warn_of_inert({"query_balance": False}, where)
    # Sizes are checked against each other by the whole configuration, of which only the model is used.
    whole = {"model": _model(original), "data": {"name": "synthetic"}, "output_dir": "."}
    model = parse_config(whole, where).model
    assert isinstance(model, ReferenceConfig)
    return model


def read_config(path: Path | str, assignments: Sequence[str] = ()) -> Config:
    """Reads a configuration file, ours or one of the original's.

    Args:
        path: of a YAML file.
        assignments: `a.b=value` with our keys, set over what the file says (after the translation).

    Raises:
        ConfigError: see `vlt.config.load_config` and `translate`.
    """
    values = read_yaml(Path(path))
    if is_original(values):
        values = translate(values, where=str(path))
    return parse_config(override(values, assignments), str(path))


def _parse(values: Mapping[str, Any], where: str) -> OriginalConfig:
    try:
        original = OriginalConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(_sentence(item) for item in error.errors())}.") from None
    if not original.lang_att:
        raise ConfigError(f"{where}: lang_att is false, which is not built since no published configuration uses it.")
    return original


def _sentence(item: Any) -> str:
    """One pydantic error in words, by the original's key."""
    key = str(item["loc"][0])
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, OriginalConfig.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(OriginalConfig.model_fields))}"
        return f"unknown key {key!r} beside the original's flat keys ({hint})"
    return f"{key!r} is {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _warn_of_inert(values: Mapping[str, Any], where: str) -> None:
    given = [f"{key} ({INERT[key]})" for key in values if key in INERT]
    if given:
        warnings.warn(VLTWarning(f"{where}: keys that change nothing here: {'; '.join(given)}."), stacklevel=3)


# ---------------------------------------------------------------- sections


def _model(original: OriginalConfig) -> dict[str, Any]:
    return {
        "name": "reference",
        "image_size": original.input_size,
        "output_stride": original.seg_out_stride,
        "max_words": original.word_len,
        "words": {"source": "spacy", "path": original.word_embed, "dim": original.embed_dim},
        "rnn_dim": original.rnn_hidden_size,
        "rnn_dropout": original.rnn_drop_out,
        "bidirectional": original.rnn_bidirectional,
        "fused_dim": original.jemb_dim,
        "hidden_dim": original.hidden_dim,
        "transformer_dim": original.transformer_hidden_dim,
        "encoder_layers": original.transformer_encoder_num,
        "decoder_layers": original.transformer_decoder_num,
        "heads": original.transformer_head_num,
        "num_queries": original.num_query,
        "backbone": {
            "name": "darknet53",
            "pretrained": original.pretrained_weights or None,
            "trainable_blocks": TRAINED_CONVOLUTIONS[original.free_body],
        },
    }


def _train(original: OriginalConfig) -> dict[str, Any]:
    values: dict[str, Any] = {
        "epochs": original.epoches,
        "batch_size": original.batch_size,
        "optimizer": "adam",
        "lr": original.lr,
        "weight_decay": 0.0,
        "schedule": {"name": "step", "milestones": list(original.steps), "factor": 0.1},
        "clip_norm": None,
    }
    optional = {"workers": original.workers, "pictures": original.log_images}
    return values | {key: value for key, value in optional.items() if value is not None}


def _data(original: OriginalConfig, where: str) -> dict[str, Any]:
    sets = {key: path for key in ("train_set", "evaluate_set") if (path := getattr(original, key))}
    if not sets:
        raise ConfigError(f"{where}: train_set and evaluate_set are missing; name the annotation files.")
    parts = {key: _annotations(key, path, where) for key, path in sets.items()}
    first, *others = parts.values()
    if any(other[:2] != first[:2] for other in others):
        raise ConfigError(
            f"{where}: {' and '.join(f'{key} {path}' for key, path in sets.items())} lie apart; use one folder."
        )
    _refuse_other_masks(original.seg_gt_path, first, where)
    splits = {"train_set": "train_split", "evaluate_set": "val_split"}
    return {
        "name": "refer",
        "root": first.root,
        "dataset": first.dataset,
        "images": _required(original, "image_path", "the folder with the photos", where),
        **{splits[key]: annotations.split for key, annotations in parts.items()},
    }


class _Annotations(NamedTuple):
    """The parts of a path ROOT/anns/DATASET/SPLIT.json."""

    root: str
    dataset: str
    split: str


def _annotations(key: str, path: str, where: str) -> _Annotations:
    file = PurePosixPath(os.path.normpath(path))
    if file.suffix != ".json" or len(file.parts) < 3 or file.parts[-3] != "anns":
        raise ConfigError(f"{where}: {key} is {path}, not ROOT/anns/DATASET/SPLIT.json as the original lays it out.")
    return _Annotations(str(file.parents[2]), file.parts[-2], file.stem)


def _refuse_other_masks(seg_gt_path: str | None, annotations: _Annotations, where: str) -> None:
    expected = os.path.normpath(os.path.join(annotations.root, "masks", annotations.dataset))
    if seg_gt_path and os.path.normpath(seg_gt_path) != expected:
        raise ConfigError(
            f"{where}: seg_gt_path is {seg_gt_path}, but these annotations' masks belong in {expected}; move them."
        )


def _required(original: OriginalConfig, key: str, what: str, where: str) -> str:
    value: str | None = getattr(original, key)
    if not value:
        raise ConfigError(f"{where}: {key} is missing; name {what}.")
    return value
