"""The data set of a configuration: referrals of a split, blank expressions, names of categories."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image as PILImage
from referral_fixture import photo, referral

from vlt.config import ReferDataConfig, SyntheticDataConfig
from vlt.config.data import Cue, MixedDataConfig
from vlt.data.prepared import write_prepared
from vlt.dataset import category_names, load_referrals
from vlt.errors import ConfigError, DataError, VLTWarning
from vlt.synth.shapes import SyntheticReferrals
from vlt.text.cues import CUES, cues
from vlt.types import NO_CATEGORY

# ---------------------------------------------------------------- referrals


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


def test_blank_expressions_are_left_out_of_training_with_a_warning(refer):
    with pytest.warns(VLTWarning, match=r"pets/train: 3 blank expressions were left out, and 1 referrals with"):
        found = load_referrals(refer, "train")
    texts = {one.ref_id: [expression.text for expression in one.expressions] for one in found}
    assert texts == {1: ["left dog", "dog"], 3: ["cat"]}
    assert len(found) == 2


def test_other_splits_keep_blank_expressions(refer):
    found = load_referrals(refer, "val")
    assert [len(one.expressions) for one in found] == [3, 2, 1]


def test_a_training_split_of_blank_expressions_is_refused(refer, tmp_path):
    write_prepared(
        tmp_path,
        "mute",
        {"train": [referral(1, " ", image=tmp_path / "images" / "a.png")]},
        generate_mask=False,
        images=tmp_path / "images",
    )
    with pytest.raises(DataError, match="mute/train has no expression to train on: all 1 are blank"):
        load_referrals(refer.model_copy(update={"dataset": "mute"}), "train")


def test_a_missing_split_is_refused(refer):
    with pytest.raises(DataError, match=r"the splits there are train, val"):
        load_referrals(refer, "testA")


def test_synthetic_splits_have_different_scenes():
    config = SyntheticDataConfig(size=(48, 64), train_scenes=4, val_scenes=3, seed=5)
    train, val = load_referrals(config, "train"), load_referrals(config, "val")
    assert (len(train), len(val)) == (4, 3)
    assert train[0].image.shape == (48, 64, 3)
    assert not (train[0].image == val[0].image).all()
    assert (train[0].image == load_referrals(config, "train")[0].image).all()
    with pytest.raises(ConfigError, match="Synthetic data have no split 'testA'; known: train, val"):
        load_referrals(config, "testA")


def test_synthetic_expressions_have_the_configured_kinds_of_hints():
    config = SyntheticDataConfig(size=(64, 64), train_scenes=20, kinds={"category": 1, "colour": 1})
    found = {
        cue for referral in load_referrals(config, "train") for each in referral.expressions for cue in cues(each.text)
    }
    assert found == {"category", "colour"}


def test_the_configuration_lists_all_kinds_of_hints():
    assert set(get_args(Cue)) == set(CUES)


# ---------------------------------------------------------------- mixed data


@pytest.fixture
def mixed(tmp_path) -> ReferDataConfig:
    """Data with an image for each split, mixed with data about the image of its training split."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a", "b"):
        PILImage.fromarray(photo(ord(name))).save(images / f"{name}.png")
    a, b = images / "a.png", images / "b.png"
    own = {"train": [referral(1, "left dog", image=a), referral(7, "cat", image=a)], "val": [referral(2, "x", image=b)]}
    write_prepared(tmp_path, "own", own, generate_mask=False, images=images)
    write_prepared(tmp_path, "more", {"train": [referral(1, "fox", image=a)]}, generate_mask=False, images=images)
    write_prepared(tmp_path, "leak", {"train": [referral(1, "hen", image=b)]}, generate_mask=False, images=images)
    more = MixedDataConfig(dataset="more", images=images)
    return ReferDataConfig(root=tmp_path, dataset="own", images=images, mixed_with=(more, more))


def test_mixed_data_are_trained_on_under_ids_of_their_own(mixed):
    found = load_referrals(mixed, "train")
    assert [one.expressions[0].text for one in found] == ["left dog", "cat", "fox", "fox"]
    assert [one.ref_id for one in found] == [1, 7, 8, 9]
    assert len({one.image for one in found}) == 1
    assert found[2].category == NO_CATEGORY
    assert [one.expressions[0].text for one in load_referrals(mixed, "val")] == ["x"]


