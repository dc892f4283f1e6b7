"""`vlt predict`: lines, pictures or JSON, for one image or several; and what is refused before anything is computed."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image as PILImage
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vlt.checkpoint import save_checkpoint
from vlt.cli import main
from vlt.cli.predict import describe
from vlt.config import parse_config
from vlt.data.image import read_image
from vlt.data.masks import decode_rle, read_target
from vlt.infer import load
from vlt.model.build import build_model
from vlt.visualize import PALETTE, palette_colour


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """An image file, with the working directory beside it."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def photos(photo):
    """Three image files: photo.png, other.png and third.png."""
    for seed, name in enumerate(["other.png", "third.png"], 1):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        PILImage.fromarray(pixels).save(photo.parent / name)
    return photo.parent


def predict(*arguments, **options):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)], **options)


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_line_each_and_an_overlay(photo, tiny_checkpoint):
    result = predict("photo.png", "red circle", "square", "--checkpoint", tiny_checkpoint, "--threshold", "0")
    assert result.exit_code == 0, result.stderr
    first, second, last = result.stdout.splitlines()
    one, two = load(tiny_checkpoint, "cpu").predict(photo, ["red circle", "square"], threshold=0)
    assert first == f"orange  score {one.score:.2f}  box 0,0,70,50  100.0 % of the image: red circle"
    assert second == f"blue    score {two.score:.2f}  box 0,0,70,50  100.0 % of the image: square"
    assert last == "overlay: photo-vlt.png"
    assert result.stderr == ""
    assert files_of(photo.parent) == ["photo-vlt.png", "photo.png"]


def test_the_overlay_shows_each_mask_in_its_colour_with_a_legend(photo, tiny_checkpoint):
    """Of masks that cover all, outlines are the last colour; the image shines through."""
    predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--threshold", "0", "--output", "one.png")
    predict("photo.png", "circle", "square", "--checkpoint", tiny_checkpoint, "--threshold", "0", "--output", "two.png")
    one, two = read_image("one.png"), read_image("two.png")
    assert tuple(one[0, 0]) == PALETTE["orange"]
    assert tuple(two[0, 0]) == PALETTE["blue"]
    assert not np.array_equal(one[20:30, 20:30], two[20:30, 20:30])
    assert one.shape[0] > 50
    assert two.shape[0] > one.shape[0], "a line of the legend for each expression"
    assert one.shape[1:] == two.shape[1:] == (70, 3)
    for name in ("orange", "blue"):
        assert (two[50:] == PALETTE[name]).all(-1).sum() > 50


def test_nothing_found(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--threshold", "1")
    (nothing,) = load(tiny_checkpoint, "cpu").predict(photo, "circle", threshold=1)
    assert result.stdout == (
        f"orange  score {nothing.score:.2f}  nothing found above threshold 1: circle\noverlay: photo-vlt.png\n"
    )
    assert np.array_equal(read_image("photo-vlt.png")[:50], read_image(photo))


def test_more_expressions_than_named_colours(photo, tiny_checkpoint):
    """Every mask has a colour of its own, and its line says which."""
    count = len(PALETTE) + 4
    result = predict("photo.png", *["circle"] * count, "--checkpoint", tiny_checkpoint)
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines()[:count]]
    assert names == [palette_colour(index)[0] for index in range(count)]
    assert len(set(names)) == count


def test_json(photo, tiny_checkpoint):
    result = predict(
        "photo.png", "red circle", "square", "--checkpoint", tiny_checkpoint, "--json", "--threshold", "0.4"
    )
    printed = json.loads(result.stdout)
    expected = load(tiny_checkpoint, "cpu").predict(photo, ["red circle", "square"], threshold=0.4)
    for values, one in zip(printed, expected, strict=True):
        assert list(values) == ["expression", "score", "box", "rle", "size"]
        assert values["expression"] == one.expression
        assert values["score"] == pytest.approx(one.score, abs=1e-4)
        assert values["box"] == (None if one.box is None else list(one.box))
        assert values["size"] == [50, 70]
        assert np.array_equal(decode_rle(values["rle"]), one.mask)
    assert files_of(photo.parent) == ["photo.png"]


