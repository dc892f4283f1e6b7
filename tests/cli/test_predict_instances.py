"""`vlt predict --instances`: a line, colour, mask and cutout of each object, and which files they are written to."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage
from predictor_fixture import BoxesEngine, BoxSegmenter, chosen_box, make_predictor

from vlt.cli import main
from vlt.data.image import read_image
from vlt.data.masks import decode_rle, read_target
from vlt.refine import Refiner
from vlt.visualize import PALETTE

SIZE = (50, 70)
FIRST, SECOND = (4, 6, 20, 26), (30, 8, 52, 30)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """An image file, with the working directory beside it."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def chosen(monkeypatch):
    """A function that lets `vlt predict` choose two boxes, with a presence."""

    def choose(presence=0.9, **settings):
        probability = [0.6 * presence, 0.4 * presence, 1 - presence, 1e-9]
        engine = BoxesEngine([chosen_box(SIZE, *box) for box in (FIRST, SECOND)], probability)
        predictor = make_predictor(engine, refiner=Refiner(BoxSegmenter()), presence=0.5, **settings)
        monkeypatch.setattr("vlt.infer.loading.load", lambda *_arguments, **_options: predictor)
        return predictor

    return choose


@pytest.fixture
def untouched(monkeypatch):
    """Fails the test if anything is read or computed."""
    for name in ("vlt.infer.loading.load", "vlt.data.image.read_image"):
        monkeypatch.setattr(name, lambda *_arguments, **_options: pytest.fail("something was computed"))


def predict(*arguments):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_line_a_colour_a_mask_and_a_cutout_of_each_instance(photo, chosen):
    predictor = chosen()
    result = predict("photo.png", "red", "--instances", "--mask", "one.png", "--cutout", "cut.png")
    assert result.exit_code == 0, result.stderr
    [prediction] = predictor.predict(photo, "red", instances=True)
    first, second, last = result.stdout.splitlines()
    for line, colour, number, one in zip(
        (first, second), ("orange", "blue  "), (1, 2), prediction.instances, strict=True
    ):
        box = ",".join(f"{side:.0f}" for side in one.box)
        share = f"{100 * one.mask.mean():.1f} % of the image"
        assert line == f"{colour}  score {one.score:.2f}  box {box}  {share}: red #{number}"
        assert np.array_equal(read_target(photo.parent / f"one-{number}.png"), one.mask)
        assert np.array_equal(np.asarray(PILImage.open(f"cut-{number}.png")), one.cutout())
    assert last == "overlay: photo-vlt.png"
    assert files_of(photo.parent) == ["cut-1.png", "cut-2.png", "one-1.png", "one-2.png", "photo-vlt.png", "photo.png"]
    drawn = read_image("photo-vlt.png")
    for name, one in zip(("orange", "blue"), prediction.instances, strict=True):
        rows, columns = one.mask.nonzero()
        assert tuple(drawn[rows[0], columns[0]]) == PALETTE[name], "the outline"


def test_several_expressions_are_numbered_before_their_instances(photo, chosen):
    chosen()
    result = predict("photo.png", "red", "orange", "--instances", "--mask", "m.png", "--output", "o.png")
    assert result.exit_code == 0, result.stderr
    assert files_of(photo.parent) == ["m-1-1.png", "m-1-2.png", "m-2-1.png", "m-2-2.png", "o.png", "photo.png"]
    lines = result.stdout.splitlines()[:4]
    assert [line.split()[0] for line in lines] == ["orange", "blue", "yellow", "pink"]
    assert [line.rsplit(": ", 1)[1] for line in lines] == ["red #1", "red #2", "orange #1", "orange #2"]


def test_files_in_folders_are_named_after_the_images(photo, chosen):
    chosen()
    PILImage.open(photo).save(photo.parent / "other.png")
    (photo.parent / "out").mkdir()
    result = predict("-e", "red", "photo.png", "other.png", "--instances", "--mask", "out", "--output", "out")
    assert result.exit_code == 0, result.stderr
    each = [f"{name}-{tail}.png" for name in ("other", "photo") for tail in ("mask-1", "mask-2", "vlt")]
    assert files_of(photo.parent / "out") == each


def test_nothing_matches_as_without_instances(photo, chosen):
    chosen(presence=0.2)
    plain, result = (predict("photo.png", "red", *more, "--mask", "m.png") for more in ((), ("--instances",)))
    assert plain.stdout == result.stdout
    assert "nothing matches (presence 0.20): red" in result.stdout
    assert files_of(photo.parent) == ["m.png", "photo-vlt.png", "photo.png"]  # m.png of the first


def test_instances_in_json(photo, chosen):
    predictor = chosen()
    [values] = json.loads(predict("photo.png", "red", "--instances", "--json").stdout)
    [prediction] = predictor.predict(photo, "red", instances=True)
    assert values == json.loads(json.dumps(prediction.to_dict()))
    assert len(values["instances"]) == 2
    united = np.logical_or.reduce([decode_rle(each["rle"]) for each in values["instances"]])
    assert np.array_equal(united, decode_rle(values["rle"]))
    chosen(presence=0.2)
    assert json.loads(predict("photo.png", "red", "--instances", "--json").stdout)[0]["instances"] == []
    assert "instances" not in json.loads(predict("photo.png", "red", "--json").stdout)[0]


def test_without_candidates_the_parts_of_the_mask_are_shown(photo, tiny_checkpoint):
    result = predict("photo.png", "red circle", "--instances", "--checkpoint", tiny_checkpoint, "--threshold", "0")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].endswith("box 0,0,70,50  100.0 % of the image: red circle #1")


@pytest.mark.parametrize("name", ["photo-2.png", "link-3.png"])
def test_an_instance_never_overwrites_the_image(photo, untouched, name):
    image = photo.rename(photo.parent / "photo-2.png")
    (photo.parent / "link-3.png").symlink_to(image)
    result = predict("photo-2.png", "red", "--instances", "--mask", f"{name[:-6]}.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: {name} would be overwritten by an instance of {name[:-6]}.png; choose another name for that.\n"
    )
    assert predict("photo-2.png", "red", "--mask", f"{name[:-6]}.jpg", "--instances").exit_code == 1


def test_an_instance_never_overwrites_the_overlay(photo, untouched):
    result = predict("photo.png", "red", "--instances", "--cutout", "a.png", "--output", "a-12.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: a-12.png would be overwritten by an instance of a.png; choose another name for that.\n"
    )
