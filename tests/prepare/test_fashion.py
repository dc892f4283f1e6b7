"""Street-fashion parsing data sets: people, garments, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image
from scenes_fixture import sides, write_people

from vlt.errors import DataError
from vlt.prepare.fashion import read_fashion
from vlt.synth.scenes.referents import to_scene


@pytest.fixture
def fashion(tmp_path):
    return write_people(tmp_path / "fashion", sides(2)[0])


def test_the_person_is_every_labelled_pixel(fashion):
    first = read_fashion(fashion, 7)[0]
    [person] = first.read().layers
    assert first.id == sides(2)[0][0]
    assert person.category == 7
    assert person.mask.sum() == 90 * 60 + 30 * 60 + 10 * 20
    assert {noun: mask.sum() for noun, mask in person.garments.items()} == {"dress": 90 * 60, "boots": 30 * 60}


def test_garments_have_colours_of_their_own(fashion):
    [person] = to_scene(read_fashion(fashion, 0)[0].read()).objects
    assert {noun: max(shares, key=shares.get) for noun, shares in person.wears.items()} == {
        "dress": "green",
        "boots": "blue",
    }


def test_hardly_visible_garments_are_not_worn(fashion):
    first = read_fashion(fashion, 0)[0]
    labels = np.array(Image.open(first.labels))
    labels[labels == 2] = 1
    labels[20:22, 70:90] = 4
    Image.fromarray(labels).save(first.labels)
    [person] = first.read().layers
    assert set(person.garments) == {"dress", "pants"}
    assert set(to_scene(first.read()).objects[0].wears) == {"dress"}


def test_a_garment_that_is_out_of_view_is_not_worn(fashion):
    picture = read_fashion(fashion, 0)[0].read().view((0, 0, 200, 105), 400)
    [person] = to_scene(picture).objects
    assert set(person.wears) == {"dress"}


def test_an_image_without_labelled_pixels_has_no_person(fashion):
    first = read_fashion(fashion, 0)[0]
    Image.fromarray(np.zeros((160, 200), np.uint8)).save(first.labels)
    assert first.read().layers == ()


def test_labels_of_another_size_are_refused(fashion):
    first = read_fashion(fashion, 0)[0]
    Image.fromarray(np.ones((80, 100), np.uint8)).save(first.labels)
    with pytest.raises(DataError, match="have 80 x 100 and 160 x 200 pixels; make them one size"):
        first.read()


def test_damaged_files_are_refused(fashion):
    first = read_fashion(fashion, 0)[0]
    first.labels.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"The labels .* cannot be read"):
        first.read()
    (fashion / "labels.json").write_text('{"a": "dress"}')
    with pytest.raises(DataError, match=r"labels.json, key 'a'.*an object of label and name is needed"):
        read_fashion(fashion, 0)
    (fashion / "labels.json").unlink()
    with pytest.raises(DataError, match=r"labels.json cannot be read.*it names the labels"):
        read_fashion(fashion, 0)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({0: "null"}))
    with pytest.raises(DataError, match=r"has no image images/NAME.jpg with labels/NAME.png"):
        read_fashion(tmp_path, 0)


def test_images_without_labels_are_left_out(fashion):
    first, second = read_fashion(fashion, 0)
    first.labels.unlink()
    assert [each.name for each in read_fashion(fashion, 0)] == [second.name]


@pytest.mark.parametrize(
    ("labels", "noun", "garments"),
    [
        ({1: "dress", 2: "wedges", 3: "skin"}, "woman", {"dress", "heels"}),
        ({1: "shirt", 2: "pumps", 3: "hair"}, "woman", {"shirt", "heels"}),
        ({1: "shirt", 2: "clogs", 3: "shoes"}, "person", {"shirt", "shoes"}),
        ({1: "cape", 2: "watch"}, "person", {"coat"}),
    ],
)
def test_nouns_of_people_and_garments(fashion, labels, noun, garments):
    (fashion / "labels.json").write_text(json.dumps(labels))
    [person] = read_fashion(fashion, 0)[0].read().layers
    assert (person.noun, set(person.garments)) == (noun, garments)
    assert sum(mask.sum() for mask in person.garments.values()) <= person.mask.sum()


def test_a_carried_object_is_an_object_of_its_own(fashion):
    first = read_fashion(fashion, 0)[0]
    (fashion / "labels.json").write_text(json.dumps({0: "null", 1: "dress", 2: "purse"}))
    scene = to_scene(read_fashion(fashion, 0)[0].read())
    assert [thing.noun for thing in scene.objects] == ["woman", "purse"]
    assert scene.objects[1].area == 30 * 60
    assert [thing.noun for thing in to_scene(first.read()).objects] == ["woman"]


def test_a_byte_order_mark_before_the_labels(fashion):
    path = fashion / "labels.json"
    before = read_fashion(fashion, 0)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_fashion(fashion, 0) == before
