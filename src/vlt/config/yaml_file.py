"""YAML files of configurations: a strict loader and a dumper."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import yaml

from vlt.config.section import as_url
from vlt.errors import ConfigError

# YAML 1.2: unquoted values are text unless they match one of these. In YAML 1.1, which PyYAML reads,
# 5e-4 is text, while `no`, 1:30, 0123 and 2024-01-01 are a boolean, 90, 83 and a date.
EXPONENT = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+"
PLAIN_VALUES = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9_]*)", list("-+0123456789")),
    (
        "float",
        rf"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+|\.(inf|Inf|INF))|{EXPONENT}|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)


class ConfigLoader(yaml.SafeLoader):
    """Strict loader of YAML 1.2: 5e-4 is a number, `no` is text, and repeated keys are refused."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        """Compose a mapping as usual, but refuse repeated keys, of which PyYAML would ignore all but the last."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            first, line = lines.get(str(key.value)), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and first:
                raise ConfigError(f"the key {key.value!r} is given twice, in lines {first} and {line}; remove one")
            lines[str(key.value)] = line
        return node


class ConfigDumper(yaml.SafeDumper):
    """Quotes text that `ConfigLoader` would read as a number."""


ConfigLoader.yaml_implicit_resolvers = {}  # its own, in place of those of YAML 1.1
for _tag, _pattern, _first in PLAIN_VALUES:
    ConfigLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), _first)
ConfigDumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"{EXPONENT}$"), list("-+.0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; it may begin with a byte-order mark, as files of Windows do.

    Raises:
        ConfigError: missing, a directory, not readable as YAML, not a mapping, or a key given twice.
    """
    if url := as_url(path):
        raise ConfigError(f"{url} is a URL, which is not supported; download the configuration and give its path.")
    try:
        content = path.read_bytes()
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        values = yaml.load(content.decode(encoding), ConfigLoader)
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory, not a configuration file; name the YAML file inside it.") from None
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}; check the path, or start from one in configs/."
        ) from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise ConfigError(f"{path} cannot be read as YAML: its values are nested too deeply.") from None
    if values is None:
        raise ConfigError(f"{path} is empty: it holds no keys; start from a file in configs/.")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, not a mapping of keys to values.")
    return values
