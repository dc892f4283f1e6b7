"""Read the published files of referring expressions in a REFER folder, including untrusted pickles.

<data_root>/<dataset>/refs(<split_by>).p    expressions and the annotations they refer to (gRefCOCO: grefs(unc).json)
<data_root>/<dataset>/instances.json        images, outlines and categories, see `vlt.prepare.instances`
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vlt.errors import DataError
from vlt.files import LFS_POINTER, JsonObject, malformed, read_json, refuse_pointer
from vlt.prepare.instances import Id


class RefSentence(JsonObject):
    """One referring expression."""

    sent_id: int
    sent: str


class Ref(JsonObject):
    """Referring expressions and the annotations of an image that they refer to."""

    ref_id: int
    ann_id: Id | list[Id]
    category_id: int | list[int]
    image_id: Id
    split: str
    sentences: list[RefSentence]

    @property
    def targets(self) -> list[Id]:
        """Ids of the target annotations: one; in gRefCOCO and Ref-ZOM also several, or none, written as [] or -1."""
        given = self.ann_id if isinstance(self.ann_id, list) else [self.ann_id]
        return [] if given == [-1] else given


def read_refs(folder: Path, split_by: str) -> list[Ref]:
    """Read the referring expressions of a data set.

    Args:
        folder: folder of the data set.
        split_by: name of its way of splitting, such as "unc".

    Raises:
        DataError: the file is missing or malformed, or a pickle that references anything but plain containers.
    """
    path = folder / (f"grefs({split_by}).json" if folder.name == "grefcoco" else f"refs({split_by}).p")
    if not path.exists():
        there = sorted(other.name for other in folder.glob("*") if other.suffix in (".p", ".json"))
        found = f"{folder} holds {', '.join(there)}" if there else "see docs/data.md for how the folder is laid out"
        raise DataError(f"There is no {path}; {found}.")
    adapter = TypeAdapter(list[Ref])
    remedy = "this is not REFER's format, download the file again"
    if path.suffix == ".json":
        return read_json(path, adapter, remedy)
    try:
        return adapter.validate_python(read_plain_pickle(path))
    except ValidationError as error:
        raise malformed(path, error, remedy) from None


def read_plain_pickle(path: Path) -> object:
    """Read a pickle made of dict, list, tuple, set, str, bytes, int, float, bool and None.

    A pickle may name any function of any module and have it called while it is read; here every such name is
    refused before it is looked up. Text of Python 2 is read as latin-1.

    Raises:
        DataError: the file is missing, damaged, a pointer of Git LFS, or made of anything else.
    """
    try:
        with path.open("rb") as file:
            refuse_pointer(path, file.peek(len(LFS_POINTER)))
            return PlainUnpickler(file, encoding="latin-1").load()
    except DataError:
        raise
    except RefusedError as error:
        raise DataError(
            f"{path} references {error}, but only plain containers are read, because a pickle can run code; "
            "do not use this file, download it again from its authors."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path} is not a complete pickle ({error}); download it again.") from None


class RefusedError(Exception):
    """A pickle that references a function or class; the text is its name."""


class PlainUnpickler(pickle.Unpickler):
    """Unpickler that accepts the global names in pickles of plain values, and refuses all others."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Look up a global name of a pickle.

        Raises:
            RefusedError: for anything but a set and bytes.
        """
        if (module_name, global_name) not in _PLAIN:
            raise RefusedError(f"{module_name}.{global_name}")
        return _PLAIN[module_name, global_name]


def _encode(text: str, encoding: str) -> bytes:
    """Make bytes, which Python 3 writes as encoded text in pickles of protocol 2."""
    if encoding != "latin1":
        raise RefusedError(f"_codecs.encode to {encoding}")
    return text.encode("latin-1")


_PLAIN: dict[tuple[str, str], Callable[..., object]] = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("__builtin__", "bytes"): lambda: b"",  # Python 3 in protocol 2: bytes() for no bytes, else _codecs.encode
    ("_codecs", "encode"): _encode,
}
