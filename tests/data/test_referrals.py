"""Referrals as values: blank expressions, keys of images, and fingerprints of data sets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from referral_fixture import mask, referral

from vlt.data.masks import encode_rle
from vlt.data.referrals import fingerprint, image_key, image_name, without_blanks
from vlt.synth.shapes import SyntheticReferrals


def test_the_fingerprint_covers_ids_images_sizes_and_expressions_but_not_folders(tmp_path):
    base = [referral(1, "a", "b", image=tmp_path / "one" / "a.jpg"), referral(2, "c")]
    moved = [replace(base[0], image=Path("elsewhere/a.jpg")), base[1]]
    others = [
        [replace(base[0], ref_id=5), base[1]],
        [replace(base[0], image=Path("b.jpg")), base[1]],
        [replace(base[0], expressions=base[0].expressions[:1]), base[1]],
        [base[0], replace(base[1], targets=(mask(21, 30),))],
        [base[0], replace(base[1], targets=(mask(), mask()))],
        [base[0], replace(base[1], targets=())],
        base[::-1],
        base[:1],
    ]
    assert fingerprint(moved) == fingerprint(base)
    assert len({fingerprint(base), *map(fingerprint, others)}) == 9


def test_scenes_have_a_fingerprint_by_seed_and_split():
    recipes = [(3, (64, 64), 0, "train"), (3, (64, 64), 1, "train"), (3, (64, 64), 0, "val"), (2, (64, 64), 0, "train")]
    found = [fingerprint(SyntheticReferrals(*recipe)) for recipe in recipes]
    assert len(set(found)) == 4
    assert fingerprint(SyntheticReferrals(*recipes[0])) == found[0]


def test_the_form_of_a_target_does_not_change_the_fingerprint():
    array, run_lengths = referral(1), referral(1, targets=(encode_rle(mask()),))
    assert fingerprint([array]) == fingerprint([run_lengths])


def test_fingerprints_of_older_versions_stay_valid():
    """Runs compare the fingerprint that their checkpoint states when they resume."""
    assert fingerprint([referral(1, "a", "b", image=Path("x/a.jpg")), referral(2, "c")]) == (
        "59558190441e0f35116741af1472be56fc3e1d15c2328b7b1e45851438f5b0dc"
    )


def test_blank_expressions_are_removed_and_counted():
    many = [referral(1, "a", " ", ""), referral(2, "\t"), referral(3, "c")]
    kept, blank = without_blanks(many)
    assert blank == 3
    assert [[one.text for one in each.expressions] for each in kept] == [["a"], ["c"]]
    assert kept[1] is many[2]
    assert without_blanks([]) == ([], 0)


def test_referrals_about_one_image_share_its_key():
    path, pixels = Path("folder/a.jpg"), np.zeros((2, 2, 3), np.uint8)
    assert image_key(referral(1, image=path)) == image_key(referral(2, image=path)) == path
    assert image_key(referral(1, image=pixels)) != image_key(referral(2, image=pixels))
    assert image_key(replace(referral(1), scene=7)) == image_key(replace(referral(2), scene=7)) == 7


def test_the_name_of_an_image_is_that_of_its_file():
    assert image_name(referral(1, image=Path("folder/a.jpg"))) == "a.jpg"
    assert image_name(referral(1)) == "in memory"
