"""YAML to a checked configuration and back, with what is wrong in words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vlt.config.run import Config, with_default_names
from vlt.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 5e-4 is a number, which YAML 1.1 takes for text."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that `_Loader` would take for a number."""


_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        ConfigError: missing, a directory, not readable as YAML, or not a mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory, not a configuration file; name the YAML file inside it.") from None
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}; check the path, or start from one in configs/."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
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
            node[last] = yaml.load(text, _Loader)
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
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False)


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
        return f"{key}.name is {item['input'].get('name')!r}; known: {', '.join(_known_names(location, values))}"
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
    return list(_section_at(path, values).model_fields)


def _known_names(path: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """What the section at `path` may be called in its `name`."""
    return [str(_name(choice)) for choice in _choices(_section_at(path[:-1], values), path[-1])]


def _section_at(path: Sequence[str], values: Mapping[str, Any]) -> type[BaseModel]:
    """The class of the section at `path`, given the names chosen in `values`."""
    node: Any = with_default_names(dict(values))
    section: type[BaseModel] = Config
    for name in path:
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
        section = _section_of(section, name, node if isinstance(node, Mapping) else {})
    return section


def _section_of(section: type[BaseModel], name: str, node: Mapping[str, Any]) -> type[BaseModel]:
    """The class of the sub-section `name`; of several, the one whose `name` the user chose."""
    choices = _choices(section, name)
    chosen = [choice for choice in choices if _name(choice) is not None and _name(choice) == node.get("name")]
    return (chosen or choices)[0]


def _choices(section: type[BaseModel], name: str) -> list[type[BaseModel]]:
    """The classes that the sub-section `name` may have."""
    annotation = section.model_fields[name].annotation
    choices = getattr(annotation, "__args__", (annotation,))
    return [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]


def _name(section: type[BaseModel]) -> Any:
    """What a section of a choice is called."""
    field = section.model_fields.get("name")
    return None if field is None else field.default
