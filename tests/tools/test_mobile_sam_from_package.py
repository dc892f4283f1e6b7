"""The published names, of which a recording lies beside this file, become ours; other answers are refused."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SamConfig, SamMaskDecoderConfig, SamModel
from transformers.models.sam.modeling_sam import SamMaskDecoder

from vlt.errors import CheckpointError
from vlt.refine.promptable import PromptableSegmenter

RECORDED = Path(__file__).parent / "mobile_sam_weights.tsv"


@pytest.fixture
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("mobile_sam_from_package")


def published() -> dict[str, Tensor]:
    """Ones by the names and of the shapes that the package has."""
    tensors = {}
    for line in RECORDED.read_text().splitlines():
        name, shape = line.split("\t")
        tensors[name] = torch.ones([int(side) for side in shape.split("x")] if shape else [])
    return tensors


def test_every_weight_is_given_its_place(tool: ModuleType) -> None:
    translated, own = tool.translate(published()), PromptableSegmenter().state_dict()
    assert {name: x.shape for name, x in translated.items()} == {name: x.shape for name, x in own.items()}


def test_parts_that_look_alike_are_not_mixed_up(tool: ModuleType) -> None:
    """Each published tensor that is kept as it is arrives once."""
    marked = {name: x * number for number, (name, x) in enumerate(published().items(), 1)}
    values = [float(x.flatten()[0]) for name, x in tool.translate(marked).items() if "stem" not in name]
    kept = {float(x.flatten()[0]) for x in marked.values()}
    arrived = [value for value in values if value in kept]
    assert len(arrived) == len(set(arrived)) > 150


def test_missing_weights_are_refused(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"mobile_sam\.pt cannot be read"):
        tool.convert(tmp_path, tmp_path / "out.safetensors")
    tensors = tool.translate(published())
    tensors.popitem()
    with pytest.raises(CheckpointError, match="do not fit"):
        tool.build(tensors)


class PackagePrompts:
    """The package's prompt encoder, as it is called, on top of that of `transformers`."""

    def __init__(self, network: PromptableSegmenter) -> None:
        self.whole = SamModel(SamConfig())
        self.whole.shared_image_embedding = network.prompts.shared_embedding
        self.encoder = network.prompts

    def __call__(self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: None) -> Any:
        places, labels = points or (None, None)
        sparse, dense = self.encoder(
            None if places is None else places[None], None if labels is None else labels[None].int(),
            None if boxes is None else boxes[None], masks,
        )  # fmt: skip
        return sparse[0], dense

    def get_dense_pe(self) -> Tensor:
        return self.whole.get_image_wide_positional_embeddings()


@torch.inference_mode()
def test_equal_networks_do_not_differ_and_others_do(tool: ModuleType) -> None:
    """Prompts and decoder are those of another implementation."""
    torch.manual_seed(0)
    network = PromptableSegmenter().eval()
    decoder = SamMaskDecoder(SamMaskDecoderConfig(layer_norm_eps=1e-5)).eval()
    decoder.load_state_dict(network.decoder.state_dict())

    def decode(encoded: Tensor, places: Tensor, sparse: Tensor, dense: Tensor, many: bool) -> Tensor:
        return decoder(encoded, places, sparse[None], dense[:1], many)[0][0]

    theirs = {"encoder": network.encoder, "prompts": PackagePrompts(network), "decoder": lambda *x: (decode(*x),)}
    assert tool.difference(network, theirs) < 1e-4
    theirs["encoder"] = lambda pixels: network.encoder(pixels) + 1
    assert tool.difference(network, theirs) > 0.01


def test_other_answers_are_refused(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "read_weights", lambda _: published())
    monkeypatch.setattr(tool, "build_theirs", lambda *_: {})
    monkeypatch.setattr(tool, "difference", lambda *_: 0.5)
    with pytest.raises(CheckpointError, match=r"differ from the package's by 5\.0e-01"):
        tool.convert(tmp_path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    monkeypatch.setattr(tool, "difference", lambda *_: 0.0)
    assert tool.convert(tmp_path, tmp_path / "out.safetensors") == 0
    assert (tmp_path / "out.safetensors").exists()
    with pytest.raises(CheckpointError, match="exists already"):
        tool.convert(tmp_path, tmp_path / "out.safetensors")
