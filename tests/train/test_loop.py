import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from run_fixture import assert_same, during_pass, history, state, terminate, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vlt.checkpoint import load_checkpoint, read_pointer
from vlt.config import dump_config, read_config
from vlt.errors import CheckpointError, ConfigError, TrainingError
from vlt.metrics import Scores
from vlt.train import learner, loop, train
from vlt.train.loop import Training, prepare
from vlt.train.setup import RunFolder, start_accelerator

EVERYTHING = {
    "model": {"dropout": 0.3},
    "train": {"epochs": 2, "accumulate": 2, "ema": 0.9, "workers": 2, "save_every_steps": 2, "clip_norm": 0.1},
}
"""What could make a continued run differ: dropout, moving average, accumulation, loading processes."""


def prepared(config):
    """A run that is ready to begin, without its folder."""
    return prepare(config, start_accelerator(config), RunFolder(config.output_dir, is_main=False))


# ---------------------------------------------------------------- what a run leaves


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """A run of two epochs that nothing interrupts, for tests that only look."""
    config = small(tmp_path_factory.mktemp("finished") / "run")
    assert train(config) == config.output_dir
    return config


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """A run of `EVERYTHING` that nothing interrupts, for tests that only look."""
    config = small(tmp_path_factory.mktemp("whole") / "run", **EVERYTHING)
    train(config)
    return config


def test_the_run_directory_holds_what_is_promised(finished):
    run = finished.output_dir
    assert {path.name for path in run.iterdir()} == {
        *("config.yaml", "checkpoints", "best", "last", "resume", "log", "history.jsonl")
    }
    assert read_config(run / "config.yaml") == finished
    assert read_pointer(run, "last") == "epoch-002"
    kept = {path.name for path in (run / "checkpoints").iterdir()}
    assert kept == {read_pointer(run, "best"), read_pointer(run, "last")}


def test_history_has_a_line_per_epoch(finished):
    first, second = history(finished)
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert second["step"] == 2 * first["step"] > 0
    assert first["losses"]["total"] == pytest.approx(first["losses"]["bce"] + first["losses"]["dice"])
    assert first["count"] == second["count"] > 3


def test_the_best_checkpoint_says_what_it_was_chosen_by(finished):
    checkpoint = load_checkpoint(finished.output_dir)
    best = max(history(finished), key=lambda entry: entry["miou"])
    meta = checkpoint.meta
    assert (meta["metric"], meta["split"], meta["seed"]) == ("miou", "val", 0)
    assert (meta["score"], meta["epoch"], meta["step"]) == (best["miou"], best["epoch"], best["step"])
    assert len(meta["data_fingerprint"]) == 64


def test_tensorboard_has_curves_and_pictures(finished):
    events = EventAccumulator(str(finished.output_dir / "log")).Reload()
    tags = events.Tags()
    assert {"val/miou", "val/oiou", "val/precision_0.5"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("val/miou")] == [entry["step"] for entry in history(finished)]
    assert tags["images"] == ["val/1"]


def test_training_curves_come_at_their_steps(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1, "log_every_steps": 2})
    train(config)
    events = EventAccumulator(str(config.output_dir / "log")).Reload()
    steps = [event.step for event in events.Scalars("train/total")]
    assert steps == list(range(2, history(config)[0]["step"] + 1, 2))
    assert {"train/bce", "train/dice", "train/rate", "train/gradient_norm"} <= set(events.Tags()["scalars"])


def test_it_learns(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 12, "lr": 3e-3})
    train(config)
    losses = [entry["losses"]["total"] for entry in history(config)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_weights(small, tmp_path, finished):
    again = small(tmp_path / "run")
    train(again)
    assert_same(weights(finished), weights(again))
    other = small(tmp_path / "other", seed=1)
    train(other)
    assert any(not torch.equal(tensor, weights(other)[name]) for name, tensor in weights(finished).items())


@pytest.mark.parametrize(("select_by", "best"), [("miou", "epoch-002"), ("oiou", "epoch-003")])
def test_the_best_is_the_first_with_the_highest_score(small, tmp_path, monkeypatch, select_by, best):
    scores = iter([(0.1, 0.2), (0.5, 0.1), (0.5, 0.4), (0.4, 0.3)])

    class Judged:
        def __init__(self):
            self.scores = Scores(*next(scores), boundary=0.0, box=0.0, precision={0.5: 0.0}, count=1)

    monkeypatch.setattr(loop, "validate", lambda *args, **kwargs: Judged())
    config = small(tmp_path / "run", train={"epochs": 4}, evaluate={"select_by": select_by})
    train(config)
    assert read_pointer(config.output_dir, "best") == best
    assert {path.name for path in (config.output_dir / "checkpoints").iterdir()} == {best, "epoch-004"}
    assert load_checkpoint(config.output_dir).meta["metric"] == select_by


def test_the_moving_average_is_what_is_kept(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1, "ema": 0.5})
    train(config)
    parts, kept = state(config), weights(config)
    average = {name.removeprefix("module."): tensor for name, tensor in parts["average"].items() if "." in name}
    assert_same(average, kept)
    assert any(not torch.equal(tensor, kept[name]) for name, tensor in parts["network"].items())
    statistics = [name for name in kept if "running_" in name]
    assert statistics
    assert all(torch.equal(parts["network"][name], kept[name]) for name in statistics)


