"""Word vectors: each source, looking words up, and the compact file's round trip."""

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.config import WordsConfig
from vlt.errors import DataError
from vlt.text import vectors as vectors_module
from vlt.text.vectors import WordVectors, hash_vector, load_vectors, parts_of, read_vectors, spellings_of


def table(**rows: list[float]) -> WordVectors:
    return WordVectors(tuple(rows), np.array(list(rows.values()), np.float32), "test")


def text_file(tmp_path: Path, *lines: str | bytes) -> WordsConfig:
    path = tmp_path / "vectors.txt"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
    return WordsConfig(source="text", path=str(path), dim=2)


def refusal(config: WordsConfig) -> str:
    with pytest.raises(DataError) as caught:
        read_vectors(config, ["red"])
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


# ---------------------------------------------------------------- looking up


def test_exact_then_lower_case_then_without_punctuation():
    vectors = table(**{"Dog,": [1], "dog,": [2], "Dog": [3], "dog": [4]})
    for left, expected in (({}, 1), ({"Dog,"}, 2), ({"Dog,", "dog,"}, 3), ({"Dog,", "dog,", "Dog"}, 4)):
        rows = [row for row, word in enumerate(vectors.words) if word not in left]
        fewer = WordVectors(tuple(vectors.words[row] for row in rows), vectors.vectors[rows], "test")
        assert fewer.find("Dog,").tolist() == [expected]
    assert vectors.find("cat") is None


def test_punctuation_of_other_scripts_is_punctuation():
    assert table(perro=[7]).find("¡«perro»!").tolist() == [7]
    assert table(**{"--": [5]}).find("--").tolist() == [5]


def test_a_compound_is_the_mean_of_its_parts_unknown_ones_as_zero():
    vectors = table(man=[2, 4], **{"'s": [4, 0]}, red=[1, 1])
    assert vectors.find("man's").tolist() == [3, 2]
    assert vectors.find("Man's,").tolist() == [3, 2]
    assert vectors.find("red/zzz").tolist() == [0.5, 0.5]
    assert vectors.find("yyy/zzz") is None
    assert table(**{"man's": [9, 9]}, man=[1, 1]).find("man's").tolist() == [9, 9]


@given(st.text(min_size=1).filter(lambda text: len(text.split()) == 1))
def test_any_word_has_spellings_and_its_own_comes_first(word):
    spellings = list(spellings_of(word))
    assert spellings[0] == word
    assert all(spellings)
    assert len(set(spellings)) == len(spellings)
    assert all(parts_of(word))


# ---------------------------------------------------------------- hash


def test_the_hash_recipe_is_fixed_for_ever():
    """By hand: SHAKE-256 of "red" begins 484d3862 4773950c f43adfa8 4cfce793 (openssl dgst -shake256)."""
    integers = [0x62384D48, 0x0C957347, 0xA8DF3AF4, 0x93E7FC4C]  # the same, little-endian
    by_hand = [(integer / 2**32 - 0.5) * 12**0.5 for integer in integers]
    np.testing.assert_array_equal(hash_vector("red", 4), np.array(by_hand, np.float32))
    np.testing.assert_allclose(by_hand, [-0.4029734, -1.5617714, 0.5530654, 0.2693636], atol=1e-6)


def test_hash_vectors_differ_by_word_and_have_mean_0_and_variance_1():
    many = np.stack([hash_vector(f"word{number}", 64) for number in range(200)])
    assert abs(many.mean()) < 0.03
    assert abs(many.var() - 1) < 0.03
    cosines = (many @ many.T) / np.outer(*[np.linalg.norm(many, axis=1)] * 2)
    assert np.abs(cosines - np.eye(200)).max() < 0.7
    np.testing.assert_array_equal(hash_vector("red", 8)[:4], hash_vector("red", 4))


def test_hash_knows_the_words_of_the_expressions_in_any_spelling():
    vectors = read_vectors(WordsConfig(dim=8), ["Red", "circle,", "--"])
    assert vectors.words == ("--", "circle", "red")
    np.testing.assert_array_equal(vectors.find("RED!"), hash_vector("red", 8))
    assert vectors.find("blue") is None


