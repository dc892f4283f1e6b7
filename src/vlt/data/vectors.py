"""Word vectors: where they come from, how a word is looked up in them, and the compact file they travel in."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vlt.errors import DataError

if TYPE_CHECKING:
    from vlt.config import WordsConfig

Vector: TypeAlias = npt.NDArray[np.float32]

FORMAT = 1
"""Of the compact file; a reader refuses a newer one."""

FREQUENT = 20_000
"""How many of a source's first words are kept besides those of the expressions: they are the most frequent ones, and
people will say words that no training expression had."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vocabulary and the vector of each of its words.

    Attributes:
        words: without white space, each once.
        vectors: (N, D) float16 or float32, a row per word.
        source: where they come from, for people.
    """

    words: tuple[str, ...]
    vectors: npt.NDArray[np.floating[Any]]
    source: str

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Says whether two vocabularies are the same: SHA-256 over words, type, shape and values, in hexadecimal."""
        digest = hashlib.sha256(f"{self.vectors.dtype.str} {self.vectors.shape}\n".encode())
        digest.update("\n".join(self.words).encode())
        digest.update(np.ascontiguousarray(self.vectors).tobytes())
        return digest.hexdigest()

    def find(self, word: str) -> Vector | None:
        """The vector of a word, or None if it is unknown.

        Looked up as it stands, in lower case, then both without the punctuation around it; a word that is still not
        found is the mean of its parts ("man's": man, 's), in which unknown parts count as zero, as in spaCy.

        Returns:
            (D,) float32.
        """
        whole = self._look_up(word)
        if whole is not None:
            return whole
        parts = [self._look_up(part) for part in parts_of(word)]
        known = [part for part in parts if part is not None]
        return (np.sum(known, axis=0) / len(parts)).astype(np.float32) if known else None

    def save(self, path: Path) -> None:
        """Writes the compact file: numpy's .npz with `format`, `words` (UTF-8, a line each), `vectors` and `source`."""
        words = np.frombuffer("\n".join(self.words).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, format=FORMAT, words=words, vectors=self.vectors, source=np.array(self.source))

    def _look_up(self, word: str) -> Vector | None:
        rows = (self._rows.get(spelling) for spelling in spellings_of(word))
        row = next((row for row in rows if row is not None), None)
        return None if row is None else self.vectors[row].astype(np.float32)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}


def spellings_of(word: str) -> Iterable[str]:
    """The spellings a word is looked up under, first come first.

    Example:
        >>> list(spellings_of("Dog,"))
        ['Dog,', 'dog,', 'Dog', 'dog']
    """
    bare = word.strip("".join(character for character in word if unicodedata.category(character)[0] in "PS"))
    return dict.fromkeys(spelling for spelling in (word, word.lower(), bare, bare.lower()) if spelling)


def parts_of(word: str) -> list[str]:
    """The parts of a compound word.

    Example:
        >>> parts_of("man's"), parts_of("left-most/blue")
        (['man', "'s"], ['left', 'most', 'blue'])
    """
    return re.findall(r"\b'\w+|\w+", word)


