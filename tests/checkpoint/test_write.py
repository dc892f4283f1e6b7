"""A checkpoint is written whole or not at all, whatever happens on the way."""

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from torch import nn

import vlt
from vlt.checkpoint import load_checkpoint, save_checkpoint, source_commit, write
from vlt.config import Dinov2Config
from vlt.errors import CheckpointError
from vlt.model.build import build_model
from vlt.text.reader import build_text


@pytest.fixture
def save(tiny_config, tiny_text, tiny_model):
    def save(folder, **changes):
        parts = {"model": tiny_model, "config": tiny_config, "text": tiny_text, "meta": {}} | changes
        save_checkpoint(folder, **parts)

    return save


def weights_of(folder):
    return load_checkpoint(folder).model.state_dict()


def other_model(config):
    torch.manual_seed(1)
    return build_model(config.model)


def assert_same(state, other):
    assert state.keys() == other.keys()
    for key, tensor in state.items():
        assert torch.equal(tensor, other[key]), key


@pytest.mark.parametrize("program", ["/usr/bin/vlt", "/site-packages/vlt/__main__.py"])
def test_what_lies_in_a_checkpoint(save, tmp_path, tiny_config, tiny_text, monkeypatch, program):
    monkeypatch.setattr(sys, "argv", [program, "train", "a b.yaml"])
    save(tmp_path / "new" / "one", meta={"metric": "miou", "split": "val", "data_fingerprint": "abc"})
    folder = tmp_path / "new" / "one"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.yaml", "meta.json", "weights.safetensors", "vocabulary.npz"}
    assert json.loads((folder / "meta.json").read_text()) == {
        "metric": "miou",
        "split": "val",
        "data_fingerprint": "abc",
        "format": 2,
        "command": "vlt train 'a b.yaml'",
        "version": vlt.__version__,
        "commit": source_commit(),
        "seed": tiny_config.seed,
        "text_fingerprint": tiny_text.fingerprint,
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("vocabulary.npz", "weights.safetensors")
        },
    }
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_facts_cannot_be_overridden(save, tmp_path):
    save(tmp_path / "one", meta={"format": 99, "seed": -1})
    meta = json.loads((tmp_path / "one" / "meta.json").read_text())
    assert (meta["format"], meta["seed"]) == (2, 0)


def test_the_commit_is_the_checkouts():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(write.__file__))))
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    commit = source_commit()
    assert commit is None if head.returncode else commit.removesuffix("-dirty") == head.stdout.strip()


