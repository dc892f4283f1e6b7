"""Pickles of plain values, read without running what is in them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlt.errors import DataError


def read_plain_pickle(path: Path) -> object:
    """Reads a pickle made of dict, list, tuple, set, str, bytes, int, float, bool and None.

    A pickle may name any function of any module and have it called while it is read; here every such name is
    refused, before it is looked up. Text of Python 2 is read as latin-1.

    Raises:
        DataError: missing, damaged, or made of anything else.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin-1").load()
    except _RefusedError as error:
        raise DataError(
            f"{path} references {error}, but only plain containers are read, because a pickle can run code; "
            "do not use this file, download it again from its authors."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path} is no whole pickle ({error}); download it again.") from None


class _RefusedError(Exception):
    """Something that is no plain value, by its name."""


class _PlainUnpickler(pickle.Unpickler):
    """Knows the names that pickles of plain values use, and no other."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What a pickle's global stands for.

        Raises:
            _RefusedError: for anything but a set and bytes.
        """
        if (module_name, global_name) not in _PLAIN:
            raise _RefusedError(f"{module_name}.{global_name}")
        return _PLAIN[module_name, global_name]


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, the way Python 3 writes them in pickles of protocol 2."""
    if encoding != "latin1":
        raise _RefusedError(f"_codecs.encode to {encoding}")
    return text.encode("latin-1")


_PLAIN: dict[tuple[str, str], Callable[..., object]] = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("__builtin__", "bytes"): lambda: b"",  # Python 3 in protocol 2: bytes() for no bytes, else _codecs.encode
    ("_codecs", "encode"): _encode,
}
