"""Splits: an image stays in its split and half, and a data set's name stays a name."""

from pathlib import Path

import numpy as np
import pytest

from vlt.errors import ConfigError, DataError
from vlt.prepare.splits import check_name, check_share, is_validation, validation_half, with_halves
from vlt.types import Expression, Referral

HALF_A = [1, 4, 5, 7, 9]
"""Never to change: choices were made on these images, and results reported on the others."""


def paths(numbers):
    return [Path(f"images/{number:012}.jpg") for number in numbers]


def referral(number, image):
    return Referral(number, image, (np.ones((2, 2), bool),), (Expression(number, "a"),))


def test_an_image_stays_in_its_half():
    assert [number for number, image in enumerate(paths(range(16))) if validation_half(image) == "a"] == HALF_A


def test_folder_and_suffix_do_not_count():
    assert len({validation_half(Path(name)) for name in ("7.jpg", "photos/7.png", "/data/val/7.jpeg")}) == 1


def test_about_half_of_the_validation_images_are_in_each():
    for name in ("{}", "{:012}"):
        halves = [validation_half(Path(name.format(i))) for i in range(10_000) if is_validation(i)]
        assert halves.count("a") / len(halves) == pytest.approx(0.5, abs=0.05), "it depends on the split's own hash"


def test_the_halves_are_the_split_and_share_no_image():
    referrals = [referral(i, image) for i, image in enumerate(paths(range(100)) * 2)]
    splits = with_halves({"train": referrals[:5], "people_val": referrals})
    assert list(splits) == ["train", "people_val", "people_val_a", "people_val_b"]
    a, b = splits["people_val_a"], splits["people_val_b"]
    assert sorted([*a, *b], key=lambda each: each.ref_id) == splits["people_val"] == referrals
    assert not {each.image for each in a} & {each.image for each in b}
    assert [each.ref_id for each in a] == sorted(each.ref_id for each in a)


def test_there_are_no_halves_where_one_would_be_empty():
    assert list(with_halves({"val": [referral(1, *paths([1]))], "test": []})) == ["val", "test"]


def test_images_in_memory_cannot_be_halved():
    with pytest.raises(DataError, match="Referral 1 of val has an image in memory"):
        with_halves({"val": [referral(1, np.zeros((2, 2, 3), np.uint8))]})


@pytest.mark.parametrize("name", ["coco", "my set", "refcoco+", "..a", "ümlaut"])
def test_plain_names_are_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "  ", ".", "..", "../evil", "/evil", "a/b", "a\\b", "C:evil", "a\0"])
def test_paths_are_no_names(name):
    with pytest.raises(ConfigError, match="cannot be the name of a data set"):
        check_name(name)


@pytest.mark.parametrize("name", ["a\n", "a\0b", "\u200b", "x" * 300])
def test_names_that_no_folder_can_have(name):
    with pytest.raises(ConfigError, match="cannot be the name of a data set"):
        check_name(name)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_lies_between_0_and_1(share):
    with pytest.raises(ConfigError, match="val_share"):
        check_share(share)
