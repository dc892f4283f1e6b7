"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

# Strict: true is no number, nor is text that looks like one.
Count: TypeAlias = Annotated[int, Field(ge=0, strict=True)]
Positive: TypeAlias = Annotated[int, Field(gt=0, strict=True)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=True)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0, strict=True)]
AboveZero: TypeAlias = Annotated[float, Field(gt=0, strict=True)]
BelowOne: TypeAlias = Annotated[float, Field(gt=0, lt=1, strict=True)]


class Section(BaseModel):
    """A part of the configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
