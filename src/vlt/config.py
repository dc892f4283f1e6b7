"""Everything a run can be told, typed, with its defaults; read from YAML and refused early.

The sections nest as in the YAML: `model`, `data`, `loss`, `train`, `evaluate`. A key that does not exist is refused with the
nearest one that does; values that contradict each other are refused before anything is built.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vlt.errors import ConfigError

Positive: TypeAlias = Annotated[int, Field(gt=0)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A part of the configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- words


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


# ---------------------------------------------------------------- backbones and language


class Darknet53Config(Section):
    """Darknet-53 with the YOLOv3 neck; strides 8, 16, 32."""

    name: Literal["darknet53"] = "darknet53"
    width: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Channels as a share of the published 32 ... 1024."""
    blocks: tuple[Positive, Positive, Positive, Positive, Positive] = (1, 2, 8, 8, 4)
    """Residual blocks per stage."""
    pretrained: Path | None = None
    """A Keras HDF5 file with the 52 convolutions of the body and the 6 of the neck (such as MCN's)."""
    trainable_blocks: Annotated[int, Field(ge=0)] | None = None
    """How many of the last convolutions train; null: all. 2 is the original's free_body 1, 1 its free_body 2."""


class SwinConfig(Section):
    """Swin transformer from `transformers`; strides 4, 8, 16, 32."""

    name: Literal["swin"] = "swin"
    size: Literal["tiny", "small", "base", "large"] = "tiny"
    architecture: dict[str, Any] | None = None
    """Keyword arguments of `transformers.SwinConfig`, over those of `size`."""
    pretrained: str | None = None
    """A folder or a hub name for `from_pretrained`; its architecture then replaces `size`."""
    trainable_blocks: Annotated[int, Field(ge=0)] | None = None
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
    trainable_blocks: Annotated[int, Field(ge=0)] | None = None
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
    trainable_blocks: Annotated[int, Field(ge=0)] | None = None
    """How many of the last layers train; null: all."""

    @model_validator(mode="after")
    def _tokenizer_somewhere(self) -> BertConfig:
        if self.pretrained is None and self.tokenizer is None:
            raise ValueError("a bert encoder needs `pretrained`, or a `tokenizer` to read words with")
        return self


LanguageConfig: TypeAlias = Annotated[GRUConfig | BertConfig, Field(discriminator="name")]


# ---------------------------------------------------------------- the two networks


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
                f"model.fused_dim is {self.fused_dim} but the backbone's widest map has {widest} channels; set it to {widest}"
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
    """sentence: one sentence vector for all positions (2021); spatial_dynamic: each position attends to the words (2022)."""
    queries: Literal["generated", "learned"] = "generated"
    """generated: from the photo and the words; learned: the same for all inputs (ablation)."""
    num_queries: Positive = 16
    query_balance: bool = True
    """Weigh each query's answer by a confidence; off: all count alike."""
    encoder_layers: Annotated[int, Field(ge=0)] = 2
    decoder_layers: Positive = 2
    heads: Positive = 8
    feedforward_dim: Positive = 512
    dropout: Fraction = 0.1
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
        return int(architecture.get("patch_size", 14)), "dinov2's patch"
    if isinstance(backbone, SwinConfig):
        depth = len(architecture.get("depths", (2, 2, 6, 2)))
        return int(architecture.get("patch_size", 4)) * 2 ** (depth - 1), "swin's coarsest stride"
    return 32, "darknet53's coarsest stride"


def _refuse_stride(side: int, stride: int, where: str, what: str) -> None:
    if side % stride:
        lower, upper = side // stride * stride, -(-side // stride) * stride
        near = f"{lower} or {upper}" if lower else f"{upper}"
        raise ValueError(f"{where} is {side}, not a multiple of {what}, {stride}; take {near}")


def _refuse_heads(dim: int, heads: int, where: str) -> None:
    if dim % heads:
        raise ValueError(f"{where} is {dim}, not a multiple of model.heads, {heads}")


# ---------------------------------------------------------------- data, loss, training, evaluation


class ReferDataConfig(Section):
    """A prepared data set: what `vlt prepare` or the original's script wrote."""

    name: Literal["refer"] = "refer"
    root: Path
    """The folder with `anns/` and `masks/`."""
    dataset: str
    """Its name under both, such as refcoco, refcocog_umd or coco_mini."""
    images: Path
    """The folder with the photos."""
    train_split: str = "train"
    val_split: str = "val"
    flip: Fraction = 0.0
    """How often a photo is mirrored, with left and right swapped in its words; never where the words forbid it."""


class SyntheticDataConfig(Section):
    """Scenes of coloured shapes, drawn on the fly by seed."""

    name: Literal["synthetic"] = "synthetic"
    size: tuple[Positive, Positive] = (128, 128)
    """(height, width) of a scene in pixels."""
    train_scenes: Positive = 2000
    val_scenes: Positive = 200
    seed: int = 0
    train_split: str = "train"
    val_split: str = "val"
    flip: Fraction = 0.0


DataConfig: TypeAlias = Annotated[ReferDataConfig | SyntheticDataConfig, Field(discriminator="name")]


class LossConfig(Section):
    """Binary cross-entropy plus Dice, each with its weight."""

    bce: NonNegative = 1.0
    dice: NonNegative = 1.0
    reduction: Literal["mean", "sum"] = "mean"
    """Over pixels; sum is the original's and ties the learning rate to the mask's resolution."""
    conv_l2: NonNegative = 0.0
    """Weight of the sum of squares of every convolution kernel; the original's is 5e-4."""


