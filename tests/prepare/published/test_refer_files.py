"""Pickles of plain values are read in every protocol; anything else is refused before it is looked up."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refer_fixture import python2_pickle

from vlt.errors import DataError
from vlt.prepare.published.refer_files import read_plain_pickle

PLAIN = {
    "text": "caf\xe9",
    "bytes": [b"", b"\x00\xff"],
    "numbers": (1, 2**70, -0.5, True, False, None),
    "set": {1, 2},
    "nested": [[[]], {}, ()],
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "plain.p").write_bytes(pickle.dumps(PLAIN, protocol))
    assert read_plain_pickle(tmp_path / "plain.p") == PLAIN


def test_text_of_python_2_is_latin_1(tmp_path: Path) -> None:
    (tmp_path / "plain.p").write_bytes(python2_pickle(["caf\xe9"]))
    assert b"caf\xe9" in (tmp_path / "plain.p").read_bytes()
    assert read_plain_pickle(tmp_path / "plain.p") == ["caf\xe9"]


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.float64(1), r"numpy\._core\.multiarray\.scalar|numpy\.core\.multiarray\.scalar"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (Calls(eval, "1 + 1"), "(__builtin__|builtins).eval"),
        (Calls(getattr, [], "append"), "(__builtin__|builtins).getattr"),
        (Calls(__import__, "os"), "(__builtin__|builtins).__import__"),
        (pickle.Unpickler, r"_?pickle\.Unpickler"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_anything_else_is_refused_by_name(tmp_path: Path, value: object, name: str, protocol: int) -> None:
    (tmp_path / "other.p").write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(DataError, match=rf"other\.p references ({name}), but only plain containers are read"):
        read_plain_pickle(tmp_path / "other.p")


def test_other_codecs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "zip.p").write_bytes(b"c_codecs\nencode\n(Vtext\nVzlib\ntR.")
    with pytest.raises(DataError, match=r"references _codecs\.encode to zlib"):
        read_plain_pickle(tmp_path / "zip.p")


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_truncated_pickle_is_said_to_be_one(tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.p").write_bytes(python2_pickle([{"a": 1, "b": ["text", 2.5]}] * 2)[:cut])
    with pytest.raises(DataError, match=r"cut\.p is not a complete pickle"):
        read_plain_pickle(tmp_path / "cut.p")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file or directory"):
        read_plain_pickle(tmp_path / "missing.p")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_plain_pickle(tmp_path)
