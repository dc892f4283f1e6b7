"""Measure the reference network's time per expression at 416 x 416: PyTorch as it was, graphs, and bf16.

    python benchmarks/reference_network.py
    python benchmarks/reference_network.py --busy

Random weights, 15 words per expression, all cores that the process may use. Seconds for one expression about a new
image and for 16 about one image, image encoder included; medians of several runs in which all take turns, and how many
times as fast as `eager` each is. `eager` is PyTorch in float32 with weights as they are stored, `PyTorch` what
`vlt.load(engine="torch")` gives, `graphs` those of `vlt export`, `bf16` `vlt.load(precision="bf16")`. The last row
is how many GFLOP/s a large product of matrices reaches with PyTorch in the same run, in float32 and bf16.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from cold_start import busy

from vlt.checkpoint.read import load_checkpoint
from vlt.checkpoint.write import save_checkpoint
from vlt.config.reading import parse_config
from vlt.export.run import export_checkpoint
from vlt.infer.engine import Engine
from vlt.infer.loading import load
from vlt.infer.onnx_session import usable_cores
from vlt.infer.torch_engine import TorchEngine
from vlt.model.build import build_model
from vlt.text.reader import build_text

COUNTS = (1, 16)
SIDE = 4096
"""Side of the matrices whose product is timed."""
CONFIG = {
    "model": {"name": "reference", "words": {"source": "hash", "dim": 300}},
    "data": {"name": "synthetic", "train_scenes": 4, "val_scenes": 4},
    "output_dir": "runs/reference",
}


def seconds(run: Callable[[], object]) -> float:
    """Time a call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def question(engine: Engine, count: int, length: int) -> Callable[[], object]:
    """Make a call that encodes an image and segments `count` expressions about it."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 3, 416, 416), np.float32)
    words, mask = rng.standard_normal((count, length, 300), np.float32), np.ones((count, length), bool)
    return lambda: engine.segment(engine.encode(image), np.zeros(count, np.int64), words, mask)


@click.command(help=__doc__)
@click.option("--runs", type=click.IntRange(min=1), default=5)
@click.option("--busy", "is_busy", is_flag=True, help="Beside another process that computes.")
def main(runs: int, is_busy: bool) -> None:
    """Print seconds per engine and number of expressions, and their ratios."""
    torch.set_num_threads(usable_cores())
    torch.manual_seed(0)
    config = parse_config(CONFIG, "this benchmark")
    text = build_text(config.model, ["the red circle left of a big blue square"])
    with tempfile.TemporaryDirectory() as folder:
        start, exported = Path(folder) / "start", Path(folder) / "exported"
        save_checkpoint(start, model=build_model(config.model).eval(), config=config, text=text, meta={})
        export_checkpoint(start, exported)
        engines = {
            "eager": TorchEngine(load_checkpoint(exported).model),
            "PyTorch": load(exported, engine="torch").engine,
            "graphs": load(exported, engine="onnx").engine,
            "bf16": load(exported, precision="bf16").engine,
        }
        with busy(is_busy):
            print(f"{'expressions':>12}" + "".join(f"{name:>18}" for name in engines))
            for count in COUNTS:
                calls = [question(engine, count, text.max_words) for engine in engines.values()]
                rounds = [[seconds(call) for call in calls] for _ in range(runs + 1)][1:]
                medians = [statistics.median(each) for each in zip(*rounds, strict=True)]
                ratios = [statistics.median(one[0] / one[i] for one in rounds) for i in range(len(calls))]
                pairs = zip(medians, ratios, strict=True)
                print(f"{count:12}" + "".join(f"{value:11.3f} ({ratio:3.1f})" for value, ratio in pairs))
            matrix = torch.rand(SIDE, SIDE)
            rates = [fastest_product(each, runs) for each in (matrix, matrix.bfloat16())]
            print(f"a product of matrices of {SIDE} x {SIDE}: {rates[0]:.0f} GFLOP/s, in bf16 {rates[1]:.0f}")


def fastest_product(matrix: torch.Tensor, runs: int) -> float:
    """Measure the largest GFLOP/s of several products of a matrix with itself."""
    return 2 * len(matrix) ** 3 / min(seconds(lambda: matrix @ matrix) for _ in range(runs)) / 1e9


if __name__ == "__main__":
    main()
