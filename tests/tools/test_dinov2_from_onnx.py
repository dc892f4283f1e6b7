"""A tiny graph with the published one's structure and naming, converted and compared."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import Dinov2Model

from vlt.doctor.parts import stated_origin
from vlt.errors import CheckpointError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

DIM, HEADS, LAYERS, PATCH, TABLE, GRID = 128, 2, 2, 4, 6, 4


class TinyGraph:
    """DINOv2 in ONNX: named as the published file names its parts, at sizes that run in milliseconds."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}

    def weight(self, name: str, *shape: int, mean: float = 0.0, std: float = 0.2) -> str:
        self.initializers[name] = (mean + std * self.random.standard_normal(shape)).astype(np.float32)
        return name

    def constant(self, values: object, dtype: type = np.int64) -> str:
        name = f"constant_{len(self.nodes)}"
        tensor = numpy_helper.from_array(np.array(values, dtype))
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def node(self, op: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: object) -> str:
        made = [f"{op}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attributes))
        return made[0]

    def linear(self, x: str, module: str, inputs: int, outputs: int) -> str:
        anonymous = self.weight(f"onnx::MatMul_{len(self.nodes)}", inputs, outputs, std=inputs**-0.5)
        product = self.node(
            "MatMul", x, anonymous, name=f"/{module.replace('.attn.', '/attn/').replace('.mlp.', '/mlp/')}/MatMul"
        )
        return self.node("Add", self.weight(f"model.{module}.bias", outputs), product)

    def norm(self, x: str, module: str) -> str:
        scale = self.weight(f"model.{module}.weight", DIM, mean=1.0)
        return self.node("LayerNormalization", x, scale, self.weight(f"model.{module}.bias", DIM), epsilon=1e-6)

    def embed(self) -> str:
        kernel = self.weight("model.patch_embed.proj.weight", DIM, 3, PATCH, PATCH)
        bias = self.weight("model.patch_embed.proj.bias", DIM)
        patches = self.node("Conv", "input", kernel, bias, kernel_shape=[PATCH, PATCH], strides=[PATCH, PATCH])
        patches = self.node("Transpose", self.node("Reshape", patches, self.constant([0, DIM, -1])), perm=[0, 2, 1])
        token = self.weight("model.cls_token", 1, 1, DIM)
        class_position = self.node("Identity", token)  # the exporter stored the two equal tensors once
        tokens = self.node("Expand", token, self.constant([2, 1, 1]))
        return self.node("Add", self.node("Concat", tokens, patches, axis=1), self.positions(class_position))

    def positions(self, class_position: str) -> str:
        table = self.weight("onnx::Reshape_1360", 1, TABLE**2, DIM)
        table = self.node("Reshape", table, self.constant([1, TABLE, TABLE, DIM]))
        scale = self.constant([1, 1, *[(GRID + 0.1) / TABLE] * 2], np.float32)
        table = self.node("Resize", self.node("Transpose", table, perm=[0, 3, 1, 2]), "", scale, mode="linear")
        table = self.node("Reshape", self.node("Transpose", table, perm=[0, 2, 3, 1]), self.constant([1, -1, DIM]))
        return self.node("Cast", self.node("Concat", class_position, table, axis=1), to=1)

    def attention(self, x: str, module: str) -> str:
        joint = self.linear(x, f"{module}.qkv", DIM, 3 * DIM)
        parts = self.node("Reshape", joint, self.constant([0, 0, 3, HEADS, DIM // HEADS]))
        parts = self.node("Transpose", parts, perm=[2, 0, 3, 1, 4])
        query, key, value = (self.node("Gather", parts, self.constant(index), axis=0) for index in range(3))
        query = self.node("Mul", query, self.constant((DIM // HEADS) ** -0.5, np.float32))
        scores = self.node("MatMul", query, self.node("Transpose", key, perm=[0, 1, 3, 2]))
        answer = self.node("MatMul", self.node("Softmax", scores, axis=-1), value)
        answer = self.node("Reshape", self.node("Transpose", answer, perm=[0, 2, 1, 3]), self.constant([0, 0, DIM]))
        return self.linear(answer, f"{module}.proj", DIM, DIM)

    def block(self, x: str, module: str) -> str:
        answer = self.attention(self.norm(x, f"{module}.norm1"), f"{module}.attn")
        x = self.node("Add", x, self.node("Mul", answer, self.weight(f"model.{module}.ls1.gamma", DIM)))
        hidden = self.linear(self.norm(x, f"{module}.norm2"), f"{module}.mlp.fc1", DIM, 4 * DIM)
        answer = self.linear(self.node("Gelu", hidden), f"{module}.mlp.fc2", 4 * DIM, DIM)
        return self.node("Add", x, self.node("Mul", answer, self.weight(f"model.{module}.ls2.gamma", DIM)))

    def write(self, path: Path, *, gain: float = 1.0) -> Path:
        """Writes the file; a `gain` other than 1 makes its answer differ from DINOv2's."""
        x = self.embed()
        for index in range(LAYERS):
            x = self.block(x, f"blocks.{index}")
        x = self.node("Mul", self.norm(x, "norm"), self.constant(gain, np.float32))
        x = self.node("Slice", x, self.constant([1]), self.constant([1000]), self.constant([1]))
        x = self.node("Transpose", self.node("Reshape", x, self.constant([-1, GRID, GRID, DIM])), perm=[0, 3, 1, 2])
        x = self.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        self.nodes.append(helper.make_node("Transpose", [x], ["output"], perm=[0, 2, 3, 1]))
        onnx.save(helper.make_model(self.proto(), opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
        return path

    def proto(self) -> "onnx.GraphProto":
        side = GRID * PATCH
        given = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["batch", 3, side, side])
        answer = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [None] * 4)
        weights = [numpy_helper.from_array(value, name) for name, value in self.initializers.items()]
        return helper.make_graph(self.nodes, "tiny", [given], [answer], weights)


@pytest.fixture(scope="module")
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("dinov2_from_onnx")


@pytest.fixture(scope="module")
def graph() -> TinyGraph:
    return TinyGraph()


@pytest.fixture(scope="module")
def onnx_file(graph: TinyGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graph.write(tmp_path_factory.mktemp("graph") / "tiny.onnx")


def test_converted_model_answers_as_the_graph_does(tool: ModuleType, onnx_file: Path, tmp_path: Path) -> None:
    linear, bicubic = tool.convert(onnx_file, tmp_path / "above" / "parts")
    assert linear < 1e-5
    assert bicubic > 100 * linear  # the graph resizes its table linearly: a check without that would have to be lax
    assert sorted(path.name for path in (tmp_path / "above" / "parts").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert stated_origin(str(tmp_path / "above" / "parts")) == "licence apache-2.0"


def test_folder_holds_the_whole_position_table_and_the_sizes(
    tool: ModuleType, graph: TinyGraph, onnx_file: Path, tmp_path: Path
) -> None:
    tool.convert(onnx_file, tmp_path / "parts")
    model = Dinov2Model.from_pretrained(tmp_path / "parts")
    table = model.embeddings.position_embeddings.detach()
    assert torch.equal(table[:, 1:], torch.from_numpy(graph.initializers["onnx::Reshape_1360"]))
    assert torch.equal(table[:, :1], torch.from_numpy(graph.initializers["model.cls_token"]))
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (DIM, LAYERS, HEADS)
    assert (config.patch_size, config.image_size) == (PATCH, TABLE * PATCH)


def test_a_graph_that_answers_otherwise_is_refused_and_nothing_is_left(tool: ModuleType, tmp_path: Path) -> None:
    path = TinyGraph().write(tmp_path / "other.onnx", gain=1.001)
    with pytest.raises(CheckpointError, match=r"differs from .*other\.onnx by \d\.\de-03 .* 1e-04 are allowed"):
        tool.convert(path, tmp_path / "parts")
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.onnx"]


def test_a_file_of_another_kind_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "photo.onnx"
    path.write_bytes(b"\xff\xd8\xff\xe0 no graph")
    with pytest.raises(CheckpointError, match=r"photo\.onnx cannot be read as an ONNX file"):
        tool.convert(path, tmp_path / "parts")


def test_another_network_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["input_2"])], "other", [value], [])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match="not a DINOv2 graph"):
        tool.convert(tmp_path / "other.onnx", tmp_path / "parts")


def test_a_weight_that_dinov2_does_not_have_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    graph = TinyGraph()
    graph.weight("model.registers", 1, 4, DIM)
    with pytest.raises(CheckpointError, match="'registers' that DINOv2 does not"):
        tool.convert(graph.write(tmp_path / "registers.onnx"), tmp_path / "parts")


def test_command_prints_the_figures_and_refuses_to_overwrite(tool: ModuleType, onnx_file: Path, tmp_path: Path) -> None:
    arguments = [str(onnx_file), str(tmp_path / "parts")]
    first, second = CliRunner().invoke(tool.main, arguments), CliRunner().invoke(tool.main, arguments)
    assert first.exit_code == 0
    assert "allowed: 1e-04" in first.output
    assert second.exit_code == 1
    assert f"{tmp_path / 'parts'} exists already" in second.output
