"""Exported checkpoints: the graphs give what the network gives, at other sizes than the one they were traced with."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY, VOCABULARY
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing

from vlt.checkpoint import pack_checkpoint, save_checkpoint
from vlt.cli import main
from vlt.config import dump_config, parse_config
from vlt.errors import CheckpointError, ConfigError
from vlt.export.run import export_checkpoint
from vlt.infer import load
from vlt.model.build import build_model
from vlt.refine.promptable import PromptableSegmenter
from vlt.text.reader import TokenReader, build_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_with_graphs.py"

CANDIDATES = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}
CHOOSING = {**TINY["model"], "candidates": CANDIDATES}
REFERENCE = {
    "name": "reference",
    "image_size": 64,
    "max_words": 8,
    "words": {"source": "hash", "dim": 16},
    "rnn_dim": 64,
    "fused_dim": 64,
    "hidden_dim": 16,
    "transformer_dim": 16,
    "heads": 4,
    "num_queries": 4,
    "backbone": {"width": 0.0625, "blocks": [1, 1, 1, 1, 1]},
}
TOKENS = {  # in the manner of the model in the package
    **TINY["model"],
    "image_size": [56, 56],
    "max_words": 10,
    "backbone": {
        "name": "dinov2",
        "architecture": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56},
    },
    "language": {
        "name": "bert",
        "tokenizer": "words",
        "architecture": {
            **{"model_type": "bert", "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 1},
            **{"num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16},
        },
    },
    "candidates": CANDIDATES,
}
GRAPHS = ("image.onnx", "expression.onnx", "outline_image.onnx", "outline.onnx")
EXPRESSIONS = ["red circle", "the big blue square", "circle", "green triangle on top of the square"]


def network(folder, model):
    """Write a checkpoint with random weights."""
    loss = {"candidate": 1.0} if "candidates" in model else {}
    config = parse_config({**TINY, "model": model, "loss": loss, "inference": {"batch_size": 3, "flip": True}}, "tests")
    torch.manual_seed(0)
    text = token_reader() if model is TOKENS else build_text(config.model, VOCABULARY)
    save_checkpoint(folder, model=build_model(config.model).eval(), config=config, text=text, meta={})
    return folder


def token_reader():
    """A reader of words with an id each, between two special tokens."""
    words = ["[UNK]", "[CLS]", "[SEP]", *sorted(set(" ".join([*VOCABULARY, *EXPRESSIONS]).split()))]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return TokenReader(tokenizer, {"unk_token": "[UNK]"}, max_words=TOKENS["max_words"])


@pytest.fixture(scope="session")
def exported(tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    export_checkpoint(tiny_checkpoint, folder, say=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def predictions(folder, engine, photo):
    """Predict all expressions, in one call, on two copies of an image."""
    return load(folder, engine=engine).predict([photo, photo], EXPRESSIONS)


def assert_same(folder, photo):
    one, other = (predictions(folder, engine, photo) for engine in ("onnx", "torch"))
    for found, expected in zip(chain(*one), chain(*other), strict=True):
        assert np.abs(found.probability() - expected.probability()).max() < 1e-3
        assert (found.mask == expected.mask).mean() > 0.999
        assert found.score == pytest.approx(expected.score, abs=1e-3)
        assert (found.presence is None) == (expected.presence is None)


def test_both_engines_predict_the_same(exported, photo):
    assert_same(exported, photo)


@pytest.fixture(scope="module")
def choosing(tmp_path_factory):
    """The folder of an exported checkpoint with candidates."""
    folder = tmp_path_factory.mktemp("candidates")
    export_checkpoint(network(folder / "start", CHOOSING), folder / "exported", say=lambda line: None)
    return folder / "exported"


def test_both_engines_choose_the_same(choosing, photo):
    assert_same(choosing, photo)


def test_detections_are_alike(choosing, photo):
    both = [load(choosing, engine=engine) for engine in ("onnx", "torch")]
    one, other = (each.engine.detected(each.encode(photo).encoded, 0) for each in both)
    assert one.boxes.shape == (len(one.scores), 4)
    for found, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            {**TINY["model"], "fusion": "sentence", "queries": "learned", "mask_padding": False}, marks=pytest.mark.slow
        ),
        REFERENCE,
    ],
    ids=["padding that is read", "reference"],
)
def test_other_networks(model, photo, tmp_path):
    differences = export_checkpoint(network(tmp_path / "start", model), tmp_path / "exported", say=lambda line: None)
    assert differences.keys() == {"image.onnx", "expression.onnx"}
    assert_same(tmp_path / "exported", photo)


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """The folders of a packed checkpoint with a refiner, before and after export."""
    folder = tmp_path_factory.mktemp("refined")
    torch.manual_seed(0)
    save_file(PromptableSegmenter().state_dict(), folder / "refiner.safetensors")
    pack_checkpoint(network(folder / "start", TOKENS), folder / "packed", refiner=folder / "refiner.safetensors")
    export_checkpoint(folder / "packed", folder / "exported", say=lambda line: None)
    return folder / "packed", folder / "exported"


def read_graph(path):
    return onnx.load(path, load_external_data=False).graph


@pytest.mark.slow
def test_only_the_rows_of_words_that_are_read_are_restored_from_int8(refined):
    graph = read_graph(refined[1] / "expression.onnx")
    embeddings = {each.name for each in graph.initializer if each.name.endswith("word_embeddings.weight")}
    assert {each.data_type for each in graph.initializer if each.name in embeddings} == {onnx.TensorProto.INT8}
    assert {node.op_type for node in graph.node if embeddings & set(node.input)} == {"Gather"}


@pytest.mark.slow
def test_a_packed_checkpoint_with_a_refiner(refined, photo):
    packed, exported = refined
    for name in ("weights.safetensors", "refiner.safetensors"):  # weights lie once
        assert (exported / name).read_bytes() == (packed / name).read_bytes()
    operators = {name: Counter(node.op_type for node in read_graph(exported / name).node) for name in GRAPHS[:2]}
    assert operators["image.onnx"]["MatMulNBits"] > operators["image.onnx"]["MatMul"]  # int8 matrices stay as they are
    assert operators["expression.onnx"]["MatMulNBits"] == 0
    assert operators["image.onnx"]["MultiHeadAttention"] >= TOKENS["backbone"]["architecture"]["num_hidden_layers"]
    graphs = sum(path.stat().st_size for path in exported.glob("*.onnx"))
    assert graphs < (packed / "refiner.safetensors").stat().st_size / 2
    assert_same(exported, photo)


@pytest.mark.slow
def test_the_example_needs_nothing_of_ours(refined, photo, tmp_path):
    """In a process in which this package and torch cannot be imported."""
    block = "import sys; sys.modules.update(dict.fromkeys(('vlt', 'torch', 'transformers'))); import runpy; "
    run = f"sys.argv[1:] = {[str(refined[1]), str(photo), 'red circle']!r}; runpy.run_path({str(EXAMPLE)!r})"
    subprocess.run([sys.executable, "-c", block + run], check=True, cwd=tmp_path)
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == (48, 80)
    assert mask.dtype == bool


def test_an_evaluation_gives_the_same_scores_with_both_engines(exported, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(dump_config(tiny_config))
    test = ["test", "tiny.yaml", "--checkpoint", str(exported)]
    scores = []
    for engine in ("onnx", "torch"):
        result = CliRunner().invoke(main, [*test, "--engine", engine, "--output", "report.json"])
        assert result.exit_code == 0, result.stderr
        scores.append(json.loads(Path("report.json").read_text())["scores"])
    assert scores[0]["miou"] == pytest.approx(scores[1]["miou"], abs=1e-4)
    assert scores[0]["count"] == scores[1]["count"]
    refused = CliRunner().invoke(main, [*test, "--set", "inference.image_size=[96, 96]"])
    assert refused.exit_code == 2
    assert "are for images of 64 x 64, not of 96 x 96 pixels" in refused.stderr


def test_predicting_with_graphs_needs_no_torch(exported, photo):
    """In a process in which torch and what needs it cannot be imported."""
    code = f"""
