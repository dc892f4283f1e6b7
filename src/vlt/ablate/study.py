"""What a study is: a base configuration, single changes of it, and seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError, field_validator

from vlt.config import Config, load_config, read_yaml
from vlt.config.section import Count, Section
from vlt.errors import ConfigError

BASE = "base"
"""The row without a change."""


class Study(Section):
    """As its YAML file says it.

    Attributes:
        base: the configuration that is changed; a relative path starts at the study's own folder.
        changes: by the name of each row, what is set in it, as for `--set`.
        seeds: each row runs with each.
        output_dir: gets a folder per run, and what came out; a relative path starts where the command is given, like
            that of a run.
    """

    base: Path
    changes: dict[str, tuple[str, ...]]
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (0, 1, 2)
    output_dir: Path

    @field_validator("changes")
    @classmethod
    def _names_apart(cls, changes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Rows are told apart by their folders, too."""
        folders = [folder_name(name) for name in (BASE, *changes)]
        doubled = {name for name in changes if folders.count(folder_name(name)) > 1 or not folder_name(name)}
        if doubled:
            raise ValueError(f"rows need names that differ in their letters and digits, unlike {sorted(doubled)}")
        return changes

    @field_validator("changes")
    @classmethod
    def _nothing_that_is_fixed(cls, changes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Seeds and folders are the study's to give."""
        for name, settings in changes.items():
            for key in ("seed", "output_dir"):
                if any(setting.partition("=")[0].strip() == key for setting in settings):
                    raise ValueError(f"the row {name!r} sets {key}, which the study gives to each run")
        return changes

    def rows(self) -> dict[str, tuple[str, ...]]:
        """The base and each change, by name."""
        return {BASE: (), **self.changes}

    def folder(self, row: str, seed: int) -> Path:
        """Of a run."""
        return self.output_dir / folder_name(row) / f"seed-{seed}"

    def planned(self) -> Iterator[Planned]:
        """Every run of the study: all rows with the first seed, then with the next, so that a part tells most."""
        configs = {name: load_config(self.base, changes) for name, changes in self.rows().items()}
        for seed in self.seeds:
            for name, config in configs.items():
                folder = self.folder(name, seed)
                yield Planned(name, seed, folder, config.model_copy(update={"seed": seed, "output_dir": folder}))


class Planned(NamedTuple):
    """A run to be.

    Attributes:
        row: its name.
        seed: of the run.
        folder: gets it.
        config: of the run.
    """

    row: str
    seed: int
    folder: Path
    config: Config


def read_study(path: Path) -> Study:
    """Reads a study.

    Raises:
        ConfigError: a file that cannot be read, or keys and values that no study has.
    """
    values = read_yaml(path)
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"])) or "the study"
        known = ", ".join(Study.model_fields)
        raise ConfigError(f"{path}: {where}: {found['msg']}; a study has the keys {known}.") from None
    return study.model_copy(update={"base": path.parent / study.base})


def folder_name(row: str) -> str:
    """A row's name as that of a folder.

    Example:
        >>> folder_name("8 queries, no balance")
        '8-queries-no-balance'
    """
    return "-".join(re.findall(r"[a-z0-9.]+", row.lower()))
