"""A small graph in the package's format becomes our detector; graphs that differ, and damaged files, are refused."""

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vlt.doctor.parts import stated_origin
from vlt.errors import CheckpointError, DataError
from vlt.model.detector import Detector, LeakyConv, Stage

SIDE = 32


def small() -> Detector:
    return Detector(width=0.125, blocks=(1, 1, 1, 2), side=SIDE)


class Writer:
    """Writes a detector as the package stores it: channels last inside operations, channels first between them."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.data = b""
        self.convolutions = 0

    def add(self, operation: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        name = name or f"{operation.lower()}_n{len(self.nodes)}"
        self.nodes.append({"name": name, "op": operation, "input": list(inputs), "attr": attributes})
        return name

    def const(self, values: Any, dtype: str = "int32") -> str:
        array = np.asarray(values)
        entry: dict[str, Any] = {"name": f"const_{len(self.nodes)}", "shape": list(array.shape), "dtype": dtype}
        if dtype == "float32":
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        self.data += array.astype("float16" if dtype == "float32" else dtype).tobytes()
        self.entries.append(entry)
        self.nodes.append({"name": entry["name"], "op": "Const", "attr": {}})
        return str(entry["name"])

    def turn(self, x: str, *axes: int) -> str:
        return self.add("Transpose", x, self.const(axes))

    def window(self, stride: int, **more: Any) -> dict[str, Any]:
        texts = {"padding": "VALID", "data_format": "NHWC"}
        coded = {name: {"s": base64.b64encode(text.encode()).decode()} for name, text in texts.items()}
        return {**coded, "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}, **more}

    def conv(self, x: str, module: torch.nn.Conv2d) -> str:
        assert module.bias is not None
        if module.padding != (0, 0):
            x = self.add("Pad", x, self.const([[0, 0], [0, 0], [1, 1], [1, 1]]))
        kernel = self.const(module.weight.permute(2, 3, 1, 0), "float32")
        name = f"convolution_{self.convolutions}" if self.convolutions else "convolution"
        self.convolutions += 1
        window = self.window(module.stride[0], dilations={"list": {"i": ["1"] * 4}})
        x = self.add("Conv2D", self.turn(x, 0, 2, 3, 1), kernel, name=name, **window)
        return self.turn(self.add("Add", x, self.const(module.bias, "float32")), 0, 3, 1, 2)

    def leaky(self, x: str, module: LeakyConv) -> str:
        return self.add("LeakyRelu", self.conv(x, module.conv), alpha={"f": 0.1})

    def stage(self, x: str, module: Stage) -> str:
        x = entered = self.leaky(x, module.enter)
        for block in module.blocks:
            first = self.leaky(x, block.first)
            x = self.add("ConcatV2", self.leaky(first, block.second), first, self.const(1))
        return self.add("ConcatV2", self.leaky(x, module.leave), entered, self.const(1))

    def pool(self, x: str) -> str:
        x = self.add("PadV2", x, self.const([[0, 0], [0, 0], [1, 1], [1, 1]]), self.const(-np.inf, "float32"))
        window = self.window(2, ksize={"list": {"i": ["1", "3", "3", "1"]}})
        return self.turn(self.add("MaxPool", self.turn(x, 0, 2, 3, 1), **window), 0, 3, 1, 2)

    def resize(self, x: str, side: int) -> str:
        x = self.add("ResizeBilinear", self.turn(x, 0, 2, 3, 1), self.const([side] * 2),
                     half_pixel_centers={"b": True}, align_corners={"b": False})  # fmt: skip
        return self.turn(x, 0, 3, 1, 2)

    def flatten(self, x: str, channels: int, output: str) -> None:
        nothing = [self.const(np.zeros(shape)) for shape in ((0, 1), (0,))]
        zeros = self.add("SparseToDense", nothing[0], self.const([3]), nothing[1], self.const(0))
        shape = self.add("AddV2", self.const([1, channels, -1]), zeros)
        self.add("Identity", self.turn(self.add("Reshape", x, shape), 0, 2, 1), name=output)

    def write(self, detector: Detector) -> dict[str, Any]:
        """The graph of `detector`; its weights are in `data`."""
        x = self.pool(self.leaky(self.add("Placeholder", name="input"), detector.stem))
        maps = []
        for stage in detector.stages:
            x = self.stage(x, stage)
            maps.append(x)
        fine, middle, coarse = (self.conv(x, lateral) for x, lateral in zip(maps[1:], detector.laterals, strict=True))
        middle = self.add("Add", middle, self.resize(coarse, SIDE // 16))
        fine = self.add("Add", fine, self.resize(middle, SIDE // 8))
        middle = self.add("Add", middle, self.resize(fine, SIDE // 16))
        coarse = self.add("Add", coarse, self.resize(middle, SIDE // 32))
        for number, (x, head) in enumerate(zip((fine, middle, coarse), detector.heads, strict=True)):
            split = self.add("SplitV", self.conv(self.leaky(x, head[0]), head[1]), self.const([80, 44]), self.const(1))
            self.flatten(self.add("Sigmoid", split), 80, f"Identity_{number}")
            self.flatten(f"{split}:1", 44, f"Identity_{number + 3}")
        return {
            "modelTopology": {"node": self.nodes},
            "signature": {"outputs": {f"Identity_{number}:0": {} for number in (2, 5, 1, 0, 4, 3)}},
            "weightsManifest": [{"paths": ["nanodet.bin"], "weights": self.entries}],
        }


@pytest.fixture
def tool(load_tool: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_tool("nanodet_from_package")
    monkeypatch.setattr(module, "Detector", small)
    return module


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    detector = small()
    for parameter in detector.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, a=0.1)
        parameter.copy_(parameter.half())  # the package's weights are stored in half precision
    return detector


@pytest.fixture
def package(detector: Detector, tmp_path: Path) -> Path:
    writer = Writer()
    graph = writer.write(detector)
    (tmp_path / "package/models").mkdir(parents=True)
    (tmp_path / "package/models/nanodet.json").write_text(json.dumps(graph))
    (tmp_path / "package/models/nanodet.bin").write_bytes(writer.data)
    return tmp_path / "package"


def change(package: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit the graph of a package."""
    path = package / "models/nanodet.json"
    graph = json.loads(path.read_text())
    edit(graph)
    path.write_text(json.dumps(graph))


