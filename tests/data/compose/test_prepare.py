"""`prepare_scenes`: what is written, what is meant in it, and that validation photos have no part in it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scenes_fixture import MAGENTA, sides, two_cars_and_a_dog, write_both, write_coco

from vlt.config import LossConfig, VLTConfig
from vlt.data.compose.prepare import prepare_scenes
from vlt.data.masks import read_target
from vlt.data.photo import read_image
from vlt.data.prepared import read_prepared
from vlt.data.samples import TrainSamples
from vlt.data.text import build_text
from vlt.errors import DataError
from vlt.losses import segmentation_loss


def prepare(root, out, **options):
    instances, images, people = write_both(root) if not (root / "coco").exists() else paths(root)
    options = {"people": people, "scenes": 6, "crops": 2, **options}
    return prepare_scenes(instances, images, out, name="set", **options)


def paths(root):
    return root / "coco/instances.json", root / "coco/photos", root / "fashion"


def read(out, split="train"):
    return read_prepared(out, "set", split, out / "images/set")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    report = prepare(root, root / "out")
    return root / "out", report


def test_all_kinds_of_photos_come_out(prepared):
    out, report = prepared
    train, judged = sides(4)
    assert set(report.counts) == {"train", "val", "people_val"}
    names = {each.image.relative_to(out / "images/set").as_posix() for each in read(out)}
    assert {name.split("/")[0] for name in names} == {"photos", "people", "crops", "scenes"}
    assert {each.image.stem for each in read(out, "val")} == {str(number) for number in judged}
    assert {each.image.stem for each in read(out, "people_val")} == {f"{number:04}" for number in judged}
    assert {each.image.stem for each in read(out) if each.image.parent.name == "photos"} == {str(i) for i in train}


def test_nothing_of_a_validation_photo_is_trained_on(prepared):
    out, _ = prepared
    train = {each.image for each in read(out)}
    assert len({path.parent.name for path in train}) == 4
    for path in train:
        pixels = read_image(path).astype(int)
        assert (np.abs(pixels - MAGENTA).sum(axis=-1) > 150).all(), path
    for split in ("val", "people_val"):
        assert all(np.abs(read_image(each.image).astype(int) - MAGENTA).max() < 20 for each in read(out, split))


def test_ids_are_unique_over_all_splits(prepared):
    out, report = prepared
    every = [each for split in report.counts for each in read(out, split)]
    sentences = [expression.sent_id for each in every for expression in each.expressions]
    assert len({each.ref_id for each in every}) == len(every)
    assert len(set(sentences)) == len(sentences)


def test_photos_are_copied_as_they_are(prepared):
    out, _ = prepared
    copies = sorted((out / "images/set/photos").iterdir())
    assert copies
    assert all(copy.read_bytes() == (out.parent / "coco/photos" / copy.name).read_bytes() for copy in copies)


def test_every_target_is_of_its_photos_size(prepared):
    out, _ = prepared
    for each in read(out):
        assert read_target(each.target).shape == read_image(each.image).shape[:2]


def test_a_photo_has_no_more_referents_than_teach_most(prepared, monkeypatch):
    out, _ = prepared
    monkeypatch.setattr("vlt.data.compose.prepare.MOST", 1)
    monkeypatch.setattr("vlt.data.compose.prepare.NOTHING", 0.0)
    prepare(out.parent, out.parent / "one", people=None)
    photos = [each.image for each in read(out.parent / "one")]
    assert len(set(photos)) == len(photos)
    assert len({each.image for each in read(out.parent / "one", "val")}) < len(read(out.parent / "one", "val"))


def test_garments_are_meant_too(prepared):
    out, _ = prepared
    said = {e.text for each in read(out) if each.image.parent.name == "people" for e in each.expressions}
    assert {"dress", "boots", "shoes"} & said


def test_some_expressions_mean_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("vlt.data.compose.prepare.NOTHING", 1.0)
    prepare(tmp_path, tmp_path / "out")
    nothing = [each for each in read(tmp_path / "out") if not read_target(each.target).any()]
    assert {each.image.parent.name for each in nothing} == {"photos", "crops", "scenes"}
    assert all((each.category, each.box, each.standing) == (-1, None, None) for each in nothing)
    assert all(read_target(each.target).any() for each in read(tmp_path / "out", "val"))


def test_what_means_nothing_can_be_learnt_from(tmp_path, monkeypatch):
    monkeypatch.setattr("vlt.data.compose.prepare.NOTHING", 1.0)
    prepare(tmp_path, tmp_path / "out")
    nothing = [each for each in read(tmp_path / "out") if not read_target(each.target).any()]
    config = VLTConfig(language={"name": "gru", "words": {"dim": 4}})
    text = build_text(config, [e.text for each in nothing for e in each.expressions])
    sample = TrainSamples(nothing, text, (64, 64), True, epoch=0, seed=0)[0]
    assert sample.target.shape == (1, 64, 64)
    assert not sample.target.any()
    logits = torch.full((1, 1, 16, 16), -20.0)
    assert segmentation_loss(logits, sample.target[None], LossConfig())["total"] < 1e-3
    assert segmentation_loss(-logits, sample.target[None], LossConfig())["total"] > 1


def test_the_seed_decides(prepared, tmp_path):
    out, _ = prepared
    prepare(out.parent, tmp_path / "again")
    prepare(out.parent, tmp_path / "other", seed=1)

    def content(folder):
        return [
            (e.text, np.flatnonzero(read_target(each.target)).sum()) for each in read(folder) for e in each.expressions
        ]

    assert content(out) == content(tmp_path / "again")
    assert content(out) != content(tmp_path / "other")
    first = "images/set/scenes/000000.jpg"
    assert (out / first).read_bytes() == (tmp_path / "again" / first).read_bytes()
    assert (out / first).read_bytes() != (tmp_path / "other" / first).read_bytes()


def test_another_recipe_is_not_mixed_in(prepared):
    out, report = prepared
    with pytest.raises(DataError, match=r"holds .* take another output folder"):
        prepare(out.parent, out, seed=5)
    assert json.loads((out / "anns/set/prepare.json").read_text())["source"]["seed"] == 0
    assert prepare(out.parent, out).counts == report.counts


def test_without_people_there_is_no_split_of_theirs(prepared, tmp_path):
    out, _ = prepared
    report = prepare(out.parent, tmp_path, people=None)
    assert set(report.counts) == {"train", "val"}
    assert not (tmp_path / "images/set/people").exists()


def test_missing_photos_are_refused(tmp_path):
    instances, images = write_coco(tmp_path, {1: two_cars_and_a_dog()})
    with pytest.raises(DataError, match="There is no folder of photos"):
        prepare_scenes(instances, tmp_path / "missing", tmp_path / "out", name="set")
    with pytest.raises(DataError, match=r"labels.json cannot be read: No such file.*names the labels"):
        prepare_scenes(instances, images, tmp_path / "out", name="set", people=tmp_path)
    with pytest.raises(DataError, match=r"Nothing in .* can be worded for training"):
        prepare_scenes(instances, images, tmp_path / "out", name="set", scenes=0, val_share=1.0)
    assert not (tmp_path / "out/anns").exists()


def test_nothing_to_cut_out_says_so(tmp_path):
    [first, *_], _ = sides(1)
    instances, images = write_coco(tmp_path, {first: [(3, (10, 10, 40, 40), (9, 9, 9), {})]})
    with pytest.raises(DataError, match="No photo has a thing that is large and whole enough to be cut out"):
        prepare_scenes(instances, images, tmp_path / "out", name="set")
    assert prepare_scenes(instances, images, tmp_path / "out", name="set", scenes=0).counts["train"].refs


def test_a_scene_is_a_jpeg_of_its_own_size(prepared):
    out, _ = prepared
    with Image.open(out / "images/set/scenes/000003.jpg") as image:
        assert (image.format, max(image.size)) == ("JPEG", 480)
