"""Expressions to words: word vectors for recurrent encoders, token ids for BERT-family ones. Needs no torch.

A reader is saved with every checkpoint, so that words are always read as during training.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from vlt.config.model import BertConfig, ModelConfig, ReferenceConfig, WordsConfig
from vlt.errors import CheckpointError, ConfigError, DataError, InputError, VLTWarning, reason
from vlt.files import read_text, resolve_source
from vlt.text.vectors import WordVectors, load_vectors, read_vectors
from vlt.text.words import Words, is_visible, list_words, split_words

VOCABULARY_FILE = "vocabulary.npz"
TOKENIZER_FOLDER = "tokenizer"
TOKENIZER_FILE, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"

MASK_WORD = "▢"
"""Mask word of readers of word vectors; no vocabulary has it, so it is read as zeros."""


class TextReader(Protocol):
    """Turns expressions into words, and is saved with the weights that were trained on them."""

    @property
    def max_words(self) -> int:
        """The largest T."""
        ...

    @property
    def mask_word(self) -> str:
        """The word that replaces a masked word of an expression while training.

        Raises:
            ConfigError: the tokenizer has no mask token.
        """
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the vocabulary in hexadecimal; weights fit one fingerprint only."""
        ...

    def __call__(self, expression: str) -> Words:
        """Read one expression.

        Raises:
            InputError: not text, blank, invisible, or not encodable as UTF-8.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write everything that `load_text` needs into an existing folder.

        Raises:
            OSError: the folder cannot be written to.
        """
        ...


