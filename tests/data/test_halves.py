"""Halves of a split: every photo in one of them, the same for ever."""

from pathlib import Path

import numpy as np
import pytest

from vlt.data.halves import half_of, take_half
from vlt.data.prepare.coco import is_validation
from vlt.errors import ConfigError, DataError
from vlt.types import Expression, Referral


def referral(number, photo):
    return Referral(number, photo, np.ones((2, 2), bool), (Expression(number, "a"),))


def photos(numbers):
    return [Path(f"images/{number:012}.jpg") for number in numbers]


def test_the_halves_are_the_split_and_share_no_photo():
    referrals = [referral(i, photo) for i, photo in enumerate(photos(range(100)) * 2)]
    a, b = take_half(referrals, "a"), take_half(referrals, "b")
    assert sorted([*a, *b], key=lambda each: each.ref_id) == referrals
    assert not {each.image for each in a} & {each.image for each in b}
    assert [each.ref_id for each in a] == sorted(each.ref_id for each in a)
    assert take_half(referrals, None) is referrals


def test_about_half_of_the_validation_photos_are_in_each():
    for name in ("{}", "{:012}"):
        halves = [half_of(Path(name.format(i))) for i in range(10_000) if is_validation(i)]
        assert halves.count("a") / len(halves) == pytest.approx(0.5, abs=0.05), "it hangs on the split's own hash"


HALF_A = [1, 4, 5, 7, 9]
"""Never to change: choices were made on these photos, and figures reported on the others."""


def test_a_photo_stays_in_its_half():
    assert [number for number, photo in enumerate(photos(range(16))) if half_of(photo) == "a"] == HALF_A


def test_folder_and_ending_do_not_count():
    assert len({half_of(Path(name)) for name in ("7.jpg", "photos/7.png", "/data/val/7.jpeg")}) == 1


def test_what_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError, match="drawn in memory have no names"):
        take_half([referral(1, np.zeros((2, 2, 3), np.uint8))], "a")
    [photo] = photos([1])
    other = "b" if half_of(photo) == "a" else "a"
    with pytest.raises(DataError, match=f"no photo in half '{other}' of the split; take the other half"):
        take_half([referral(1, photo)], other)
