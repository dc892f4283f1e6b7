"""Expressions to words: values, cut and unknown words, errors, padding, and readers saved and loaded again."""

import json
import pickle
import shutil
import string
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from vlt.checkpoint.directory import SHIPPED
from vlt.config import ReferenceConfig, VLTConfig
from vlt.errors import CheckpointError, ConfigError, DataError, InputError, VLTWarning
from vlt.text.reader import (
    TOKENIZER_FOLDER,
    TokenReader,
    VectorReader,
    build_text,
    load_text,
    padded_length,
    read_pretrained_tokenizer,
)
from vlt.text.spelling import SpellingWarning
from vlt.text.vectors import WordVectors
from vlt.text.words import Words, pad_words, split_words, warn_about

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "left", "dog", "##s", "man", "'", "s", "red", ",", "on"]
ID = {piece: index for index, piece in enumerate(PIECES)}
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def is_readable(text: str) -> bool:
    try:
        return bool(split_words(text))
    except InputError:
        return False


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(is_readable)


def word_piece() -> transformers.BertTokenizer:
    return transformers.BertTokenizer(vocab=dict(ID), model_max_length=64)


def byte_level() -> transformers.RobertaTokenizer:
    """A tokenizer without unknown words: every byte is a piece."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: index for index, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters])}
    return transformers.RobertaTokenizer(vocab=vocab, merges=[], model_max_length=64)


def token_reader(tokenizer, *, max_words: int) -> TokenReader:
    """The reader of a `transformers` tokenizer, without a detour over files."""
    settings = {
        "mask_token": tokenizer.mask_token,
        "unk_token": tokenizer.unk_token,
        "model_max_length": tokenizer.model_max_length,
    }
    return TokenReader(tokenizer.backend_tokenizer, settings, max_words=max_words)


@pytest.fixture
def tokens() -> TokenReader:
    return token_reader(word_piece(), max_words=8)


@pytest.fixture
def vectors() -> VectorReader:
    table = WordVectors(("the", "left", "dog"), np.eye(3, 4, dtype=np.float32) + 1, "test")
    return VectorReader(table, max_words=4)


@pytest.fixture
def tokenizer_folder(tmp_path) -> str:
    word_piece().save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def bert_config(tokenizer: str, *, max_words: int = 8) -> VLTConfig:
    return VLTConfig(max_words=max_words, language={"name": "bert", "tokenizer": tokenizer})


def gru_config(**words) -> VLTConfig:
    return VLTConfig(max_words=5, language={"name": "gru", "words": words})


# ---------------------------------------------------------------- vectors


def test_words_are_split_at_white_space_and_looked_up(vectors):
    words = vectors("the  left\tDog,")
    assert words.values.dtype == np.float32
    np.testing.assert_array_equal(words.values, vectors.vectors.vectors)
    assert (words.unknown, words.cut) == ((), 0)


def test_unknown_words_are_zero_and_named_once_as_spelled(vectors):
    words = vectors("Zebra the Zebra 狗")
    assert words.unknown == ("Zebra", "狗")
    assert words.values.shape == (4, 4)
    assert not words.values[[0, 2, 3]].any()
    assert words.values[1].any()


def test_the_500th_word_is_cut_and_unknown_words_behind_the_cut_are_not_named(vectors):
    words = vectors("dog " * 499 + "zebra")
    assert words.values.shape == (4, 4)
    assert (words.unknown, words.cut) == ((), 496)


@given(TEXTS)
def test_any_text_becomes_words(text):
    reader = VectorReader(WordVectors(("a",), np.ones((1, 2), np.float32), "test"), max_words=6)
    words, spelled = reader(text), text.split()
    assert 1 <= len(words.values) == len(spelled) - words.cut <= 6
    assert set(words.unknown) <= set(spelled[:6])
    zero = (words.values == 0).all(axis=1).tolist()
    assert zero == [word in words.unknown for word in spelled[:6]]


# ---------------------------------------------------------------- tokens


def test_tokens_are_those_of_the_tokenizer(tokens):
    for expression in ("The dogs", "the man's  red\tdog", "red, left"):
        words = tokens(expression)
        assert words.values.tolist() == word_piece()(expression).input_ids
        assert words.values.dtype == np.int64
        assert (words.unknown, words.cut) == ((), 0)


def test_unknown_pieces_name_their_word(tokens):
    words = tokens("the 狗 zzz's dog 狗")
    assert words.unknown == ("狗", "zzz's")


def test_a_word_without_any_piece_is_unknown(tokens):
    assert tokens("\u200b red").unknown == ("\u200b",)


def test_long_expressions_are_cut_and_the_special_tokens_kept(tokens):
    words = tokens("the " * 499 + "狗")
    assert words.values.tolist() == [ID["[CLS]"], *[ID["the"]] * 6, ID["[SEP]"]]
    assert (words.unknown, words.cut) == ((), 494)


def test_a_word_read_in_part_counts_as_cut(tokens):
    words = tokens("the left red the left dogs red")  # the sixth of six pieces is dog, without its s
    assert words.values.tolist()[1:-1] == [ID[piece] for piece in ["the", "left", "red", "the", "left", "dog"]]
    assert words.cut == 2


def test_exactly_the_limit_is_not_cut(tokens):
    assert tokens("the left red the left dog").cut == 0
    assert len(tokens("the left red the left dog").values) == 8


@given(TEXTS, st.sampled_from([word_piece, byte_level]))
@settings(deadline=None, max_examples=150)
def test_any_text_becomes_tokens(text, tokenizer):
    reader = token_reader(tokenizer(), max_words=10)
    words, spelled = reader(text), text.split()
    whole = tokenizer()(" ".join(spelled), truncation=True, max_length=10).input_ids
    assert words.values.tolist() == whole
    assert 0 <= words.cut <= len(spelled)
    assert set(words.unknown) <= set(spelled)


@pytest.mark.parametrize("expression", ["The Dog, on the LEFT!", "THE DOG ON THE LEFT", '"the dog" on (the left)...'])
def test_case_and_punctuation_do_not_change_how_words_are_read(expression):
    """With the tokenizer of the package's model: the ids of the plain expression, but for those of punctuation."""
    reader = TokenReader.read(SHIPPED / TOKENIZER_FOLDER, max_words=24)
    marks = {reader.tokenizer.token_to_id(mark) for mark in string.punctuation}
    plain = reader("the dog on the left").values.tolist()
    assert not marks & set(plain)
    assert [token for token in reader(expression).values.tolist() if token not in marks] == plain
    assert reader(expression).unknown == ()


