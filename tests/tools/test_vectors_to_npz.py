"""A tiny file of the package's form, converted and read back as training reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from vlt.config import WordsConfig
from vlt.errors import DataError
from vlt.text.vectors import load_vectors, read_vectors

ROWS = {"the": [0.5, -1.25], "two words": [9, 9], "zebra": [0.1, 3.0], "café": [-2.0, 0.0]}


@pytest.fixture
def tool(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("vectors_to_npz")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Each row: the vector, its norm, and the word's index."""
    rows = {word: [*vector, float(np.linalg.norm(vector)), index] for index, (word, vector) in enumerate(ROWS.items())}
    path = tmp_path / "package.json"
    path.write_text(json.dumps({"dimensions": 2, "words": list(rows), "vectors": rows}))
    return path


def test_training_reads_the_packages_vectors(tool: ModuleType, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "above" / "words.npz"
    tool.convert(source, output, 10)
    vectors = read_vectors(WordsConfig(source="file", path=str(output), dim=2), ["Zebra,"])
    assert vectors.words == ("the", "zebra", "café")  # one with a space could never be looked up
    found = vectors.find("Zebra,")
    assert found is not None
    np.testing.assert_allclose(found, ROWS["zebra"], rtol=1e-3)


def test_the_limit_keeps_the_most_frequent(tool: ModuleType, source: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(tool.main, [str(source), str(tmp_path / "words.npz"), "--limit", "2"])
    assert result.output == f"wrote {tmp_path / 'words.npz'}: 2 words, 2 values each\n"
    assert load_vectors(tmp_path / "words.npz").words == ("the", "zebra")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"dimensions": 2, "words": ["the"', "cannot be read as JSON"),
        ('{"words": ["the"]}', "not word vectors of the package"),
        ('{"dimensions": 2, "words": ["the", "a"], "vectors": {"the": [1, 2], "a": [1]}}', "not word vectors"),
        ("[1, 2]", "not word vectors"),
    ],
)
def test_other_files_are_refused(tool: ModuleType, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "source.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        tool.convert(tmp_path / "source.json", tmp_path / "words.npz", 10)
    assert not (tmp_path / "words.npz").exists()


def test_nothing_is_overwritten(tool: ModuleType, source: Path, tmp_path: Path) -> None:
    (tmp_path / "words.npz").write_text("mine")
    result = CliRunner().invoke(tool.main, [str(source), str(tmp_path / "words.npz")])
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert (tmp_path / "words.npz").read_text() == "mine"