def nodes_of(graph: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    return [node for node in graph["modelTopology"]["node"] if node["op"] == operation]


def test_weights_arrive(tool: ModuleType, package: Path, detector: Detector, tmp_path: Path) -> None:
    classes, distances = tool.convert(package, tmp_path / "new/out.safetensors")
    assert max(classes, distances) < 1e-10
    written, expected = load_file(tmp_path / "new/out.safetensors"), detector.state_dict()
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected.items())
    with pytest.raises(CheckpointError, match="exists already"):
        tool.convert(package, tmp_path / "new/out.safetensors")


def test_the_folder_states_its_licence_and_a_card_that_is_there_stays(
    tool: ModuleType, package: Path, tmp_path: Path
) -> None:
    tool.convert(package, tmp_path / "new/weights.safetensors")
    assert stated_origin(str(tmp_path / "new")) == "licence apache-2.0, trained on COCO train2017"
    (tmp_path / "new/README.md").write_text("mine")
    tool.convert(package, tmp_path / "new/again.safetensors")
    assert (tmp_path / "new/README.md").read_text() == "mine"


def steeper(graph: dict[str, Any]) -> None:
    nodes_of(graph, "LeakyRelu")[5]["attr"]["alpha"]["f"] = 0.2


def swapped(graph: dict[str, Any]) -> None:
    for node in nodes_of(graph, "ConcatV2"):
        node["input"][:2] = node["input"][1::-1]


def unadded(graph: dict[str, Any]) -> None:
    last = [node for node in nodes_of(graph, "Add") if not node["input"][1].startswith("const")][-1]
    last["input"][1] = last["input"][0]