def test_json_and_an_overlay(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--json", "--output", "out.jpg")
    assert len(json.loads(result.stdout)) == 1
    assert result.stderr == "overlay: out.jpg\n"
    with PILImage.open("out.jpg") as overlay:
        assert overlay.width == 70


def test_a_mask_and_a_cutout(photo, tiny_checkpoint):
    (one,) = load(tiny_checkpoint, "cpu").predict(photo, "circle", threshold=0.5)
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--mask", "m.png", "--cutout", "c.webp")
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(read_target(photo.parent / "m.png"), one.mask)
    with PILImage.open("m.png") as mask:
        assert (mask.mode, set(np.unique(mask)) - {0, 255}) == ("L", set())
    with PILImage.open("c.webp") as cutout:
        assert cutout.size == (70, 50)
    assert files_of(photo.parent) == ["c.webp", "m.png", "photo-vlt.png", "photo.png"]


def test_masks_and_cutouts_of_several_expressions_are_numbered(photo, tiny_checkpoint):
    (photo.parent / "out").mkdir()
    options = ["--checkpoint", tiny_checkpoint, "--mask", "m.png", "--cutout", "out", "--json"]
    assert predict("photo.png", "circle", "square", *options).exit_code == 0
    assert files_of(photo.parent) == ["m-1.png", "m-2.png", "out", "photo.png"]
    assert files_of(photo.parent / "out") == ["photo-cutout-1.png", "photo-cutout-2.png"]
    predictions = load(tiny_checkpoint, "cpu").predict(photo, ["circle", "square"])
    for number, one in enumerate(predictions, 1):
        assert np.array_equal(read_target(photo.parent / f"m-{number}.png"), one.mask)
        with PILImage.open(photo.parent / f"out/photo-cutout-{number}.png") as cutout:
            assert np.array_equal(np.asarray(cutout), one.cutout())


def test_an_image_from_standard_input(photo, tiny_checkpoint):
    options = ["circle", "--checkpoint", tiny_checkpoint]
    piped = predict("-", *options, "--json", input=photo.read_bytes())
    assert piped.exit_code == 0, piped.stderr
    assert piped.stdout == predict("photo.png", *options, "--json").stdout
    assert predict("-", *options, input=photo.read_bytes()).stdout.endswith("overlay: stdin-vlt.png\n")
    assert files_of(photo.parent) == ["photo.png", "stdin-vlt.png"]
    assert predict("-", *options, input=b"").stderr == "error: The image in memory is empty (0 bytes).\n"


def test_warnings_go_to_stderr_in_one_line(photo, tiny_checkpoint):
    command = [sys.executable, "-m", "vlt", "predict", str(photo), "slithy circle"]
    command += ["--checkpoint", str(tiny_checkpoint), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 1
    assert done.stderr == "warning: The model does not know 'slithy', and ignores it; try other words.\n"


def test_a_misspelled_word_is_noted(photo, tiny_checkpoint):
    result = predict("photo.png", "red circel, left", "flowr", "--checkpoint", tiny_checkpoint, "--json")
    notes = [line for line in result.stderr.splitlines() if line.startswith("note")]
    assert notes == ["note: read 'circel' as 'circle'", "note: read 'flowr' as 'flower'"]
    assert "load the model with" not in result.stderr
    assert [one["expression"] for one in json.loads(result.stdout)] == ["red circel, left", "flowr"]


def test_a_misspelled_word_is_read_with_its_correction_unless_as_written(photo, tiny_checkpoint):
    options = ["--checkpoint", tiny_checkpoint, "--threshold", "0.5", "--json"]
    result = predict("photo.png", "red circel", "red circle", *options)
    corrected, plain = ({**one, "expression": ""} for one in json.loads(result.stdout))
    assert corrected == plain
    result = predict("photo.png", "red circel", *options, "--as-written")
    assert "note: 'circel' is not a common word; did you mean 'circle'?" in result.stderr
    assert "does not know 'circel'" in result.stderr
    assert {**json.loads(result.stdout)[0], "expression": ""} != plain


def test_a_word_that_may_be_misspelled_is_noted(photo, tiny_checkpoint):
    result = predict("photo.png", "elefant", "red elefant, left", "--checkpoint", tiny_checkpoint, "--json")
    notes = [line for line in result.stderr.splitlines() if line.startswith("note")]
    assert notes == ["note: 'elefant' is not a common word; did you mean 'elephant'?"]


def test_words_of_another_language_are_not_noted(photo, tiny_checkpoint):
    result = predict("photo.png", "roter elefant mit Hut", "--checkpoint", tiny_checkpoint, "--json")
    assert "note" not in result.stderr


# ---------------------------------------------------------------- networks with candidates


@pytest.fixture(scope="module")
def choosing(tiny_config, tiny_text, tmp_path_factory):
    """Makes a checkpoint with candidates, random weights and some settings of inference."""
    candidates = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}

    def make(**inference):
        values = tiny_config.model_dump(mode="json")
        values["model"]["candidates"], values["loss"]["candidate"] = candidates, 1.0
        config = parse_config({**values, "inference": inference}, "tests")
        torch.manual_seed(0)
        model = build_model(config.model, pretrained=False).eval()
        folder = tmp_path_factory.mktemp("choosing") / "checkpoint"
        save_checkpoint(folder, model=model, config=config, text=tiny_text, meta={})
        return folder

    return make


def test_nothing_matches(photo, choosing):
    """Even at threshold 0, at which every pixel that is predicted belongs to the mask."""
    options = ["--threshold", "0", "--checkpoint"]
    result = predict("photo.png", "red circle", *options, choosing(presence=1.0))
    assert result.exit_code == 0, result.output
    line = result.stdout.splitlines()[0]
    presence = re.fullmatch(r"orange  score (0\.\d\d)  nothing matches \(presence (0\.\d\d)\): red circle", line)
    assert presence is not None, line
    assert presence[1] == presence[2]
    found = predict("photo.png", "red circle", *options, choosing()).stdout
    assert re.match(r"orange  score 0\.\d\d  box 0,0,70,50  100\.0 % of the image: red circle\n", found), found


def test_nothing_matches_in_json(photo, choosing):
    for checkpoint, matches in ((choosing(presence=1.0), False), (choosing(), True)):
        result = predict("photo.png", "circle", "--threshold", "0", "--checkpoint", checkpoint, "--json")
        [values] = json.loads(result.stdout)
        assert list(values) == ["expression", "score", "presence", "matches", "box", "rle", "size"]
        assert 0 < values["presence"] < 1
        assert values["matches"] is matches
        assert (values["box"] is not None) is matches
        assert decode_rle(values["rle"]).all() == decode_rle(values["rle"]).any() == matches


def test_the_legend_distinguishes_nothing_matching_from_nothing_found(photo, choosing):
    texts = {}
    for name, checkpoint, threshold in (
        ("absent", choosing(presence=1.0), 0),
        ("empty", choosing(), 1),
        ("full", choosing(), 0),
    ):
        [one] = load(checkpoint, "cpu").predict(photo, "circle", threshold=threshold)
        texts[name] = describe(one)
    assert texts == {
        "absent": "circle (nothing matches)",
        "empty": "circle (nothing found)",
        "full": f"circle ({one.score:.2f})",
    }


# ---------------------------------------------------------------- several images


def test_several_images_as_each_alone(photos, tiny_checkpoint):
    options = ["--checkpoint", tiny_checkpoint, "--threshold", "0.5"]
    result = predict("-e", "red circle", "-e", "square", "photo.png", "other.png", "third.png", *options, "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert [(each["image"], each["expression"]) for each in printed] == [
        (name, text) for name in ("photo.png", "other.png", "third.png") for text in ("red circle", "square")
    ]
    for name in ("photo.png", "other.png", "third.png"):
        alone = json.loads(predict(name, "red circle", "square", *options, "--json").stdout)
        assert [{"image": name, **each} for each in alone] == [each for each in printed if each["image"] == name]


def test_lines_and_files_of_several_images(photos, tiny_checkpoint):
    (photos / "out").mkdir()
    options = ["--checkpoint", tiny_checkpoint, "--mask", "out", "--cutout", "out"]
    result = predict("--expression", "circle", "photo.png", "other.png", *options)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["photo.png:", "orange"],
        ["overlay:", "photo-vlt.png"],
        ["other.png:", "orange"],
        ["overlay:", "other-vlt.png"],
    ]
    assert files_of(photos / "out") == ["other-cutout.png", "other-mask.png", "photo-cutout.png", "photo-mask.png"]


