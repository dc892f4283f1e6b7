"""From the original's files to a checkpoint of ours that needs neither."""

import json

import numpy as np
import pytest
import torch
import yaml

import vlt.text.vectors
from vlt.checkpoint import load_checkpoint
from vlt.convert import convert
from vlt.data.prepared import write_prepared
from vlt.errors import CheckpointError, ConfigError, DataError, InputError, VLTWarning
from vlt.legacy import load_keras_checkpoint
from vlt.types import Expression, Referral

SMALL_BACKBONE = "model.backbone.width=0.0625"


@pytest.fixture
def weights(keras, small_layers, tmp_path):
    return keras.write(tmp_path / "weights.h5", small_layers)


@pytest.fixture
def original(small_config, tmp_path):
    """One of the original's YAML files at the small network's sizes, without a word about data."""
    values = {
        "input_size": small_config.image_size,
        "word_len": small_config.max_words,
        "embed_dim": small_config.words.dim,
        "rnn_hidden_size": small_config.rnn_dim,
        "jemb_dim": small_config.fused_dim,
        "hidden_dim": small_config.hidden_dim,
        "transformer_hidden_dim": small_config.transformer_dim,
        "transformer_head_num": small_config.heads,
        "num_query": small_config.num_queries,
    }
    path = tmp_path / "original.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def vectors(tmp_path):
    """Word vectors as a GloVe file has them, and the overrides that name it."""
    path = tmp_path / "vectors.txt"
    rows = {word: np.arange(8) + index for index, word in enumerate(["left", "dog", "right", "zebra"])}
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()))
    return [SMALL_BACKBONE, "model.words.source=text", f"model.words.path={path}"]


def test_checkpoint_answers_as_the_weight_file(weights, original, vectors, small_config, tmp_path):
    with pytest.warns(VLTWarning, match="vocabulary has frequent words only"):
        assert convert(weights, original, tmp_path / "converted", vectors) == tmp_path / "converted"
    weights_before = load_keras_checkpoint(weights, small_config)
    for path in (weights, original, tmp_path / "vectors.txt"):
        path.unlink()  # the checkpoint needs none of them
    checkpoint = load_checkpoint(tmp_path / "converted")
    words = checkpoint.text("left dog")
    assert (words.values[0].tolist(), words.unknown) == (list(range(8)), ())
    images, padded = torch.rand(1, 3, 64, 64), torch.cat([torch.from_numpy(words.values), torch.zeros(3, 8)])[None]
    with torch.inference_mode():
        torch.testing.assert_close(checkpoint.model(images, padded), weights_before(images, padded), rtol=0, atol=0)
    assert checkpoint.config.inference.threshold == 0.35
    assert checkpoint.config.output_dir == tmp_path / "converted"
    assert json.loads((tmp_path / "converted" / "meta.json").read_text())["converted_from"] == "weights.h5"


def test_words_of_the_annotations_are_known(weights, original, vectors, tmp_path, monkeypatch, recwarn):
    """Those of all splits, however rare."""
    monkeypatch.setattr(vlt.text.vectors, "FREQUENT", 1)
    photo = tmp_path / "photo.jpg"
    photo.touch()
    mask = np.ones((4, 4), bool)
    splits = {
        split: [Referral(number, photo, (mask,), (Expression(number, text),))]
        for number, (split, text) in enumerate({"train": "dog", "testA": "zebra"}.items())
    }
    write_prepared(tmp_path, "refcoco", splits, generate_mask=False)
    paths = {"train_set": str(tmp_path / "anns/refcoco/train.json"), "image_path": str(tmp_path)}
    original.write_text(original.read_text() + yaml.safe_dump(paths))
    (tmp_path / "anns/refcoco/prepare.json").write_text("{}")  # `vlt prepare` leaves its arguments there
    convert(weights, original, tmp_path / "converted", vectors)
    text = load_checkpoint(tmp_path / "converted").text
    assert text("left dog right zebra").unknown == ("right",)
    assert not [warning for warning in recwarn if issubclass(warning.category, VLTWarning)]


def test_without_vectors_a_checkpoint_is_written_and_says_so(weights, original, tmp_path):
    spacy_model = ["model.backbone.width=0.0625"]
    original.write_text(original.read_text() + "word_embed: no_such_model\n")
    with pytest.warns(VLTWarning, match=r"vocabulary is empty.*--set model\.words\.source=text"):
        convert(weights, original, tmp_path / "converted", spacy_model)
    checkpoint = load_checkpoint(tmp_path / "converted")
    assert checkpoint.model(torch.rand(1, 3, 64, 64), torch.rand(1, 5, 8)).shape == (1, 1, 32, 32)
    with pytest.raises(InputError, match=r"vocabulary is empty.*convert it again"):
        checkpoint.text("left dog")


def test_vectors_that_were_asked_for_must_be_there(weights, original, tmp_path):
    words = ["model.words.source=text", f"model.words.path={tmp_path / 'none.txt'}"]
    with pytest.raises(DataError, match=r"none\.txt"):
        convert(weights, original, tmp_path / "converted", [SMALL_BACKBONE, *words])
    assert not (tmp_path / "converted").exists()


def test_what_is_there_is_not_overwritten(weights, original, vectors, tmp_path):
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "thesis.tex").touch()
    with pytest.raises(CheckpointError, match="exists already"):
        convert(weights, original, tmp_path / "converted", vectors)
    assert [path.name for path in (tmp_path / "converted").iterdir()] == ["thesis.tex"]


def test_only_the_reference_network_can_be_converted(weights, tmp_path):
    path = tmp_path / "ours.yaml"
    path.write_text("data: {name: synthetic}\noutput_dir: runs/x\n")
    with pytest.raises(ConfigError, match=r"ours\.yaml describes the network 'vlt'"):
        convert(weights, path, tmp_path / "converted")


def test_weights_that_do_not_fit_leave_nothing(weights, original, vectors, tmp_path):
    with pytest.raises(CheckpointError, match="misfits: 2: conv2d_73 holds"):
        convert(weights, original, tmp_path / "converted", [*vectors, "model.num_queries=6"])
    assert not (tmp_path / "converted").exists()
