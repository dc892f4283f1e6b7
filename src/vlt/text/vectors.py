"""Word vectors: their sources, looking up a word in a vocabulary, and the compact file that checkpoints contain."""

from __future__ import annotations

import codecs
import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from vlt.config.model import WordsConfig
from vlt.errors import DataError

Vector: TypeAlias = npt.NDArray[np.float32]

FORMAT = 1
"""Version of the compact file format; files of newer versions are refused."""

FREQUENT = 20_000
"""Number of a source's first words, which are its most frequent ones, that are kept besides those of the expressions,
because users will write words that no training expression has."""

VALUE = re.compile(rb"-?\d+\.\d+(e-?\d+)?")
"""Pattern of a value of a word vector in a text file."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vocabulary and the vector of each of its words.

    Attributes:
        words: without white space, each once.
        vectors: (N, D) float16 or float32, one row per word.
        source: description of the origin of the vectors.
    """

    words: tuple[str, ...]
    vectors: npt.NDArray[np.floating[Any]]
    source: str

    @classmethod
    def from_mapping(cls, vectors: Mapping[str, Vector], dim: int, source: str) -> WordVectors:
        """Stack the vectors, (dim,) float32 each, of a mapping from words, which may be empty."""
        return cls(tuple(vectors), np.array(list(vectors.values()), np.float32).reshape(len(vectors), dim), source)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def rows(self) -> dict[str, int]:
        """Index of each word in `words` and `vectors`."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over words, type, shape and values, in hexadecimal; equal for equal vocabularies."""
        digest = hashlib.sha256(f"{self.vectors.dtype.str} {self.vectors.shape}\n".encode())
        digest.update("\n".join(self.words).encode())
        digest.update(np.ascontiguousarray(self.vectors).tobytes())
        return digest.hexdigest()

    def find(self, word: str) -> Vector | None:
        """Look up the vector of a word.

        The spellings of the word (`spellings_of`) are tried in order. A word without a vector of its own gets the mean
        of its parts ("man's": man, 's), in which unknown parts count as zero, as in spaCy.

        Returns:
            (D,) float32; None if the word is unknown.
        """
        for parts in ([word], parts_of(word)):
            spellings = [[each for each in spellings_of(part) if each in self.rows] for part in parts]
            known = [self.rows[some[0]] for some in spellings if some]
            if known:
                mean: Vector = self.vectors[known].sum(axis=0, dtype=np.float32) / np.float32(len(parts))
                return mean
        return None

    def save(self, path: Path) -> None:
        """Write the compact file: numpy's .npz with `format`, `words` (UTF-8, one per line), `vectors` and `source`."""
        words = np.frombuffer("\n".join(self.words).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, format=FORMAT, words=words, vectors=self.vectors, source=np.array(self.source))


@lru_cache(maxsize=4096)  # training reads the same words again and again
def spellings_of(word: str) -> tuple[str, ...]:
    """List the spellings under which a word is looked up: as it is, in lower case, then both without punctuation.

    Example:
        >>> spellings_of("Dog,")
        ('Dog,', 'dog,', 'Dog', 'dog')
    """
    bare = word.strip("".join(character for character in word if unicodedata.category(character)[0] in "PS"))
    return tuple(dict.fromkeys(spelling for spelling in (word, word.lower(), bare, bare.lower()) if spelling))


def parts_of(word: str) -> list[str]:
    """Split a compound word into its parts.

    Example:
        >>> parts_of("man's"), parts_of("left-most/blue")
        (['man', "'s"], ['left', 'most', 'blue'])
    """
    return re.findall(r"\b'\w+|\w+", word)


def lookup_spellings(words: Iterable[str]) -> set[str]:
    """Collect every spelling under which `WordVectors.find` looks up one of `words` or one of their parts."""
    return {spelling for word in words for part in (word, *parts_of(word)) for spelling in spellings_of(part)}