def test_patterns_are_expanded_and_repetitions_are_left_out(photos, tiny_checkpoint):
    result = predict("-e", "circle", "*.png", "photo.png", "--checkpoint", tiny_checkpoint, "--json")
    assert result.exit_code == 0, result.stderr
    assert [each["image"] for each in json.loads(result.stdout)] == ["other.png", "photo.png", "third.png"]
    (photos / "photo[1].png").write_bytes((photos / "photo.png").read_bytes())
    result = predict("-e", "circle", "photo[1].png", "--checkpoint", tiny_checkpoint, "--json")
    assert result.exit_code == 0, "a file whose name looks like a pattern"
    result = predict("-e", "circle", "*.jpg", "photo.png", "--checkpoint", tiny_checkpoint)
    assert (result.exit_code, result.stderr) == (1, "error: No file matches '*.jpg'; check the pattern.\n")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_image_does_not_lose_the_others(photos, tiny_checkpoint, place):
    names = ["photo.png", "other.png"]
    names.insert(place, "none.png")
    result = predict("-e", "slithy circle", *names, "--checkpoint", tiny_checkpoint, "--json")
    assert result.exit_code == 1
    assert [each["image"] for each in json.loads(result.stdout)] == ["photo.png", "other.png"]
    assert sorted(result.stderr.splitlines()) == [
        "error: 1 of 3 images could not be used, for the reasons above; the rest is done.",
        "error: There is no image none.png; check the path.",
        "warning: The model does not know 'slithy', and ignores it; try other words.",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["photo.png", "other.png", "circle"], "The expression 'other.png' is the name of a file; several images are"),
        (["-e", "other.png", "photo.png"], "The expression 'other.png' is the name of a file"),
        (["-e", "circle", "-", "photo.png"], "Standard input (-) holds one image; give it alone."),
        (
            ["-e", "circle", "photo.png", "other.png", "--mask", "m.png"],
            "--mask m.png is not a folder, but there are 2",
        ),
        (["-e", "circle", "photo.png", "sub/photo.png"], "photo-vlt.png would be written twice; choose other files"),
    ],
)
def test_arguments_that_cannot_be(photos, untouched, arguments, sentence):
    (photos / "sub").mkdir()
    (photos / "sub/photo.png").write_bytes((photos / "photo.png").read_bytes())
    result = predict(*arguments, "--checkpoint", "c")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {sentence}")
    assert result.stderr.count("\n") == 1


