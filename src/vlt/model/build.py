"""From a configuration to a network: the only file that knows sizes, and the only list of choices."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

import transformers

from vlt.config import (
    BertConfig,
    Darknet53Config,
    Dinov2Config,
    GRUConfig,
    ModelConfig,
    ReferenceConfig,
    SwinConfig,
    VLTConfig,
)
from vlt.errors import CheckpointError, ConfigError
from vlt.model.backbone import Backbone, Dinov2Backbone, SwinBackbone
from vlt.model.convolution import GroupConv
from vlt.model.darknet import Darknet53
from vlt.model.fusion import Fusion, ReferenceFusion, SentenceAttention, SpatialDynamicAttention
from vlt.model.language import BertEncoder, GRUEncoder, SummedGRU
from vlt.model.mask_decoder import MaskDecoder, ReferenceMaskDecoder
from vlt.model.photo import BoxHead, PhotoEncoder, PixelDecoder, ScaleNeck
from vlt.model.query import LearnedQueries, QueryBalance, QueryGenerator, ReferenceQueryGenerator
from vlt.model.transformer import EncoderLayer, Transformer
from vlt.model.vlt import VLT

SWIN_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
    "small": {"embed_dim": 96, "depths": [2, 2, 18, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
    "base": {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": 12},
    "large": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12},
}
"""The published sizes (source: Liu et al. 2021, section 3.3; windows of 12: trained at 384 pixels)."""

DINOV2_SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    "giant": {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "use_swiglu_ffn": True},
}
"""The published sizes, all with 14-pixel patches and 37 x 37 positions (source: Oquab et al. 2023, table 17)."""

DINOV2_COMMON: dict[str, Any] = {"patch_size": 14, "image_size": 518}

ModelT = TypeVar("ModelT", bound=ReferenceConfig | VLTConfig)

NEW_WEIGHTS = "hidden_states_norms."
"""What Swin as a backbone has beyond a pretrained Swin: normalisations of its four maps, which start fresh."""


def build_model(config: ModelConfig, *, pretrained: bool = True) -> VLT:
    """Builds the network that a configuration describes.

    Args:
        config: of the network.
        pretrained: read the `pretrained` folders or hub names the configuration gives; False: random weights of the
            same shapes, to be filled from a checkpoint. A Darknet's HDF5 file is not read here: see
            `vlt.legacy.load_keras_backbone`.

    Raises:
        CheckpointError: pretrained parts that cannot be loaded.
        ConfigError: an architecture that `transformers` refuses.
    """
    if isinstance(config, ReferenceConfig):
        return _build_reference(config)
    return _build_vlt(resolve(config) if pretrained else config, pretrained)


def resolve(config: ModelT) -> ModelT:
    """Writes the architecture of pretrained parts into the configuration, so that it can be rebuilt without them.

    Raises:
        CheckpointError: a pretrained folder or hub name whose configuration cannot be read.
    """
    if isinstance(config, ReferenceConfig):
        return config
    parts = {name: _resolve_part(getattr(config, name)) for name in ("backbone", "language")}
    return config.model_validate(config.model_dump() | parts)


def _resolve_part(part: Any) -> dict[str, Any]:
    values: dict[str, Any] = part.model_dump()
    if (
        getattr(part, "architecture", None) is None
        and isinstance(part, SwinConfig | Dinov2Config | BertConfig)
        and part.pretrained
    ):
        values["architecture"] = _architecture(_pretrained_config(part.pretrained))
    return values


def _architecture(found: Any) -> dict[str, Any]:
    """What shapes the network, without notes on where it came from, what it was trained for, or what nobody reads."""
    notes = {"architectures", "transformers_version", "_name_or_path", "dtype", "torch_dtype", "id2label", "label2id"}
    outputs = {"out_features", "out_indices", "stage_names"}
    known = set(type(found)().to_dict()) - notes - outputs
    return {key: value for key, value in found.to_diff_dict().items() if key in known}


def _build_reference(config: ReferenceConfig) -> VLT:
    backbone = _darknet53(config.backbone)
    map_side = config.image_size // 16
    dim = config.hidden_dim
    return VLT(
        backbone=backbone,
        photo_encoder=None,
        language=SummedGRU(
            input_dim=config.words.dim,
            hidden_dim=config.rnn_dim,
            bidirectional=config.bidirectional,
            dropout=config.rnn_dropout,
        ),
        fusion=ReferenceFusion(
            channels=backbone.channels, text_dim=config.rnn_dim, hidden_dim=dim, dropout=config.rnn_dropout
        ),
        query_generator=ReferenceQueryGenerator(
            map_dim=backbone.channels[1],
            text_dim=config.rnn_dim,
            dim=dim,
            attention_dim=config.transformer_dim,
            heads=config.heads,
            num_queries=config.num_queries,
            positions=map_side**2,
        ),
        transformer=Transformer(
            dim=dim,
            heads=config.heads,
            feedforward_dim=config.transformer_dim,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            dropout=config.dropout,
            positions="1d",
            causal=True,
            relu=True,
            epsilon=1e-14,
        ),
        query_balance=QueryBalance(dim=dim, hidden_dim=config.transformer_dim),
        mask_decoder=ReferenceMaskDecoder(
            dim=dim,
            hidden_dim=dim,
            num_queries=config.num_queries,
            size=(map_side, map_side),
            output_stride=config.output_stride,
        ),
        mask_padding=False,
    )


def _build_vlt(config: VLTConfig, pretrained: bool) -> VLT:
    backbone = BACKBONES[config.backbone.name](config.backbone, pretrained)
    backbone.train_last(config.backbone.trainable_blocks)
    neck = ScaleNeck(channels=backbone.channels, strides=backbone.strides, dim=config.dim, map_stride=config.map_stride)
    stride = backbone.strides[neck.grid]
    grid = [-(-side // stride // config.fusion_stride) for side in config.image_size]
    fixed_size = None if config.any_size else (grid[0], grid[1])
    return VLT(
        backbone=backbone,
        photo_encoder=_photo_encoder(config, neck),
        language=LANGUAGES[config.language.name](config.language, config, pretrained),
        fusion=Fusion(attention=FUSIONS[config.fusion](config), dim=config.dim),
        query_generator=QUERIES[config.queries](config, fixed_size),
        transformer=Transformer(
            dim=config.dim,
            heads=config.heads,
            feedforward_dim=config.feedforward_dim,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            dropout=config.dropout,
            key_stride=max(1, config.key_stride // config.fusion_stride),
            positions=config.positions,
            causal=config.causal_queries,
        ),
        query_balance=QueryBalance(dim=config.dim, hidden_dim=config.dim) if config.query_balance else None,
        mask_decoder=MaskDecoder(
            dim=config.dim,
            mask_dim=config.mask_dim,
            num_queries=config.num_queries,
            pixel_features=config.pixel_features,
            size=fixed_size,
        ),
        mask_padding=config.mask_padding,
    )


def _photo_encoder(config: VLTConfig, neck: ScaleNeck) -> PhotoEncoder:
    layers = [
        EncoderLayer(
            dim=config.dim,
            heads=config.heads,
            feedforward_dim=config.feedforward_dim,
            dropout=config.dropout,
            key_stride=config.key_stride,
        )
        for _ in range(config.photo_layers)
    ]
    pixel_decoder = PixelDecoder(dim=config.dim, mask_dim=config.mask_dim) if config.pixel_features else None
    return PhotoEncoder(
        neck=neck,
        layers=layers,
        box_head=BoxHead(dim=config.dim) if config.boxes else None,
        pixel_decoder=pixel_decoder,
        reduce=None if config.fusion_stride == 1 else GroupConv(config.dim, config.dim, 3, config.fusion_stride),
        map_dropout=config.map_dropout,
    )


def _darknet53(config: Darknet53Config, pretrained: bool = True) -> Darknet53:
    backbone = Darknet53(width=config.width, blocks=config.blocks, seen_coco_labels=config.pretrained is not None)
    backbone.train_last(config.trainable_blocks)
    return backbone


def _swin(config: SwinConfig, pretrained: bool) -> SwinBackbone:
    architecture = SWIN_SIZES[config.size] | (config.architecture or {})
    stages = [f"stage{number}" for number in range(1, len(architecture["depths"]) + 1)]
    if pretrained and config.pretrained:
        return SwinBackbone(_from_pretrained(transformers.SwinBackbone, config.pretrained, out_features=stages))
    return SwinBackbone(_from_architecture(transformers.SwinBackbone, architecture | {"out_features": stages}))


def _dinov2(config: Dinov2Config, pretrained: bool) -> Dinov2Backbone:
    architecture = DINOV2_COMMON | DINOV2_SIZES[config.size] | (config.architecture or {})
    depth = architecture["num_hidden_layers"]
    layers = sorted(set(config.layers or (-(-3 * depth // 4), depth)))
    if max(layers) != depth:
        raise ConfigError(f"model.backbone.layers is {layers}, but the last must be the network's last, {depth}.")
    if pretrained and config.pretrained:
        return Dinov2Backbone(_from_pretrained(transformers.Dinov2Backbone, config.pretrained, out_indices=layers))
    return Dinov2Backbone(_from_architecture(transformers.Dinov2Backbone, architecture | {"out_indices": layers}))


def _gru(config: GRUConfig, model: VLTConfig, pretrained: bool) -> GRUEncoder:
    return GRUEncoder(
        input_dim=config.words.dim,
        hidden_dim=config.hidden_dim,
        layers=config.layers,
        dim=model.dim,
        dropout=model.dropout,
    )


def _bert(config: BertConfig, model: VLTConfig, pretrained: bool) -> BertEncoder:
    if pretrained and config.pretrained:
        network = _from_pretrained(transformers.AutoModel, config.pretrained, add_pooling_layer=False)
    else:
        architecture = {"model_type": "bert"} | (config.architecture or {})
        network = _from_architecture(transformers.AutoModel, architecture, add_pooling_layer=False)
    encoder = BertEncoder(network=network, dim=model.dim)
    encoder.train_last(config.trainable_blocks)
    return encoder


def _generated(config: VLTConfig, fixed_size: tuple[int, int] | None) -> QueryGenerator:
    positions = None if fixed_size is None else fixed_size[0] * fixed_size[1]
    return QueryGenerator(dim=config.dim, heads=config.heads, num_queries=config.num_queries, positions=positions)


BACKBONES: dict[str, Callable[[Any, bool], Backbone]] = {"darknet53": _darknet53, "swin": _swin, "dinov2": _dinov2}

LANGUAGES: dict[str, Callable[[Any, VLTConfig, bool], GRUEncoder | BertEncoder]] = {"gru": _gru, "bert": _bert}

FUSIONS: dict[str, Callable[[VLTConfig], SentenceAttention | SpatialDynamicAttention]] = {
    "sentence": lambda config: SentenceAttention(dim=config.dim, dropout=config.dropout),
    "spatial_dynamic": lambda config: SpatialDynamicAttention(dim=config.dim),
}

QUERIES: dict[str, Callable[[VLTConfig, tuple[int, int] | None], QueryGenerator | LearnedQueries]] = {
    "generated": _generated,
    "learned": lambda config, fixed_size: LearnedQueries(dim=config.dim, num_queries=config.num_queries),
}


def _pretrained_config(where: str) -> Any:
    """The `transformers` configuration of a pretrained part, with what can go wrong in one sentence."""
    try:
        return transformers.AutoConfig.from_pretrained(where)
    except (OSError, ValueError, KeyError) as error:
        raise _not_loadable(where, error) from None


def _from_pretrained(factory: Any, where: str, **options: Any) -> Any:
    """`factory.from_pretrained`, refusing files that lack weights, with what can go wrong in one sentence."""
    try:
        network, report = factory.from_pretrained(where, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _not_loadable(where, error) from None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(NEW_WEIGHTS))
    if missing:
        raise CheckpointError(f"The pretrained part {where!r} lacks {len(missing)} weights: {', '.join(missing)}.")
    return network


def _not_loadable(where: str, error: Exception) -> CheckpointError:
    reason = str(error).strip().splitlines()[0].rstrip(".")
    return CheckpointError(
        f"The pretrained part {where!r} cannot be loaded ({reason}); give a folder with config.json and weights, "
        "or a hub name."
    )


def _from_architecture(factory: Any, architecture: dict[str, Any], **options: Any) -> Any:
    """A network of random weights, with what can go wrong in one sentence."""
    values = dict(architecture)
    kind = values.pop("model_type", None)
    is_auto = factory is transformers.AutoModel
    try:
        settings = transformers.CONFIG_MAPPING[kind] if is_auto else factory.config_class
        _refuse_unknown(values, set(settings().to_dict()))
        config = settings(**values)
        return factory.from_config(config, **options) if is_auto else factory(config)
    except (TypeError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"The architecture {architecture} cannot be built: {error}.") from None


def _refuse_unknown(values: dict[str, Any], known: set[str]) -> None:
    """`transformers` takes any key and ignores the ones it does not know; a misspelt one must not pass."""
    for key in set(values) - known - {"out_features", "out_indices"}:
        near = difflib.get_close_matches(key, known, n=1)
        raise ConfigError(f"The architecture has no key {key!r}{f' (did you mean {near[0]!r}?)' if near else ''}.")
