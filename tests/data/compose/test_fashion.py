"""Street-fashion sets: who wears what, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image
from scenes_fixture import sides, write_people

from vlt.data.compose.fashion import read_fashion
from vlt.errors import DataError


@pytest.fixture
def fashion(tmp_path):
    return write_people(tmp_path / "fashion", sides(2)[0])


def test_a_person_is_all_that_is_labelled(fashion):
    first = read_fashion(fashion, 7)[0]
    [person] = first.read().layers
    assert first.id == sides(2)[0][0]
    assert person.category == 7
    assert person.mask.sum() == 90 * 60 + 30 * 60 + 10 * 20
    assert {noun: mask.sum() for noun, mask in person.garments.items()} == {"dress": 90 * 60, "boots": 30 * 60}


def test_what_is_worn_has_its_own_colours(fashion):
    [person] = read_fashion(fashion, 0)[0].read().scene().things
    assert {noun: max(shares, key=shares.get) for noun, shares in person.wears.items()} == {
        "dress": "green",
        "boots": "blue",
    }


def test_hardly_seen_garments_are_not_worn(fashion):
    first = read_fashion(fashion, 0)[0]
    labels = np.array(Image.open(first.labels))
    labels[labels == 2] = 1
    labels[20:22, 70:90] = 4
    Image.fromarray(labels).save(first.labels)
    [person] = first.read().layers
    assert set(person.garments) == {"dress", "pants"}
    assert set(first.read().scene().things[0].wears) == {"dress"}


def test_a_garment_that_is_out_of_view_is_not_worn(fashion):
    picture = read_fashion(fashion, 0)[0].read().view((0, 0, 200, 105), 400)
    [person] = picture.scene().things
    assert set(person.wears) == {"dress"}


def test_a_photo_of_nobody_has_no_person(fashion):
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


def test_a_folder_without_photos_is_refused(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({0: "null"}))
    with pytest.raises(DataError, match=r"has no photo images/NAME.jpg with labels/NAME.png"):
        read_fashion(tmp_path, 0)


def test_photos_without_labels_are_left_out(fashion):
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
def test_who_is_a_woman_and_what_garments_are_called(fashion, labels, noun, garments):
    (fashion / "labels.json").write_text(json.dumps(labels))
    [person] = read_fashion(fashion, 0)[0].read().layers
    assert (person.noun, set(person.garments)) == (noun, garments)
    assert sum(mask.sum() for mask in person.garments.values()) <= person.mask.sum()


def test_what_is_carried_is_a_thing_of_its_own(fashion):
    first = read_fashion(fashion, 0)[0]
    (fashion / "labels.json").write_text(json.dumps({0: "null", 1: "dress", 2: "purse"}))
    scene = read_fashion(fashion, 0)[0].read().scene()
    assert [thing.noun for thing in scene.things] == ["woman", "purse"]
    assert scene.things[1].area == 30 * 60
    assert [thing.noun for thing in first.read().scene().things] == ["woman"]