def test_an_expression_longer_than_a_file_name_can_be(photo, tiny_checkpoint):
    text = "the red circle on the left of " * 20
    result = predict("photo.png", text, "--checkpoint", tiny_checkpoint, "--json")
    assert result.exit_code == 0, result.exception
    assert predict("-e", text, "photo.png", "--checkpoint", tiny_checkpoint, "--json").exit_code == 0


# ---------------------------------------------------------------- consoles of other encodings


@pytest.mark.parametrize(
    ("encoding", "as_json"), [("cp1252", False), ("ascii", False), ("ascii", True), ("utf-8", True)]
)
def test_letters_that_the_console_lacks(photo, tiny_checkpoint, encoding, as_json):
    text = "circle чашка \N{SNOWMAN}\N{DOG FACE}"
    command = [sys.executable, "-m", "vlt", "predict", "photo.png", text, "--checkpoint", str(tiny_checkpoint)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([*command, *["--json"] * as_json], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    if as_json:
        assert json.loads(done.stdout.decode(encoding))[0]["expression"] == text
    else:
        assert (photo.parent / "photo-vlt.png").exists()
        printed = "utf-8" if encoding == "ascii" else encoding  # click takes ASCII for a console that is set up wrong
        assert text.encode(printed, "backslashreplace") in done.stdout


# ---------------------------------------------------------------- refused


@pytest.fixture
def untouched(monkeypatch):
    """Fails the test if anything is read or computed."""

    def fail(*_arguments, **_options):
        pytest.fail("something was computed before the refusal")

    monkeypatch.setattr("vlt.infer.load", fail)
    monkeypatch.setattr("vlt.data.image.read_image", fail)


@pytest.mark.parametrize("option", ["--output", "--mask", "--cutout"])
@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("nowhere/out.png", "there is no folder nowhere for out.png; make it first."),
        ("out.txt", "out.txt names no picture format; end it in .png or .jpg"),
        ("out", "out names no picture format"),
    ],
)
def test_outputs_that_cannot_be_written(photo, untouched, option, output, sentence):
    result = predict("photo.png", "circle", "--checkpoint", "c", option, output)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_a_folder_in_place_of_the_default_output(photo, untouched):
    (photo.parent / "photo-vlt.png").mkdir()
    result = predict("photo.png", "circle", "--checkpoint", "c")
    assert result.exit_code == 2
    assert "photo-vlt.png is a directory" in result.stderr


