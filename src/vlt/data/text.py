"""Expressions to words: vectors for recurrent encoders, token ids for BERT-family ones, and what could not be read."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
import transformers
from torch import Tensor

from vlt.config import BertConfig, ReferenceConfig
from vlt.data.vectors import WordVectors, load_vectors, read_vectors
from vlt.errors import CheckpointError, ConfigError, DataError, InputError, VLTWarning

if TYPE_CHECKING:
    from vlt.config import ModelConfig, WordsConfig

VOCABULARY_FILE = "vocabulary.npz"
TOKENIZER_FOLDER = "tokenizer"

MASK_WORD = "▢"
"""Nobody's word: no vocabulary of word vectors has it."""

NAMED = 10
"""How many unknown words a warning names."""


class Words(NamedTuple):
    """An expression as the model reads it.

    Attributes:
        values: (T,) int64 token ids or (T, D) float32 vectors; 1 <= T <= the reader's `max_words`.
        unknown: the words, as spelled, that the vocabulary has nothing for; each once.
        cut: how many words at the end were not read whole because T has its limit.
    """

    values: Tensor
    unknown: tuple[str, ...]
    cut: int


class TextReader(Protocol):
    """Reads expressions, and travels with the weights that were trained on what it reads."""

    @property
    def max_words(self) -> int:
        """The largest T."""
        ...

    @property
    def mask_word(self) -> str:
        """What stands in an expression for a word that is hidden from the network.

        Raises:
            ConfigError: a tokenizer that knows no such thing.
        """
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal; another one means another vocabulary, which the weights do not understand."""
        ...

    def __call__(self, expression: str) -> Words:
        """Reads one expression.

        Raises:
            InputError: no text, blank, or not encodable as UTF-8.
        """
        ...

    def save(self, folder: Path) -> None:
        """Writes everything that `load_text` needs into an existing folder.

        Raises:
            OSError: the folder cannot be written to.
        """
        ...


class VectorReader:
    """Words split at white space, as in the original, to vectors; unknown words to the zero vector, as in spaCy."""

    def __init__(self, vectors: WordVectors, *, max_words: int) -> None:
        self.vectors = vectors
        self.max_words = max_words

    @property
    def mask_word(self) -> str:
        """A word without a vector, which is read as zeros."""
        return MASK_WORD

    @property
    def fingerprint(self) -> str:
        """Of the words and their vectors."""
        return self.vectors.fingerprint

    def __call__(self, expression: str) -> Words:
        """Reads one expression; see `TextReader`.

        Raises:
            InputError: also where the vocabulary is empty, since every answer would then be about nothing.
        """
        words = _split(expression)
        if not self.vectors.words:
            raise InputError(
                "The checkpoint's vocabulary is empty, since it was converted without word vectors; convert it again "
                "with --set model.words.source=text --set model.words.path=VECTORS.txt."
            )
        read = words[: self.max_words]
        found = {word: self.vectors.find(word) for word in read}
        zero = np.zeros(self.vectors.dim, np.float32)
        values = np.stack([zero if (vector := found[word]) is None else vector for word in read])
        unknown = tuple(word for word, vector in found.items() if vector is None)
        return Words(torch.from_numpy(values), unknown, len(words) - len(read))

    def save(self, folder: Path) -> None:
        """Writes the vocabulary as one compact file."""
        self.vectors.save(folder / VOCABULARY_FILE)


class TokenReader:
    """Expressions to the token ids of a `transformers` tokenizer, special tokens included."""

    def __init__(self, tokenizer: Any, *, max_words: int) -> None:
        """Takes a fast tokenizer.

        Raises:
            ConfigError: a tokenizer without the fast implementation, or `max_words` too small or too large for it.
        """
        self.tokenizer = tokenizer
        self.max_words = max_words
        self._refuse_unfit()
        # A copy of its own, set once: setting truncation call by call is not safe to do in several threads.
        self._encoder = copy.deepcopy(tokenizer.backend_tokenizer)
        self._encoder.no_padding()
        self._encoder.enable_truncation(max_words)

    @property
    def mask_word(self) -> str:
        """The tokenizer's own."""
        if self.tokenizer.mask_token is None:
            raise ConfigError(
                f"loss.contrast masks words, but {type(self.tokenizer).__name__} has no mask token; choose another "
                "tokenizer, or set loss.contrast.mask_ratio to 0."
            )
        return str(self.tokenizer.mask_token)

    @property
    def fingerprint(self) -> str:
        """Of everything that decides which ids a text becomes."""
        rules = json.loads(self.tokenizer.backend_tokenizer.to_str())
        rules.update(truncation=None, padding=None)
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    def __call__(self, expression: str) -> Words:
        """Reads one expression; see `TextReader`. A word is unknown if one of its pieces is, or if it has none."""
        words = _split(expression)
        encoding = self._encoder.encode(" ".join(words))
        ends = [end - 1 for end in accumulate(len(word) + 1 for word in words)]
        read_to = max(end for _, end in encoding.offsets) if encoding.overflowing else ends[-1]
        unknown_id = self.tokenizer.unk_token_id
        unknown = dict.fromkeys(
            word
            for word, end, ids in zip(words, ends, _pieces_per_word(encoding, ends), strict=True)
            if end - len(word) < read_to and (unknown_id in ids or not ids)
        )
        cut = sum(end > read_to for end in ends)
        return Words(torch.tensor(encoding.ids, dtype=torch.int64), tuple(unknown), cut)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer as `transformers` does, into a folder of its own."""
        self.tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)

    def _refuse_unfit(self) -> None:
        if not self.tokenizer.is_fast:
            raise ConfigError(f"{type(self.tokenizer).__name__} has no fast implementation; choose another tokenizer.")
        special, longest = self.tokenizer.num_special_tokens_to_add(), self.tokenizer.model_max_length
        given = f"model.max_words is {self.max_words}"
        if self.max_words <= special:
            raise ConfigError(f"{given}, but the tokenizer's own tokens take {special}; choose a larger one.")
        if self.max_words > longest:
            raise ConfigError(f"{given}, but the tokenizer is made for {longest} tokens; choose at most that.")


def build_text(config: ModelConfig, expressions: Iterable[str]) -> TextReader:
    """Makes the reader that a network is trained with, from spaCy, GloVe, fastText, a compact file or a tokenizer.

    Warns once, with a count, of words of `expressions` that it does not know.

    Args:
        config: of the network.
        expressions: all that will be trained on and asked on the way; the vocabulary keeps their words, since one
            that training never saw may have a vector that means something. Blank ones count for nothing.

    Raises:
        DataError: word vectors that are missing, damaged or of another length than configured.
        InputError: an expression that is no valid text.
        CheckpointError: a tokenizer that cannot be loaded.
        ConfigError: `model.max_words` does not fit the tokenizer.
    """
    words = sorted({word for expression in expressions if expression.strip() for word in _split(expression)})
    source = _source(config)
    reader: TextReader
    if isinstance(source, BertConfig):
        tokenizer = _load_tokenizer(str(source.tokenizer or source.pretrained))
        reader = TokenReader(tokenizer, max_words=config.max_words)
    else:
        reader = VectorReader(read_vectors(source, words), max_words=config.max_words)
    _warn_about_vocabulary(reader, words)
    return reader


def load_text(config: ModelConfig, folder: Path) -> TextReader:
    """Reads back what `TextReader.save` wrote; needs nothing else, neither spaCy nor a network.

    Raises:
        CheckpointError: missing or damaged, or of another length than configured.
        ConfigError: `model.max_words` does not fit the tokenizer.
    """
    source = _source(config)
    if isinstance(source, BertConfig):
        tokenizer = _load_tokenizer(str(folder / TOKENIZER_FOLDER), local_files_only=True)
        return TokenReader(tokenizer, max_words=config.max_words)
    try:
        vectors = load_vectors(folder / VOCABULARY_FILE)
    except DataError as error:
        raise CheckpointError(f"The checkpoint's vocabulary cannot be read: {error}") from None
    if vectors.dim != source.dim:
        raise CheckpointError(
            f"{folder / VOCABULARY_FILE} has vectors of {vectors.dim} values, but the checkpoint's words.dim is "
            f"{source.dim}; the vocabulary belongs to other weights."
        )
    return VectorReader(vectors, max_words=config.max_words)


def warn_about(expression: str, words: Words, max_words: int) -> None:
    """Warns if not all of an expression was read, or not all of it understood.

    Args:
        expression: as asked.
        words: as read.
        max_words: the reader's.
    """
    if words.cut:
        message = (
            f"The expression has {len(expression.split())} words and was cut at model.max_words, {max_words} words or "
            f"word pieces: its last {words.cut} were not read."
        )
        warnings.warn(VLTWarning(message), stacklevel=3)
    if words.unknown:
        message = f"The model does not know {_names(words.unknown)}, and reads nothing there; other words may help."
        warnings.warn(VLTWarning(message), stacklevel=3)


def _warn_about_vocabulary(reader: TextReader, words: Sequence[str]) -> None:
    unknown = [word for word in words if reader(word).unknown]
    if unknown:
        message = f"{len(unknown)} of the {len(words)} words of the expressions are unknown: {_names(unknown)}."
        warnings.warn(VLTWarning(message), stacklevel=3)


def _names(words: Sequence[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(repr(word) for word in words[:NAMED]) + more


def _source(config: ModelConfig) -> WordsConfig | BertConfig:
    """Where words come from: vectors or a tokenizer."""
    if isinstance(config, ReferenceConfig):
        return config.words
    return config.language if isinstance(config.language, BertConfig) else config.language.words


def _split(expression: str) -> list[str]:
    """The words of an expression, at least one."""
    if not isinstance(expression, str):
        raise InputError(f"An expression is text, not {type(expression).__name__}.")
    words = expression.split()
    if not words:
        raise InputError("The expression is empty or blank; say what is meant, such as 'the left dog'.")
    try:
        expression.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The expression is no valid text: character {error.start} stands for a broken byte."
        ) from None
    return words


def _pieces_per_word(encoding: Any, ends: Sequence[int]) -> list[list[int]]:
    """The ids that each word became, special tokens left out; words are given by where they end."""
    pieces: list[list[int]] = [[] for _ in ends]
    for token_id, (start, end), special in zip(
        encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True
    ):
        if end > start and not special:
            pieces[bisect_left(ends, end)].append(token_id)
    return pieces


def _load_tokenizer(name: str, **options: bool) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:  # transformers and tokenizers raise whatever a damaged folder provokes
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        where = "" if Path(name).is_dir() else " (there is no such folder)"
        raise CheckpointError(f"The tokenizer {name}{where} cannot be loaded: {reason}.") from None
