"""A tiny sentence-encoder package, as the published one is laid out, converted and compared."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from vlt.doctor.parts import stated_origin
from vlt.errors import CheckpointError, DataError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "left", "right", "zebra", "man", "##s", "red")


@pytest.fixture
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("minilm_from_package")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package folder with model/ inside: half precision, a pooler, and a tokenizer that pads to 128."""
    folder = tmp_path / "package" / "model"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).half().save_pretrained(folder)
    tokenizer = BertWordPieceTokenizer({word: index for index, word in enumerate(WORDS)})
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]", "unk_token": "[UNK]", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "modules.json").write_text("[]")
    return folder.parent


def test_folder_gives_the_packages_token_states_in_fp32(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    assert tool.convert(package, tmp_path / "parts") == 0
    model = AutoModel.from_pretrained(tmp_path / "parts", add_pooling_layer=False)
    original = BertModel.from_pretrained(package / "model").float()
    tokens = AutoTokenizer.from_pretrained(tmp_path / "parts")("The LEFT zebras", return_tensors="pt")
    assert model.dtype == torch.float32
    assert tokens["input_ids"].tolist() == [[2, 5, 6, 8, 10, 3]]
    with torch.no_grad():
        answer, expected = (encoder.eval()(**tokens).last_hidden_state for encoder in (model, original))
    assert torch.equal(answer, expected)


def test_stored_padding_and_cutting_are_gone(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    tool.convert(package, tmp_path / "parts")
    read = [Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (package / "model", tmp_path / "parts")]
    assert [len(tokenizer.encode("red man").ids) for tokenizer in read] == [128, 4]
    assert [len(tokenizer.encode("red " * 200).ids) for tokenizer in read] == [128, 202]


def test_only_what_is_read_is_written(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    tool.convert(package, tmp_path / "parts")
    names = {path.name for path in (tmp_path / "parts").iterdir()}
    model = {"config.json", "model.safetensors"}
    assert names == {*model, "README.md", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


def test_the_folder_states_its_licence(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    tool.convert(package, tmp_path / "parts")
    assert stated_origin(str(tmp_path / "parts")) == "licence apache-2.0"


def test_a_folder_without_an_encoder_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds 0 folders with model\.safetensors and tokenizer\.json"):
        tool.convert(tmp_path, tmp_path / "parts")


def test_truncated_weights_are_refused(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    weights = package / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read as an encoder"):
        tool.convert(package, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_a_tokenizer_that_cuts_words_otherwise_is_refused(
    tool: ModuleType, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tool.write_tokenizer

    def break_words(source: Path, folder: Path) -> None:
        write(source, folder)
        path = folder / "tokenizer.json"
        path.write_text(path.read_text().replace('"zebra"', '"donkey"'))

    monkeypatch.setattr(tool, "write_tokenizer", break_words)
    with pytest.raises(CheckpointError, match=r"differs from .* 1e-05 are allowed"):
        tool.convert(package, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_a_folder_that_cannot_be_made_is_refused(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"):
        tool.convert(package, tmp_path / "file" / "parts")


def test_command_prints_the_figure_and_refuses_to_overwrite(tool: ModuleType, package: Path, tmp_path: Path) -> None:
    arguments = [str(package), str(tmp_path / "parts")]
    first, second = CliRunner().invoke(tool.main, arguments), CliRunner().invoke(tool.main, arguments)
    assert (first.exit_code, second.exit_code) == (0, 1)
    assert "0.0e+00\n(allowed: 1e-05)" in first.output
    assert "exists already" in second.output
