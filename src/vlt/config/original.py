"""Translate the original's flat YAML configurations into ours.

Defaults are those of its base file; docs/model.md says what the keys mean in the network.
"""

from __future__ import annotations

import difflib
import os.path
import warnings
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import ValidationError

from vlt.config.section import Section
from vlt.errors import ConfigError, VLTWarning

INERT = {
    "query_balance": "never read by the original, which always balances",
    "evaluate_model": "convert those weights with `vlt convert` and test the result",
    "start_epoch": "an interrupted run resumes by itself",
    "max_queue_size": "the data loader sizes its own queue",
    "multi_thres": "Pr@0.5 to 0.9 are always reported",
}
"""Keys that have no effect here, and why."""

TRAINED_CONVOLUTIONS = {0: None, 1: 2, 2: 1}
"""free_body -> number of last convolutions of the backbone that are trained; None: all."""

USUAL_PATHS = {"image_path": "data/images/train2014", "log_path": "."}
USUAL_ANNOTATIONS = {"train_set": "data/anns/refcoco/train.json"}
"""Paths that replace missing ones in a file whose data are not required."""


class OriginalConfig(Section):
    """The original's keys, with the defaults of its base file; None: the base file's value is not known."""

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
    return any(key in OriginalConfig.model_fields and key != "seed" for key in values)  # `seed` is in both


def translate(
    values: Mapping[str, Any],
    base: Mapping[str, Any] | None = None,
    *,
    where: str = "The original's configuration",
    data_required: bool = True,
) -> dict[str, Any]:
    """Translate the original's flat configuration into values for `vlt.config.parse_config`.

    Warns with one `VLTWarning` that names the keys of `values` that have no effect here.

    Args:
        values: flat, as read from one of the original's YAML files.
        base: flat, a base file that `values` are set over; keys in neither take the published base values.
        where: the file or source named in errors and the warning.
        data_required: False: paths that are missing are replaced by the usual ones (`USUAL_PATHS`).

    Raises:
        ConfigError: naming every unknown key (with a suggestion) and wrong value; `lang_att: false`; no data set, or
            paths in another layout than the original's.
    """
    merged = {**(base or {}), **values}
    if not data_required:
        named = merged.get("train_set") or merged.get("evaluate_set")
        merged = {**USUAL_PATHS, **({} if named else USUAL_ANNOTATIONS), **{k: v for k, v in merged.items() if v}}
    original = parse_original(merged, where)
    for key, what in (("image_path", "the folder with the images"), ("log_path", "the folder for the run's files")):
        if not getattr(original, key):
            raise ConfigError(f"{where}: {key} is missing; name {what}.")
    given = [f"{key} ({INERT[key]})" for key in values if key in INERT]
    if given:
        warnings.warn(VLTWarning(f"{where}: keys that have no effect here: {'; '.join(given)}."), stacklevel=2)
    train: dict[str, Any] = {
        "epochs": original.epoches,
        "batch_size": original.batch_size,
        "optimizer": "adam",
        "lr": original.lr,
        "weight_decay": 0.0,
        "schedule": {"name": "step", "milestones": list(original.steps), "factor": 0.1},
        "clip_norm": None,
    }
    optional = {"workers": original.workers, "pictures": original.log_images}
    return {
        "model": network_values(original),
        "data": _data_values(original, where),
        "loss": {"bce": 1.0, "dice": 0.0, "reduction": "sum", "conv_l2": 5e-4},
        "train": train | {key: value for key, value in optional.items() if value is not None},
        "inference": {"threshold": original.segment_thresh},
        "evaluate": {"select_by": "miou"},
        "seed": original.seed,
        "output_dir": original.log_path,
    }


def parse_original(values: Mapping[str, Any], where: str) -> OriginalConfig:
    """Check the original's flat `values` and fill in its base values.

    Args:
        values: flat, as read from one of the original's YAML files.
        where: the file or source named in errors.

    Raises:
        ConfigError: unknown keys (with a suggestion), wrong values, or `lang_att: false`.
    """
    try:
        original = OriginalConfig.model_validate(dict(values))
    except ValidationError as error:
        sentences = []
        for item in error.errors():
            key = str(item["loc"][0])
            if item["type"] == "extra_forbidden":
                near = difflib.get_close_matches(key, OriginalConfig.model_fields, n=1, cutoff=0.5)
                hint = (
                    f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(OriginalConfig.model_fields))}"
                )
                sentences.append(f"unknown key {key!r} beside the original's flat keys ({hint})")
            else:
                sentences.append(f"{key!r} is {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}")
        raise ConfigError(f"{where}: {'; '.join(sentences)}.") from None
    if not original.lang_att:
        raise ConfigError(f"{where}: lang_att is false, which is not built since no published configuration uses it.")
    return original


def network_values(original: OriginalConfig) -> dict[str, Any]:
    """Translate the keys about the network into values for the section `model`."""
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


def _data_values(original: OriginalConfig, where: str) -> dict[str, Any]:
    """Translate the paths of annotations, ROOT/anns/DATASET/SPLIT.json, into values for the section `data`."""
    paths = {key: path for key in ("train_set", "evaluate_set") if (path := getattr(original, key))}
    if not paths:
        raise ConfigError(f"{where}: train_set and evaluate_set are missing; name the annotation files.")
    files = {key: PurePosixPath(os.path.normpath(path)) for key, path in paths.items()}
    for key, file in files.items():
        if file.suffix != ".json" or len(file.parts) < 3 or file.parts[-3] != "anns":
            raise ConfigError(
                f"{where}: {key} is {paths[key]}, not ROOT/anns/DATASET/SPLIT.json as the original lays it out."
            )
    if len({file.parent for file in files.values()}) > 1:
        raise ConfigError(
            f"{where}: {' and '.join(f'{key} {path}' for key, path in paths.items())} "
            "lie in different folders; use one."
        )
    folder = next(iter(files.values())).parent
    root, masks = folder.parents[1], os.path.join(folder.parents[1], "masks", folder.name)
    if original.seg_gt_path and os.path.normpath(original.seg_gt_path) != os.path.normpath(masks):
        raise ConfigError(
            f"{where}: seg_gt_path is {original.seg_gt_path}, but the masks of these annotations belong in "
            f"{os.path.normpath(masks)}; move them."
        )
    splits = {"train_set": "train_split", "evaluate_set": "val_split"}
    return {
        "name": "refer",
        "root": str(root),
        "dataset": folder.name,
        "images": original.image_path,
        **{splits[key]: file.stem for key, file in files.items()},
    }