def test_byte_level_tokenizers_know_every_word():
    reader = token_reader(byte_level(), max_words=40)
    assert reader("the 狗 dog").unknown == ()
    assert reader(" the  狗 dog ").values.tolist() == reader("the 狗 dog").values.tolist()


def test_one_reader_serves_many_threads(tokens):
    expected, found = tokens("the red dogs").values.tolist(), []
    threads = [
        threading.Thread(target=lambda: found.extend(tokens("the red dogs").values.tolist() for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 400


@pytest.mark.parametrize(
    ("max_words", "part"),
    [(2, "model.max_words is 2, but the special tokens take 2"), (65, "is made for 64 tokens")],
)
def test_limits_that_do_not_fit_the_tokenizer(max_words, part):
    with pytest.raises(ConfigError, match=part):
        token_reader(word_piece(), max_words=max_words)


def test_a_tokenizer_without_the_fast_implementation(tmp_path, monkeypatch):
    class Slow:
        is_fast = False

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda _: Slow())
    with pytest.raises(ConfigError, match="Slow has no fast implementation"):
        read_pretrained_tokenizer(str(tmp_path), max_words=8)


def test_a_reader_does_not_change_the_tokenizer_it_was_made_of():
    tokenizer = word_piece()
    token_reader(tokenizer, max_words=4)
    assert tokenizer.backend_tokenizer.truncation is None


@pytest.mark.parametrize("mask_token", ["[MASK]", {"content": "[MASK]", "lstrip": True}])
def test_the_mask_word_is_the_tokenizers_own(mask_token):
    reader = TokenReader(word_piece().backend_tokenizer, {"mask_token": mask_token}, max_words=8)
    assert reader.mask_word == "[MASK]"
    assert reader("the [MASK] dog").values.tolist()[1:-1] == [ID["the"], ID["[MASK]"], ID["dog"]]


def test_a_tokenizer_without_a_mask_token():
    with pytest.raises(ConfigError, match=r"the tokenizer has no mask token; .* set loss\.contrast\.mask_ratio to 0"):
        _ = TokenReader(word_piece().backend_tokenizer, {}, max_words=8).mask_word


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("kind", ["vectors", "tokens"])
@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "The expression is empty or blank; write what to find, such as 'the left dog'."),
        (" \t\n\u3000", "The expression is empty or blank; write what to find, such as 'the left dog'."),
        (None, "The expression is NoneType, not text."),
        (b"dog", "The expression is bytes, not text."),
        ("dog \udcff", "The expression is not valid text: character 4 is a byte that is not UTF-8."),
    ],
)
def test_what_is_no_expression(request, kind, expression, sentence):
    with pytest.raises(InputError) as caught:
        request.getfixturevalue(kind)(expression)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("kind", ["vectors", "tokens"])
