"""Half precision: which devices have it, and the block in which a network computes with it."""

from __future__ import annotations

import torch
from torch import nn

from vlt.config.section import PrecisionName
from vlt.errors import ConfigError

DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What matrices are multiplied in, by the name of the precision."""


def check_precision(precision: PrecisionName, device: torch.device, key: str) -> None:
    """Check that a device has a precision.

    Args:
        precision: its name.
        device: the device.
        key: of the configuration, for the error.

    Raises:
        ConfigError: it has not.
    """
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError(f"{key} is 'fp16', which needs a GPU, but this is the CPU; take 'no' or 'bf16'.")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name(device)
        raise ConfigError(f"{key} is 'bf16', which {name} does not have; take 'fp16' or 'no'.")


def mixed(precision: PrecisionName, device: torch.device) -> torch.autocast:
    """Return the block in which products and convolutions have a precision.

    Weights of float32 are converted in each block anew, unless `store_weights` did so.
    """
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "no")


def store_weights(network: nn.Module, precision: PrecisionName, but: nn.Module | None = None) -> None:
    """Keep the weights of products and convolutions in the precision in which `mixed` uses them; for prediction only.

    Args:
        network: changed in place.
        precision: see `mixed`.
        but: the part of it that computes in float32.
    """
    exact = set() if but is None else set(but.modules())
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and module not in exact:
            module.to(DTYPES[precision])
