"""Trackers by name: what they get, that a missing one is refused, and that one that fails does not end a run."""

from typing import ClassVar

import numpy as np
import pytest
from accelerate import tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType
from run_fixture import history
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vlt.errors import ConfigError
from vlt.train import train


class Recorder(GeneralTracker):
    """Stands in for wandb and keeps what it gets."""

    name = "wandb"
    requires_logging_directory = False
    started: ClassVar = []
    fails_at = None

    def __init__(self, project, **options):
        super().__init__(_blank=True)
        self.project, self.options, self.points, self.pictures, self.is_finished = project, options, {}, {}, False

    @property
    def tracker(self):
        return self

    def start(self):
        if self.fails_at == "start":
            raise RuntimeError("not\nlogged in.")
        self.started.append(self)

    def store_init_configuration(self, values):
        self.values = values

    def log(self, values, step=None, **kwargs):
        if self.fails_at == step:
            raise RuntimeError("no\nnetwork.")
        self.points.setdefault(step, {}).update(values)

    def log_images(self, values, step=None, **kwargs):
        self.pictures[step] = values

    def finish(self):
        assert not self.is_finished
        self.is_finished = True


@pytest.fixture
def recorder(monkeypatch):
    """Takes the place of wandb, as if that were installed."""
    monkeypatch.setattr(Recorder, "started", [])
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD, LoggerType.WANDB])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Recorder)
    return Recorder


def test_a_tracker_gets_what_tensorboard_gets(small, tmp_path, recorder):
    config = small(tmp_path / "mine", train={"trackers": ["tensorboard", "wandb"], "log_every_steps": 1, "epochs": 1})
    train(config)
    (tracker,) = recorder.started
    assert (tracker.project, tracker.options["name"]) == ("vlt", "mine")
    assert tracker.values["train.lr"] == config.train.lr
    assert tracker.is_finished
    assert sorted(tracker.points) == [1, 2, 3]
    events = EventAccumulator(str(config.output_dir / "log")).Reload()
    for name in events.Tags()["scalars"]:
        shown = {event.step: event.value for event in events.Scalars(name)}
        assert shown == pytest.approx({step: values[name] for step, values in tracker.points.items() if name in values})
    assert tracker.points[3]["val/miou"] == history(config)[0]["miou"]
    (picture,) = tracker.pictures[3]["val/1"]
    assert picture.dtype == np.uint8


def test_without_tensorboard_there_is_no_folder_of_its_events(small, tmp_path, recorder):
    config = small(tmp_path / "run", train={"trackers": ["wandb"], "epochs": 1})
    train(config)
    assert recorder.started[0].points
    assert not (config.output_dir / "log").exists()
    assert not (tmp_path / "run" / "wandb").exists()


def test_trackers_may_change_and_be_none(small, tmp_path, recorder):
    schedule = {"name": "constant"}
    train(small(tmp_path / "run", train={"trackers": [], "epochs": 1, "schedule": schedule}))
    assert not (tmp_path / "run" / "log").exists()
    train(small(tmp_path / "run", train={"trackers": ["wandb"], "epochs": 2, "schedule": schedule}))
    assert [min(tracker.points) for tracker in recorder.started] == [6]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_refused_before_the_run(small, tmp_path, monkeypatch, name):
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    sentence = f"train.trackers has {name}, not installed here; run `pip install {name}`, or leave it out"
    with pytest.raises(ConfigError, match=sentence):
        train(small(tmp_path / "run", train={"trackers": ["tensorboard", name]}))
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused_by_the_configuration(small, tmp_path):
    with pytest.raises(ConfigError, match=r"train.trackers.*'tensorboard', 'wandb' or 'mlflow'"):
        small(tmp_path / "run", train={"trackers": ["wandbb"]})


def test_a_tracker_that_cannot_be_started_is_refused_and_leaves_nothing(small, tmp_path, monkeypatch, recorder):
    monkeypatch.setattr(recorder, "fails_at", "start")
    with pytest.raises(ConfigError, match=r"train.trackers: wandb cannot be started \(not logged in\); set it up"):
        train(small(tmp_path / "run", train={"trackers": ["wandb"]}))
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(small, tmp_path, monkeypatch, recorder, capsys):
    monkeypatch.setattr(recorder, "fails_at", 2)
    config = small(tmp_path / "run", train={"trackers": ["wandb"], "log_every_steps": 1, "epochs": 1})
    train(config)
    assert len(history(config)) == 1
    assert sorted(recorder.started[0].points) == [1]
    assert capsys.readouterr().err.count("The tracker wandb failed (no network); nothing more is sent to it.") == 1


def test_a_tracker_is_finished_where_the_run_fails(small, tmp_path, monkeypatch, recorder):
    monkeypatch.setattr("vlt.train.loop.validate", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(small(tmp_path / "run", train={"trackers": ["wandb"]}))
    assert recorder.started[0].is_finished


def test_a_log_folder_that_cannot_be_written_costs_the_curves_alone(small, tmp_path):
    config = small(tmp_path / "run", train={"epochs": 1})
    config.output_dir.mkdir()
    (config.output_dir / "log").write_text("a file")
    with pytest.warns(UserWarning, match="log cannot be written .* no curves for TensorBoard"):
        train(config)
    assert len(history(config)) == 1