import sys
for name in ("torch", "transformers", "accelerate", "torchmetrics", "tensorboard", "onnx", "onnxscript"):
    sys.modules[name] = None
import vlt
[prediction] = vlt.load({str(exported)!r}).predict({str(photo)!r}, "red circle")
print(prediction.mask.shape)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout == "(48, 80)\n"


def test_graphs_are_preferred_and_can_be_refused(exported, tiny_checkpoint):
    assert "Onnx" in type(load(exported).engine).__name__
    assert "Torch" in type(load(exported, engine="torch").engine).__name__
    assert "Torch" in type(load(tiny_checkpoint).engine).__name__
    with pytest.raises(ConfigError, match=r"has no graphs for ONNX Runtime; `vlt export` makes them\.$"):
        load(tiny_checkpoint, engine="onnx")
    with pytest.raises(ConfigError, match=r"The engine is 'tensorrt'; take 'onnx', 'torch' or None\.$"):
        load(exported, engine="tensorrt")


def test_half_precision_takes_pytorch(exported):
    engine = load(exported, precision="bf16").engine
    assert ("Torch" in type(engine).__name__, engine.precision) == (True, "bf16")
    assert "Onnx" in type(load(exported, precision="no").engine).__name__
    with pytest.raises(ConfigError, match=r"'bf16' takes the engine 'torch': graphs are float32; leave it out\.$"):
        load(exported, engine="onnx", precision="bf16")
    with pytest.raises(ConfigError, match=r"The precision is 'half'; take 'no', 'bf16', 'fp16' or None\.$"):
        load(exported, precision="half")


