"""Pretrained parts from `transformers` folders or a model hub, and networks built without random weights."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import transformers
from safetensors import SafetensorError
from torch.overrides import TorchFunctionMode

from vlt.config.model import BertConfig, Dinov2Config, ReferenceConfig, SwinConfig, VLTConfig
from vlt.errors import CheckpointError, ConfigError
from vlt.files import resolve_source

ModelT = TypeVar("ModelT", bound=ReferenceConfig | VLTConfig)

NEW_WEIGHTS = "hidden_states_norms."
"""Prefix of the norms of Swin's four maps, which only its backbone form has and which are not pretrained."""

IRRELEVANT = {
    *("architectures", "transformers_version", "_name_or_path", "dtype", "torch_dtype", "id2label", "label2id"),
    *("out_features", "out_indices", "stage_names"),
}
"""Keys of a `transformers` configuration that do not affect the architecture: its origin, and its outputs."""

DRAWING = ("normal_", "uniform_", "kaiming_uniform_", "erfinv_")
"""In-place functions that draw weights: of a tensor, of `torch.nn.init`, or what `transformers` puts in their place."""


def resolve_architecture(config: ModelT) -> ModelT:
    """Write the architecture of pretrained parts into the configuration, so that it can be rebuilt without them.

    Args:
        config: configuration of the network; parts whose `architecture` is given already stay as they are.

    Raises:
        CheckpointError: a pretrained part whose folder does not exist or whose configuration cannot be read.
    """
    if isinstance(config, ReferenceConfig):
        return config
    values = config.model_dump()
    for name in ("backbone", "language"):
        part = getattr(config, name)
        if isinstance(part, SwinConfig | Dinov2Config | BertConfig) and part.pretrained and part.architecture is None:
            values[name]["architecture"] = read_architecture(part.pretrained)
    return config.model_validate(values)


def read_architecture(source: str) -> dict[str, Any]:
    """Read the keys that shape a pretrained network from its `transformers` configuration.

    Args:
        source: a folder, or `hf:NAME` for the model hub; see `vlt.files.resolve_source`.

    Returns:
        Keyword arguments of its configuration class that differ from their defaults.

    Raises:
        CheckpointError: the folder does not exist, or its configuration cannot be read.
    """
    where = resolve_source(source)
    try:
        found: Any = transformers.AutoConfig.from_pretrained(where)
    except (OSError, ValueError, KeyError) as error:
        raise _not_loadable(source, error) from None
    known = set(type(found)().to_dict()) - IRRELEVANT
    return {key: value for key, value in found.to_diff_dict().items() if key in known}


def load_pretrained(factory: Any, source: str, **options: Any) -> Any:
    """Load a pretrained network, refusing files that lack some of its weights.

    Args:
        factory: a class of `transformers` with `from_pretrained`.
        source: a folder, or `hf:NAME` for the model hub; see `vlt.files.resolve_source`.
        options: handed to `from_pretrained`.

    Raises:
        CheckpointError: the folder does not exist, cannot be read, or lacks weights.
    """
    where = resolve_source(source)
    try:
        network, report = factory.from_pretrained(where, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _not_loadable(source, error) from None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(NEW_WEIGHTS))
    if missing:
        raise CheckpointError(f"The pretrained part {source!r} lacks {len(missing)} weights: {', '.join(missing)}.")
    return network


def _not_loadable(source: str, error: Exception) -> CheckpointError:
    reason = str(error).strip().splitlines()[0].rstrip(".")
    return CheckpointError(
        f"The pretrained part {source!r} cannot be loaded ({reason}); give a folder with config.json and weights, "
        "or hf:NAME for a model of the hub."
    )


def build_architecture(factory: Any, architecture: Mapping[str, Any], **options: Any) -> Any:
    """Build a network of `transformers` with random weights.

    Args:
        factory: `transformers.AutoModel`, which needs a `model_type` in `architecture`, or a class with `config_class`.
        architecture: keyword arguments of the configuration class. `transformers` would ignore unknown keys, so they
            are refused here.
        options: handed to `AutoModel.from_config`.

    Raises:
        ConfigError: an unknown key (with a suggestion), or values that `transformers` refuses.
    """
    values = dict(architecture)
    model_type = values.pop("model_type", None)
    is_auto = factory is transformers.AutoModel
    try:
        config_class = transformers.CONFIG_MAPPING[model_type] if is_auto else factory.config_class
        known = set(config_class().to_dict())
        for key in set(values) - known - {"out_features", "out_indices"}:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(f"The architecture has no key {key!r}{hint}.")
        config = config_class(**values)
        return factory.from_config(config, **options) if is_auto else factory(config)
    except (TypeError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"The architecture {dict(architecture)} cannot be built: {error}.") from None


class SkipInitialisation(TorchFunctionMode):
    """Context in which networks are built with zeros in place of random weights.

    For networks whose weights are all loaded afterwards, strictly: drawing 49 million random numbers takes longer than
    reading as many from the disk. Values that are computed rather than drawn, such as tables of positions, are still
    computed. Zeros, and not uninitialised memory, because a truncated draw is repeated until all values lie within its
    bounds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Set the tensor that was to be drawn to zero; run any other function unchanged."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", None) not in DRAWING:
            return func(*args, **kwargs)
        with torch.no_grad():
            return (args[0] if args else kwargs["tensor"]).zero_()
