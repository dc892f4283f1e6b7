"""Count what a step of a recipe needs: parameters, operations and memory, without its data or pretrained parts.

    python benchmarks/recipes.py configs/swin_refcoco.yaml configs/dinov2_refcoco.yaml

The network is built at full size with random weights on the CPU, and one image with as many expressions as share it in
a batch is passed forward and backward. Printed per configuration: parameters that train and that do not; TFLOP per
optimiser step (in float32, which needs the same number as bf16); memory per step in bf16, of which weights, gradients,
optimiser and the moving average are a constant part and what the backward pass keeps grows with the batch; and the
hours of the whole run on a data set of RefCOCO's size at a rate that the device keeps up (`--rate`). Nothing is
measured on a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from gpu import operations_of, random_batch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from vlt.config.reading import parse_config, read_config
from vlt.config.run import Config
from vlt.model.build import build_model
from vlt.model.precision import mixed
from vlt.train.learner import Objective
from vlt.types import Batch

TOKENIZER = "src/vlt/weights/tokenizer"
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "hf:microsoft/swin-base-patch4-window12-384-in22k": {"size": "base", "architecture": {"window_size": 12}},
    "hf:facebook/dinov2-base": {"size": "base"},
    "hf:facebook/dinov2-large": {"size": "large"},
    "hf:google-bert/bert-base-uncased": {"tokenizer": TOKENIZER},
}
"""Settings that build what a model of the hub would bring, without its weights."""
BYTES_TRAINED = 4 + 4 + 8 + 4
"""Bytes per parameter that trains: weight, gradient, both moments of Adam, moving average."""
BYTES_FROZEN = 4


class Counts(NamedTuple):
    """Size of a training split."""

    images: int
    referrals: int
    expressions: int


REFCOCO = Counts(16_994, 42_404, 120_624)
"""RefCOCO, split by unc, train."""


def expressions_per_image(config: Config, counts: Counts) -> int:
    """Return how many samples of a batch share an image: two with masked contrast, all with `every_expression`."""
    if config.loss.contrast.weight:
        return 2
    return round(counts.expressions / counts.images) if config.train.every_expression else 1


def without_weights(config: Config) -> Config:
    """Replace pretrained parts by random ones of the same architecture, and leave out losses between samples."""
    values = config.model_dump(mode="json")
    for part in ("backbone", "language"):
        section = values["model"][part]
        name = section["pretrained"]
        if name not in ARCHITECTURES:
            raise click.ClickException(f"The architecture of {name} is not known here; add it to ARCHITECTURES.")
        section |= {"pretrained": None, **ARCHITECTURES[name]}
    values["loss"]["contrast"]["weight"] = 0
    return parse_config(values, "this benchmark")


def bytes_kept(objective: Objective, batch: Batch) -> int:
    """Count the bytes that a forward pass in bf16 keeps for the backward pass, without parameters."""
    weights = {each.untyped_storage().data_ptr() for each in objective.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor), mixed("bf16", torch.device("cpu")):
        loss = objective(batch)["total"]
    del loss
    return sum(kept.values())


@click.command(help=__doc__)
@click.argument("configs", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.option("--set", "assignments", multiple=True)
@click.option(
    "--counts", type=(int, int, int), default=REFCOCO, show_default=True, help="Images, referrals, expressions."
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=100, show_default=True, help="TFLOP/s.")
def main(configs: tuple[Path, ...], assignments: tuple[str, ...], counts: tuple[int, int, int], rate: float) -> None:
    """Print a row per configuration."""
    print("| configuration | trained, frozen (M) | TFLOP per step | memory (GB): constant + step | steps | hours |")
    print("|---|---:|---:|---:|---:|---:|")
    for path in configs:
        given = read_config(path, assignments)
        config, together = without_weights(given), expressions_per_image(given, Counts(*counts))
        objective, batch = Objective(build_model(config.model).train(), config.loss), random_batch(config, 1, together)
        trained = sum(each.numel() for each in objective.parameters() if each.requires_grad)
        frozen = sum(each.numel() for each in objective.parameters()) - trained
        images = config.train.batch_size / together
        operations = images * operations_of(lambda run=objective, batch=batch: run(batch)["total"].backward())
        constant = BYTES_TRAINED * trained + BYTES_FROZEN * frozen
        step = images / config.train.accumulate * bytes_kept(objective, batch)
        samples = Counts(*counts).expressions if config.train.every_expression else together * Counts(*counts).referrals
        steps = config.train.epochs * (samples // config.train.batch_size)
        print(
            f"| {path} | {trained / 1e6:.0f}, {frozen / 1e6:.0f} | {operations / 1e12:.1f} "
            f"| {constant / 1e9:.1f} + {step / 1e9:.0f} | {steps:,} | {steps * operations / 1e12 / rate / 3600:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
