"""A run's pointers, and what they keep from being removed."""

import errno
import os
import shutil

import pytest

from vlt.checkpoint import (
    directory,
    find_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    read_pointer,
    set_pointer,
)
from vlt.errors import CheckpointError


@pytest.fixture
def run_dir(tiny_checkpoint, tmp_path):
    for name in ("epoch-1", "epoch-2", "epoch-3"):
        shutil.copytree(tiny_checkpoint, tmp_path / "checkpoints" / name)
    return tmp_path


def names_in(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def test_a_pointer_says_what_it_was_set_to(run_dir):
    assert read_pointer(run_dir, "best") is None
    set_pointer(run_dir, "best", "epoch-1")
    set_pointer(run_dir, "best", "epoch-2")
    assert read_pointer(run_dir, "best") == "epoch-2"
    assert read_pointer(run_dir, "last") is None
    assert sorted(path.name for path in run_dir.iterdir()) == ["best", "checkpoints"]


def test_a_pointer_to_nothing_is_refused(run_dir):
    with pytest.raises(CheckpointError, match=r"best cannot point to 'epoch-9': there is no checkpoint .*epoch-9"):
        set_pointer(run_dir, "best", "epoch-9")


def test_a_full_disk_leaves_the_pointer(run_dir, monkeypatch):
    def full_disk(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    set_pointer(run_dir, "best", "epoch-1")
    monkeypatch.setattr(directory, "sync", full_disk)
    with pytest.raises(CheckpointError, match=r"The pointer .*best could not be written: No space left on device"):
        set_pointer(run_dir, "best", "epoch-2")
    assert read_pointer(run_dir, "best") == "epoch-1"


def test_where_a_path_leads(run_dir):
    set_pointer(run_dir, "best", "epoch-1")
    set_pointer(run_dir, "last", "epoch-3")
    checkpoints = run_dir / "checkpoints"
    assert find_checkpoint(run_dir) == checkpoints / "epoch-1"
    assert find_checkpoint(str(run_dir / "last")) == checkpoints / "epoch-3"
    assert find_checkpoint(checkpoints / "epoch-2") == checkpoints / "epoch-2"
    assert load_checkpoint(run_dir).path == checkpoints / "epoch-1"


def test_a_path_in_the_home_folder(run_dir, monkeypatch):
    monkeypatch.setenv("HOME", str(run_dir))
    assert find_checkpoint("~/checkpoints/epoch-2") == run_dir / "checkpoints" / "epoch-2"


def test_paths_that_lead_nowhere(run_dir):
    (run_dir / "notes.txt").touch()
    (run_dir / "empty").mkdir()
    (run_dir / "photos" / "dogs").mkdir(parents=True)
    (run_dir / "stopped" / "resume").mkdir(parents=True)
    (run_dir / "stopped" / "config.yaml").touch()
    for path, sentence in {
        run_dir: r"has no best checkpoint yet; let `vlt train` finish an epoch",
        run_dir / "nowhere": r"There is no checkpoint .*nowhere; `vlt train` and `vlt convert` write one",
        run_dir / "notes.txt": r"notes.txt is a file, but a checkpoint is a directory .*name the directory",
        run_dir / "photos": r"photos is no checkpoint: it has no meta.json",
        run_dir / "empty": r"empty has no checkpoint yet: no epoch .* was finished; run its `vlt train` command again",
        run_dir / "stopped": r"stopped has no checkpoint yet: no epoch .* was finished; run its `vlt train` command",
        3: r"^A checkpoint is named by its path, not by 3 \(int\)\.$",
        b"run": r"^A checkpoint is named by its path, not by b'run' \(bytes\)\.$",
    }.items():
        with pytest.raises(CheckpointError, match=sentence):
            find_checkpoint(path)


def test_a_pointer_whose_checkpoint_is_gone(run_dir):
    set_pointer(run_dir, "best", "epoch-1")
    shutil.rmtree(run_dir / "checkpoints" / "epoch-1")
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*epoch-1"):
        find_checkpoint(run_dir)


def test_pruning_keeps_what_is_pointed_to(run_dir):
    set_pointer(run_dir, "best", "epoch-1")
    set_pointer(run_dir, "last", "epoch-3")
    (run_dir / "checkpoints" / ".epoch-2.part").mkdir()
    (run_dir / "checkpoints" / "epoch-1.val.json").touch()  # a report of `vlt test`
    assert prune_checkpoints(run_dir) == [".epoch-2.part", "epoch-2"]
    assert names_in(run_dir) == ["epoch-1", "epoch-1.val.json", "epoch-3"]


def test_pruning_without_pointers_removes_nothing(run_dir):
    assert prune_checkpoints(run_dir) == []
    assert len(names_in(run_dir)) == 3


def test_pruning_keeps_what_a_crash_left_aside(run_dir):
    """The crash hit a replacement of the best checkpoint between its two renames."""
    set_pointer(run_dir, "best", "epoch-1")
    (run_dir / "checkpoints" / "epoch-1").rename(run_dir / "checkpoints" / ".epoch-1.old")
    prune_checkpoints(run_dir)
    assert names_in(run_dir) == [".epoch-1.old"]
    load_checkpoint(run_dir)
