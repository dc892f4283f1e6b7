"""Files are written whole or not at all, and read without byte-order marks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from vlt.errors import DataError
from vlt.files import file_digest, make_folder, read_bytes, read_json, read_text, replacing


def test_a_file_is_replaced_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise error

    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(error):
        write_half()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_others_may_read_the_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataError, match=r"file/below cannot be written: Not a directory\."),
        replacing(tmp_path / "file" / "below"),
    ):
        pass
    with pytest.raises(DataError, match=r"The folder .*file/below cannot be made: Not a directory\."):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(DataError, match=r"The folder .*file cannot be made: File exists\."):
        make_folder(tmp_path / "file")


# ---------------------------------------------------------------- reading


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    for name, encoding in (("plain", "utf-8"), ("marked", "utf-8-sig")):
        (tmp_path / name).write_text('["é"]\r\n', encoding=encoding, newline="")
        assert read_bytes(tmp_path / name) == '["é"]\r\n'.encode()
        assert read_text(tmp_path / name) == '["é"]\n'
        assert read_json(tmp_path / name, TypeAdapter(list[str]), "x") == ["é"]


def test_json_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('["a", 1]')
    (tmp_path / "wide.json").write_text('["a"]', encoding="utf-16")
    schema = TypeAdapter(list[str])
    with pytest.raises(DataError, match=r"list\.json, entry 1: Input should be a valid string; write text\.$"):
        read_json(tmp_path / "list.json", schema, "write text")
    with pytest.raises(DataError, match=r"wide\.json is text in UTF-16; save it as UTF-8\.$"):
        read_json(tmp_path / "wide.json", schema, "write text")
    with pytest.raises(DataError, match=r"none\.json cannot be read: No such file or directory\.$"):
        read_json(tmp_path / "none.json", schema, "write text")


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    for name, content in (("a", b"x" * 3_000_000), ("b", b"x" * 3_000_000), ("c", b"y")):
        (tmp_path / name).write_bytes(content)
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b") != file_digest(tmp_path / "c")
    assert file_digest(tmp_path / "c") == "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa"


@pytest.mark.parametrize("read", [read_bytes, lambda path: read_json(path, TypeAdapter(list[str]), "x")])
def test_a_pointer_of_git_lfs_is_refused_by_name(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "big.json").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n")
    with pytest.raises(DataError, match=r"big\.json is a pointer of Git LFS .*; run `git lfs pull` in its repository"):
        read(tmp_path / "big.json")
