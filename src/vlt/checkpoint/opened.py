"""Open a checkpoint without its weights: configuration, text reader and facts. Needs no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vlt.checkpoint.directory import CONFIG, FORMAT, META, REFINER_FILES, WEIGHTS, find_checkpoint, sha256
from vlt.config.reading import parse_config
from vlt.config.run import Config
from vlt.config.yaml_file import read_yaml
from vlt.errors import CheckpointError, ConfigError, reason
from vlt.files import read_text
from vlt.text.reader import TextReader, load_text
from vlt.version import __version__

SCALE = ".scale"
"""Suffix of the name under which the scales of an int8 matrix are stored, see `vlt.checkpoint.scaling`."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the names of tensors that batch normalisation collects."""
NAMED = 5
"""Largest number of names listed in an error; the others are counted."""


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """A checkpoint without its weights.

    Attributes:
        path: the directory.
        config: configuration of the run that made it, with the architecture of pretrained parts filled in.
        text: the text reader.
        meta: the content of meta.json; see `vlt.checkpoint.write.save_checkpoint`.
        hashes: SHA-256 of the files that are used, by name; for `verify_files`.
    """

    path: Path
    config: Config
    text: TextReader
    meta: dict[str, Any]
    hashes: dict[str, str]


def open_checkpoint(path: Path | str | None = None, *, refine: bool = True) -> OpenedCheckpoint:
    """Open a checkpoint and check that it is whole, but not yet that its files are unchanged.

    Args:
        path: a checkpoint, a run (its best is taken), or a run's pointer file `best` or `last`; None: the model in the
            package.
        refine: use the refiner's files, too.

    Raises:
        CheckpointError: missing, a file, no checkpoint, from a newer format, damaged.
    """
    folder = find_checkpoint(path)
    meta = read_meta(folder)
    hashes = {name: digest for name, digest in meta.get("sha256", {}).items() if refine or name not in REFINER_FILES}
    lacking = [name for name in [CONFIG, *hashes] if name != WEIGHTS and not (folder / name).is_file()]
    if lacking:
        raise CheckpointError(f"{folder} is damaged, since it lacks {listed(lacking)}; copy the checkpoint again.")
    try:
        config = parse_config(read_yaml(folder / CONFIG), str(folder / CONFIG))
        text = load_text(config.model, folder)
    except ConfigError as error:
        raise CheckpointError(f"The checkpoint {folder} is damaged, or of a newer vlt: {error}") from error
    return OpenedCheckpoint(folder, config, text, meta, hashes)


def verify_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Check that the files of a checkpoint are unchanged since they were written.

    Args:
        folder: the checkpoint.
        hashes: SHA-256 in hexadecimal, by name relative to the folder; empty for checkpoints of version 0.1.

    Raises:
        CheckpointError: a file is missing or was changed.
    """
    for name, expected in hashes.items():
        try:
            found = sha256(folder / name)
        except OSError as error:
            raise CheckpointError(
                f"{folder / name} is missing or damaged ({reason(error)}); copy the checkpoint again."
            ) from error
        if found != expected:
            raise CheckpointError(
                f"{folder / name} is damaged or was changed: its SHA-256 is {found[:12]}…, but {META} states "
                f"{str(expected)[:12]}…; copy the checkpoint again."
            )


def listed(names: list[str]) -> str:
    """List the first names in a message, and count the others.

    Example:
        >>> listed(["a", "b"]), listed(list("abcdefgh"))
        ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def read_meta(folder: Path) -> dict[str, Any]:
    """Read the meta.json of a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged, or the checkpoint is of a newer format.
    """
    path = folder / META
    try:
        meta = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({reason(error)}); the checkpoint is damaged.") from error
    version = meta.get("format") if isinstance(meta, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path} states no format number; the checkpoint is damaged.")
    if version > FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {version}, but vlt {__version__} reads up to format {FORMAT}; upgrade vlt."
        )
    if not isinstance(meta.get("sha256", {}), dict):
        raise CheckpointError(f"{path} states no SHA-256 by file under `sha256`; the checkpoint is damaged.")
    return dict(meta)


def count_parameters(path: Path) -> dict[str, int]:
    """Count the parameters in a weight file by the first part of their names; scales and statistics do not count.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    counts: dict[str, int] = {}
    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            for name in file.keys():  # noqa: SIM118 (it is no mapping)
                is_scale = name.endswith(SCALE) and name.removesuffix(SCALE) in names
                if not is_scale and name.rpartition(".")[2] not in STATISTICS:
                    part = name.partition(".")[0]
                    counts[part] = counts.get(part, 0) + math.prod(file.get_slice(name).get_shape())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({reason(error)}); copy the checkpoint again.") from error
    return counts