class VectorReader:
    """Reads words, split at white space, as word vectors; unknown words as the zero vector, as spaCy does.

    Args:
        vectors: vocabulary and vectors.
        max_words: the largest T.
    """

    def __init__(self, vectors: WordVectors, *, max_words: int) -> None:
        self.vectors = vectors
        self.max_words = max_words

    @property
    def mask_word(self) -> str:
        """A word without a vector, which is read as zeros."""
        return MASK_WORD

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the words and their vectors."""
        return self.vectors.fingerprint

    def __call__(self, expression: str) -> Words:
        """Read one expression; see `TextReader`.

        Raises:
            InputError: also where the vocabulary is empty, since every prediction would be meaningless.
        """
        words = split_words(expression)
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
        return Words(values, unknown, len(words) - len(read))

    def save(self, folder: Path) -> None:
        """Write the vocabulary as one compact file."""
        self.vectors.save(folder / VOCABULARY_FILE)


class TokenReader:
    """Reads expressions as the token ids of a tokenizer, special tokens included.

    Args:
        tokenizer: tokenizer of the `tokenizers` library; copied, so that its truncation can be set once for all
            threads.
        settings: what its tokenizer_config.json says: `mask_token`, `unk_token` and `model_max_length` are used.
        max_words: the largest T.

    Raises:
        ConfigError: `max_words` is too small or too large for the tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer, settings: Mapping[str, Any], *, max_words: int) -> None:
        special, longest = tokenizer.num_special_tokens_to_add(False), settings.get("model_max_length") or max_words
        if max_words <= special:
            raise ConfigError(
                f"model.max_words is {max_words}, but the special tokens take {special}; choose a larger number."
            )
        if max_words > longest:
            raise ConfigError(
                f"model.max_words is {max_words}, but the tokenizer is made for {longest} tokens; choose at most that."
            )
        self.settings = dict(settings)
        self.max_words = max_words
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_words)

    @classmethod
    def read(cls, folder: Path, *, max_words: int) -> TokenReader:
        """Read a folder with tokenizer.json and tokenizer_config.json.

        Raises:
            CheckpointError: a file is missing or damaged.
            ConfigError: `max_words` does not fit the tokenizer.
        """
        try:
            tokenizer = Tokenizer.from_str(read_text(folder / TOKENIZER_FILE))
            settings = dict(json.loads(read_text(folder / TOKENIZER_CONFIG)))
        except Exception as error:  # tokenizers raises plain exceptions for damaged files
            where = "" if folder.is_dir() else " (there is no such folder)"
            raise CheckpointError(f"The tokenizer {folder}{where} cannot be loaded: {reason(error)}.") from None
        return cls(tokenizer, settings, max_words=max_words)

    @property
    def mask_word(self) -> str:
        """The tokenizer's mask token."""
        token = self.special_token("mask_token")
        if token is None:
            raise ConfigError(
                "loss.contrast masks words, but the tokenizer has no mask token; choose another tokenizer, or set "
                "loss.contrast.mask_ratio to 0."
            )
        return token

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides which ids a text becomes."""
        rules = json.loads(self.tokenizer.to_str())
        rules.update(truncation=None, padding=None)
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    def special_token(self, name: str) -> str | None:
        """Look up a special token such as "unk_token" in the settings; None where there is none."""
        token = self.settings.get(name)
        return token.get("content") if isinstance(token, Mapping) else token

    def __call__(self, expression: str) -> Words:
        """Read one expression; see `TextReader`. A word is unknown if one of its pieces is, or if it has none."""
        words = split_words(expression)
        encoding = self.tokenizer.encode(" ".join(words))
        ends = [end - 1 for end in accumulate(len(word) + 1 for word in words)]
        pieces: list[list[int]] = [[] for _ in words]  # ids of each word, without special tokens
        for token, (start, end), special in zip(
            encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True
        ):
            if end > start and not special:
                pieces[bisect_left(ends, end)].append(token)
        read_to = max(end for _, end in encoding.offsets) if encoding.overflowing else ends[-1]
        unk_token = self.special_token("unk_token")
        unknown_id = None if unk_token is None else self.tokenizer.token_to_id(unk_token)
        unknown = dict.fromkeys(
            word
            for word, end, ids in zip(words, ends, pieces, strict=True)
            if end - len(word) < read_to and (unknown_id in ids or not ids)
        )
        cut = sum(end > read_to for end in ends)
        return Words(np.asarray(encoding.ids, dtype=np.int64), tuple(unknown), cut)

    def save(self, folder: Path) -> None:
        """Write the tokenizer into a folder of its own, in the form that `transformers` reads, too."""
        target = folder / TOKENIZER_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        plain = Tokenizer.from_str(self.tokenizer.to_str())
        plain.no_truncation()
        (target / TOKENIZER_FILE).write_text(plain.to_str(pretty=True), encoding="utf-8")
        settings = json.dumps(self.settings, indent=2, sort_keys=True, ensure_ascii=False)
        (target / TOKENIZER_CONFIG).write_text(settings + "\n", encoding="utf-8")


def build_text(config: ModelConfig, expressions: Iterable[str]) -> TextReader:
    """Make the reader that a network is trained with, from spaCy, GloVe, fastText, a compact file or a tokenizer.

    Warns once, with a count, of words of `expressions` that it does not know.

    Args:
        config: configuration of the network.
        expressions: those of the training and the validation split; blank ones are ignored. The vocabulary keeps all
            their words, since a word without training may still have a meaningful vector.

    Raises:
        DataError: word vectors that are missing, damaged or of another length than configured.
        InputError: an expression that is not valid text.
        CheckpointError: a tokenizer that cannot be loaded.
        ConfigError: `model.max_words` does not fit the tokenizer.
    """
    words = sorted({word for expression in expressions if is_visible(expression) for word in split_words(expression)})
    source = word_source(config)
    reader: TextReader
    if isinstance(source, BertConfig):
        reader = read_pretrained_tokenizer(str(source.tokenizer or source.pretrained), max_words=config.max_words)
    else:
        reader = VectorReader(read_vectors(source, words), max_words=config.max_words)
    unknown = [word for word in words if reader(word).unknown]
    if unknown:
        message = f"{len(unknown)} of the {len(words)} words of the expressions are unknown: {list_words(unknown)}."
        warnings.warn(VLTWarning(message), stacklevel=2)
    return reader


def load_text(config: ModelConfig, folder: Path) -> TextReader:
    """Read back what `TextReader.save` wrote; needs neither spaCy nor transformers nor a network connection.

    Raises:
        CheckpointError: missing or damaged, or of another length than configured.
        ConfigError: `model.max_words` does not fit the tokenizer.
    """
    source = word_source(config)
    if isinstance(source, BertConfig):
        return TokenReader.read(folder / TOKENIZER_FOLDER, max_words=config.max_words)
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


def read_pretrained_tokenizer(name: str, *, max_words: int) -> TokenReader:
    """Read any tokenizer that `transformers` knows, from a folder or a hub.

    Args:
        name: a folder, or `hf:OWNER/NAME` for one of the hub; see `vlt.files.resolve_source`.
        max_words: the largest T.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: it has no fast implementation, or `max_words` does not fit it.
    """
    import transformers  # noqa: PLC0415 (only training needs it, and it is slow to import)

    source = resolve_source(name)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    except Exception as error:  # transformers and tokenizers raise whatever a damaged folder provokes
        raise CheckpointError(f"The tokenizer {name} cannot be loaded: {reason(error)}.") from None
    if not tokenizer.is_fast:
        raise ConfigError(f"{type(tokenizer).__name__} has no fast implementation; choose another tokenizer.")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return TokenReader.read(Path(folder), max_words=max_words)


def padded_length(config: ModelConfig) -> int | None:
    """Return the length to which a network needs expressions padded; None: any length.

    It is `max_words` for networks that do not mask padding, whose predictions would otherwise depend on the other
    expressions of the batch.
    """
    sees_padding = isinstance(config, ReferenceConfig) or not config.mask_padding
    return config.max_words if sees_padding else None


def word_source(config: ModelConfig) -> WordsConfig | BertConfig:
    """Return the section of a network's configuration that configures its words: word vectors or a tokenizer."""
    if isinstance(config, ReferenceConfig):
        return config.words
    return config.language if isinstance(config.language, BertConfig) else config.language.words