@pytest.mark.parametrize("option", ["--mask", "--cutout"])
def test_masks_and_cutouts_are_no_jpeg(photo, untouched, option):
    result = predict("photo.png", "circle", "--checkpoint", "c", option, "out.jpg")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "JPEG blurs masks and has no transparency; end the name in .png or .webp" in result.stderr


@pytest.mark.parametrize("option", ["--output", "--mask", "--cutout"])
@pytest.mark.parametrize(
    "name", ["photo.png", "./photo.png", "sub/../photo.png", "symbolic.png", "hard.png", "absolute"]
)
def test_the_image_is_never_overwritten(photo, untouched, option, name):
    (photo.parent / "sub").mkdir()
    (photo.parent / "symbolic.png").symlink_to(photo)
    (photo.parent / "hard.png").hardlink_to(photo)
    before = photo.read_bytes()
    result = predict("photo.png", "circle", "--checkpoint", "c", option, photo if name == "absolute" else name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is an image to predict on and would be overwritten; choose another file" in result.stderr
    assert photo.read_bytes() == before


def test_no_image_of_several_is_overwritten(photos, untouched):
    """The default name of the first image's overlay is that of the second image."""
    (photos / "photo-vlt.png").write_bytes((photos / "other.png").read_bytes())
    result = predict("-e", "circle", "photo.png", "photo-vlt.png", "--checkpoint", "c")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: photo-vlt.png is an image to predict on and would be overwritten")


@pytest.mark.parametrize("names", [("a.png", "a.png"), ("a.png", "./a.png")])
def test_no_result_overwrites_another(photo, untouched, names):
    result = predict("photo.png", "circle", "--checkpoint", "c", "--mask", names[0], "--cutout", names[1])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "a.png would be written twice; choose other files" in result.stderr


@pytest.mark.parametrize(
    ("image", "expression", "checkpoint", "sentence"),
    [
        ("none.jpg", "circle", None, "error: There is no image none.jpg; check the path."),
        (".", "circle", None, "error: . is a directory, not an image; name an image inside it."),
        ("text.jpg", "circle", None, "error: text.jpg is not an image in any format that PIL can open."),
        ("short.png", "circle", None, "error: short.png cannot be decoded, it may be truncated"),
        ("photo.png", " ", None, "error: Expression 1 of 1 is empty or blank; write what to find"),
        ("photo.png", "\u3164", None, "error: Expression 1 of 1 has only invisible characters; write what to find"),
        ("photo.png", "circle", "none", "error: There is no checkpoint none;"),
        ("photo.png", "circle", "text.jpg", "error: text.jpg is a file, but a checkpoint is a directory"),
    ],
)
def test_bad_input(photo, tiny_checkpoint, image, expression, checkpoint, sentence):
    (photo.parent / "text.jpg").write_text("not an image")
    (photo.parent / "short.png").write_bytes(photo.read_bytes()[:500])
    result = predict(image, expression, "--checkpoint", checkpoint or tiny_checkpoint)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    assert not (photo.parent / "photo-vlt.png").exists()


REFUSED = """
import sys
from click.testing import CliRunner
from vlt.cli import main
result = CliRunner().invoke(main, ["predict", *sys.argv[1:]])
slow = [name for name in ("torch", "transformers", "vlt.model") if name in sys.modules]
print(result.exit_code, slow, result.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["photo.png", ""], "Expression 1 of 1 is empty or blank"),
        (["photo.png", "circle", "\u2800"], "Expression 2 of 2 has only invisible characters"),
        (["none.png", "circle"], "There is no image none.png"),
        (["photo.png", "photo.png"], "is the name of a file"),
    ],
)
def test_refused_before_the_network_is_loaded(photo, arguments, sentence):
    command = [sys.executable, "-c", REFUSED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("1 [] error: ")
    assert sentence in done.stdout


def test_a_device_that_is_not_there(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--device", "toaster")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: The device 'toaster' cannot be used here")


def damage(checkpoint, folder):
    """Copy a checkpoint with NaN among its weights."""
    shutil.copytree(checkpoint, folder)
    file = folder / "weights.safetensors"
    with safe_open(file, "pt") as opened:
        meta = opened.metadata()
    tensors = load_file(file)
    key = next(key for key in sorted(tensors) if key.startswith("mask_decoder") and tensors[key].is_floating_point())
    tensors[key] = torch.full_like(tensors[key], float("nan"))
    save_file(tensors, file, metadata=meta)


def test_nan_is_an_error(photo, tiny_checkpoint):
    damage(tiny_checkpoint, photo.parent / "damaged")
    result = predict("photo.png", "circle", "--checkpoint", "damaged")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (photo.parent / "photo-vlt.png").exists()


# ---------------------------------------------------------------- threads


def test_the_number_of_threads(photo, tiny_checkpoint, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # so that what the command sets ends with the test
    before = torch.get_num_threads()
    try:
        options = ["--checkpoint", tiny_checkpoint, "--json", "--threads"]
        for threads in (2, 1):
            assert predict("photo.png", "circle", *options, threads).exit_code == 0
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert predict("photo.png", "circle", *options, 0).exit_code == 2


def test_a_url_with_a_question_mark_is_not_a_pattern(photo):
    result = predict("--expression", "circle", "http://host/a.jpg?size=1", "--threshold", "0.5")
    assert result.exit_code == 1
    assert "http://host/a.jpg?size=1 is a URL, which is not supported" in result.stderr


def test_nan_is_not_a_threshold(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--threshold", "nan")
    assert result.exit_code == 1
    assert "The threshold is nan, not a number from 0 to 1" in result.stderr


def test_a_file_name_that_is_too_long_is_one_sentence(photo, tiny_checkpoint):
    result = predict("photo.png", "circle", "--checkpoint", tiny_checkpoint, "--output", "x" * 300 + ".png")
    assert result.exit_code in (1, 2)
    assert "too long" in result.stderr
    assert "Traceback" not in result.stderr