@pytest.mark.filterwarnings("ignore:.*keeps the others at random weights")
def test_frozen_parts_stay_as_they_are(small, tmp_path):
    backbone = {"name": "darknet53", "width": 0.0625, "blocks": [1, 1, 1, 1, 1], "trainable_blocks": 0}
    config = small(tmp_path / "run", model={"backbone": backbone}, train={"epochs": 1, "weight_decay": 0.5})
    start = {name: tensor.clone() for name, tensor in prepared(config).learner.network.state_dict().items()}
    train(config)
    kept = weights(config)
    assert all(torch.equal(start[name], kept[name]) for name in kept if name.startswith("backbone."))
    assert any(not torch.equal(start[name], kept[name]) for name in kept if not name.startswith("backbone."))


# ---------------------------------------------------------------- interruption


@pytest.mark.parametrize(("uninterrupted", "sections"), [("finished", {}), ("whole", EVERYTHING)])
@pytest.mark.parametrize("interrupted", [1, 4])
def test_a_run_asked_to_stop_goes_on_bit_by_bit(small, tmp_path, request, uninterrupted, sections, interrupted):
    whole, parted = request.getfixturevalue(uninterrupted), small(tmp_path / "parted", **sections)
    with during_pass(interrupted, terminate), pytest.raises(TrainingError, match="run the same command again"):
        train(parted)
    train(parted)
    assert_same(state(whole), state(parted))
    assert_same(weights(whole), weights(parted))
    assert history(whole) == history(parted)


def test_a_run_may_be_stopped_at_every_step(small, tmp_path, finished):
    config = small(tmp_path / "run")
    stops = 0
    while True:
        try:
            with during_pass(1, terminate):
                train(config)
            break
        except TrainingError:
            stops += 1
    assert stops == history(finished)[-1]["step"]
    assert_same(state(finished), state(config))
    assert history(finished) == history(config)


KILLED = """
import os, signal, sys
from vlt.config import read_config
from vlt.train import learner, train
passes, loss = 0, learner.segmentation_loss
def counting(*args, **kwargs):
    global passes
    passes += 1
    if passes == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(*args, **kwargs)
learner.segmentation_loss = counting
train(read_config(sys.argv[1]))
"""


def test_a_killed_process_goes_on_bit_by_bit(small, tmp_path, whole):
    sections = {**EVERYTHING, "train": {**EVERYTHING["train"], "workers": 0}}
    killed = small(tmp_path / "killed", **sections)
    (tmp_path / "killed.yaml").write_text(dump_config(killed))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed.yaml"), "12"]
    process = subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    assert process.returncode == -signal.SIGKILL
    left = torch.load(killed.output_dir / "resume" / "state.pt", weights_only=True)["progress"]
    assert left["step"] % sections["train"]["save_every_steps"] == 0 < left["step"]
    train(killed)
    assert_same(state(whole), state(killed))
    assert_same(weights(whole), weights(killed))


