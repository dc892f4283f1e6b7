"""Build a network from a configuration: the only file with sizes of layers and with the choices by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file

from vlt.config.model import (
    BertConfig,
    CandidatesConfig,
    Darknet53Config,
    Dinov2Config,
    GRUConfig,
    ModelConfig,
    ReferenceConfig,
    SwinConfig,
    VLTConfig,
)
from vlt.errors import CheckpointError, ConfigError, VLTWarning
from vlt.model.backbone import Backbone, Darknet53, Dinov2Backbone, SwinBackbone
from vlt.model.candidates import CandidateEncoder
from vlt.model.choice import ChoiceGuide, Chooser
from vlt.model.detector import Detector
from vlt.model.fusion import Fusion, ReferenceFusion, SentenceAttention, SpatialDynamicAttention
from vlt.model.language import BertEncoder, GRUEncoder, SummedGRU
from vlt.model.layers import GroupConv
from vlt.model.mask_decoder import MaskDecoder, ReferenceMaskDecoder
from vlt.model.photo import BoxHead, PhotoEncoder, PixelDecoder, ScaleNeck
from vlt.model.pretrained import build_architecture, load_pretrained, resolve_architecture
from vlt.model.query import LearnedQueries, QueryBalance, QueryGenerator, ReferenceQueryGenerator
from vlt.model.transformer import EncoderLayer, Transformer
from vlt.model.vlt import VLT, CandidateParts

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


def build_model(config: ModelConfig, *, pretrained: bool = True) -> VLT:
    """Build the network that a configuration describes.

    Warns of a part that would be trained with frozen random weights.

    Args:
        config: configuration of the network.
        pretrained: load the `pretrained` parts that the configuration names; False: random weights of the same shapes,
            to be filled from a checkpoint. A Darknet's HDF5 file is not loaded here: see
            `vlt.legacy.load_keras_backbone`.

    Raises:
        CheckpointError: pretrained parts that cannot be loaded.
        ConfigError: an architecture that `transformers` refuses.
    """
    for name in ("backbone", "language") if pretrained else ():
        part: Any = getattr(config, name, None)
        if getattr(part, "trainable_blocks", None) is not None and not part.pretrained:
            warnings.warn(
                VLTWarning(
                    f"model.{name} trains its last {part.trainable_blocks} blocks only and keeps the others at random "
                    f"weights: name pretrained ones with model.{name}.pretrained (pretrained_weights in the original's "
                    "files), or train all of it with trainable_blocks: null (free_body: 0)."
                ),
                stacklevel=2,
            )
    if isinstance(config, ReferenceConfig):
        return build_reference(config)
    return build_vlt(resolve_architecture(config) if pretrained else config, pretrained)


def build_reference(config: ReferenceConfig) -> VLT:
    """Build the network of 2021, for images of shape (3, image_size, image_size), with random weights."""
    backbone = build_darknet53(config.backbone, False)
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


def build_vlt(config: VLTConfig, pretrained: bool) -> VLT:
    """Build the improved network, for images of shape (3, H, W) with H and W multiples of the backbone's stride.

    Args:
        config: configuration of the network; the architecture of its pretrained parts is resolved.
        pretrained: as in `build_model`.

    Raises:
        CheckpointError: see `build_model`.
        ConfigError: see `build_model`.
    """
    dim, queries = config.dim, config.num_queries
    backbone = BACKBONES[config.backbone.name](config.backbone, pretrained)
    backbone.train_last(config.backbone.trainable_blocks)
    neck = ScaleNeck(channels=backbone.channels, strides=backbone.strides, dim=dim, map_stride=config.map_stride)
    stride = backbone.strides[neck.grid] * config.fusion_stride
    height, width = (-(-side // stride) for side in config.image_size)  # of the fused map, rounded up
    fixed_size = None if config.any_size else (height, width)
    photo_encoder = _build_photo_encoder(config, neck)  # parts are built in the order in which their weights are drawn
    language = LANGUAGES[config.language.name](config.language, config, pretrained)
    return VLT(
        backbone=backbone,
        photo_encoder=photo_encoder,
        language=language,
        fusion=Fusion(attention=FUSIONS[config.fusion](config), dim=dim),
        query_generator=QUERIES[config.queries](config, None if config.any_size else height * width),
        transformer=Transformer(
            dim=dim,
            heads=config.heads,
            feedforward_dim=config.feedforward_dim,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            dropout=config.dropout,
            key_stride=max(1, config.key_stride // config.fusion_stride),
            positions=config.positions,
            causal=config.causal_queries,
        ),
        query_balance=QueryBalance(dim=dim, hidden_dim=dim) if config.query_balance else None,
        mask_decoder=MaskDecoder(
            dim=dim,
            mask_dim=config.mask_dim,
            num_queries=queries,
            pixel_features=config.pixel_features,
            size=fixed_size,
        ),
        mask_padding=config.mask_padding,
        candidates=None
        if config.candidates is None
        else build_candidates(
            config.candidates,
            channels=sum(backbone.channels),
            text_dim=language.state_dim,
            dim=dim,
            pretrained=pretrained,
        ),
    )


def build_candidates(
    config: CandidatesConfig, *, channels: int, text_dim: int, dim: int, pretrained: bool
) -> CandidateParts:
    """Build the parts that choose among detected objects.

    Args:
        config: configuration of these parts.
        channels: channels of the backbone's maps together.
        text_dim: width of the language encoder's states.
        dim: width of the fused map.
        pretrained: load the detector's weights if the configuration names them.

    Raises:
        CheckpointError: weights of the detector that cannot be loaded.
    """
    detector = Detector(width=config.detector_width, count=config.count)
    if pretrained and config.detector is not None:
        load_detector(detector, config.detector)
    return CandidateParts(
        detector=detector,
        encoder=CandidateEncoder(
            channels=channels,
            dim=config.dim,
            grid=config.grid,
            categories=config.categories,
            standing=config.standing,
            colours=config.colours,
            cells=config.cells,
            dropout=config.dropout,
        ),
        chooser=Chooser(
            text_dim=text_dim,
            dim=config.dim,
            heads=config.heads,
            layers=config.layers,
            num_queries=config.num_queries,
            cells=config.cells,
            relations=config.relations,
            dropout=config.dropout,
        ),
        guide=ChoiceGuide(dim=dim),
    )


def load_detector(detector: Detector, folder: Path) -> None:
    """Load a detector's weights from the folder that tools/nanodet_from_package.py makes.

    Raises:
        CheckpointError: the file is missing or damaged, or holds weights of another size.
    """
    path = folder / "weights.safetensors"
    try:
        detector.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise CheckpointError(f"The detector {path} does not exist; tools/README.md says how to make it.") from None
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0].rstrip(":. ")
        raise CheckpointError(
            f"The detector {path} cannot be loaded ({reason}); make it again (tools/README.md)."
        ) from None
    except RuntimeError as error:  # the first line says nothing but that loading failed
        reason = str(error).splitlines()[1].strip().rstrip(":. ")
        raise CheckpointError(
            f"The detector {path} does not fit the network ({reason}); "
            "set model.candidates.detector_width to its width, or make it again (tools/README.md)."
        ) from None


def _build_photo_encoder(config: VLTConfig, neck: ScaleNeck) -> PhotoEncoder:
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


def build_darknet53(config: Darknet53Config, pretrained: bool) -> Darknet53:
    """Build a Darknet-53 with random weights; its HDF5 file is loaded by `vlt.legacy.load_keras_backbone`."""
    backbone = Darknet53(width=config.width, blocks=config.blocks)
    backbone.train_last(config.trainable_blocks)
    return backbone


def build_swin(config: SwinConfig, pretrained: bool) -> SwinBackbone:
    """Build a Swin transformer whose outputs are all its stages; arguments and errors as in `build_model`."""
    architecture = SWIN_SIZES[config.size] | (config.architecture or {})
    stages = [f"stage{number}" for number in range(1, len(architecture["depths"]) + 1)]
    if pretrained and config.pretrained:
        return SwinBackbone(load_pretrained(transformers.SwinBackbone, config.pretrained, out_features=stages))
    return SwinBackbone(build_architecture(transformers.SwinBackbone, architecture | {"out_features": stages}))


def build_dinov2(config: Dinov2Config, pretrained: bool) -> Dinov2Backbone:
    """Build a DINOv2 transformer whose outputs are the depths in `config.layers`; otherwise as in `build_model`.

    Raises:
        CheckpointError: see `build_model`.
        ConfigError: see `build_model`; the last of `config.layers` is not the network's last.
    """
    architecture = DINOV2_COMMON | DINOV2_SIZES[config.size] | (config.architecture or {})
    depth = architecture["num_hidden_layers"]
    layers = sorted(set(config.layers or (-(-3 * depth // 4), depth)))
    if max(layers) != depth:
        raise ConfigError(f"model.backbone.layers is {layers}, but the last must be the network's last, {depth}.")
    if pretrained and config.pretrained:
        return Dinov2Backbone(load_pretrained(transformers.Dinov2Backbone, config.pretrained, out_indices=layers))
    return Dinov2Backbone(build_architecture(transformers.Dinov2Backbone, architecture | {"out_indices": layers}))


def build_gru(config: GRUConfig, model: VLTConfig, pretrained: bool) -> GRUEncoder:
    """Build a bidirectional GRU over word vectors, with random weights; nothing of it is ever pretrained."""
    return GRUEncoder(
        input_dim=config.words.dim,
        hidden_dim=config.hidden_dim,
        layers=config.layers,
        dim=model.dim,
        dropout=model.dropout,
    )


def build_bert(config: BertConfig, model: VLTConfig, pretrained: bool) -> BertEncoder:
    """Build a BERT-family encoder without its pooler; arguments and errors as in `build_model`."""
    if pretrained and config.pretrained:
        network = load_pretrained(transformers.AutoModel, config.pretrained, add_pooling_layer=False)
    else:
        architecture = {"model_type": "bert"} | (config.architecture or {})
        network = build_architecture(transformers.AutoModel, architecture, add_pooling_layer=False)
    encoder = BertEncoder(network=network, dim=model.dim)
    encoder.train_last(config.trainable_blocks)
    return encoder


BACKBONES: dict[str, Callable[[Any, bool], Backbone]] = {
    "darknet53": build_darknet53,
    "swin": build_swin,
    "dinov2": build_dinov2,
}
"""Builder of each `model.backbone.name`."""

LANGUAGES: dict[str, Callable[[Any, VLTConfig, bool], GRUEncoder | BertEncoder]] = {
    "gru": build_gru,
    "bert": build_bert,
}
"""Builder of each `model.language.name`."""

FUSIONS: dict[str, Callable[[VLTConfig], SentenceAttention | SpatialDynamicAttention]] = {
    "sentence": lambda config: SentenceAttention(dim=config.dim, dropout=config.dropout),
    "spatial_dynamic": lambda config: SpatialDynamicAttention(dim=config.dim),
}
"""Builder of each `model.fusion`."""

QUERIES: dict[str, Callable[[VLTConfig, int | None], QueryGenerator | LearnedQueries]] = {
    "generated": lambda config, positions: QueryGenerator(
        dim=config.dim, heads=config.heads, num_queries=config.num_queries, positions=positions
    ),
    "learned": lambda config, positions: LearnedQueries(dim=config.dim, num_queries=config.num_queries),
}
"""Builder of each `model.queries`; its second argument is h * w of the fused map if that is fixed, else None."""
