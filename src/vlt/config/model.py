"""What can be said of the networks: backbones, language encoders, and the two ways to join them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from vlt.config.section import Count, Fraction, Positive, Section


class WordsConfig(Section):
    """Where the vectors of words come from, for language models that read vectors."""

    source: Literal["hash", "file", "text", "spacy"] = "hash"
    """hash: a fixed pseudo-random vector per spelling, needing no file; file: our own compact file (.npz);
    text: GloVe or fastText text; spacy: an installed spaCy model with vectors."""
    path: str | None = None
    """The file, or the name of the spaCy model (the original used en_vectors_web_lg)."""
    dim: Positive = 300

    @model_validator(mode="after")
    def _path_where_needed(self) -> WordsConfig:
        if (self.path is None) != (self.source == "hash"):
            need = "needs no path" if self.source == "hash" else "needs a path"
            raise ValueError(f"word vectors from source {self.source!r} {need}, but path is {self.path!r}")
        return self


class Darknet53Config(Section):
    """Darknet-53 with the YOLOv3 neck; strides 8, 16, 32."""

    name: Literal["darknet53"] = "darknet53"
    width: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    """Channels as a share of the published 32 ... 1024."""
    blocks: tuple[Positive, Positive, Positive, Positive, Positive] = (1, 2, 8, 8, 4)
    """Residual blocks per stage."""
    pretrained: Path | None = None
    """A Keras HDF5 file with the 52 convolutions of the body and the 6 of the neck (such as MCN's)."""
    trainable_blocks: Count | None = None
    """How many of the last convolutions train; null: all. 2 is the original's free_body 1, 1 its free_body 2."""


class SwinConfig(Section):
    """Swin transformer from `transformers`; strides 4, 8, 16, 32."""

    name: Literal["swin"] = "swin"
    size: Literal["tiny", "small", "base", "large"] = "tiny"
    architecture: dict[str, Any] | None = None
    """Keyword arguments of `transformers.SwinConfig`, over those of `size`."""
    pretrained: str | None = None
    """A folder or a hub name for `from_pretrained`; its architecture then replaces `size`."""
    trainable_blocks: Count | None = None
    """How many of the last stages train; null: all."""


class Dinov2Config(Section):
    """DINOv2 vision transformer from `transformers`; every map at the patch's stride, 14."""

    name: Literal["dinov2"] = "dinov2"
    size: Literal["small", "base", "large", "giant"] = "small"
    architecture: dict[str, Any] | None = None
    """Keyword arguments of `transformers.Dinov2Config`, over those of `size`."""
    layers: tuple[Positive, ...] | None = None
    """Which depths to read, 1-based; null: three quarters and the last."""
    pretrained: str | None = None
    """A folder or a hub name for `from_pretrained`; its architecture then replaces `size`."""
    trainable_blocks: Count | None = None
    """How many of the last blocks train; null: all."""


BackboneConfig: TypeAlias = Annotated[Darknet53Config | SwinConfig | Dinov2Config, Field(discriminator="name")]


class GRUConfig(Section):
    """Bidirectional GRU over word vectors."""

    name: Literal["gru"] = "gru"
    words: WordsConfig = WordsConfig()
    hidden_dim: Positive = 256
    layers: Positive = 1


class BertConfig(Section):
    """A BERT-family encoder from `transformers`, read at its token states."""

    name: Literal["bert"] = "bert"
    pretrained: str | None = None
    """A folder or a hub name for `from_pretrained`; its architecture then replaces `architecture`."""
    tokenizer: str | None = None
    """A folder or a hub name of the tokenizer; null: the one that lies with `pretrained`."""
    architecture: dict[str, Any] | None = None
    """`model_type` and keyword arguments of its `transformers` configuration; null: BERT base."""
    trainable_blocks: Count | None = None
    """How many of the last layers train; null: all."""

    @model_validator(mode="after")
    def _tokenizer_somewhere(self) -> BertConfig:
        if self.pretrained is None and self.tokenizer is None:
            raise ValueError("a bert encoder needs `pretrained`, or a `tokenizer` to read words with")
        return self


LanguageConfig: TypeAlias = Annotated[GRUConfig | BertConfig, Field(discriminator="name")]


class ReferenceConfig(Section):
    """The network of ICCV 2021, oddities included (docs/oddities.md). Names in brackets are the original's keys."""

    name: Literal["reference"] = "reference"
    image_size: Positive = 416
    """Height and width of the input [input_size]; the weights fit this size only."""
    output_stride: Literal[2, 4, 8] = 2
    """[seg_out_stride]"""
    max_words: Positive = 15
    """[word_len]; expressions are padded to it, and the padding is seen."""
    words: WordsConfig = WordsConfig()
    """[word_embed, embed_dim]"""
    rnn_dim: Positive = 1024
    """[rnn_hidden_size]"""
    rnn_dropout: Fraction = 0.1
    """[rnn_drop_out]"""
    bidirectional: bool = True
    """[rnn_bidirectional]"""
    fused_dim: Positive = 1024
    """Width of the fused coarsest map [jemb_dim]; the backbone's widest map must have it too."""
    hidden_dim: Positive = 256
    """Width of the encoder's input and of the mask convolutions [hidden_dim]."""
    transformer_dim: Positive = 256
    """Width of attention, feed-forward and balance [transformer_hidden_dim]."""
    encoder_layers: Positive = 2
    decoder_layers: Positive = 2
    heads: Positive = 8
    num_queries: Positive = 16
    dropout: Fraction = 0.1
    backbone: Darknet53Config = Darknet53Config(trainable_blocks=2)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.image_size, self.image_size

    @property
    def antialias(self) -> bool:
        """Whether photos are low-passed before shrinking; the original's OpenCV does not."""
        return False

    @model_validator(mode="after")
    def _sizes_fit(self) -> ReferenceConfig:
        _refuse_stride(self.image_size, 32, "model.image_size", "darknet53's coarsest stride")
        _refuse_heads(self.transformer_dim, self.heads, "model.transformer_dim")
        if self.transformer_dim != self.hidden_dim:
            raise ValueError(
                f"model.transformer_dim is {self.transformer_dim} and model.hidden_dim is {self.hidden_dim}: "
                "the reference network adds one to the other, so they must be equal"
            )
        widest = round(1024 * self.backbone.width)
        if self.fused_dim != widest:
            raise ValueError(
                f"model.fused_dim is {self.fused_dim} but the backbone's widest map has "
                f"{widest} channels; set it to {widest}"
            )
        return self


class VLTConfig(Section):
    """The improved network. Each repair of the original is a switch, on by default (docs/oddities.md)."""

    name: Literal["vlt"] = "vlt"
    image_size: tuple[Positive, Positive] = (448, 448)
    """(height, width) of the input; a multiple of the backbone's coarsest stride or patch."""
    max_words: Positive = 32
    """Longer expressions are cut here, with a warning."""
    dim: Positive = 256
    """Width of the fused map, the queries and the transformer."""
    backbone: BackboneConfig = Dinov2Config()
    language: LanguageConfig = GRUConfig()
    map_stride: Positive = 16
    """The fused map takes the grid of the backbone map whose stride is nearest to this."""
    fusion: Literal["sentence", "spatial_dynamic"] = "spatial_dynamic"
    """sentence: one sentence vector everywhere (2021); spatial_dynamic: each position attends to the words (2022)."""
    queries: Literal["generated", "learned"] = "generated"
    """generated: from the photo and the words; learned: the same for all inputs (ablation)."""
    num_queries: Positive = 16
    query_balance: bool = True
    """Weigh each query's answer by a confidence; off: all count alike."""
    photo_layers: Count = 0
    """Self-attention over the photo's map before anything is said, computed once per photo."""
    boxes: bool = False
    """Each position of that map tells the box of the thing it lies on, and what follows knows it. Learnt with
    `loss.box`; it tells neighbours of a kind apart."""
    fusion_stride: Literal[1, 2] = 1
    """2: words join the photo's map, and are weighed, at a quarter of its positions, which is four times faster; the
    pixel features keep the full grid."""
    encoder_layers: Count = 2
    """Self-attention over the fused map, computed for each expression."""
    key_stride: Positive = 1
    """Both attend to means of squares of so many positions of the photo's map a side, which saves most of the time at
    2; 1: to each."""
    decoder_layers: Positive = 2
    heads: Positive = 8
    feedforward_dim: Positive = 512
    dropout: Fraction = 0.1
    map_dropout: Fraction = 0.0
    """Share of the backbone's channels hidden while training, so that none is relied on alone: for frozen backbones."""
    mask_dim: Positive = 64
    """Width of the mask decoder at stride 4."""

    # The repairs.
    mask_padding: bool = True
    """Padding words are hidden everywhere; off: they are seen."""
    causal_queries: bool = False
    """On: query i sees only queries 0..i in the decoder, as in the original."""
    positions: Literal["2d", "1d"] = "2d"
    """Sinusoids over rows and columns, or over the flattened map as in the original."""
    any_size: bool = True
    """Queries and masks work at any input size; off: dense layers over all positions, as in the original."""
    pixel_features: bool = True
    """Pixel features at stride 4 join the mask decoder; off: masks grow from the queries' responses alone."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.image_size

    @property
    def antialias(self) -> bool:
        """Whether photos are low-passed before shrinking."""
        return True

    @model_validator(mode="after")
    def _sizes_fit(self) -> VLTConfig:
        stride, what = _coarsest_stride(self.backbone)
        for side, name in zip(self.image_size, ("height", "width"), strict=True):
            _refuse_stride(side, stride, f"model.image_size ({name})", what)
        _refuse_heads(self.dim, self.heads, "model.dim")
        if self.dim % 4:
            raise ValueError(f"model.dim is {self.dim}: two-dimensional positions need a multiple of 4")
        return self


ModelConfig: TypeAlias = Annotated[ReferenceConfig | VLTConfig, Field(discriminator="name")]


def _coarsest_stride(backbone: Darknet53Config | SwinConfig | Dinov2Config) -> tuple[int, str]:
    """The number both sides of the input must be a multiple of, and what it is called."""
    architecture = getattr(backbone, "architecture", None) or {}
    if isinstance(backbone, Dinov2Config):
        return _patch(architecture.get("patch_size", 14)), "dinov2's patch"
    if isinstance(backbone, SwinConfig):
        depths = architecture.get("depths", (2, 2, 6, 2))
        if not isinstance(depths, Sequence) or isinstance(depths, str):
            raise ValueError(f"model.backbone.architecture.depths is {depths!r}, not a list of numbers")
        return _patch(architecture.get("patch_size", 4)) * 2 ** (len(depths) - 1), "swin's coarsest stride"
    return 32, "darknet53's coarsest stride"


def _patch(size: Any) -> int:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"model.backbone.architecture.patch_size is {size!r}, not a whole number above 0")
    return size


def _refuse_stride(side: int, stride: int, where: str, what: str) -> None:
    if side % stride:
        lower, upper = side // stride * stride, -(-side // stride) * stride
        near = f"{lower} or {upper}" if lower else f"{upper}"
        raise ValueError(f"{where} is {side}, not a multiple of {what}, {stride}; take {near}")


def _refuse_heads(dim: int, heads: int, where: str) -> None:
    if dim % heads:
        raise ValueError(f"{where} is {dim}, not a multiple of model.heads, {heads}")
