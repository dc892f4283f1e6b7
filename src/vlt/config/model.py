"""Configuration of the networks: backbones, language encoders, the reference network and the improved one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from vlt.config.section import AboveZero, Count, Fraction, LocalPath, PathOrName, Positive, Section

SWITCHES = {"yes": True, "on": True, "no": False, "off": False}
"""Words that YAML 1.1 reads as booleans; this package reads them as text, since some keys have a choice `no`."""


def check_architecture(values: dict[str, Any]) -> dict[str, Any]:
    """Check the keyword arguments of a `transformers` configuration that the input's size depends on.

    Args:
        values: keyword arguments; `yes`, `no`, `on` and `off` become booleans.

    Raises:
        ValueError: `patch_size` is not a whole number above 0, or `depths` is not a list.
    """
    values = {key: SWITCHES.get(value, value) if isinstance(value, str) else value for key, value in values.items()}
    patch_size, depths = values.get("patch_size", 1), values.get("depths", ())
    if not isinstance(patch_size, int) or patch_size < 1:
        raise ValueError(f"model.backbone.architecture.patch_size is {patch_size!r}, not a whole number above 0")
    if not isinstance(depths, Sequence) or isinstance(depths, str):
        raise ValueError(f"model.backbone.architecture.depths is {depths!r}, not a list of numbers")
    return values


Architecture: TypeAlias = Annotated[dict[str, Any], AfterValidator(check_architecture)]


class WordsConfig(Section):
    """Source of the word vectors, for language encoders that read vectors."""

    source: Literal["hash", "file", "text", "spacy"] = "hash"
    """hash: a fixed pseudo-random vector per spelling, no file needed; file: this package's compact format (.npz);
    text: GloVe or fastText text; spacy: an installed spaCy model with vectors."""
    path: PathOrName | None = None
    """The file, or the name of the spaCy model (the original used en_vectors_web_lg)."""
    dim: Positive = 300
    """Length of a vector."""

    @model_validator(mode="after")
    def _check_path(self) -> WordsConfig:
        if (self.path is None) != (self.source == "hash"):
            need = "needs no path" if self.source == "hash" else "needs a path"
            raise ValueError(f"word vectors from source {self.source!r} {need}, but path is {self.path!r}")
        return self


class Darknet53Config(Section):
    """Darknet-53 with the YOLOv3 neck; strides 8, 16, 32."""

    name: Literal["darknet53"] = "darknet53"
    """Selects this backbone."""
    width: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    """Number of channels as a fraction of the published 32 to 1024."""
    blocks: tuple[Positive, Positive, Positive, Positive, Positive] = (1, 2, 8, 8, 4)
    """Residual blocks per stage."""
    pretrained: LocalPath | None = None
    """A Keras HDF5 file with the 52 convolutions of the body and the 6 of the neck (such as MCN's)."""
    trainable_blocks: Count | None = None
    """Number of last convolutions that are trained; null: all. 2 is the original's free_body 1, 1 its free_body 2."""

    @property
    def coarsest_stride(self) -> int:
        """Stride of the coarsest feature map; both sides of the input must be a multiple of it."""
        return 32

    @property
    def seen_coco_labels(self) -> bool:
        """Whether the pretrained weights learnt from labels of COCO, whose images RefCOCO tests on, as MCN's did."""
        return self.pretrained is not None


class SwinConfig(Section):
    """Swin transformer from `transformers`; strides 4, 8, 16, 32."""

    name: Literal["swin"] = "swin"
    """Selects this backbone."""
    size: Literal["tiny", "small", "base", "large"] = "tiny"
    """Published size; `architecture` overrides parts of it."""
    architecture: Architecture | None = None
    """Keyword arguments of `transformers.SwinConfig`, which override those of `size`."""
    pretrained: PathOrName | None = None
    """A folder, or `hf:OWNER/NAME` for a model of the hub; its architecture then replaces `size`."""
    trainable_blocks: Count | None = None
    """Number of last stages that are trained; null: all."""

    @property
    def seen_coco_labels(self) -> bool:
        """Whether the pretrained weights learnt from labels of COCO."""
        return False

    @property
    def coarsest_stride(self) -> int:
        """Stride of the coarsest feature map; both sides of the input must be a multiple of it."""
        given = self.architecture or {}
        return int(given.get("patch_size", 4) * 2 ** (len(given.get("depths", (2, 2, 6, 2))) - 1))


class Dinov2Config(Section):
    """DINOv2 vision transformer from `transformers`; every feature map has the stride of the patches, 14."""

    name: Literal["dinov2"] = "dinov2"
    """Selects this backbone."""
    size: Literal["small", "base", "large", "giant"] = "small"
    """Published size; `architecture` overrides parts of it."""
    architecture: Architecture | None = None
    """Keyword arguments of `transformers.Dinov2Config`, which override those of `size`."""
    layers: tuple[Positive, ...] | None = None
    """Depths whose outputs are used, 1-based; null: three quarters of the depth and the last layer."""
    pretrained: PathOrName | None = None
    """A folder, or `hf:OWNER/NAME` for a model of the hub; its architecture then replaces `size`."""
    trainable_blocks: Count | None = None
    """Number of last blocks that are trained; null: all."""

    @property
    def seen_coco_labels(self) -> bool:
        """Whether the pretrained weights learnt from labels of COCO."""
        return False

    @property
    def coarsest_stride(self) -> int:
        """Side of a patch in pixels; both sides of the input must be a multiple of it."""
        return int((self.architecture or {}).get("patch_size", 14))


BackboneConfig: TypeAlias = Annotated[Darknet53Config | SwinConfig | Dinov2Config, Field(discriminator="name")]


class GRUConfig(Section):
    """Bidirectional GRU over word vectors."""

    name: Literal["gru"] = "gru"
    """Selects this language encoder."""
    words: WordsConfig = WordsConfig()
    """Source of the word vectors."""
    hidden_dim: Positive = 256
    """Width of the hidden state, per direction."""
    layers: Positive = 1
    """Stacked GRU layers."""


class BertConfig(Section):
    """Encoder of the BERT family from `transformers`; its token states are the word features."""

    name: Literal["bert"] = "bert"
    """Selects this language encoder."""
    pretrained: PathOrName | None = None
    """A folder, or `hf:OWNER/NAME` for a model of the hub; its architecture then replaces `architecture`."""
    tokenizer: PathOrName | None = None
    """A folder, or `hf:OWNER/NAME` for one of the hub; null: the one that belongs to `pretrained`."""
    architecture: Architecture | None = None
    """`model_type` and keyword arguments of its `transformers` configuration; null: BERT base."""
    trainable_blocks: Count | None = None
    """Number of last layers that are trained; null: all."""

    @model_validator(mode="after")
    def _check_tokenizer(self) -> BertConfig:
        if self.pretrained is None and self.tokenizer is None:
            raise ValueError("a bert encoder needs `pretrained`, or a `tokenizer` to read words with")
        return self


LanguageConfig: TypeAlias = Annotated[GRUConfig | BertConfig, Field(discriminator="name")]


def check_input_size(sides: dict[str, int], backbone: Darknet53Config | SwinConfig | Dinov2Config) -> None:
    """Check that the network's input fits the backbone.

    Args:
        sides: each side in pixels, by the key to name in the error.
        backbone: whose coarsest stride must divide each side.

    Raises:
        ValueError: a side is not a multiple; the two nearest multiples are named.
    """
    stride = backbone.coarsest_stride
    what = "patch" if isinstance(backbone, Dinov2Config) else "coarsest stride"
    for key, side in sides.items():
        if side % stride:
            lower, upper = side // stride * stride, -(-side // stride) * stride
            near = f"{lower} or {upper}" if lower else f"{upper}"
            raise ValueError(f"{key} is {side}, not a multiple of {backbone.name}'s {what}, {stride}; take {near}")


class ReferenceConfig(Section):
    """The network of ICCV 2021, exactly (docs/oddities.md). The original's names of keys stand in brackets."""

    name: Literal["reference"] = "reference"
    """Selects this network."""
    image_size: Positive = 416
    """Height and width of the input in pixels [input_size]; trained weights fit one size only."""
    output_stride: Literal[2, 4, 8] = 2
    """Stride of the predicted mask [seg_out_stride]."""
    max_words: Positive = 15
    """Words per expression [word_len]; shorter expressions are padded, and the padding is not masked."""
    words: WordsConfig = WordsConfig()
    """Source of the word vectors [word_embed, embed_dim]."""
    rnn_dim: Positive = 1024
    """Width of the GRU [rnn_hidden_size]."""
    rnn_dropout: Fraction = 0.1
    """Dropout in the attention over words [rnn_drop_out]."""
    bidirectional: bool = True
    """Read the words in both directions [rnn_bidirectional]."""
    fused_dim: Positive = 1024
    """Channels of the fused coarsest feature map [jemb_dim]; must equal those of the backbone's widest map."""
    hidden_dim: Positive = 256
    """Width of the encoder's input and of the mask convolutions [hidden_dim]."""
    transformer_dim: Positive = 256
    """Width of attention, feed-forward layers and query balance [transformer_hidden_dim]."""
    encoder_layers: Positive = 2
    """Transformer encoder layers [transformer_encoder_num]."""
    decoder_layers: Positive = 2
    """Transformer decoder layers [transformer_decoder_num]."""
    heads: Positive = 8
    """Attention heads [transformer_head_num]."""
    num_queries: Positive = 16
    """Generated queries [num_query]."""
    dropout: Fraction = 0.1
    """Dropout of the transformer."""
    backbone: Darknet53Config = Darknet53Config(trainable_blocks=2)
    """The visual backbone."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.image_size, self.image_size

    @property
    def antialias(self) -> bool:
        """Whether images are low-pass filtered before shrinking; the original's OpenCV resizing is not."""
        return False

    @model_validator(mode="after")
    def _check_sizes(self) -> ReferenceConfig:
        check_input_size({"model.image_size": self.image_size}, self.backbone)
        if self.transformer_dim % self.heads:
            raise ValueError(
                f"model.transformer_dim is {self.transformer_dim}, not a multiple of model.heads, {self.heads}"
            )
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


class CandidatesConfig(Section):
    """Candidates: objects found by a frozen detector, among which the network chooses by the expression."""

    detector: LocalPath | None = None
    """Weights of the detector (tools/README.md); null: random ones, to be replaced by those of a checkpoint."""
    detector_width: AboveZero = 1.0
    """Channels of the detector, as a fraction of the published ones."""
    count: Positive = 32
    """Candidates per image, the most probable ones."""
    dim: Positive = 128
    """Width of the candidates' features; a multiple of `heads`."""
    heads: Positive = 4
    """Attention heads."""
    layers: Positive = 3
    """Layers in which candidates attend to the words, to the cells of their box and to each other."""
    grid: Positive = 6
    """Cells per side of a candidate's box."""
    num_queries: Count = 8
    """Queries generated from candidates and words; 0: candidates are scored by a linear layer (ablation)."""
    categories: bool = True
    """Use the detector's probabilities of COCO's categories; false: its boxes only (ablation)."""
    standing: bool = True
    """Use each candidate's rank in position and size among those of its category."""
    colours: bool = True
    """Use the colours in each candidate's box."""
    cells: bool = True
    """Let candidates attend to the cells of their box; false: to the average of their features only (ablation)."""
    relations: bool = True
    """Let candidates attend to each other."""
    dropout: Fraction = 0.1
    """Dropout, also of the backbone's channels."""

    @model_validator(mode="after")
    def _check_heads(self) -> CandidatesConfig:
        if self.dim % self.heads:
            raise ValueError(
                f"model.candidates.dim is {self.dim}, not a multiple of model.candidates.heads, {self.heads}"
            )
        return self


class VLTConfig(Section):
    """The improved network. Each change to the original is a switch, on by default (docs/oddities.md)."""

    name: Literal["vlt"] = "vlt"
    """Selects this network."""
    image_size: tuple[Positive, Positive] = (448, 448)
    """(height, width) of the input in pixels; multiples of the backbone's coarsest stride or patch."""
    max_words: Positive = 32
    """Longer expressions are cut to this many words or word pieces, with a warning."""
    dim: Positive = 256
    """Channels of the fused feature map, the queries and the transformer."""
    backbone: BackboneConfig = Dinov2Config()
    """The visual backbone, chosen by its `name`."""
    language: LanguageConfig = GRUConfig()
    """The language encoder, chosen by its `name`."""
    map_stride: Positive = 16
    """The fused feature map takes the resolution of the backbone's feature map whose stride is nearest to this."""
    fusion: Literal["sentence", "spatial_dynamic"] = "spatial_dynamic"
    """sentence: one sentence vector at every position (2021); spatial_dynamic: each position attends to the words
    (2022)."""
    queries: Literal["generated", "learned"] = "generated"
    """generated: from the image and the expression; learned: the same for all inputs (ablation)."""
    num_queries: Positive = 16
    """Number of queries."""
    query_balance: bool = True
    """Weight each query's response by a predicted confidence; false: all have equal weight."""
    photo_layers: Count = 0
    """Self-attention layers over the image's feature map before words are fused into it; computed once per image."""
    boxes: bool = False
    """Predict the bounding box of the object at each position and add it to the features there, which separates
    neighbouring objects of one category; requires `loss.box` > 0."""
    fusion_stride: Literal[1, 2] = 1
    """Downsample the feature map by this factor before words are fused into it; 2 is four times faster. The pixel
    features keep their resolution."""
    encoder_layers: Count = 2
    """Self-attention layers over the fused feature map; computed for each expression."""
    key_stride: Positive = 1
    """Pool attention keys by this factor (average pooling), in `photo_layers` and `encoder_layers`; 2 saves most of
    their time."""
    decoder_layers: Positive = 2
    """Transformer decoder layers."""
    heads: Positive = 8
    """Attention heads; must divide `dim`."""
    feedforward_dim: Positive = 512
    """Width of the transformer's feed-forward layers."""
    dropout: Fraction = 0.1
    """Dropout of the transformer."""
    map_dropout: Fraction = 0.0
    """Fraction of the backbone's channels that are dropped in training, against overfitting to single channels of a
    frozen backbone."""
    mask_dim: Positive = 64
    """Channels of the mask decoder at stride 4."""
    candidates: CandidatesConfig | None = None
    """Choose among objects that a detector finds, and guide the mask by the choice; null: the mask comes from the
    feature maps alone. Requires `loss.candidate` > 0."""

    # Changes to the original.
    mask_padding: bool = True
    """Mask padding words everywhere; false: they are attended to, as in the original."""
    causal_queries: bool = False
    """Query i attends only to queries 0..i in the decoder, as in the original."""
    positions: Literal["2d", "1d"] = "2d"
    """Positional encoding: 2d: sinusoids over rows and columns; 1d: over the flattened feature map, as in the
    original."""
    any_size: bool = True
    """Queries and masks work at any input size; false: dense layers over all positions, as in the original."""
    pixel_features: bool = True
    """Use pixel features at stride 4 in the mask decoder; false: masks come from the queries' responses alone."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.image_size

    @property
    def antialias(self) -> bool:
        """Whether images are low-pass filtered before shrinking."""
        return True

    @model_validator(mode="after")
    def _check_sizes(self) -> VLTConfig:
        height, width = self.image_size
        check_input_size({"model.image_size (height)": height, "model.image_size (width)": width}, self.backbone)
        if self.dim % self.heads:
            raise ValueError(f"model.dim is {self.dim}, not a multiple of model.heads, {self.heads}")
        if self.dim % 4:
            raise ValueError(f"model.dim is {self.dim}: two-dimensional positions need a multiple of 4")
        return self


ModelConfig: TypeAlias = Annotated[ReferenceConfig | VLTConfig, Field(discriminator="name")]