def read_vectors(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Read the vectors of `words`, and of the `FREQUENT` first words of the source, from the configured source.

    Args:
        config: source, path and length of the vectors.
        words: the words of all expressions; those without a vector are left out.

    Raises:
        DataError: the source is missing, damaged, or has vectors of another length.
    """
    return SOURCES[config.source](config, words)


def hash_vector(word: str, dim: int) -> Vector:
    """Compute a fixed pseudo-random vector of a word, the same on every machine.

    The first 4 * dim bytes of SHAKE-256 over the UTF-8 spelling, read as little-endian 32-bit integers u; each value is
    (u / 2^32 - 1/2) * sqrt(12): uniform, with mean 0 and variance 1.

    Returns:
        (dim,) float32.
    """
    integers = np.frombuffer(hashlib.shake_256(word.encode()).digest(4 * dim), "<u4")
    return ((integers.astype(np.float64) / 2**32 - 0.5) * math.sqrt(12)).astype(np.float32)


def load_vectors(path: Path) -> WordVectors:
    """Read a compact file, as `WordVectors.save` writes it.

    Raises:
        DataError: missing, a directory, damaged, of another format, or of a newer version of it.
    """
    try:
        with _open(path) as file, np.load(file, allow_pickle=False) as arrays:
            version, vectors, source = int(arrays["format"]), arrays["vectors"], str(arrays["source"])
            text = arrays["words"].tobytes().decode()
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever a damaged file provokes
        reason = str(error).split(". ")[0].rstrip(".") or type(error).__name__  # the rest is numpy's advice
        raise DataError(f"{path} is not a complete file of word vectors in vlt's compact format: {reason}.") from None
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


def hash_vectors(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Make the hash vectors of `words` in lower case without punctuation; no other word could have been trained."""
    known = sorted({spellings_of(word)[-1] for word in words})
    return WordVectors.from_mapping({word: hash_vector(word, config.dim) for word in known}, config.dim, "hash")


def file_vectors(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Read a compact file; of its words, the first ones and those that looking up `words` can use."""
    path = Path(str(config.path))
    table = load_vectors(path)
    _check_dim(f"{path}", table.dim, config.dim)
    wanted = lookup_spellings(words)
    rows = [row for row, word in enumerate(table.words) if row < FREQUENT or word in wanted]
    kept = tuple(table.words[row] for row in rows)
    return WordVectors(kept, table.vectors[rows], f"file {path.name}: {table.source}")


def text_vectors(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Read GloVe's or fastText's text: one line per word with its values, the most frequent word first.

    The file may begin with a byte-order mark and with fastText's header, which is checked. Values are counted from the
    end of a line, since words may contain spaces; such words are left out, because expressions are split there. Of a
    word that occurs twice, the first is kept.

    Raises:
        DataError: a line has another number of values or a value that is not a finite number, or lines are missing.
    """
    path, dim = Path(str(config.path)), config.dim
    wanted, kept = lookup_spellings(words), dict[str, Vector]()
    announced, count = None, 0
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            # Split at ASCII white space only, since other white space may be part of a word.
            fields = line.removeprefix(codecs.BOM_UTF8).split() if number == 1 else line.split()
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                announced = int(fields[0])
                _check_dim(where, int(fields[1]), dim)
                continue
            if not fields:
                continue
            found = len(fields) - 1
            if found > dim and not VALUE.fullmatch(fields[-dim - 1]):
                found = dim  # the fields before the values are a word with spaces
            _check_dim(where, found, dim)
            word = b" ".join(fields[:-dim]).decode(errors="replace")
            if (count < FREQUENT or word in wanted) and word not in kept and not re.search(r"\s", word):
                try:
                    kept[word] = np.array([float(value) for value in fields[-dim:]], np.float32)
                except ValueError:
                    raise DataError(f"{where}: a value is not a number; download the file again.") from None
                if not np.isfinite(kept[word]).all():
                    raise DataError(f"{where}: a value is not finite; download the file again.")
            count += 1
    if not count or announced not in (None, count):
        but = f", but announces {announced}" if announced else ""
        raise DataError(f"{path} holds {count} words{but}; download it again.")
    return WordVectors.from_mapping(kept, dim, f"text {path.name}")


def spacy_vectors(config: WordsConfig, words: Collection[str]) -> WordVectors:
    """Take the vectors of a spaCy model: of each word as a document, the mean of its tokens, as in the original.

    Raises:
        DataError: spaCy or the model is not installed, or its vectors have another length.
    """
    name = str(config.path)
    try:
        import spacy  # noqa: PLC0415 - an optional extra, and slow to import

        model = spacy.load(name)
    except ImportError:
        raise DataError(
            "Word vectors from spaCy need the package spacy: install it (`pip install vlt[spacy]`), or choose another "
            "words.source."
        ) from None
    except OSError:
        raise DataError(
            f"spaCy has no model {name!r}: install it (`python -m spacy download {name}`), or give the path of its "
            "folder as words.path."
        ) from None
    _check_dim(f"The spaCy model {name}", model.vocab.vectors_length, config.dim)
    rows: dict[int, int] = model.vocab.vectors.key2row  # rows have the order of the file they were made from
    frequent = sorted((key for key in rows if key in model.vocab.strings), key=lambda key: rows[key])[:FREQUENT]
    candidates = [*sorted(words), *(model.vocab.strings[key] for key in frequent)]
    found = {word: model.make_doc(word).vector for word in candidates if len(word.split()) == 1}
    known = {word: vector for word, vector in found.items() if vector.any()}
    return WordVectors.from_mapping(known, config.dim, f"spacy {name}")


SOURCES: dict[str, Callable[[WordsConfig, Collection[str]], WordVectors]] = {
    "hash": hash_vectors,
    "file": file_vectors,
    "text": text_vectors,
    "spacy": spacy_vectors,
}
"""Reader of each `words.source`."""


def _check_dim(where: str, found: int, dim: int) -> None:
    """Refuse vectors of another length than configured."""
    if found != dim:
        raise DataError(
            f"{where} has vectors of {found} values, but words.dim is {dim}; set words.dim to fit, or download the "
            "source again."
        )


def _open(path: Path) -> BinaryIO:
    """Open a file of word vectors for reading.

    Raises:
        DataError: missing, a directory, or not readable.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"There is no file of word vectors {path}; check words.path.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory, not a file of word vectors; name the file inside it.") from None
    except OSError as error:
        raise DataError(f"The file of word vectors {path} cannot be read: {error.strerror}.") from None
