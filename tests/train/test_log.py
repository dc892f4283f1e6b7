import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vlt.train.trackers import EventFile


def points(folder, name):
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_reads_back_what_was_written(tmp_path):
    curves = EventFile(tmp_path / "log", hidden_from=1)
    curves.log({"loss": 0.5, "rate": 2.0}, step=1)
    curves.log({"loss": 0.25}, step=3)
    assert points(tmp_path / "log", "loss") == [(1, 0.5), (3, 0.25)]
    assert points(tmp_path / "log", "rate") == [(1, 2.0)]


def test_pictures_stay_as_they_are(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    curves = EventFile(tmp_path / "log", hidden_from=1)
    curves.log_images({"val/1": [picture]}, step=4)
    (event,) = EventAccumulator(str(tmp_path / "log")).Reload().Images("val/1")
    (tmp_path / "picture.png").write_bytes(event.encoded_image_string)
    assert event.step == 4
    assert np.array_equal(np.asarray(Image.open(tmp_path / "picture.png")), picture)


def test_what_was_lost_is_hidden(tmp_path):
    killed = EventFile(tmp_path / "log", hidden_from=1)
    for step in (1, 2, 3):
        killed.log({"loss": float(step)}, step=step)
    continued = EventFile(tmp_path / "log", hidden_from=3)
    continued.log({"loss": 30.0}, step=3)
    assert points(tmp_path / "log", "loss") == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_folder_that_cannot_be_made_is_an_error_here(tmp_path):
    (tmp_path / "log").write_text("a file")
    with pytest.raises(OSError, match="exists"):
        EventFile(tmp_path / "log", hidden_from=1)
