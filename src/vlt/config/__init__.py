"""Typed configuration of a run: defaults, YAML files, checks.

The sections nest as in YAML: `model`, `data`, `loss`, `train`, `inference`, `evaluate` (docs/configuration.md). An
unknown key is refused with the nearest known one; values that contradict each other are refused before anything is
built.
"""

from vlt.config.data import (
    ComposeConfig,
    DataConfig,
    ReferDataConfig,
    ShardsDataConfig,
    SyntheticDataConfig,
    dataset_name,
)
from vlt.config.inference import InferenceConfig
from vlt.config.model import (
    BackboneConfig,
    BertConfig,
    Darknet53Config,
    Dinov2Config,
    GRUConfig,
    LanguageConfig,
    ModelConfig,
    ReferenceConfig,
    SwinConfig,
    VLTConfig,
    WordsConfig,
)
from vlt.config.original import is_original, translate
from vlt.config.reading import (
    configure,
    dump_config,
    override,
    parse_config,
    read_config,
    translate_model,
)
from vlt.config.run import (
    Config,
    ContrastConfig,
    EvaluateConfig,
    LossConfig,
    ScheduleConfig,
    TrainConfig,
)
from vlt.config.yaml_file import read_yaml

__all__ = [
    "BackboneConfig",
    "BertConfig",
    "ComposeConfig",
    "Config",
    "ContrastConfig",
    "Darknet53Config",
    "DataConfig",
    "Dinov2Config",
    "EvaluateConfig",
    "GRUConfig",
    "InferenceConfig",
    "LanguageConfig",
    "LossConfig",
    "ModelConfig",
    "ReferDataConfig",
    "ReferenceConfig",
    "ScheduleConfig",
    "ShardsDataConfig",
    "SwinConfig",
    "SyntheticDataConfig",
    "TrainConfig",
    "VLTConfig",
    "WordsConfig",
    "configure",
    "dataset_name",
    "dump_config",
    "is_original",
    "override",
    "parse_config",
    "read_config",
    "read_yaml",
    "translate",
    "translate_model",
]