@pytest.mark.parametrize(
    "expression", ["\u200b", "\ufeff \u2060\u200d", "\u3164", "\u2800 \uffa0", "\u0301", "\x00\x07"]
)
def test_an_expression_of_invisible_characters_is_refused(request, kind, expression):
    """Neither white space nor anything to read: a model would predict a mask for its special tokens alone."""
    with pytest.raises(InputError) as caught:
        request.getfixturevalue(kind)(expression)
    assert str(caught.value) == (
        "The expression has only invisible characters; write what to find, such as 'the left dog'."
    )


@pytest.mark.parametrize("expression", ["狗", "?", "🐕", "7", "\u200bdog", "e\u0301"])
def test_whatever_shows_something_is_an_expression(tokens, expression):
    assert len(tokens(expression).values) >= 2


def test_errors_name_the_expression():
    with pytest.raises(InputError, match=r"^Expression 2 of 3 is empty or blank"):
        split_words(" ", "Expression 2 of 3")


# ---------------------------------------------------------------- warnings


def test_a_cut_expression_is_warned_about(vectors):
    expression = "dog " * 500
    with pytest.warns(VLTWarning, match=r"has 500 words and was cut at model.max_words, 4 .* last 496 were not read"):
        warn_about(expression, vectors(expression), 4)


def test_unknown_words_are_named_up_to_ten():
    names = tuple(f"w{number}" for number in range(12))
    with pytest.warns(VLTWarning, match="does not know 'w0', .*'w9' and 2 more, and ignores"):
        warn_about(" ".join(names), Words(np.zeros((12, 1), np.float32), names, 0), 12)


