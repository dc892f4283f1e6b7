"""What a configuration's data are: loading, splits, blank sentences, fingerprints."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image as PILImage
from referral_fixture import mask, photo, referral

from vlt.config import ReferDataConfig, SyntheticDataConfig
from vlt.config.run import Cue
from vlt.data.dataset import fingerprint, load_referrals
from vlt.data.expressions import CUES, cues
from vlt.data.prepared import write_prepared
from vlt.data.synthetic import SyntheticReferrals
from vlt.errors import ConfigError, DataError, VLTWarning

# ---------------------------------------------------------------- loading


@pytest.fixture
def refer(tmp_path) -> ReferDataConfig:
    """Three referrals, one with a blank sentence among others, one with nothing else."""
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        PILImage.fromarray(photo(ord(name))).save(tmp_path / "images" / f"{name}.png")
    a, b = tmp_path / "images" / "a.png", tmp_path / "images" / "b.png"
    many = [
        referral(1, "left dog", "", "dog", image=a),
        referral(2, "", "", image=b),
        referral(3, "cat", image=b),
    ]
    write_prepared(tmp_path, "pets", {"train": many, "val": many}, generate_mask=False, images=tmp_path / "images")
    return ReferDataConfig(root=tmp_path, dataset="pets", images=tmp_path / "images")


def test_training_leaves_blank_sentences_out_and_says_so(refer):
    with pytest.warns(VLTWarning, match=r"pets/train: 3 blank sentences were left out, and 1 referrals that have no"):
        found = load_referrals(refer, "train")
    texts = {one.ref_id: [expression.text for expression in one.expressions] for one in found}
    assert texts == {1: ["left dog", "dog"], 3: ["cat"]}
    assert len(found) == 2


def test_other_splits_come_as_they_are(refer):
    found = load_referrals(refer, "val")
    assert [len(one.expressions) for one in found] == [3, 2, 1]


def test_nothing_but_blanks_cannot_be_trained_on(refer, tmp_path):
    write_prepared(
        tmp_path,
        "mute",
        {"train": [referral(1, " ", image=tmp_path / "images" / "a.png")]},
        generate_mask=False,
        images=tmp_path / "images",
    )
    with pytest.raises(DataError, match="mute/train has no sentence to learn from: all 1 are blank"):
        load_referrals(refer.model_copy(update={"dataset": "mute"}), "train")


def test_a_split_that_is_not_there(refer):
    with pytest.raises(DataError, match=r"the splits there are train, val"):
        load_referrals(refer, "testA")


def test_synthetic_splits_are_streams_of_their_own():
    config = SyntheticDataConfig(size=(48, 64), train_scenes=4, val_scenes=3, seed=5)
    train, val = load_referrals(config, "train"), load_referrals(config, "val")
    assert (len(train), len(val)) == (4, 3)
    assert train[0].image.shape == (48, 64, 3)
    assert not (train[0].image == val[0].image).all()
    assert (train[0].image == load_referrals(config, "train")[0].image).all()
    with pytest.raises(ConfigError, match="Synthetic data have no split 'testA'; known: train, val"):
        load_referrals(config, "testA")


# ---------------------------------------------------------------- fingerprint


def test_the_fingerprint_is_of_ids_photos_sizes_and_sentences_but_not_of_folders(tmp_path):
    base = [referral(1, "a", "b", image=tmp_path / "one" / "a.jpg"), referral(2, "c")]
    moved = [replace(base[0], image=Path("elsewhere/a.jpg")), base[1]]
    others = [
        [replace(base[0], ref_id=5), base[1]],
        [replace(base[0], image=Path("b.jpg")), base[1]],
        [replace(base[0], expressions=base[0].expressions[:1]), base[1]],
        [base[0], replace(base[1], target=mask(21, 30))],
        base[::-1],
        base[:1],
    ]
    assert fingerprint(moved) == fingerprint(base)
    assert len({fingerprint(base), *map(fingerprint, others)}) == 7


def test_scenes_have_a_fingerprint_by_seed_and_split():
    recipes = [(3, (64, 64), 0, "train"), (3, (64, 64), 1, "train"), (3, (64, 64), 0, "val"), (2, (64, 64), 0, "train")]
    found = [fingerprint(SyntheticReferrals(*recipe)) for recipe in recipes]
    assert len(set(found)) == 4
    assert fingerprint(SyntheticReferrals(*recipes[0])) == found[0]


def test_synthetic_expressions_keep_to_the_kinds_asked_for():
    config = SyntheticDataConfig(size=(64, 64), train_scenes=20, kinds={"category": 1, "colour": 1})
    told = {
        cue for referral in load_referrals(config, "train") for each in referral.expressions for cue in cues(each.text)
    }
    assert told == {"category", "colour"}


def test_the_configuration_knows_the_kinds_of_hints():
    assert set(get_args(Cue)) == set(CUES)
