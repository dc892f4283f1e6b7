"""Read a configuration from YAML, with `base:` files and `--set` assignments; check it; write it back."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vlt.config.model import ReferenceConfig
from vlt.config.original import INERT, is_original, network_values, parse_original, translate
from vlt.config.run import MOVED, Config, move_keys, with_default_names
from vlt.config.section import as_url, expand_home, section_choices
from vlt.config.yaml_file import ConfigDumper, ConfigLoader, read_yaml
from vlt.errors import ConfigError, VLTWarning


def read_values(path: Path, *, data_required: bool = True) -> tuple[dict[str, Any], list[str]]:
    """Read a configuration file and the files it is based on, each set over its base.

    Args:
        path: a YAML file, ours or one of the original's. `base: FILE` names another, relative to the folder of the
            file that says so; that one may have a base too.
        data_required: see `read_config`.

    Returns:
        The values, nested, with keys of version 0.1 replaced; and "old is now new" for each of those.

    Raises:
        ConfigError: a file that cannot be read, a base that is based on itself, or a key given under both its old and
            its new name.
    """
    layers: list[dict[str, Any]] = []
    chain: list[Path] = []
    file: Path | None = path
    while file is not None:
        if file.resolve() in chain:
            raise ConfigError(f"{path}: {file} is based on itself through `base`; remove one of these lines.")
        chain.append(file.resolve())
        if layers and not file.exists() and as_url(file) is None:
            raise ConfigError(f"{path}: there is no configuration file {file}, named by `base`; check the path.")
        values = read_yaml(file)
        if is_original(values):
            values = translate(values, where=str(file), data_required=data_required)
        base = values.pop("base", None)
        if not (base is None or isinstance(base, str)):
            raise ConfigError(f"{file}: base is {base!r}, not the path of a configuration file.")
        for (section, old), (new_section, new) in MOVED.items():
            given, renamed = values.get(section), values.get(new_section)
            both = isinstance(given, Mapping) and isinstance(renamed, Mapping) and old in given and new in renamed
            if both and old != "half":
                raise ConfigError(
                    f"{file}: {section}.{old} is the former name of {new_section}.{new}, and both are given; remove it."
                )
        layers.append(values)
        file = None if base is None else Path(base) if as_url(base) else file.parent / expand_home(base)
    result: dict[str, Any] = {}
    moved: list[str] = []
    for layer in reversed(layers):
        result, now = move_keys(merge(with_default_names(result), layer) if result else layer)
        moved += now
    return result, moved


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Set values over others, key by key and section by section.

    A section whose `name` differs (another backbone, another schedule) replaces the one below as a whole.

    Example:
        >>> merge({"train": {"lr": 1, "epochs": 2}}, {"train": {"lr": 3}})
        {'train': {'lr': 3, 'epochs': 2}}
        >>> merge({"language": {"name": "bert", "pretrained": "x"}}, {"language": {"name": "gru"}})
        {'language': {'name': 'gru'}}
    """
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            names = {section["name"] for section in (value, under) if "name" in section}
            result[key] = merge(under, value) if len(names) < 2 else value
        else:
            result[key] = value
    return result


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Copy `values` with each `a.b=c` of `assignments` set, c read as YAML.

    Raises:
        ConfigError: an assignment without `=`, or one that reaches into a value that is not a section.
    """
    if isinstance(assignments, str) or not all(isinstance(each, str) for each in assignments):
        raise ConfigError(f"Assignments are a list of texts such as 'seed=1', not {assignments!r}.")
    result = merge({}, values)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment!r} is not of the form a.b=value.")
        try:
            value = yaml.load(text, ConfigLoader)
        except ConfigError as error:
            raise ConfigError(f"--set {assignment!r}: {error}.") from None
        except yaml.YAMLError:
            raise ConfigError(f"--set {assignment!r}: the value cannot be read as YAML.") from None
        *path, last = key.strip().split(".")
        node = result
        for name in path:
            below = node.get(name, {})
            if not isinstance(below, Mapping):
                raise ConfigError(f"--set {assignment!r}: {name!r} is a value, not a section.")
            node[name] = dict(below)
            node = node[name]
        node[last] = value
    return result


def parse_config(values: Mapping[str, Any], where: str) -> Config:
    """Check `values` and fill in the defaults. Keys of version 0.1 are accepted without a warning.

    Args:
        values: nested, as read from YAML.
        where: the file or source named in errors.

    Raises:
        ConfigError: naming every unknown key (with a suggestion), wrong type and contradiction.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        sentences = dict.fromkeys(describe_error(item, values) for item in error.errors())
        raise ConfigError(f"{where}: {'; '.join(sentences)}.") from None


