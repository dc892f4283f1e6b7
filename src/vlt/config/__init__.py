"""Everything a run can be told, typed, with its defaults; read from YAML and refused early.

The sections nest as in the YAML: `model`, `data`, `loss`, `train`, `evaluate`. A key that does not exist is refused
with the nearest one that does; values that contradict each other are refused before anything is built.
"""

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
from vlt.config.reading import dump_config, load_config, override, parse_config, read_yaml
from vlt.config.run import (
    ComposeConfig,
    Config,
    ContrastConfig,
    DataConfig,
    EvaluateConfig,
    Half,
    LossConfig,
    ReferDataConfig,
    ScheduleConfig,
    SyntheticDataConfig,
    TrainConfig,
)

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
    "Half",
    "LanguageConfig",
    "LossConfig",
    "ModelConfig",
    "ReferDataConfig",
    "ReferenceConfig",
    "ScheduleConfig",
    "SwinConfig",
    "SyntheticDataConfig",
    "TrainConfig",
    "VLTConfig",
    "WordsConfig",
    "dump_config",
    "load_config",
    "override",
    "parse_config",
    "read_yaml",
]