@pytest.mark.parametrize("moment", ["save_checkpoint", "set_pointer", "prune_checkpoints"])
def test_a_crash_around_a_checkpoint_costs_nothing(small, tmp_path, monkeypatch, finished, moment):
    config = small(tmp_path / "run")
    act = getattr(loop, moment)
    calls = 0

    def crash(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return act(*args, **kwargs)

    monkeypatch.setattr(loop, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    if moment != "set_pointer":
        load_checkpoint(config.output_dir / "last")
    monkeypatch.undo()
    train(config)
    assert_same(weights(finished), weights(config))
    assert history(finished) == history(config)


def test_a_finished_run_says_so_and_changes_nothing(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.output_dir.rglob("*")}
    assert train(finished) == finished.output_dir
    assert "Nothing left to train" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in finished.output_dir.rglob("*")}


def test_a_changed_configuration_is_refused_by_key(small, finished):
    changed = small(finished.output_dir, train={"lr": 2e-3, "epochs": 3}, model={"dropout": 0.5})
    with pytest.raises(ConfigError, match="another output_dir") as error:
        train(changed)
    for change in ("train.lr: 0.001 -> 0.002", "train.epochs: 2 -> 3", "model.dropout: 0.1 -> 0.5"):
        assert change in str(error.value)


def test_more_epochs_go_on_where_the_rate_does_not_depend_on_the_end(small, tmp_path):
    schedule = {"name": "constant"}
    short = small(tmp_path / "run", train={"epochs": 1, "schedule": schedule})
    train(short)
    train(small(tmp_path / "run", train={"epochs": 2, "schedule": schedule, "log_every_steps": 1}))
    assert [entry["epoch"] for entry in history(short)] == [1, 2]
    whole = small(tmp_path / "whole", train={"epochs": 2, "schedule": schedule})
    train(whole)
    assert_same(weights(whole), weights(short))


def test_checkpoints_without_a_state_are_not_written_over(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1})
    train(config)
    (config.output_dir / "resume" / "state.pt").unlink()
    with pytest.raises(ConfigError, match="holds checkpoints but nothing"):
        train(config)


# ---------------------------------------------------------------- bad ends


def spoiled(losses):
    return {name: loss * torch.nan for name, loss in losses.items()}


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(small, tmp_path, monkeypatch):
    config = small(tmp_path / "run", train={"save_every_steps": 1, "clip_norm": None})
    third = list(prepared(config).data.batches(config, rank=0, world=1))[2]
    ids = ", ".join(str(referral.ref_id) for batch in third for referral in batch.referrals)
    loss, spoil = learner.segmentation_loss, []
    monkeypatch.setattr(learner, "segmentation_loss", lambda *args: spoiled(loss(*args)) if spoil else loss(*args))
    with during_pass(3, lambda: spoil.append(True)), pytest.raises(TrainingError, match=r"lower train\.lr") as error:
        train(config)
    assert f"loss is nan and its gradient's norm nan at epoch 1, step 2 of {steps(config)}" in str(error.value)
    assert f"with the referrals {ids};" in str(error.value)
    left = torch.load(config.output_dir / "resume" / "state.pt", weights_only=True)
    assert left["progress"]["step"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in left["parts"]["network"].values())


def steps(config):
    return prepared(config).steps_per_epoch


@contextmanager
def full_disk(room):
    """Lets no file grow beyond `room` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("moment", "error", "sentence"),
    [
        ("train_epoch", TrainingError, "state.pt cannot be written: .*; make room and run the same command again"),
        ("validate", CheckpointError, "could not be written"),
    ],
)
def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on(
    small, tmp_path, monkeypatch, finished, moment, error, sentence
):
    config = small(tmp_path / "run")
    act = getattr(Training, moment)

    def in_want_of_room(training, *args):
        with full_disk(20_000 if training.progress.epoch else resource.RLIM_INFINITY):
            return act(training, *args)

    monkeypatch.setattr(Training, moment, in_want_of_room)
    with pytest.raises(error, match=sentence):
        train(config)
    assert load_checkpoint(config.output_dir).meta["epoch"] == 1
    monkeypatch.undo()
    train(config)
    assert_same(weights(finished), weights(config))


def test_a_damaged_state_is_one_sentence(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1})
    train(config)
    path = config.output_dir / "resume" / "state.pt"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"resume state .*state\.pt is damaged"):
        train(config)


def test_epochs_between_validations_are_trained_but_neither_validated_nor_saved(small, tmp_path):
    """Three epochs, validated every second and at the end, train as if each were validated."""
    every, seldom = (small(tmp_path / str(n), train={"epochs": 3, "validate_every": n}) for n in (1, 2))
    train(every)
    train(seldom)
    scores = {entry["epoch"]: entry for entry in history(every)}
    assert [entry["epoch"] for entry in history(seldom)] == [2, 3]
    assert history(seldom) == [scores[2], scores[3]]
    assert_same(weights(every), weights(seldom))


def test_a_run_interrupted_before_its_first_validation_continues(small, tmp_path, monkeypatch):
    whole, parted = (small(tmp_path / name, train={"epochs": 2, "validate_every": 2}) for name in ("whole", "parted"))
    train(whole)
    counted, epochs = Training.train_epoch, []

    def interrupt(self, *args):
        if epochs:
            raise RuntimeError("interrupted")
        epochs.append(self.progress.epoch)
        return counted(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "train_epoch", interrupt)
        with pytest.raises(RuntimeError, match="interrupted"):
            train(parted)
    train(parted)
    assert history(parted) == history(whole)
    assert_same(weights(parted), weights(whole))
