"""Measure prediction and training on a GPU: photos, expressions and training steps a second, and achieved TFLOP/s.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --compile
    python benchmarks/gpu.py --device cpu --small   # a rehearsal without a GPU

Random inputs. The model of the package encodes batches of photos and reads batches of expressions about one, in float32
and in bf16 as `vlt.load(precision="bf16")` does; with --compile its image encoder is compiled, too, with CUDA graphs.
Training steps are those of three networks in bf16: that of the package with all of DINOv2 and MiniLM training, the
reference network at 416, and Swin-B at 480. PyTorch counts the operations, forward and backward; the share is of what a
large product of matrices in bf16 reaches in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
import torch
from torch.utils.flop_counter import FlopCounterMode

from vlt.checkpoint.read import load_checkpoint
from vlt.config.model import BertConfig
from vlt.config.reading import parse_config
from vlt.config.run import Config
from vlt.config.section import PrecisionName
from vlt.infer.loading import load
from vlt.infer.torch_engine import TorchEngine, describe_device
from vlt.model.build import build_model
from vlt.model.precision import mixed
from vlt.model.vlt import VLT
from vlt.text.reader import padded_length
from vlt.train.learner import Objective
from vlt.types import Batch

SIDE = 8192
"""Side of the matrices whose product is timed."""
WORDS = 12
"""Words per expression."""
PER_PHOTO = 8
"""Expressions per photo in training."""
RUN = {"data": {"name": "synthetic"}, "output_dir": "runs/benchmark"}
PRECISIONS: tuple[PrecisionName, ...] = ("no", "bf16")
VECTORS: dict[str, Any] = {"source": "hash", "dim": 300}
SWIN_B = {
    "image_size": [480, 480],
    "backbone": {"name": "swin", "size": "base", "architecture": {"window_size": 12}},
    "language": {"name": "gru", "words": VECTORS},
}


class Clock:
    """Times calls on a device.

    Args:
        device: the device.
        runs: timed calls, after two that are not.
    """

    def __init__(self, device: torch.device, runs: int) -> None:
        self.device = device
        self.runs = runs
        self.peak = 1.0
        """TFLOP/s that count as all."""

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return the mean seconds of a call."""
        for _ in range(2):
            call()
        self.wait()
        began = time.perf_counter()
        for _ in range(self.runs):
            call()
        self.wait()
        return (time.perf_counter() - began) / self.runs

    def report(self, name: str, noun: str, count: int, call: Callable[[], Any], operations: int) -> None:
        """Print how many things a second a call does, and its TFLOP/s.

        Args:
            name: of the measurement.
            noun: what is counted.
            count: of them per call.
            call: what is measured.
            operations: of a call.
        """
        took = self.seconds(call)
        rate = operations / took / 1e12
        print(f"{name:44}{count / took:12.1f} {noun:16}{rate:9.1f} TFLOP/s{100 * rate / self.peak:7.1f} %")


