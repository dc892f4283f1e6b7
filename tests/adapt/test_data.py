"""Data of an adaptation: what is refused before anything slow, and that no image is on both sides."""

import json

import numpy as np
import pytest
from adapt_fixture import BOXES, SIZE, make_rows, write_image, write_lines
from PIL import Image

from vlt.adapt.data import FEWEST_EXPRESSIONS, read_adapt_data
from vlt.errors import DataError


def images_of(referrals):
    return {referral.image.name for referral in referrals}


@pytest.mark.parametrize(("images", "held"), [(4, 1), (5, 1), (8, 2), (20, 4)])
def test_a_fifth_of_the_images_is_held_out(tmp_path, images, held):
    data = read_adapt_data(write_lines(tmp_path, make_rows(images)))
    assert (data.trained.images, data.evaluated.images) == (images - held, held)
    assert not images_of(data.train) & images_of(data.held_out)
    assert data.trained.sentences + data.evaluated.sentences == 3 * images
    assert str(data).startswith(f"trained on {3 * (images - held)} expressions of {images - held} images")


def test_equal_images_are_on_the_same_side(tmp_path):
    rows = make_rows(6)
    path = write_lines(tmp_path, rows)
    for number in range(1, 6):
        write_image(tmp_path / f"{number}.png", number % 2)  # two different images, three times each
    write_image(tmp_path / "0.png", 0)
    held = {int(name[0]) % 2 for name in images_of(read_adapt_data(path).held_out)}
    assert len(held) == 1


def test_images_where_nothing_matches_are_on_both_sides(tmp_path):
    rows = [*make_rows(5), *({"image": f"{i}.png", "expression": "a dog", "absent": True} for i in range(5, 10))]
    data = read_adapt_data(write_lines(tmp_path, rows))
    for part in (data.train, data.held_out):
        assert {bool(referral.targets) for referral in part} == {True, False}


def test_too_few_expressions(tmp_path):
    rows = make_rows(3)
    rows[0] = {**rows[0], "expressions": rows[0]["expressions"] + ["a box"]}
    assert read_adapt_data(write_lines(tmp_path, rows)).trained.images == 2
    path = write_lines(tmp_path, make_rows(3))
    with pytest.raises(DataError, match=rf"has 9 expressions, but .* at least {FEWEST_EXPRESSIONS}; write more, 50"):
        read_adapt_data(path)


def test_one_image(tmp_path):
    rows = [{"image": "0.png", "expression": f"box {i}", "box": BOXES["red"]} for i in range(12)]
    absent = [{"image": "1.png", "expression": "a dog", "absent": True}]
    with pytest.raises(DataError, match="has outlines on 1 image, but one image is held out and at least one"):
        read_adapt_data(write_lines(tmp_path, rows + absent))


def test_expressions_that_cannot_be_used_are_refused_and_named(tmp_path):
    path = write_lines(tmp_path, make_rows(5))
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"missing photo 2 times .*first .*boxes.jsonl, line 5; correct or remove"):
        read_adapt_data(path)
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"unreadable photo 2 times \(such as 2.png\)"):
        read_adapt_data(path)
    rows = make_rows(5)
    rows[3] = {**rows[3], "box": [90, 10, 120, 30]}
    with pytest.raises(DataError, match=r"outline outside the image 1 time .*line 4"):
        read_adapt_data(write_lines(tmp_path, rows))


def test_an_image_that_ends_too_early(tmp_path):
    """Its header can be read, so that reading the expressions does not notice."""
    path = write_lines(tmp_path, make_rows(5))
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "3.png", "JPEG")
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"An image with expressions cannot be read: .*3\.png"):
        read_adapt_data(path)


def test_a_folder(tmp_path):
    with pytest.raises(DataError, match="is a folder; name a file of JSON lines"):
        read_adapt_data(tmp_path)


def test_coco_instances_with_expressions(tmp_path):
    (tmp_path / "photos").mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "box"}]}
    for number in range(5):
        write_image(tmp_path / "photos" / f"{number}.png", number)
        size = {"height": SIZE[0], "width": SIZE[1]}
        content["images"].append({"id": number, "file_name": f"{number}.png", **size})
        for place, (colour, (x0, y0, x1, y1)) in enumerate(BOXES.items()):
            content["annotations"].append(
                {
                    "id": 10 * number + place,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                    "expressions": [f"{colour} box"],
                }
            )
    (tmp_path / "instances.json").write_text(json.dumps(content))
    data = read_adapt_data(tmp_path / "instances.json", [tmp_path / "photos"])
    assert (data.trained.sentences, data.evaluated.sentences) == (8, 2)


def test_a_label_studio_export_with_regions_that_say_nothing(tmp_path):
    """Regions without an expression and of unknown kinds are ordinary in exports; the others are used."""
    (tmp_path / "photos").mkdir()
    size = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
    tasks = []
    for number in range(10):
        write_image(tmp_path / "photos" / f"{number}.png", number)
        value = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 50.0, "rotation": 0, "rectanglelabels": ["red box"]}
        silent = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 50.0, "rotation": 0}
        result = [
            {"id": "a", "type": "rectanglelabels", "value": value} | size,
            {"id": "b", "type": "rectangle", "value": silent} | size,
        ]
        image = f"/data/upload/1/01234567-{number}.png"
        tasks.append({"id": number, "data": {"image": image}, "annotations": [{"result": result}]})
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    data = read_adapt_data(tmp_path / "export.json", [tmp_path / "photos"])
    assert (data.trained.sentences, data.evaluated.sentences) == (8, 2)


def test_an_image_that_may_be_turned(tmp_path):
    path = write_lines(tmp_path, make_rows(5))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    with Image.open(tmp_path / "1.png") as image:
        image.save(tmp_path / "1.png", exif=exif)
    with pytest.raises(DataError, match="photo that EXIF rotates or mirrors 2 times"):
        read_adapt_data(path)
