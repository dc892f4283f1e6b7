"""Checks of expressions and thresholds that a user gives to a predictor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlt.errors import InputError
from vlt.text.words import split_words


def check_expressions(expressions: Any, images: int, *, several: bool) -> list[list[str]]:
    """Check the expressions given to `Predictor.predict`, and return them as a list for each image.

    Args:
        expressions: a text, some texts, or with several images a list of texts per image.
        images: number of images.
        several: whether a list of images was given.

    Raises:
        InputError: not text; blank or invisible; more or fewer lists than images.
    """
    is_list = isinstance(expressions, Sequence) and not isinstance(expressions, str)
    nested = several and is_list and any(not isinstance(one, str) for one in expressions)
    lists: list[Any] = list(expressions) if nested else [expressions if is_list else [expressions]]
    for some in lists:
        if not isinstance(some, Sequence) or isinstance(some, str | bytes):
            form = "with several images give a list for each" if several else "give a text or a list of texts"
            raise InputError(f"expressions holds {type(some).__name__}; {form}.")
        for number, expression in enumerate(some, 1):
            split_words(expression, f"Expression {number} of {len(some)}")
    if nested and len(lists) != images:
        raise InputError(f"There are {images} images but {len(lists)} lists of expressions; give one for each image.")
    return [list(some) for some in lists] * (1 if nested else images)


def check_threshold(threshold: object) -> float:
    """Check a threshold given by a user.

    Raises:
        InputError: not a number from 0 to 1.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number) or math.isnan(threshold):
        raise InputError(f"The threshold is {threshold!r}, not a number from 0 to 1.")
    if not 0 <= threshold <= 1:
        raise InputError(f"The threshold is {threshold}, but a probability lies between 0 and 1.")
    return float(threshold)