def describe_error(item: Any, values: Mapping[str, Any]) -> str:
    """Describe one error that pydantic found in a configuration.

    Args:
        item: an entry of `ValidationError.errors()`.
        values: the configuration, nested as in YAML.

    Returns:
        A clause in lower case, without a full stop.
    """
    location = _key_path(item["loc"], values)
    key, kind = ".".join(location), item["type"]
    if kind == "extra_forbidden":
        known = list(_section_at(location[:-1], values).model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key {key!r} ({hint})"
    if kind == "missing":
        return f"{key!r} is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        choices = section_choices(_section_at(location[:-1], values), location[-1])
        names = ", ".join(str(choice.model_fields["name"].default) for choice in choices)
        return f"{key}.name is {item['input'].get('name')!r}; known: {names}"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    quotes = "; put it in quotes" if kind == "string_type" and isinstance(item["input"], bool | float) else ""
    return f"{key!r} is {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}{quotes}"


def _key_path(location: Sequence[int | str], values: Any) -> list[str]:
    """Drop the tags that pydantic puts between the keys where a section has several choices."""
    path: list[str] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(values, Mapping) and part not in values and not is_last:
            continue  # the tag of a union
        path.append(str(part))
        values = values[part] if isinstance(values, Mapping) and part in values else None if is_last else values
    return path


def _section_at(path: Sequence[str], values: Mapping[str, Any]) -> type[BaseModel]:
    """Find the class of the section at `path`; if it has several choices, the one named in `values`."""
    node: Any = with_default_names(dict(values))
    section: type[BaseModel] = Config
    for key in path:
        if key.isdecimal():  # the place in a list of sections
            continue
        node = node.get(key, {}) if isinstance(node, Mapping) else {}
        choices = section_choices(section, key)
        given = node.get("name") if isinstance(node, Mapping) else None
        named = [choice for choice in choices if given and choice.model_fields["name"].default == given]
        section = (named or choices)[0]
    return section


def configure(values: Mapping[str, Any], assignments: Sequence[str], where: str, moved: Sequence[str] = ()) -> Config:
    """Set assignments over the values of a configuration and check the result.

    Warns once if keys of version 0.1 are used, and names the present ones.

    Args:
        values: nested, as read from YAML or from `Config.model_dump(mode="json")`.
        assignments: `a.b=value` each.
        where: the file or source named in errors.
        moved: "old is now new" for keys that were replaced in `values` already.

    Raises:
        ConfigError: see `override` and `parse_config`.
    """
    changed, renamed = move_keys(override(values, assignments))
    if former := dict.fromkeys([*moved, *renamed]):
        warnings.warn(
            VLTWarning(f"{where} uses keys of version 0.1, which the next release will refuse: {'; '.join(former)}."),
            stacklevel=3,
        )
    return parse_config(changed, where)


def read_config(path: Path | str, assignments: Sequence[str] = (), *, data_required: bool = True) -> Config:
    """Read a configuration file, ours or one of the original's.

    Args:
        path: a YAML file; a leading `~` is the home folder.
        assignments: `a.b=value` with our keys, set over what the file says (after translating the original's keys).
        data_required: whether one of the original's files must name its data; False: the usual paths are taken instead.

    Raises:
        ConfigError: see `read_yaml`, `read_values`, `translate`, `override` and `parse_config`.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"A configuration is named by its path, not by {path!r} ({type(path).__name__}).")
    values, moved = read_values(expand_home(Path(path)), data_required=data_required)
    return configure(values, assignments, str(path), moved)


def translate_model(values: Mapping[str, Any], where: str) -> ReferenceConfig:
    """Translate the network of the original's flat `values`, set over its base values.

    Warns if `query_balance` is false, which the original ignores.

    Args:
        values: flat, as read from one of the original's YAML files; paths and keys about training are ignored.
        where: the file or source named in errors.

    Raises:
        ConfigError: unknown keys, wrong values, `lang_att: false`, or sizes that contradict each other.
    """
    original = parse_original(values, where)
    if not original.query_balance:
        sentence = f"{where}: keys that have no effect here: query_balance ({INERT['query_balance']})."
        warnings.warn(VLTWarning(sentence), stacklevel=2)
    # The whole configuration checks that the sizes fit each other; only its network is used.
    whole = {"model": network_values(original), "data": {"name": "synthetic"}, "output_dir": "."}
    model = parse_config(whole, where).model
    assert isinstance(model, ReferenceConfig)
    return model


def dump_config(config: Config) -> str:
    """Write the configuration as YAML that `read_config` reads back to an equal one."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=ConfigDumper, sort_keys=False)
