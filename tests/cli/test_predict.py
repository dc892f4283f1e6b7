"""`vlt predict`: lines, an overlay or JSON; and what is refused, before anything is computed."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from vlt.cli import main
from vlt.cli.predict import COLOURS
from vlt.data.masks import decode_rle
from vlt.data.photo import read_image
from vlt.predict import load


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A photo, with the working directory beside it."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def predict(*arguments):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_a_line_each_and_an_overlay(photo, tiny_checkpoint):
    result = predict("photo.png", "red circle", "square", "--checkpoint", tiny_checkpoint, "--threshold", "0")
    assert result.exit_code == 0, result.stderr
    first, second, last = result.stdout.splitlines()
    one, two = load(tiny_checkpoint, "cpu").predict(photo, ["red circle", "square"], threshold=0)
    assert first == f"orange  score {one.score:.2f}  box 0,0,70,50  100.0 % of the photo: red circle"
    assert second == f"blue    score {two.score:.2f}  box 0,0,70,50  100.0 % of the photo: square"
    assert last == "overlay: photo-vlt.png"
    assert result.stderr == ""
    assert sorted(path.name for path in photo.parent.iterdir()) == ["photo-vlt.png", "photo.png"]


def test_the_overlay_shows_each_mask_in_its_colour(photo, tiny_checkpoint):
    """Of masks that cover all, outlines are the last colour; the photo shines through."""
    predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--threshold", "0", "--output", "one.png")
    predict("photo.png", "circle", "square", "--checkpoint", tiny_checkpoint, "--threshold", "0", "--output", "two.png")
    one, two = read_image("one.png"), read_image("two.png")
    assert tuple(one[0, 0]) == COLOURS["orange"]
    assert tuple(two[0, 0]) == COLOURS["blue"]
    assert one.shape == (50, 70, 3)
    assert not np.array_equal(one[20:30, 20:30], two[20:30, 20:30])


def test_nothing_found(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--threshold", "1")
    (nothing,) = load(tiny_checkpoint, "cpu").predict(photo, "circle", threshold=1)
    assert result.stdout == f"orange  score {nothing.score:.2f}  nothing found: circle\noverlay: photo-vlt.png\n"
    assert np.array_equal(read_image("photo-vlt.png"), read_image(photo))


def test_more_expressions_than_colours(photo, tiny_checkpoint):
    result = predict("photo.png", *["circle"] * 8, "--checkpoint", tiny_checkpoint)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[:8]] == [*COLOURS, "orange", "blue"]


def test_json(photo, tiny_checkpoint):
    result = predict(
        "photo.png", "red circle", "square", "--checkpoint", tiny_checkpoint, "--json", "--threshold", "0.4"
    )
    answers = json.loads(result.stdout)
    expected = load(tiny_checkpoint, "cpu").predict(photo, ["red circle", "square"], threshold=0.4)
    for answer, one in zip(answers, expected, strict=True):
        assert list(answer) == ["expression", "score", "box", "rle", "size"]
        assert answer["expression"] == one.expression
        assert answer["score"] == pytest.approx(one.score, abs=1e-4)
        assert answer["box"] == (None if one.box is None else list(one.box))
        assert answer["size"] == [50, 70]
        assert np.array_equal(decode_rle(answer["rle"]), one.mask)
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_json_and_an_overlay(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--json", "--output", "out.jpg")
    assert len(json.loads(result.stdout)) == 1
    assert result.stderr == "overlay: out.jpg\n"
    with PILImage.open("out.jpg") as overlay:
        assert overlay.size == (70, 50)


def test_warnings_go_to_stderr_in_one_line(photo, tiny_checkpoint):
    command = [
        sys.executable,
        "-m",
        "vlt",
        "predict",
        str(photo),
        "slithy circle",
        "--checkpoint",
        str(tiny_checkpoint),
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 1
    assert done.stderr == "warning: The model does not know 'slithy', and reads nothing there; other words may help.\n"


# ---------------------------------------------------------------- refused


@pytest.fixture
def untouched(monkeypatch):
    """Fails the test if anything is read or computed."""

    def fail(*_arguments, **_options):
        pytest.fail("something was computed before the refusal")

    monkeypatch.setattr("vlt.predict.load", fail)
    monkeypatch.setattr("vlt.data.photo.read_image", fail)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("nowhere/out.png", "there is no folder nowhere for out.png; make it first."),
        ("folder.png", "folder.png is a directory; name a file inside it."),
        ("out.txt", "out.txt does not say which kind of picture; end it in .png or .jpg"),
        ("out", "out does not say which kind of picture"),
    ],
)
def test_outputs_that_cannot_be_written(photo, untouched, output, sentence):
    (photo.parent / "folder.png").mkdir()
    result = predict("photo.png", "circle", "--checkpoint", "c", "--output", output)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_a_folder_in_place_of_the_default_output(photo, untouched):
    (photo.parent / "photo-vlt.png").mkdir()
    result = predict("photo.png", "circle", "--checkpoint", "c")
    assert result.exit_code == 2
    assert "photo-vlt.png is a directory" in result.stderr


@pytest.mark.parametrize(
    ("image", "expression", "checkpoint", "sentence"),
    [
        ("none.jpg", "circle", None, "error: There is no photo none.jpg; check the path."),
        (".", "circle", None, "error: . is a directory, not a photo; name a photo inside it."),
        ("text.jpg", "circle", None, "error: text.jpg is not a photo in any format that PIL can open."),
        ("short.png", "circle", None, "error: short.png cannot be decoded, it may be truncated"),
        ("photo.png", " ", None, "error: Expression 1 of 1 is empty; say what to find in the photo."),
        ("photo.png", "circle", "none", "error: There is no checkpoint none;"),
        ("photo.png", "circle", "text.jpg", "error: text.jpg is a file, but a checkpoint is a directory"),
    ],
)
def test_bad_input(photo, tiny_checkpoint, image, expression, checkpoint, sentence):
    (photo.parent / "text.jpg").write_text("not a photo")
    (photo.parent / "short.png").write_bytes(photo.read_bytes()[:500])
    result = predict(image, expression, "--checkpoint", checkpoint or tiny_checkpoint)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    assert not (photo.parent / "photo-vlt.png").exists()


def test_a_device_that_is_not_there(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--device", "toaster")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: The device 'toaster' cannot be used here")