def test_hash_of_no_expressions_knows_nothing():
    vectors = read_vectors(WordsConfig(dim=8), [])
    assert vectors.vectors.shape == (0, 8)
    assert vectors.find("red") is None


# ---------------------------------------------------------------- text files


def test_glove_lines(tmp_path):
    vectors = read_vectors(text_file(tmp_path, "the 1 2", "red -0.5 2e-1"), [])
    assert vectors.words == ("the", "red")
    np.testing.assert_allclose(vectors.vectors, [[1, 2], [-0.5, 0.2]])
    assert vectors.vectors.dtype == np.float32


def test_fasttexts_header_and_trailing_spaces(tmp_path):
    vectors = read_vectors(text_file(tmp_path, "2 2", "the 1 2 ", "red 3 4 "), [])
    assert vectors.words == ("the", "red")


def test_a_byte_order_mark_belongs_to_no_word(tmp_path):
    with_header = text_file(tmp_path, b"\xef\xbb\xbf2 2", "the 1 2", "red 3 4")
    assert read_vectors(with_header, []).words == ("the", "red")
    assert read_vectors(text_file(tmp_path, b"\xef\xbb\xbfthe 1 2", "red 3 4"), []).words == ("the", "red")


@pytest.mark.parametrize("source", ["text", "file"])
def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, source):
    monkeypatch.setenv("HOME", str(tmp_path))
    text_file(tmp_path, "the 1 2")
    table(the=[1, 2]).save(tmp_path / "vectors.npz")
    path = {"text": "~/vectors.txt", "file": "~/vectors.npz"}[source]
    assert read_vectors(WordsConfig(source=source, path=path, dim=2), []).find("the").tolist() == [1, 2]


def test_a_word_that_looks_like_a_header_is_a_word_elsewhere(tmp_path):
    config = text_file(tmp_path, "the 5", "10 7").model_copy(update={"dim": 1})
    assert read_vectors(config, []).find("10").tolist() == [7]


def test_tokens_with_spaces_are_passed_over_and_count_as_lines(tmp_path):
    config = text_file(tmp_path, "3 2", ". . . 0.1 0.2", "at name@domain.com 0.3 0.4", "red 0.5 0.6")
    assert read_vectors(config, []).words == ("red",)


def test_odd_bytes_and_doubles_do_no_harm(tmp_path):
    lines = ("red 1 2", b"\xff\xfe 3 4", "red 5 6", "a\u00a0b 7 8", "\u0085 1 2", "", "été 9 9")
    vectors = read_vectors(text_file(tmp_path, *lines), [])
    assert vectors.find("red").tolist() == [1, 2]
    assert vectors.find("Été").tolist() == [9, 9]
    assert all(len(word.split()) == 1 for word in vectors.words)


def test_the_first_words_and_all_that_lookups_may_ask_for_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors_module, "FREQUENT", 2)
    lines = [f"{word} 1 {number}" for number, word in enumerate(["the", "a", "b", "c", "dog", "Cat", "man", "'s", "x"])]
    config = text_file(tmp_path, *lines)
    words = ["Dog,", "Cat", "man's", "unheard"]
    kept = read_vectors(config, words)
    assert kept.words == ("the", "a", "dog", "Cat", "man", "'s")
    monkeypatch.setattr(vectors_module, "FREQUENT", 100)
    whole = read_vectors(config, [])
    for word in words:  # what was left out changes no answer
        np.testing.assert_array_equal(kept.find(word), whole.find(word))


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["the 1 2", "red 1"], "vectors.txt, line 2 has vectors of 1 values, but words.dim is 2"),
        (["the 0.1 0.2 0.3", "red 0.1 0.2 0.3"], "line 1 has vectors of 3 values, but words.dim is 2"),
        (["the 1 2", "red 0.1 0.2 0.3"], "line 2 has vectors of 3 values"),
        (["400 300", "the 1 2"], "line 1 has vectors of 300 values, but words.dim is 2"),
        (["3 2", "the 1 2", "red 1 2"], "holds 2 words, but announces 3; download it again."),
        (["the 1 x"], "line 1: a value is not a number"),
        (["the 1 2", "red 1 nan"], "line 2: a value is not finite"),
        ([""], "holds 0 words"),
        ([b"\x89PNG\r\n\x1a\n"], "line 1 has vectors of 0 values"),
    ],
)
def test_damaged_text_files_are_refused_with_the_line(tmp_path, lines, part):
    assert part in refusal(text_file(tmp_path, *lines))


