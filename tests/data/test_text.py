"""Expressions to words: what is read, cut, unknown or refused, and that readers come back as they were saved."""

import pickle
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from vlt.config import ReferenceConfig, VLTConfig
from vlt.data.text import TokenReader, VectorReader, Words, build_text, load_text, warn_about
from vlt.data.vectors import WordVectors
from vlt.errors import CheckpointError, ConfigError, DataError, InputError, VLTWarning

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "left", "dog", "##s", "man", "'", "s", "red", ",", "on"]
ID = {piece: index for index, piece in enumerate(PIECES)}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)


def word_piece() -> transformers.BertTokenizer:
    return transformers.BertTokenizer(vocab=dict(ID), model_max_length=64)


def byte_level() -> transformers.RobertaTokenizer:
    """A tokenizer without unknown words: every byte is a piece."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: index for index, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters])}
    return transformers.RobertaTokenizer(vocab=vocab, merges=[], model_max_length=64)


@pytest.fixture
def tokens() -> TokenReader:
    return TokenReader(word_piece(), max_words=8)


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
    assert words.values.dtype == torch.float32
    torch.testing.assert_close(words.values, torch.from_numpy(vectors.vectors.vectors))
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
    zero = (words.values == 0).all(dim=1).tolist()
    assert zero == [word in words.unknown for word in spelled[:6]]


# ---------------------------------------------------------------- tokens


def test_tokens_are_those_of_the_tokenizer(tokens):
    for expression in ("The dogs", "the man's  red\tdog", "red, left"):
        words = tokens(expression)
        assert words.values.tolist() == word_piece()(expression).input_ids
        assert words.values.dtype == torch.int64
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
    reader = TokenReader(tokenizer(), max_words=10)
    words, spelled = reader(text), text.split()
    whole = tokenizer()(" ".join(spelled), truncation=True, max_length=10).input_ids
    assert words.values.tolist() == whole
    assert 0 <= words.cut <= len(spelled)
    assert set(words.unknown) <= set(spelled)


def test_byte_level_tokenizers_know_every_word():
    reader = TokenReader(byte_level(), max_words=40)
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
    [(2, "model.max_words is 2, but the tokenizer's own tokens take 2"), (65, "is made for 64 tokens")],
)
def test_limits_that_do_not_fit_the_tokenizer(max_words, part):
    with pytest.raises(ConfigError, match=part):
        TokenReader(word_piece(), max_words=max_words)


def test_a_tokenizer_without_the_fast_implementation():
    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match="Slow has no fast implementation"):
        TokenReader(Slow(), max_words=8)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("kind", ["vectors", "tokens"])
@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "The expression is empty or blank; say what is meant, such as 'the left dog'."),
        (" \t\n\u3000", "The expression is empty or blank; say what is meant, such as 'the left dog'."),
        (None, "An expression is text, not NoneType."),
        (b"dog", "An expression is text, not bytes."),
        ("dog \udcff", "The expression is no valid text: character 4 stands for a broken byte."),
    ],
)
def test_what_is_no_expression(request, kind, expression, sentence):
    with pytest.raises(InputError) as caught:
        request.getfixturevalue(kind)(expression)
    assert str(caught.value) == sentence


# ---------------------------------------------------------------- warnings


def test_a_cut_expression_is_warned_about(vectors):
    expression = "dog " * 500
    with pytest.warns(VLTWarning, match=r"has 500 words and was cut at model.max_words, 4 .* last 496 were not read"):
        warn_about(expression, vectors(expression), 4)


def test_unknown_words_are_named_up_to_ten():
    names = tuple(f"w{number}" for number in range(12))
    with pytest.warns(VLTWarning, match="does not know 'w0', .*'w9' and 2 more, and reads nothing there"):
        warn_about(" ".join(names), Words(torch.zeros(12, 1), names, 0), 12)


def test_both_warnings_come_and_none_without_need(vectors):
    with pytest.warns(VLTWarning) as caught:
        warn_about("狗 the the the the", vectors("狗 the the the the"), 4)
    assert len(caught) == 2
    assert "'狗'" in str(caught[1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about("the dog", vectors("the dog"), 4)


# ---------------------------------------------------------------- building


@pytest.mark.parametrize("config", [gru_config(dim=6), ReferenceConfig(max_words=5, words={"dim": 6})])
def test_both_networks_read_hash_vectors_by_default(config):
    reader = build_text(config, ["the Red dog", "  ", "a circle"])
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
    with pytest.raises(InputError, match="no valid text"):
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
    with pytest.raises(CheckpointError, match=r"The tokenizer .*no/where/at/all \(there is no such folder\) cannot be"):
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
    torch.testing.assert_close(loaded("Red zzz dog").values, built("Red zzz dog").values, atol=0, rtol=0)
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


def test_fingerprints_differ_by_vocabulary_and_by_its_rules():
    cased = transformers.BertTokenizer(vocab=dict(ID), model_max_length=64, do_lower_case=False)
    other = transformers.BertTokenizer(vocab={**ID, "cat": len(ID)}, model_max_length=64)
    fingerprints = {TokenReader(tokenizer, max_words=8).fingerprint for tokenizer in (word_piece(), cased, other)}
    assert len(fingerprints) == 3
    assert TokenReader(word_piece(), max_words=9).fingerprint in fingerprints


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
        assert torch.equal(sent("the left dog").values, reader("the left dog").values)
        assert sent.fingerprint == reader.fingerprint
