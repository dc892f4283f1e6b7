"""Results of a study: one file per run while it is in progress, one table with a line per run when it is published.

Each line of a table is a JSON object: `row`, `seed`, `seconds` of training, `scores` and the scores of each group of
expressions (`by_cue`, `by_size`, ...) as fractions, `provenance`, and the configuration. The first line has the whole
`config`; the others have the `changes` to it, by dotted key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vlt.ablate.study import Study
from vlt.config.run import Config
from vlt.errors import DataError
from vlt.files import replacing
from vlt.train.resume import flat_keys

RESULT = "result.json"
"""File of a finished run."""
DIGITS = 8
"""Decimals of scores in a table."""
PROVENANCE = ("dataset", "split", "commit", "hardware", "version")
"""Keys of a report's provenance that a table keeps."""
OF_THE_RUN = ("seed", "output_dir")
"""Keys that differ between all runs and are left out of `changes`."""


def read_result(path: Path) -> dict[str, Any]:
    """Read the result of one run.

    Raises:
        DataError: it cannot be read.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_bytes())
        result["scores"], result["config"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"The result {path} cannot be read ({error}); remove it to repeat the run.") from None
    return result


def read_results(study: Study) -> list[dict[str, Any]]:
    """Read the results of a study in progress, row by row and seed by seed.

    Raises:
        DataError: a result that cannot be read.
    """
    paths = [study.folder(row, seed) / RESULT for row in study.rows() for seed in study.seeds]
    return [read_result(path) for path in paths if path.exists()]


def write_table(results: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write results as one table.

    Args:
        results: as `read_results` returns them.
        path: path of the file, a JSON object per line.

    Raises:
        DataError: the file cannot be written.
    """
    lines: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    for result in results:
        config = Config.model_validate(result["config"])  # renames keys of older versions
        values = config.model_dump(mode="json")
        line = {key: result[key] for key in ("row", "seed", "seconds") if key in result}
        line["scores"] = rounded(result["scores"])
        line |= {key: rounded(groups) for key, groups in result.items() if key.startswith("by_")}
        found = {**result.get("provenance", {}), "split": config.data.val_split}
        line["provenance"] = {key: found[key] for key in PROVENANCE if found.get(key) is not None}
        if not lines:
            first = values
            line["config"] = values
        else:
            before, now = flat_keys(first), flat_keys(values)
            keys = sorted((before.keys() | now.keys()) - {*OF_THE_RUN})
            line["changes"] = {key: now.get(key) for key in keys if before.get(key) != now.get(key)}
        lines.append(line)
    with replacing(path) as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode())


def read_table(path: Path) -> list[dict[str, Any]]:
    """Read a table, with the whole `config` in every line.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            config = json.loads(json.dumps(lines[0]["config"]))
            for key, value in line.pop("changes", {}).items():
                *sections, last = key.split(".")
                node = config
                for section in sections:
                    node = node.setdefault(section, {})
                node[last] = value
            line["config"] = {**config, "seed": line["seed"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"The table {path} cannot be read ({error}); write it again from the results.") from None
    return lines


def rounded(values: Any) -> Any:
    """Round the numbers in nested mappings."""
    if isinstance(values, Mapping):
        return {key: rounded(value) for key, value in values.items()}
    return round(values, DIGITS) if isinstance(values, float) else values