@pytest.mark.parametrize("edit", [steeper, swapped, unadded])
def test_a_graph_that_differs_is_refused(
    tool: ModuleType, package: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    change(package, edit)
    with pytest.raises(CheckpointError, match=r"differ from the package's by .* 1e-04 are allowed"):
        tool.convert(package, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_graph_that_cannot_be_evaluated_is_refused(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    refused = partial(tool.convert, package, tmp_path / "out.safetensors")
    change(package, lambda graph: nodes_of(graph, "MaxPool")[0].update(op="AvgPool"))
    with pytest.raises(CheckpointError, match=r"`maxpool_n\d+` is of kind AvgPool, not supported"):
        refused()
    change(package, lambda graph: nodes_of(graph, "AvgPool")[0].update(op="MaxPool", input=["absent"]))
    with pytest.raises(CheckpointError, match=r"\(MaxPool\) cannot be evaluated for an unknown input"):
        refused()
    change(package, lambda graph: nodes_of(graph, "Conv2D")[0]["attr"]["padding"].update(s="U0FNRQ=="))
    with pytest.raises(CheckpointError, match=r"`convolution` \(Conv2D\) is padded"):
        refused()
    change(package, lambda graph: nodes_of(graph, "Conv2D")[0]["attr"]["padding"].update(s="VkFMSUQ="))
    change(package, lambda graph: nodes_of(graph, "LeakyRelu")[0].update(attr={}))
    with pytest.raises(CheckpointError, match=r"`leakyrelu_n\d+` \(LeakyRelu\) cannot be evaluated for 1x4x16x16"):
        refused()


def test_other_sizes_are_refused(tool: ModuleType, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = partial(tool.convert, package, package / "out.safetensors")
    monkeypatch.setattr(tool, "Detector", lambda: Detector(width=0.25, blocks=(1, 1, 1, 2), side=SIDE))
    with pytest.raises(CheckpointError, match=r"`convolution` does not fit: .*\[3, 3, 3, 4\] .*\[3, 3, 3, 8\]"):
        refused()
    monkeypatch.setattr(tool, "Detector", lambda: Detector(width=0.125, blocks=(1, 1, 1, 1), side=SIDE))
    with pytest.raises(CheckpointError, match="has 28 convolutions where our detector has 26"):
        refused()


def test_other_outputs_are_refused(tool: ModuleType, package: Path) -> None:
    change(package, lambda graph: graph["signature"]["outputs"].pop("Identity_4:0"))
    with pytest.raises(
        CheckpointError, match=r"outputs are \[1, 16, 80\], \[1, 16, 44\], .* where our detector has \[1, 16, 80\]"
    ):
        tool.convert(package, package / "out.safetensors")


def test_damaged_files_are_refused(tool: ModuleType, package: Path) -> None:
    refused = partial(tool.convert, package, package / "out.safetensors")
    weights, graph = package / "models/nanodet.bin", package / "models/nanodet.json"
    whole = weights.read_bytes()
    for data in (whole[:-1], whole + b"0", b""):
        weights.write_bytes(data)
        with pytest.raises(CheckpointError, match=rf"nanodet\.bin has {len(data)} bytes .* needs {len(whole)}"):
            refused()
    change(package, lambda graph: graph["weightsManifest"][0]["weights"][0].update(dtype="bfloat16"))
    with pytest.raises(DataError, match=r"entry 0, key 'dtype': Input should be 'float32' or 'int32'"):
        refused()
    change(package, lambda graph: graph["weightsManifest"][0]["weights"][0].update(dtype="int32"))
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"nanodet\.bin cannot be read .* name the unpacked folder"):
        refused()
    for text in ("{}", "[1]", "{"):
        graph.write_text(text)
        with pytest.raises(DataError, match=r"nanodet\.json.*; name the unpacked folder"):
            refused()
    graph.unlink()
    with pytest.raises(DataError, match=r"nanodet\.json cannot be read"):
        refused()
