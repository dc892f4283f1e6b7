"""Load the predictor of a checkpoint, on the engine that fits."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from vlt.checkpoint.directory import (
    EXPRESSION_GRAPH,
    IMAGE_GRAPH,
    OUTLINE_GRAPH,
    OUTLINE_IMAGE_GRAPH,
    REFINER,
    WEIGHTS,
)
from vlt.checkpoint.opened import OpenedCheckpoint, open_checkpoint, verify_files
from vlt.config.section import PrecisionName
from vlt.errors import ConfigError
from vlt.infer.onnx_engine import OnnxEngine
from vlt.infer.onnx_session import has_provider, open_session
from vlt.infer.predictor import Predictor
from vlt.refine.onnx_segmenter import OnnxSegmenter
from vlt.refine.refiner import Refiner
from vlt.text.reader import padded_length

EngineName: TypeAlias = Literal["onnx", "torch"]
FAST = {"flip": False, "refine_side": 640}
"""Settings of `load(fast=True)`: about half of the time per image, see docs/card.md."""


def load(
    checkpoint: Path | str | None = None,
    device: str | None = None,
    *,
    engine: EngineName | None = None,
    refine: bool = True,
    fast: bool = False,
    precision: PrecisionName | None = None,
    correct_spelling: bool = True,
    threads: int | None = None,
) -> Predictor:
    """Load a predictor.

    Args:
        checkpoint: the folder of a checkpoint or of a run (its best checkpoint is taken); "hf://OWNER/NAME" or
            "hf://OWNER/NAME@REVISION" for one of the Hugging Face hub; None: the model that comes with the package.
        device: such as "cpu" or "cuda:1", which takes PyTorch where ONNX Runtime cannot use it; None: a GPU that the
            engine can use, else the CPU.
        engine: "onnx" runs the graphs of an exported checkpoint with ONNX Runtime, "torch" its weights with PyTorch;
            None: the graphs where the checkpoint has them.
        refine: refine mask outlines if the checkpoint includes a refiner and its settings say so.
        fast: predict without the flipped image, and draw outlines on a smaller one (`FAST`).
        precision: "bf16" and "fp16" compute in half precision, which takes PyTorch: bf16 is about twice as fast on a
            CPU that multiplies it (AMX), and slower on others; "no" is float32. None: the checkpoint's setting.
        correct_spelling: correct slips of the pen before an expression is read, see `vlt.text.spelling`; replaces the
            checkpoint's setting, which evaluation uses.
        threads: CPU threads of ONNX Runtime; None: one per core. PyTorch has its own setting.

    Raises:
        CheckpointError: see `vlt.checkpoint.open_checkpoint` and `vlt.checkpoint.load_checkpoint`.
        ConfigError: a device that this machine does not have; an engine that is not installed, or not one of these; a
            checkpoint without graphs where they are needed; a precision that the engine or the device does not have.
    """
    opened = open_checkpoint(checkpoint, refine=refine)
    if precision is not None:
        if precision not in get_args(PrecisionName):
            raise ConfigError(f"The precision is {precision!r}; take 'no', 'bf16', 'fp16' or None.")
        inference = opened.config.inference.model_copy(update={"precision": precision})
        opened = replace(opened, config=opened.config.model_copy(update={"inference": inference}))
    predictor = make_predictor(opened, device, engine=engine, refine=refine, threads=threads)
    return predictor.with_settings(correct_spelling=correct_spelling, **(FAST if fast else {}))


def make_predictor(
    opened: OpenedCheckpoint,
    device: str | None = None,
    *,
    engine: EngineName | None = None,
    refine: bool = True,
    threads: int | None = None,
) -> Predictor:
    """Make the predictor of a checkpoint, with the settings of its configuration.

    Args:
        opened: the checkpoint; its configuration may have been changed in what the network need not know.
        device: see `load`.
        engine: see `load`.
        refine: see `load`.
        threads: see `load`.

    Raises:
        CheckpointError: see `load`.
        ConfigError: see `load`; graphs are for images of another size than the configuration's.
    """
    if choose_engine(opened, engine, device) == "onnx":
        predictor = onnx_predictor(opened, device, refine=refine, threads=threads)
    else:
        from vlt.infer.torch_engine import load_torch_predictor  # noqa: PLC0415 (torch is imported where it is used)

        predictor = load_torch_predictor(opened, device, refine=refine)
    predictor.checkpoint = opened.path
    return predictor


def choose_engine(opened: OpenedCheckpoint, engine: EngineName | None = None, device: str | None = None) -> EngineName:
    """Choose the engine for a checkpoint: its graphs, unless only PyTorch can use the device.

    Raises:
        ConfigError: see `load`.
    """
    if engine not in (None, "onnx", "torch"):
        raise ConfigError(f"The engine is {engine!r}; take 'onnx', 'torch' or None.")
    has_graphs, has_torch = (opened.path / IMAGE_GRAPH).is_file(), find_spec("torch") is not None
    if engine == "torch" and not has_torch:
        raise ConfigError("The engine 'torch' is not installed; `pip install \"vlt[train]\"` adds it.")
    if not has_graphs and (engine == "onnx" or not has_torch):
        remedy = "`vlt export` makes them" + ("" if has_torch else ', and `pip install "vlt[train]"` adds PyTorch')
        raise ConfigError(f"{opened.path} has no graphs for ONNX Runtime; {remedy}.")
    if (precision := opened.config.inference.precision) != "no":
        if engine == "onnx" or not has_torch:
            remedy = "leave it out" + ("" if has_torch else ', or `pip install "vlt[train]"`')
            raise ConfigError(f"The precision {precision!r} takes the engine 'torch': graphs are float32; {remedy}.")
        return "torch"
    if engine or not has_graphs:
        return engine or "torch"
    return "onnx" if not has_torch or has_provider(device) else "torch"


def onnx_predictor(
    opened: OpenedCheckpoint, device: str | None = None, *, refine: bool = True, threads: int | None = None
) -> Predictor:
    """Make the predictor of an exported checkpoint.

    Args:
        opened: a checkpoint with graphs.
        device: see `vlt.infer.onnx_session.find_provider`.
        refine: use its refiner, if it has one.
        threads: CPU threads; None: one per core.

    Raises:
        CheckpointError: a file is missing, damaged, or belongs to other weights.
        ConfigError: the device is not there; the graphs are for images of another size.
    """
    graphs = {EXPRESSION_GRAPH: WEIGHTS, IMAGE_GRAPH: WEIGHTS}  # in this order loading needs the least memory
    if refine and (opened.path / OUTLINE_GRAPH).is_file():
        graphs |= {OUTLINE_IMAGE_GRAPH: REFINER, OUTLINE_GRAPH: REFINER}
    verify_files(opened.path, opened.hashes)
    expressions, images, *outlines = (
        open_session(opened.path / graph, opened.hashes.get(weights), device=device, threads=threads)
        for graph, weights in graphs.items()
    )
    config = opened.config
    traced_for = tuple(images.get_inputs()[0].shape[2:])
    if traced_for != config.input_size:
        raise ConfigError(
            f"The graphs of {opened.path} are for images of {traced_for[0]} x {traced_for[1]}, not of "
            f"{config.input_size[0]} x {config.input_size[1]} pixels; leave inference.image_size out, or use the "
            "engine 'torch'."
        )
    return Predictor(
        OnnxEngine(images, expressions),
        opened.text,
        config.inference,
        input_size=config.input_size,
        antialias=config.model.antialias,
        pad_to=padded_length(config.model),
        refiner=Refiner(OnnxSegmenter(*outlines)) if outlines else None,
    )