def test_both_warnings_come_and_none_without_need(vectors):
    with pytest.warns(VLTWarning) as caught:
        warn_about("狗 the the the the", vectors("狗 the the the the"), 4)
    assert len(caught) == 2
    assert "'狗'" in str(caught[1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about("the dog", vectors("the dog"), 4)


@pytest.mark.parametrize("expression", ["roter Hund links", "左边的狗", "el perro"])
def test_another_language_is_warned_about_where_a_tokenizer_reads_it(expression):
    with pytest.warns(VLTWarning) as caught:
        warn_about(expression, Words(np.arange(5), (), 0), 8)
    assert [str(warning.message) for warning in caught] == [
        f"The expression {expression!r} does not look like English, which the model reads; say it in English."
    ]


@pytest.mark.parametrize("expression", ["asdf qwer", "Xyzzy", "blorf 7"])
def test_an_expression_without_an_english_word_is_warned_about(expression):
    with pytest.warns(VLTWarning, match=f"^No word of the expression '{expression}' is in the English dictionary"):
        warn_about(expression, Words(np.arange(5), (), 0), 8)


@pytest.mark.parametrize("expression", ["asdf dog", "tv", "22", "?", "IKEA bag", "railcars"])
def test_one_english_word_or_none_at_all_is_enough(expression):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about(expression, Words(np.arange(5), (), 0), 8)


def test_a_corrected_word_is_english():
    with pytest.warns(VLTWarning) as caught:
        warn_about("womna", Words(np.arange(5), (), 0), 8, {"womna": "woman"})
    assert [warning.category for warning in caught] == [SpellingWarning]


def test_a_long_expression_in_another_language_is_not_quoted_whole():
    with pytest.warns(VLTWarning, match=r"The expression '(\w| ){60}\.\.\.' does not look like English"):
        warn_about("roter Hund links " * 100, Words(np.arange(5), (), 0), 8)


def test_a_vocabulary_of_vectors_says_itself_what_it_knows():
    table = WordVectors(("roter", "hund", "links"), np.eye(3, 4, dtype=np.float32), "test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about("roter Hund links", VectorReader(table, max_words=4)("roter Hund links"), 4)


def test_corrections_are_one_warning():
    with pytest.warns(SpellingWarning) as caught:
        warn_about("womna flowr", Words(np.arange(4), (), 0), 8, {"womna": "woman", "flowr": "flower"})
    assert [str(warning.message) for warning in caught] == [
        "Read 'womna' as 'woman', 'flowr' as 'flower'; load the model with correct_spelling=False to read words as "
        "written."
    ]


# ---------------------------------------------------------------- building


@pytest.mark.parametrize("config", [gru_config(dim=6), ReferenceConfig(max_words=5, words={"dim": 6})])
def test_both_networks_read_hash_vectors_by_default(config):
    reader = build_text(config, ["the Red dog", "  ", "\u200b", "a circle"])
    words = reader("the red square")
    assert isinstance(reader, VectorReader)
    assert words.values.shape == (3, 6)
    assert words.unknown == ("square",)
    assert reader.max_words == 5


def test_the_order_of_the_expressions_does_not_matter():
    one, other = (build_text(gru_config(dim=6), texts) for texts in (["red dog", "cat"], ["cat", "dog red"]))
    assert one.fingerprint == other.fingerprint


def test_unknown_training_words_are_one_warning(tmp_path):
    (tmp_path / "v.txt").write_text("the 1 2\n")
    with pytest.warns(VLTWarning) as caught:
        build_text(gru_config(source="text", path=str(tmp_path / "v.txt"), dim=2), ["the red", "red dog", "dog"])
    assert [str(warning.message) for warning in caught] == [
        "2 of the 3 words of the expressions are unknown: 'dog', 'red'."
    ]


def test_missing_vectors_are_refused(tmp_path):
    with pytest.raises(DataError, match="There is no file of word vectors"):
        build_text(gru_config(source="text", path=str(tmp_path / "v.txt"), dim=2), ["red"])


def test_a_training_sentence_that_is_no_text_is_refused():
    with pytest.raises(InputError, match="not valid text"):
        build_text(gru_config(dim=2), ["red \udcff"])


def test_a_tokenizer_is_read_from_its_folder_or_that_of_the_encoder(tokenizer_folder):
    own = build_text(bert_config(tokenizer_folder), ["the dog"])
    with_encoder = VLTConfig(max_words=8, language={"name": "bert", "pretrained": tokenizer_folder})
    assert isinstance(own, TokenReader)
    assert own.fingerprint == build_text(with_encoder, []).fingerprint
    assert own("the dog").values.tolist() == [ID["[CLS]"], ID["the"], ID["dog"], ID["[SEP]"]]


def test_training_words_unknown_to_the_tokenizer_are_one_warning(tokenizer_folder):
    with pytest.warns(VLTWarning, match="2 of the 3 words of the expressions are unknown: 'yyy', 'zzz'"):
        build_text(bert_config(tokenizer_folder), ["the zzz", "yyy zzz"])


def test_a_tokenizer_that_is_missing_or_damaged(tmp_path, tokenizer_folder):
    with pytest.raises(CheckpointError, match=r"There is no folder /?.*no/where/at/all; tools/README\.md"):
        build_text(bert_config(str(tmp_path / "no/where/at/all")), [])
    (Path(tokenizer_folder) / "tokenizer.json").write_text('{"version": "1.0", "trunc')
    with pytest.raises(CheckpointError) as caught:
        build_text(bert_config(tokenizer_folder), [])
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- travelling with the weights


def test_vectors_come_back_as_saved(tmp_path):
    config = gru_config(dim=6)
    built = build_text(config, ["the red dog"])
    built.save(tmp_path)
    loaded = load_text(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.npz"]
    assert loaded.fingerprint == built.fingerprint
    np.testing.assert_array_equal(loaded("Red zzz dog").values, built("Red zzz dog").values)
    assert loaded("Red zzz dog").unknown == ("zzz",)


def test_a_file_of_vectors_is_not_needed_any_more(tmp_path):
    (tmp_path / "v.txt").write_text("the 1 2\ndog 3 4\n")
    config = gru_config(source="text", path=str(tmp_path / "v.txt"), dim=2)
    built = build_text(config, ["the dog"])
    built.save(tmp_path)
    (tmp_path / "v.txt").unlink()
    assert load_text(config, tmp_path)("dog").values.tolist() == [[3, 4]]


def test_a_tokenizer_comes_back_as_saved(tmp_path, tokenizer_folder):
    config = bert_config(tokenizer_folder)
    built = build_text(config, [])
    built("the dog")  # reading changes nothing that is saved
    built.save(tmp_path / "checkpoint")
    shutil.rmtree(tokenizer_folder)
    loaded = load_text(config, tmp_path / "checkpoint")
    assert loaded.fingerprint == built.fingerprint
    assert loaded("the man's zzz dogs red red").values.tolist() == built("the man's zzz dogs red red").values.tolist()
    load_text(config, tmp_path / "checkpoint").save(tmp_path / "again")
    assert load_text(config, tmp_path / "again").fingerprint == built.fingerprint


@pytest.mark.parametrize("make", [word_piece, byte_level])
def test_what_is_saved_is_read_by_transformers_too(tmp_path, make):
    token_reader(make(), max_words=20).save(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    for text in ("the red dog", "The man's dogs, left"):
        assert again(text).input_ids == make()(text).input_ids


def test_a_saved_tokenizer_is_read_without_torch_and_transformers(tmp_path, tokenizer_folder):
    built = build_text(bert_config(tokenizer_folder), [])
    built.save(tmp_path)
    code = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from pathlib import Path
from vlt.config import VLTConfig
from vlt.text.reader import load_text
config = VLTConfig(max_words=8, language={{"name": "bert", "tokenizer": "unused"}})
reader = load_text(config, Path({str(tmp_path)!r}))
print(reader("the man's dogs").values.tolist(), reader.fingerprint)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    ids = built("the man's dogs").values.tolist()
    assert result.stdout == f"{ids} {built.fingerprint}\n"


def test_a_byte_order_mark_in_a_saved_tokenizer_does_no_harm(tmp_path, tokens):
    tokens.save(tmp_path)
    for path in (tmp_path / "tokenizer").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert TokenReader.read(tmp_path / "tokenizer", max_words=8).fingerprint == tokens.fingerprint


@pytest.mark.parametrize("content", ["[1, 2]", "3", '{"mask_token"', None])
def test_damaged_settings_of_a_tokenizer_are_one_sentence(tmp_path, tokens, content):
    tokens.save(tmp_path)
    path = tmp_path / "tokenizer" / "tokenizer_config.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(CheckpointError, match=r"^The tokenizer .* cannot be loaded: [^\n]+\.$"):
        TokenReader.read(tmp_path / "tokenizer", max_words=8)


def test_settings_of_a_saved_tokenizer_are_kept(tmp_path, tokens):
    tokens.save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer" / "tokenizer_config.json").read_text())
    assert settings == {"mask_token": "[MASK]", "unk_token": "[UNK]", "model_max_length": 64}


def test_fingerprints_differ_by_vocabulary_and_by_its_rules():
    cased = transformers.BertTokenizer(vocab=dict(ID), model_max_length=64, do_lower_case=False)
    other = transformers.BertTokenizer(vocab={**ID, "cat": len(ID)}, model_max_length=64)
    fingerprints = {token_reader(tokenizer, max_words=8).fingerprint for tokenizer in (word_piece(), cased, other)}
    assert len(fingerprints) == 3
    assert token_reader(word_piece(), max_words=9).fingerprint in fingerprints


def test_checkpoints_without_their_words_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"vocabulary cannot be read: There is no file .*vocabulary\.npz"):
        load_text(gru_config(dim=6), tmp_path)
    with pytest.raises(CheckpointError, match=r"tokenizer \(there is no such folder\) cannot be loaded"):
        load_text(bert_config("anything"), tmp_path)


def test_a_vocabulary_of_another_length_is_refused(tmp_path):
    build_text(gru_config(dim=6), ["red"]).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"vectors of 6 values, but the checkpoint's words\.dim is 300"):
        load_text(gru_config(dim=300), tmp_path)


def test_readers_can_be_sent_to_workers(tokens, vectors):
    for reader in (tokens, vectors):
        sent = pickle.loads(pickle.dumps(reader))
        assert np.array_equal(sent("the left dog").values, reader("the left dog").values)
        assert sent.fingerprint == reader.fingerprint


# ---------------------------------------------------------------- padding


def some_words(lengths: list[int], *, dim: int | None) -> list[np.ndarray]:
    """Words none of which is zero, different for each expression."""
    rng = np.random.default_rng(0)
    if dim is None:
        return [np.arange(length) + 1 + 100 * number for number, length in enumerate(lengths)]
    return [rng.random((length, dim), np.float32) + 1 for length in lengths]


@given(LENGTHS, st.sampled_from([None, 3]), st.sampled_from([None, 9, 12]))
def test_padding_is_zero_and_masked_and_words_are_untouched(lengths, dim, length):
    words = some_words(lengths, dim=dim)
    padded, mask = pad_words(words, length)
    expected = (len(lengths), length or max(lengths))
    assert mask.shape == expected
    assert mask.dtype == bool
    assert padded.shape == expected + (() if dim is None else (dim,))
    assert padded.dtype == words[0].dtype
    assert not padded[~mask].any()
    for row, row_mask, original in zip(padded, mask, words, strict=True):
        assert np.array_equal(row[row_mask], original)
        assert row_mask.tolist() == [position < len(original) for position in range(len(row))]


def test_longer_than_pad_to_is_an_error_not_a_cut():
    with pytest.raises(ValueError, match="could not broadcast"):
        pad_words([np.arange(5)], 3)


def test_networks_that_see_padding_get_expressions_padded_to_max_words():
    assert padded_length(ReferenceConfig()) == 15
    assert padded_length(ReferenceConfig(max_words=20)) == 20
    assert padded_length(VLTConfig(mask_padding=False, max_words=7)) == 7
    assert padded_length(VLTConfig()) is None
