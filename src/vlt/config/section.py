"""Base class of all configuration sections, and the types of numbers and paths in them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# Strict: neither `true` nor text such as "3" is accepted as a number.
Count: TypeAlias = Annotated[int, Field(ge=0, strict=True)]
Positive: TypeAlias = Annotated[int, Field(gt=0, strict=True)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=True)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, strict=True)]
Share: TypeAlias = Annotated[float, Field(gt=0, le=1, strict=True)]
AboveZero: TypeAlias = Annotated[float, Field(gt=0, strict=True)]
BelowOne: TypeAlias = Annotated[float, Field(gt=0, lt=1, strict=True)]

PathLike = TypeVar("PathLike", str, Path)


def as_text(value: Any) -> Any:
    """Turn a whole number into text, since YAML reads an unquoted 2014 as a number; other values stay.

    Fractions stay and are refused by the key: 1.10 would become "1.1".
    """
    return str(value) if type(value) is int else value


def precision_name(value: Any) -> Any:
    """Accept false and null for the precision `no`."""
    return "no" if value is False or value is None else value


def expand_home(path: PathLike) -> PathLike:
    """Replace a leading `~` or `~user` by the home folder, as a shell does; an unknown user stays as it is."""
    text = str(path)
    return path if not text.startswith("~") else type(path)(os.path.expanduser(text))


def as_url(path: Path | str) -> str | None:
    """Return the URL that was given in place of a path, or None if it is none.

    `Path` merges the slashes after the colon of a URL; they are restored.

    Example:
        >>> as_url(Path("https://example.org/a.yaml")), as_url("runs/tiny"), as_url("C:/runs")
        ('https://example.org/a.yaml', None, None)
    """
    text = str(path)
    if isinstance(path, Path):
        text = re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]+):/(?=[^/])", r"\1://", text)
    return text if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) else None


def refuse_url(path: PathLike) -> PathLike:
    """Return the path unchanged, unless it is a URL: writing to it would make a folder of that name."""
    if url := as_url(path):
        raise ValueError(f"{url} is a URL, which is not supported; download it and give its path")
    return path


PrecisionName: TypeAlias = Literal["no", "bf16", "fp16"]
Precision: TypeAlias = Annotated[PrecisionName, BeforeValidator(precision_name)]
Text: TypeAlias = Annotated[str, BeforeValidator(as_text)]
LocalPath: TypeAlias = Annotated[
    Path, BeforeValidator(as_text), AfterValidator(expand_home), AfterValidator(refuse_url)
]
"""A file or folder; a leading `~` is the home folder."""
PathOrName: TypeAlias = Annotated[str, BeforeValidator(as_text), AfterValidator(expand_home)]
"""A file or folder, or the name of something published; a leading `~` is the home folder."""


class Section(BaseModel):
    """Base of every part of the configuration: immutable, unknown keys are refused, numbers must be finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def section_choices(section: type[BaseModel], key: str) -> list[type[BaseModel]]:
    """List the sections that `key` of a section may hold, or a list of which: one, several of other `name`s, or none.

    Args:
        section: the section that has the key.
        key: one of its keys.

    Returns:
        The classes, in the order of the union; empty if the key holds a plain value.
    """
    annotation = section.model_fields[key].annotation
    choices = getattr(annotation, "__args__", (annotation,))
    return [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