class ScheduleConfig(Section):
    """How the learning rate moves."""

    name: Literal["constant", "step", "cosine", "polynomial"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    milestones: tuple[Positive, ...] = ()
    """Epochs after which `step` multiplies the rate by `factor`."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    power: Annotated[float, Field(gt=0)] = 0.9
    """Exponent of `polynomial`."""
    final: Fraction = 0.0
    """Share of the rate left at the end of `cosine` and `polynomial`."""


class TrainConfig(Section):
    """How to train."""

    epochs: Positive = 20
    batch_size: Positive = 16
    """Samples per optimiser step, over all devices and accumulated steps."""
    accumulate: Positive = 1
    """Forward passes per optimiser step."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 5e-4
    backbone_lr: Annotated[float, Field(gt=0)] | None = None
    """Rate of the visual backbone's trainable part; null: `lr`."""
    language_lr: Annotated[float, Field(gt=0)] | None = None
    """Rate of the language encoder's trainable part; null: `lr`."""
    weight_decay: NonNegative = 0.01
    schedule: ScheduleConfig = ScheduleConfig()
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the moving average of the weights that is validated and kept; null: none."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load data."""
    save_every_steps: Positive | None = None
    """How often the resume state is written within an epoch; null: at the end of each epoch."""
    log_every_steps: Positive = 20
    pictures: Annotated[int, Field(ge=0)] = 4
    """Validation pictures written to TensorBoard per epoch."""


class EvaluateConfig(Section):
    """How answers are judged."""

    threshold: Fraction = 0.5
    """Of the probability; the mask is what lies strictly above it."""
    batch_size: Positive = 16
    """Expressions per forward pass."""
    select_by: Literal["miou", "oiou"] = "miou"
    """Which validation metric chooses the best checkpoint."""


class Config(Section):
    """One run: what is built, from what data, how."""

    model: ModelConfig
    data: DataConfig
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    seed: Annotated[int, Field(ge=0)] = 0
    output_dir: Path
    """The run's folder: checkpoints, resume state, log."""

    @model_validator(mode="before")
    @classmethod
    def _default_model_name(cls, values: Any) -> Any:
        """The improved network is meant where `model.name` is not given."""
        return _with_default_names(values) if isinstance(values, dict) else values


def _with_default_names(values: dict[str, Any]) -> dict[str, Any]:
    model = values.get("model", {})
    return {**values, "model": {"name": "vlt", **model} if isinstance(model, dict) else model}


# ---------------------------------------------------------------- reading


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        ConfigError: missing, a directory, not readable as YAML, or not a mapping.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a directory, not a configuration file; name the YAML file inside it.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}; check the path, or start from one in configs/.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, not a mapping of keys to values.")
    return values


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of `values` with each `a.b=c` of `assignments` set, c read as YAML.

    Raises:
        ConfigError: an assignment without `=`, or one that reaches into a value that is no mapping.
    """
    result = _copy(values)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment!r} is not of the form a.b=value.")
        *path, last = key.strip().split(".")
        node = result
        for name in path:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(f"--set {assignment!r}: {name!r} is a value, not a section.")
        try:
            node[last] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {assignment!r}: the value cannot be read as YAML.") from None
    return result


def parse_config(values: Mapping[str, Any], where: str) -> Config:
    """Checks `values` and fills in the defaults.

    Args:
        values: nested, as read from YAML.
        where: the file or source named in errors.

    Raises:
        ConfigError: naming every unknown key (with a suggestion), wrong type and contradiction.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        sentences = "; ".join(dict.fromkeys(_sentence(item, values) for item in error.errors()))
        raise ConfigError(f"{where}: {sentences}.") from None


def load_config(path: Path | str, assignments: Sequence[str] = ()) -> Config:
    """Reads a configuration file of ours; see `vlt.legacy.read_config` for the original's.

    Raises:
        ConfigError: see `read_yaml`, `override` and `parse_config`.
    """
    return parse_config(override(read_yaml(Path(path)), assignments), str(path))


def dump_config(config: Config) -> str:
    """The configuration as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _sentence(item: Any, values: Mapping[str, Any]) -> str:
    """One pydantic error in words."""
    location = _key_path(item["loc"], values)
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        known = _known_keys(location[:-1], values)
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key {key!r} ({hint})"
    if item["type"] == "missing":
        return f"{key!r} is missing"
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{key}.name is {item['input'].get('name')!r}; known: {item.get('ctx', {}).get('expected_tags', 'see docs')}"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return f"{key!r} is {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _key_path(location: Sequence[int | str], values: Any) -> list[str]:
    """Pydantic's location without the tags that unions put between the keys."""
    path: list[str] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(values, Mapping) and part not in values and not is_last:
            continue  # a union's tag
        path.append(str(part))
        values = values[part] if isinstance(values, Mapping) and part in values else None if is_last else values
    return path


def _known_keys(path: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The keys that the section at `path` knows, given the names chosen in `values`."""
    node: Any = _with_default_names(dict(values))
    section: type[BaseModel] = Config
    for name in path:
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
        section = _section_of(section, name, node if isinstance(node, Mapping) else {})
    return list(section.model_fields)


def _section_of(section: type[BaseModel], name: str, node: Mapping[str, Any]) -> type[BaseModel]:
    """The class of the sub-section `name`; of several, the one whose `name` the user chose."""
    annotation = section.model_fields[name].annotation
    choices = getattr(annotation, "__args__", (annotation,))
    classes = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
    chosen = [choice for choice in classes if choice.model_fields.get("name") and choice.model_fields["name"].default == node.get("name")]
    return (chosen or classes)[0]
