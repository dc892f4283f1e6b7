"""Networks that are filled from a file need no random weights first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWING = ("normal_", "uniform_", "kaiming_uniform_", "erfinv_")
"""In-place functions that fill weights, whether of a tensor, of `torch.nn.init`, or what `transformers` puts there."""


class SkipInitialisation(TorchFunctionMode):
    """Inside this block networks are built with zeros where weights would be drawn at random.

    For networks whose every weight is then loaded, strictly: drawing 49 million random numbers takes longer than
    reading as many from the disk. What is computed rather than drawn, such as tables of positions, is still computed.
    Zeros and not whatever lies in memory, since a truncated draw is repeated until all of it lies within its bounds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Zeros the tensor that was to be filled; any other function runs as ever."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", None) not in DRAWING:
            return func(*args, **kwargs)
        with torch.no_grad():
            return (args[0] if args else kwargs["tensor"]).zero_()
