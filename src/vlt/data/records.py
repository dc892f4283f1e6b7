"""Records: JSON objects of files that others wrote, checked key by key."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vlt.errors import DataError


class Record(BaseModel):
    """A JSON object whose types are taken literally; keys that are not used are let through."""

    model_config = ConfigDict(strict=True, frozen=True)


def malformed(path: Path, error: ValidationError, remedy: str) -> DataError:
    """The first fault that validation found, in one sentence.

    Args:
        path: of the file.
        error: what pydantic found.
        remedy: what to do about it, beginning in lower case.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = "".join(_step(part) for part in first["loc"])
    return DataError(f"{path}{where}: {first['msg']}; {remedy}.")


def _step(part: int | str) -> str:
    """One step of the way to the fault; nothing where pydantic names a type it tried."""
    if isinstance(part, int):
        return f", entry {part}"
    return "" if part in ("int", "str") or part.startswith("list[") else f", key {part!r}"