def test_blank_expressions_of_mixed_data_are_counted(mixed, tmp_path):
    blank = [
        referral(1, "fox", image=tmp_path / "images" / "a.png"),
        referral(2, " ", image=tmp_path / "images" / "a.png"),
    ]
    write_prepared(tmp_path, "more", {"train": blank}, generate_mask=False, images=tmp_path / "images")
    with pytest.warns(VLTWarning, match=r"own/train: 2 blank expressions were left out, and 2 referrals with"):
        assert len(load_referrals(mixed, "train")) == 4


def test_mixed_data_with_an_image_that_is_held_out_are_refused(mixed, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "images")
    for folder in (tmp_path / "images", link):
        leaking = mixed.model_copy(update={"mixed_with": (MixedDataConfig(dataset="leak", images=folder),)})
        with pytest.raises(DataError, match=r"leak/train has 1 images that own holds out, the first .*b\.png"):
            load_referrals(leaking, "train")
        assert len(load_referrals(leaking, "val")) == 1


def test_what_other_sets_hold_out_is_left_out_of_training(mixed, tmp_path):
    """A joint training of two sets drops what either of them validates on, also from the main one."""
    images = tmp_path / "images"
    both = [referral(1, "fox", image=images / "a.png"), referral(2, "hen", image=images / "b.png")]
    write_prepared(tmp_path, "leak", {"train": both}, generate_mask=False, images=images)
    leak = MixedDataConfig(dataset="leak", images=images)
    joint = mixed.model_copy(update={"mixed_with": (leak,), "hold_out": ("own",)})
    with pytest.warns(VLTWarning, match=r"^1 of 2 training referrals were left out, .* other splits of own"):
        found = load_referrals(joint, "train")
    assert [one.expressions[0].text for one in found] == ["left dog", "cat", "fox"]
    assert [one.expressions[0].text for one in load_referrals(joint, "val")] == ["x"]
    tested = {"train": both, "test": [referral(3, "y", image=images / "a.png")]}
    write_prepared(tmp_path, "tested", tested, generate_mask=False, images=images)
    with pytest.warns(VLTWarning, match=r"left out") as caught, pytest.raises(DataError, match="nothing to train on"):
        load_referrals(joint.model_copy(update={"hold_out": ("own", "tested")}), "train")
    assert [str(warning.message)[:6] for warning in caught] == ["2 of 2", "2 of 2"]


def test_a_held_out_set_needs_another_split(mixed):
    with pytest.raises(DataError, match=r"^data\.hold_out: 'more' has no split but 'train' under .*; prepare it, or"):
        load_referrals(mixed.model_copy(update={"hold_out": ("more",)}), "train")
    with pytest.raises(DataError, match=r"^data\.hold_out: 'nowhere' has no split but 'train'"):
        load_referrals(mixed.model_copy(update={"hold_out": ("nowhere",)}), "train")


# ---------------------------------------------------------------- categories


def test_the_categories_of_synthetic_scenes_are_shapes():
    names = category_names(SyntheticDataConfig())
    for each in SyntheticReferrals(5, (64, 64), 0, "val", kinds={"category": 1.0}):
        assert any(names[each.category] in expression.text for expression in each.expressions)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"categories": ["person", "traffic light"]}', ("person", "traffic light")),
        ('{"categories": []}', ()),
        ('{"source": {}}', ()),
        ('{"categories": null}', ()),
        ("[]", ()),
        ("{", ()),
        (None, ()),
    ],
)
def test_the_categories_of_a_prepared_set_come_from_its_report(tmp_path, text, names):
    folder = tmp_path / "anns" / "mine"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "prepare.json").write_text(text)
    assert category_names(ReferDataConfig(root=tmp_path, dataset="mine", images=Path("photos"))) == names


def test_prepared_data_are_loaded_without_the_grammar_of_expressions():
    code = "import sys, vlt.dataset; print([name for name in sys.modules if name.startswith('vlt.synth')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