def test_fast_settings(exported):
    settings = load(exported, fast=True).settings
    assert (settings.flip, settings.refine_side) == (False, 640)
    assert settings == load(exported).with_settings(flip=False, refine_side=640).settings


# ---------------------------------------------------------------- bad input


@pytest.fixture
def copied(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def forget_hashes(folder):
    """Make the checkpoint one that states no hashes of its graphs."""
    meta = json.loads((folder / "meta.json").read_bytes())
    meta["sha256"] = {name: digest for name, digest in meta["sha256"].items() if not name.endswith(".onnx")}
    (folder / "meta.json").write_text(json.dumps(meta))


def test_a_graph_of_other_weights_is_refused(copied, tiny_model, tiny_config, tiny_text, tmp_path):
    other = tmp_path / "other"
    torch.manual_seed(1)
    save_checkpoint(other, model=build_model(tiny_config.model), config=tiny_config, text=tiny_text, meta={})
    shutil.copy(copied / "image.onnx", other)
    shutil.copy(copied / "expression.onnx", other)
    with pytest.raises(CheckpointError, match=r"expression\.onnx belongs to other weights .*; export the checkpoint a"):
        load(other, engine="onnx")


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_truncated_graph_is_refused(copied, keep):
    path = copied / "expression.onnx"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"expression\.onnx is damaged or was changed"):
        load(copied)
    forget_hashes(copied)
    with pytest.raises(CheckpointError, match=r"expression\.onnx cannot be loaded by ONNX Runtime .* or upgrade onnx"):
        load(copied)


def test_a_missing_graph_is_refused(copied):
    (copied / "expression.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"lacks expression\.onnx; copy the checkpoint again\.$"):
        load(copied)


@pytest.mark.parametrize("device", ["toaster", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(exported, device):
    with pytest.raises(ConfigError, match=rf"The device '{device}' cannot be used by this ONNX Runtime, which has"):
        load(exported, device, engine="onnx")


def test_graphs_for_images_of_another_size_are_refused(copied):
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("image_size: null", "image_size: [96, 96]"))
    forget_hashes(copied)
    with pytest.raises(
        ConfigError, match=r"are for images of 64 x 64, not of 96 x 96 pixels; leave inference\.image_s"
    ):
        load(copied)


def test_a_folder_that_holds_something_else_is_refused(tiny_checkpoint, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="exists and is no checkpoint"):
        export_checkpoint(tiny_checkpoint, tmp_path, say=lambda line: None)
    assert (tmp_path / "notes.txt").read_text() == "mine"
