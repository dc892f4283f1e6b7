"""A study: a base configuration, single changes of it, and seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError, field_validator

from vlt.config.reading import read_config
from vlt.config.run import Config
from vlt.config.section import Count, LocalPath, Section
from vlt.config.yaml_file import read_yaml
from vlt.errors import ConfigError

BASE = "base"
"""Name of the row without a change."""


class Planned(NamedTuple):
    """One planned run of a study: a row with one seed.

    Attributes:
        row: name of its row.
        seed: seed of the run.
        folder: folder of the run.
        config: configuration of the run.
    """

    row: str
    seed: int
    folder: Path
    config: Config


class Study(Section):
    """A study, as its YAML file describes it.

    Attributes:
        base: configuration file that is changed; a relative path starts at the study's own folder.
        changes: by the name of each row, its assignments, as for `--set`.
        seeds: each row is trained with each of them.
        output_dir: holds a folder per run, and the summary; a relative path starts at the working directory, like that
            of a run.
    """

    base: LocalPath
    changes: dict[str, tuple[str, ...]]
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (0, 1, 2)
    output_dir: LocalPath

    @field_validator("changes")
    @classmethod
    def _check_rows(cls, changes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Check that rows have folders of their own, and change neither seed nor folder."""
        folders = [folder_name(name) for name in (BASE, *changes)]
        doubled = {name for name in changes if folders.count(folder_name(name)) > 1 or not folder_name(name)}
        if doubled:
            raise ValueError(f"rows need names that differ in their letters and digits, unlike {sorted(doubled)}")
        for name, assignments in changes.items():
            for key in ("seed", "output_dir"):
                if any(assignment.partition("=")[0].strip() == key for assignment in assignments):
                    raise ValueError(f"the row {name!r} sets {key}, which the study sets for each run")
        return changes

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Return the assignments of the base and of each change, by name."""
        return {BASE: (), **self.changes}

    def folder(self, row: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.output_dir / folder_name(row) / f"seed-{seed}"

    def planned(self) -> Iterator[Planned]:
        """Yield all runs, seed by seed: an unfinished study then has results for as many rows as possible.

        Raises:
            ConfigError: a configuration that cannot work.
        """
        configs = {name: read_config(self.base, assignments) for name, assignments in self.rows().items()}
        for seed in self.seeds:
            for name, config in configs.items():
                folder = self.folder(name, seed)
                yield Planned(name, seed, folder, config.model_copy(update={"seed": seed, "output_dir": folder}))


def read_study(path: Path) -> Study:
    """Read a study.

    Raises:
        ConfigError: a file that cannot be read, or keys and values that a study does not have.
    """
    values = read_yaml(path)
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the study"
        known = ", ".join(Study.model_fields)
        raise ConfigError(f"{path}: {where}: {first['msg']}; a study has the keys {known}.") from None
    return study.model_copy(update={"base": path.parent / study.base})


def folder_name(row: str) -> str:
    """Turn the name of a row into the name of a folder.

    Example:
        >>> folder_name("8 queries, no balance")
        '8-queries-no-balance'
    """
    return "-".join(re.findall(r"[a-z0-9.]+", row.lower()))