def test_an_earlier_checkpoint_or_an_empty_folder_is_replaced(save, tmp_path, tiny_config):
    folder = tmp_path / "one"
    folder.mkdir()
    save(folder)
    newer = other_model(tiny_config)
    save(folder, model=newer)
    assert_same(weights_of(folder), newer.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_folder_of_something_else_is_refused(save, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dog.jpg").touch()
    with pytest.raises(CheckpointError, match=r"photos exists and is no checkpoint; name a folder that does not exist"):
        save(tmp_path / "photos")
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "dog.jpg"]


def test_a_folder_that_cannot_be_made(save, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"file/one could not be written \(Not a directory\)"):
        save(tmp_path / "file" / "one")


def test_shared_and_strided_tensors_are_written(save, tmp_path, tiny_config, monkeypatch):
    """safetensors refuses both."""
    model = other_model(tiny_config)
    tied = nn.Linear(4, 4, bias=False)
    model.first, model.second = tied, nn.Linear(4, 4, bias=False)
    model.second.weight = tied.weight
    model.strided = nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
    save(tmp_path / "one", model=model)
    monkeypatch.setattr("vlt.checkpoint.read.build_model", lambda *_, **__: model)
    assert_same(weights_of(tmp_path / "one"), model.state_dict())


def test_pretrained_parts_are_written_down_and_never_read_again(save, tmp_path, tiny_config):
    """The folder they came from may be gone when the checkpoint is loaded."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    part = tmp_path / "part"
    transformers.Dinov2Model(transformers.Dinov2Config(**sizes)).save_pretrained(part)
    backbone = Dinov2Config(pretrained=str(part))
    values = tiny_config.model.model_dump() | {"backbone": backbone.model_dump(), "image_size": (56, 56)}
    model_config = type(tiny_config.model).model_validate(values)
    config = tiny_config.model_copy(update={"model": model_config})
    model = build_model(model_config)
    save(tmp_path / "one", model=model, config=config)
    for path in part.iterdir():
        path.unlink()
    assert_same(weights_of(tmp_path / "one"), model.state_dict())


# ---------------------------------------------------------------- what can go wrong on the way


def full_disk(tensors, path, metadata):
    path.write_bytes(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_previous_checkpoint(save, tmp_path, tiny_model, tiny_config, monkeypatch):
    save(tmp_path / "one")
    monkeypatch.setattr(write, "save_file", full_disk)
    sentence = r"one could not be written \(No space left on device\); what was there before is untouched"
    with pytest.raises(CheckpointError, match=sentence):
        save(tmp_path / "one", model=other_model(tiny_config))
    assert_same(weights_of(tmp_path / "one"), tiny_model.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_disk_that_really_refuses_to_take_more(save, tmp_path, tiny_model, tiny_config):
    """The operating system stops the write half-way through the weights."""
    save(tmp_path / "one")
    half = (tmp_path / "one" / "weights.safetensors").stat().st_size // 2
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (half, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"one could not be written \(.*File too large"):
            save(tmp_path / "one", model=other_model(tiny_config))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_same(weights_of(tmp_path / "one"), tiny_model.state_dict())


STEPS = ["save_file", "dump_config", "sync", "os.rename 1", "os.rename 2"]

KILLED = """
import os, signal, sys
import torch
from vlt.checkpoint import directory, load_checkpoint, save_checkpoint, write

def save_and_die(folder, step):
    '''Saves zeros over the checkpoint, and is killed in the given call of the given function.'''
    name, _, count = step.partition(" ")
    owner, calls = (os if name.startswith("os.") else write if hasattr(write, name) else directory), []
    original = getattr(owner, name.removeprefix("os."))

    def deadly(*arguments, **options):
        calls.append(1)
        if len(calls) == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name.removeprefix("os."), deadly)
    save_checkpoint(folder, model=checkpoint.model, config=checkpoint.config, text=checkpoint.text, meta={})

torch.set_num_threads(1)
checkpoint = load_checkpoint(sys.argv[1])
for parameter in checkpoint.model.parameters():
    parameter.data.zero_()
for folder, step in zip(sys.argv[2::2], sys.argv[3::2]):
    child = os.fork()
    if not child:
        save_and_die(folder, step)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, step
"""


def test_a_kill_at_any_step_leaves_the_previous_checkpoint(save, tmp_path, tiny_checkpoint, tiny_model, tiny_config):
    newer = other_model(tiny_config)
    folders = [tmp_path / str(number) / "one" for number in range(len(STEPS))]
    for folder in folders:
        save(folder)
    steps = [str(part) for pair in zip(folders, STEPS, strict=True) for part in pair]
    subprocess.run([sys.executable, "-c", KILLED, str(tiny_checkpoint), *steps], check=True, timeout=300)
    for folder in folders:
        assert [path.name for path in folder.parent.iterdir()] != ["one"]  # the crash left something
        assert_same(weights_of(folder), tiny_model.state_dict())
        save(folder, model=newer)  # and saving again works, and leaves nothing of the crash
        assert_same(weights_of(folder), newer.state_dict())
        assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_another_error_on_the_way_is_not_hidden(save, tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(write, "dump_config", broken)
    with pytest.raises(ZeroDivisionError):
        save(tmp_path / "one")
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_travels_too(save, tmp_path, tiny_config):
    """Words of a BERT-family encoder are read the same after the folder of the tokenizer is gone."""
    source = tmp_path / "tokenizer"
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "red": 2, "dog": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=512
    ).save_pretrained(source)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    language = {
        "name": "bert",
        "tokenizer": str(source),
        "architecture": {"model_type": "bert", "vocab_size": 4, "max_position_embeddings": 512, **sizes},
    }
    model_config = type(tiny_config.model).model_validate(tiny_config.model.model_dump() | {"language": language})
    text = build_text(model_config, ["red dog"])
    config = tiny_config.model_copy(update={"model": model_config})
    save(tmp_path / "one", model=build_model(model_config), config=config, text=text)
    for path in source.iterdir():
        path.unlink()
    loaded = load_checkpoint(tmp_path / "one")
    assert np.array_equal(loaded.text("red dog").values, text("red dog").values)