def read_vectors(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Reads the vectors of `words`, and of the source's `FREQUENT` first ones, from where the configuration says.

    Args:
        config: source, path and length of the vectors.
        words: those of all expressions at hand; what is not found stays out.

    Raises:
        DataError: a source that is missing, damaged, or of vectors of another length.
    """
    return SOURCES[config.source](config, words)


def hash_vector(word: str, dim: int) -> Vector:
    """A fixed pseudo-random vector, the same on every machine.

    The first 4 * dim bytes of SHAKE-256 over the UTF-8 spelling, read as little-endian 32-bit integers u; each value is
    (u / 2^32 - 1/2) * sqrt(12): uniform, with mean 0 and variance 1.

    Returns:
        (dim,) float32.
    """
    integers = np.frombuffer(hashlib.shake_256(word.encode()).digest(4 * dim), "<u4")
    return ((integers.astype(np.float64) / 2**32 - 0.5) * math.sqrt(12)).astype(np.float32)


def load_vectors(path: Path) -> WordVectors:
    """Reads a compact file.

    Raises:
        DataError: missing, a directory, damaged, not of this form, or of a newer format.
    """
    try:
        with _open(path) as file, np.load(file, allow_pickle=False) as arrays:
            version, vectors, source = int(arrays["format"]), arrays["vectors"], str(arrays["source"])
            text = arrays["words"].tobytes().decode()
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever a damaged file provokes
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"{path} is no whole file of word vectors in our own form: {reason}.") from None
    if version > FORMAT:
        raise DataError(f"{path} is of format {version}, but this version of vlt reads up to {FORMAT}; upgrade it.")
    table = WordVectors(tuple(text.split("\n")) if text else (), vectors, source)
    if vectors.ndim != 2 or vectors.dtype not in (np.float16, np.float32) or len(vectors) != len(table.words):
        raise DataError(
            f"{path} holds {len(table.words)} words but vectors of shape {vectors.shape} and type {vectors.dtype}."
        )
    if not np.isfinite(vectors).all():
        raise DataError(f"{path} holds word vectors that are not finite.")
    return table


# ---------------------------------------------------------------- sources


def _from_hash(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Only words of the expressions are known: others could not have been learnt."""
    known = sorted({list(spellings_of(word))[-1] for word in words})
    return _table({word: hash_vector(word, config.dim) for word in known}, config, "hash")


def _from_file(config: WordsConfig, words: Collection[str]) -> WordVectors:
    path = Path(str(config.path))
    table = load_vectors(path)
    _refuse_dim(f"{path}", table.dim, config.dim)
    wanted = _wanted(words)
    rows = [row for row, word in enumerate(table.words) if row < FREQUENT or word in wanted]
    return WordVectors(
        tuple(table.words[row] for row in rows), table.vectors[rows], f"file {path.name}: {table.source}"
    )


def _from_text(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """GloVe's or fastText's text: a word and its values a line, most frequent first; of a word twice, the first."""
    path = Path(str(config.path))
    wanted, kept = _wanted(words), dict[str, Vector]()
    for count, (number, spelling, values) in enumerate(_text_lines(path, config.dim)):
        word = spelling.decode(errors="replace")
        if (count < FREQUENT or word in wanted) and word not in kept and not re.search(r"\s", word):
            kept[word] = _parse_values(values, f"{path}, line {number}")
    return _table(kept, config, f"text {path.name}")


def _from_spacy(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Each word as a little document of its own: the mean of its parts' vectors, as in the original."""
    model = _load_spacy(str(config.path))
    _refuse_dim(f"The spaCy model {config.path}", model.vocab.vectors_length, config.dim)
    rows: dict[int, int] = model.vocab.vectors.key2row  # rows are in the order of the file they were made from
    frequent = sorted((key for key in rows if key in model.vocab.strings), key=lambda key: rows[key])[:FREQUENT]
    candidates = [*sorted(words), *(model.vocab.strings[key] for key in frequent)]
    found = {word: model.make_doc(word).vector for word in candidates if len(word.split()) == 1}
    return _table({word: vector for word, vector in found.items() if vector.any()}, config, f"spacy {config.path}")


SOURCES: dict[str, Callable[[WordsConfig, Collection[str]], WordVectors]] = {
    "hash": _from_hash,
    "file": _from_file,
    "text": _from_text,
    "spacy": _from_spacy,
}


def _table(vectors: Mapping[str, Vector], config: WordsConfig, source: str) -> WordVectors:
    values = np.array(list(vectors.values()), np.float32).reshape(len(vectors), config.dim)
    return WordVectors(tuple(vectors), values, source)


def _wanted(words: Collection[str]) -> set[str]:
    """Every spelling that looking up `words` may ask for."""
    return {spelling for word in words for part in (word, *parts_of(word)) for spelling in spellings_of(part)}


def _text_lines(path: Path, dim: int) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """The line number, word and `dim` values of each line of a text file, fastText's header line checked and left out.

    Words may contain spaces: values are counted from the end. Lines without anything are passed over.
    """
    announced, count = None, 0
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            fields = line.split()  # at ASCII white space only, as other white space may be part of a word
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                announced = int(fields[0])
                _refuse_dim(f"{path}, line 1", int(fields[1]), dim)
            elif fields:
                _refuse_dim(f"{path}, line {number}", _count_values(fields, dim), dim)
                count += 1
                yield number, b" ".join(fields[:-dim]), fields[-dim:]
    if not count or announced not in (None, count):
        raise DataError(
            f"{path} holds {count} words{f', but announces {announced}' if announced else ''}; get it whole."
        )


def _count_values(fields: list[bytes], dim: int) -> int:
    """How many values a line has; more fields than `dim` are words with spaces unless they look like values."""
    if len(fields) <= dim + 1 or not re.fullmatch(rb"-?\d+\.\d+(e-?\d+)?", fields[-dim - 1]):
        return min(len(fields) - 1, dim)
    return len(fields) - 1


def _parse_values(values: list[bytes], where: str) -> Vector:
    try:
        vector = np.array([float(value) for value in values], np.float32)
    except ValueError:
        raise DataError(f"{where}: a value is no number; get the file whole.") from None
    if not np.isfinite(vector).all():
        raise DataError(f"{where}: a value is not finite; get the file whole.")
    return vector


def _refuse_dim(where: str, found: int, dim: int) -> None:
    if found != dim:
        raise DataError(
            f"{where} has vectors of {found} values, but words.dim is {dim}; set it to fit, or get the source whole."
        )


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"There is no file of word vectors {path}; check words.path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory, not a file of word vectors; name the file inside it.") from None
    except OSError as error:
        raise DataError(f"The file of word vectors {path} cannot be read: {error.strerror}.") from None


def _load_spacy(name: str) -> Any:
    try:
        import spacy  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError:
        raise DataError(
            "Word vectors from spaCy need the package spacy: install it (`pip install vlt[spacy]`), or choose another "
            "words.source."
        ) from None
    try:
        return spacy.load(name)
    except OSError:
        raise DataError(
            f"spaCy has no model {name!r}: install it (`python -m spacy download {name}`), or give the path of its "
            "folder as words.path."
        ) from None