@pytest.mark.parametrize("source", ["text", "file"])
def test_no_such_file_or_a_directory(tmp_path, source):
    missing = WordsConfig(source=source, path=str(tmp_path / "no.txt"), dim=2)
    assert refusal(missing) == f"There is no file of word vectors {tmp_path / 'no.txt'}; check words.path."
    directory = WordsConfig(source=source, path=str(tmp_path), dim=2)
    assert "is a directory, not a file of word vectors" in refusal(directory)


# ---------------------------------------------------------------- the compact file


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_compact_file_gives_back_what_was_saved(tmp_path, dtype):
    saved = WordVectors(("red", "été", "狗"), np.arange(6).reshape(3, 2).astype(dtype) / 7, "by hand")
    saved.save(tmp_path / "v.npz")
    loaded = load_vectors(tmp_path / "v.npz")
    assert (loaded.words, loaded.source, loaded.fingerprint) == (saved.words, saved.source, saved.fingerprint)
    np.testing.assert_array_equal(loaded.vectors, saved.vectors)
    assert loaded.vectors.dtype == dtype
    assert loaded.find("狗").dtype == np.float32


def test_an_empty_vocabulary_comes_back_empty(tmp_path):
    read_vectors(WordsConfig(dim=3), []).save(tmp_path / "v.npz")
    assert load_vectors(tmp_path / "v.npz").words == ()


def test_the_fingerprint_is_of_words_values_and_type():
    base = table(red=[1, 2], blue=[3, 4])
    others = [
        table(red=[1, 2], green=[3, 4]),
        table(red=[1, 2], blue=[3, 5]),
        table(blue=[3, 4], red=[1, 2]),
        WordVectors(base.words, base.vectors.astype(np.float16), "test"),
    ]
    assert table(red=[1, 2], blue=[3, 4]).fingerprint == base.fingerprint
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_a_compact_file_as_source_keeps_the_first_and_the_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors_module, "FREQUENT", 1)
    table(the=[1, 1], a=[2, 2], red=[3, 3]).save(tmp_path / "v.npz")
    found = read_vectors(WordsConfig(source="file", path=str(tmp_path / "v.npz"), dim=2), ["Red"])
    assert found.words == ("the", "red")
    assert found.vectors.tolist() == [[1, 1], [3, 3]]


def write_arrays(path: Path, **changes) -> Path:
    arrays = {
        "format": 1,
        "words": np.frombuffer(b"red\nblue", np.uint8),
        "vectors": np.ones((2, 2), np.float32),
        "source": np.array("by hand"),
    }
    arrays.update(changes)
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"format": 2}, "is of format 2, but this version of vlt reads up to 1; upgrade it."),
        ({"vectors": None}, "is not a complete file of word vectors"),
        ({"words": np.frombuffer(b"red\n\xff", np.uint8)}, "is not a complete file of word vectors"),
        ({"vectors": np.ones((3, 2), np.float32)}, "holds 2 words but vectors of shape (3, 2) and type float32"),
        ({"vectors": np.ones(2, np.float32)}, "holds 2 words but vectors of shape (2,)"),
        ({"vectors": np.ones((2, 2), np.int64)}, "type int64"),
        ({"vectors": np.full((2, 2), np.nan, np.float32)}, "holds word vectors that are not finite"),
        ({"vectors": np.ones((2, 3), np.float32)}, "has vectors of 3 values, but words.dim is 2"),
    ],
)
def test_compact_files_of_another_form_are_refused(tmp_path, changes, part):
    path = write_arrays(tmp_path / "v.npz", **changes)
    assert part in refusal(WordsConfig(source="file", path=str(path), dim=2))


