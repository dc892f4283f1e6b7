"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vlt.errors import DataError
from vlt.files import make_folder, replacing


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