def operations_of(call: Callable[[], Any]) -> int:
    """Count the operations of a call, which must be in float32: in half precision the counter sees mixed types."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def measure_peak(clock: Clock, side: int) -> None:
    """Time a product of matrices in bf16, whose TFLOP/s then count as all."""
    matrix = torch.rand(side, side, device=clock.device).bfloat16()
    clock.peak = 2 * side**3 / clock.seconds(lambda: matrix @ matrix) / 1e12
    print(f"a product of matrices of {side} x {side} in bf16: {clock.peak:.1f} TFLOP/s")


def measure_prediction(
    clock: Clock, precision: PrecisionName, photos: list[int], expressions: list[int], *, is_compiled: bool
) -> None:
    """Print photos and expressions a second of the model in the package."""
    engine = load(device=str(clock.device), engine="torch", precision=precision).engine
    assert isinstance(engine, TorchEngine)
    exact = load_checkpoint(None, clock.device, refine=False)
    model, size = engine.model, exact.config.input_size
    encode = torch.compile(model.encode, mode="reduce-overhead") if is_compiled else model.encode
    for count in photos:
        images = torch.rand(count, 3, *size, device=clock.device)
        with torch.no_grad():
            operations = operations_of(partial(exact.model.encode, images))
        with inference(precision, clock.device):
            clock.report(f"encode, {precision}, batch {count}", "photos/s", count, partial(encode, images), operations)
    with inference("no", clock.device):
        known = exact.model.encode(torch.rand(1, 3, *size, device=clock.device))
    with inference(precision, clock.device):
        features = model.encode(torch.rand(1, 3, *size, device=clock.device))
        for count in expressions:
            words = torch.randint(1000, (count, WORDS), device=clock.device)
            mask, index = torch.ones_like(words, dtype=torch.bool), torch.zeros_like(words[:, 0])
            with torch.autocast(clock.device.type, enabled=False):
                operations = operations_of(partial(exact.model.segment, known.select(index), words, mask))
            call = partial(model.segment, features.select(index), words, mask)
            clock.report(f"segment, {precision}, batch {count}", "expressions/s", count, call, operations)


@contextmanager
def inference(precision: PrecisionName, device: torch.device) -> Iterator[None]:
    """Compute without gradients and in a precision inside the block."""
    with torch.no_grad(), mixed(precision, device):
        yield


def trained_networks(small: bool) -> Iterator[tuple[str, Config, VLT, int]]:
    """Build what is trained: name, configuration, network, photos per step."""
    packed = load_checkpoint(refine=False)
    packed.model.requires_grad_(True)
    if packed.model.detector is not None:
        packed.model.detector.requires_grad_(False)
    yield "package", packed.config, packed.model, 1 if small else 12
    reference = {"name": "reference", "backbone": {"trainable_blocks": None}, "words": VECTORS}
    for name, model, photos in (("reference", reference, 8), ("Swin-B at 480", SWIN_B, 12)):
        config = parse_config({**RUN, "model": model}, "this benchmark")
        yield name, config, build_model(config.model), 1 if small else photos


def random_batch(config: Config, photos: int, per_photo: int = PER_PHOTO) -> Batch:
    """Make a batch of random photos with `per_photo` expressions each."""
    count, (height, width) = photos * per_photo, config.input_size
    length = padded_length(config.model) or WORDS
    has_tokens = isinstance(getattr(config.model, "language", None), BertConfig)
    words = torch.randint(1000, (count, length)) if has_tokens else torch.randn(count, length, VECTORS["dim"])
    return Batch(
        images=torch.rand(photos, 3, height, width),
        image_index=torch.arange(photos).repeat_interleave(per_photo),
        words=words,
        word_mask=torch.ones(count, length, dtype=torch.bool),
        targets=torch.rand(count, 1, height, width).round(),
        target_boxes=torch.tensor([[[0.2, 0.2, 0.6, 0.6]]]).expand(count, -1, -1),
        target_mask=torch.ones(count, 1, dtype=torch.bool),
    )


def measure_training(clock: Clock, name: str, config: Config, network: VLT, photos: int) -> None:
    """Print steps a second, and the GPU's memory."""
    network = network.to(clock.device).train()
    objective = Objective(network, config.loss)
    optimizer = torch.optim.AdamW([x for x in network.parameters() if x.requires_grad], fused=True)
    batch = random_batch(config, photos).to(clock.device)

    def step(precision: PrecisionName = "bf16") -> None:
        with mixed(precision, clock.device):
            loss = objective(batch)["total"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    operations = operations_of(partial(step, "no"))
    if clock.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(clock.device)
    clock.report(f"train {name}, {photos} x {PER_PHOTO}", "steps/s", 1, step, operations)
    if clock.device.type == "cuda":
        print(f"{'':44}{torch.cuda.max_memory_allocated(clock.device) / 1e9:12.1f} GB")


@click.command(help=__doc__)
@click.option("--device", default="cuda")
@click.option("--runs", type=click.IntRange(min=1), default=10)
@click.option("--compile", "is_compiled", is_flag=True, help="Compile the image encoder, with CUDA graphs.")
@click.option("--small", is_flag=True, help="Small batches, and one run of each.")
def main(device: str, runs: int, is_compiled: bool, small: bool) -> None:
    """Print the table."""
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("This machine has no CUDA GPU; --device cpu --small is a rehearsal without one.")
    clock = Clock(place, 1 if small else runs)
    print(describe_device(place))
    measure_peak(clock, 1024 if small else SIDE)
    photos, expressions = ([1], [8]) if small else ([1, 8, 32], [16, 64, 256])
    for precision in PRECISIONS:
        measure_prediction(clock, precision, photos, expressions, is_compiled=is_compiled)
    for each in trained_networks(small):
        measure_training(clock, *each)


if __name__ == "__main__":
    main()