class Payload:
    """Writes a file if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_is_pickled_inside_is_never_run(tmp_path):
    touched = tmp_path / "touched"
    path = write_arrays(tmp_path / "v.npz", source=np.array([Payload(touched)], dtype=object))
    assert "is not a complete file of word vectors" in refusal(WordsConfig(source="file", path=str(path), dim=2))
    path.write_bytes(pickle.dumps(Payload(touched)))
    assert "is not a complete file of word vectors" in refusal(WordsConfig(source="file", path=str(path), dim=2))
    assert not touched.exists()


def test_a_truncated_compact_file_is_refused_wherever_it_ends(tmp_path):
    whole = write_arrays(tmp_path / "v.npz").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "v.npz").write_bytes(whole[:length])
        assert "is not a complete file of word vectors" in refusal(
            WordsConfig(source="file", path=str(tmp_path / "v.npz"), dim=2)
        )


def test_a_compact_file_with_broken_bytes_is_refused_or_read_whole(tmp_path):
    """Flipped bytes are found by the archive's checksums, if not before."""
    whole = bytearray(write_arrays(tmp_path / "v.npz").read_bytes())
    for position in range(0, len(whole), 11):
        broken = bytearray(whole)
        broken[position] ^= 0x5A
        (tmp_path / "v.npz").write_bytes(broken)
        try:
            found = load_vectors(tmp_path / "v.npz")
        except DataError:
            continue
        assert found.words == ("red", "blue")
        assert (found.vectors == 1).all()


# ---------------------------------------------------------------- spaCy


def test_without_spacy_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert "install it (`pip install vlt[spacy]`)" in refusal(WordsConfig(source="spacy", path="en", dim=2))


class FakeSpacy:
    """The part of spaCy that is used, around a vocabulary of three words; splits off 's as spaCy does."""

    def __init__(self) -> None:
        self.known = {"man": [2.0, 4.0], "'s": [4.0, 0.0], "Dog": [1.0, 1.0]}

    def load(self, name: str) -> SimpleNamespace:
        if name != "small":
            raise OSError("[E050] Can't find model.")
        keys = dict(enumerate([*self.known, "two words"]))
        vocab_vectors = SimpleNamespace(key2row={key: 3 - key for key in keys})  # the last word comes first
        return SimpleNamespace(
            vocab=SimpleNamespace(vectors=vocab_vectors, strings=keys, vectors_length=2), make_doc=self.make_doc
        )

    def make_doc(self, word: str) -> SimpleNamespace:
        parts = [word.removesuffix("'s"), "'s"] if word.endswith("'s") else [word]
        found = [self.known.get(part, [0.0, 0.0]) for part in parts if part]
        return SimpleNamespace(vector=np.mean(found, axis=0, dtype=np.float32))


def test_spacy_reads_each_word_as_a_little_document(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", FakeSpacy())
    found = read_vectors(WordsConfig(source="spacy", path="small", dim=2), ["man's", "zzz"])
    assert found.words == ("man's", "Dog", "'s", "man")
    assert found.find("man's").tolist() == [3, 2]
    assert found.find("zzz") is None
    monkeypatch.setattr(vectors_module, "FREQUENT", 0)
    assert read_vectors(WordsConfig(source="spacy", path="small", dim=2), ["man's"]).words == ("man's",)


def test_a_spacy_model_that_is_missing_or_of_another_length(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", FakeSpacy())
    assert "spaCy has no model 'large': install it" in refusal(WordsConfig(source="spacy", path="large", dim=2))
    sentence = refusal(WordsConfig(source="spacy", path="small", dim=300))
    assert "The spaCy model small has vectors of 2 values, but words.dim is 300" in sentence


def test_the_real_spacy_agrees(tmp_path):
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("en")
    model.vocab.vectors = spacy.vectors.Vectors(shape=(4, 2))
    for word, vector in {"the": [9, 9], "man": [2, 4], "'s": [4, 0], "Dog": [1, 1]}.items():
        model.vocab.set_vector(word, np.array(vector, np.float32))
    model.to_disk(tmp_path / "model")
    config = WordsConfig(source="spacy", path=str(tmp_path / "model"), dim=2)
    found = read_vectors(config, ["man's", "zzz", "Dog,"])
    assert found.words == ("Dog,", "man's", "the", "man", "'s", "Dog")
    assert found.find("man's").tolist() == [3, 2]
    assert found.find("Dog,").tolist() == [0.5, 0.5]  # spaCy splits off the comma, which it does not know
    assert found.find("Dog!").tolist() == [1, 1]
