"""`prepare_scenes`: what is written, what it refers to, and that validation images are not trained on."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scenes_fixture import MAGENTA, sides, two_cars_and_a_dog, write_both, write_coco

from vlt.config import LossConfig, VLTConfig
from vlt.data.image import read_image
from vlt.data.masks import read_target, read_targets
from vlt.data.prepared import read_prepared
from vlt.data.samples import TrainSamples
from vlt.errors import ConfigError, DataError
from vlt.losses import segmentation_loss
from vlt.prepare.scenes import prepare_scenes
from vlt.prepare.splits import validation_half
from vlt.text.reader import build_text


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


def test_all_kinds_of_images_are_written(prepared):
    out, report = prepared
    train, val = sides(4)
    assert set(report.counts) == {"train", "val", "val_a", "val_b", "people_val"}
    names = {each.image.relative_to(out / "images/set").as_posix() for each in read(out)}
    assert {name.split("/")[0] for name in names} == {"photos", "people", "crops", "scenes"}
    assert {each.image.stem for each in read(out, "val")} == {str(number) for number in val}
    assert {each.image.stem for each in read(out, "people_val")} == {f"{number:04}" for number in val}
    assert {each.image.stem for each in read(out) if each.image.parent.name == "photos"} == {str(i) for i in train}


def test_no_pixel_of_a_validation_image_is_trained_on(prepared):
    out, _ = prepared
    train = {each.image for each in read(out)}
    assert len({path.parent.name for path in train}) == 4
    for path in train:
        pixels = read_image(path).astype(int)
        assert (np.abs(pixels - MAGENTA).sum(axis=-1) > 150).all(), path
    for split in ("val", "people_val"):
        assert all(np.abs(read_image(each.image).astype(int) - MAGENTA).max() < 20 for each in read(out, split))


def test_ids_are_unique_over_all_splits(prepared):
    out, _ = prepared
    every = [each for split in ("train", "val", "people_val") for each in read(out, split)]
    sentences = [expression.sent_id for each in every for expression in each.expressions]
    assert len({each.ref_id for each in every}) == len(every)
    assert len(set(sentences)) == len(sentences)


def test_the_halves_of_a_validation_split_share_its_referrals(tmp_path):
    instances, images, people = write_both(tmp_path, 5)
    out = tmp_path / "out"
    report = prepare_scenes(instances, images, out, name="set", people=people, scenes=0, crops=0)
    assert {"val", "val_a", "val_b", "people_val", "people_val_a", "people_val_b"} < set(report.counts)
    for split in ("val", "people_val"):
        whole, a, b = ({each.ref_id: each for each in read(out, name)} for name in (split, f"{split}_a", f"{split}_b"))
        assert a
        assert b
        assert a | b == whole
        assert not {each.image for each in a.values()} & {each.image for each in b.values()}
        assert {validation_half(each.image) for each in a.values()} == {"a"}


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", ""])
def test_a_path_as_name_is_refused(tmp_path, name):
    instances, images = write_coco(tmp_path / "coco", {1: two_cars_and_a_dog()})
    with pytest.raises(ConfigError, match="cannot be the name of a data set"):
        prepare_scenes(instances, images, tmp_path / "out", name=name, scenes=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]


def test_original_images_are_copied_unchanged(prepared):
    out, _ = prepared
    copies = sorted((out / "images/set/photos").iterdir())
    assert copies
    assert all(copy.read_bytes() == (out.parent / "coco/photos" / copy.name).read_bytes() for copy in copies)


def test_every_mask_has_the_size_of_its_image(prepared):
    out, _ = prepared
    for each in read(out):
        size = read_image(each.image).shape[:2]
        assert all(read_target(target).shape == size for target in each.targets)


def test_an_image_has_at_most_the_given_number_of_referents(prepared, monkeypatch):
    out, _ = prepared
    monkeypatch.setattr("vlt.prepare.scenes.MAX_REFERENTS", 1)
    monkeypatch.setattr("vlt.prepare.scenes.NO_TARGET", 0.0)
    prepare(out.parent, out.parent / "one", people=None)
    photos = [each.image for each in read(out.parent / "one")]
    assert len(set(photos)) == len(photos)
    assert len({each.image for each in read(out.parent / "one", "val")}) < len(read(out.parent / "one", "val"))


def test_garments_are_referred_to(prepared):
    out, _ = prepared
    said = {e.text for each in read(out) if each.image.parent.name == "people" for e in each.expressions}
    assert {"dress", "boots", "shoes"} & said


def test_some_referrals_have_no_target(tmp_path, monkeypatch):
    monkeypatch.setattr("vlt.prepare.scenes.NO_TARGET", 1.0)
    prepare(tmp_path, tmp_path / "out")
    nothing = [each for each in read(tmp_path / "out") if not each.targets]
    assert {each.image.parent.name for each in nothing} == {"photos", "crops", "scenes"}
    assert all((each.category, each.box, each.standing) == (-1, None, None) for each in nothing)
    assert all(len(each.targets) == 1 for each in read(tmp_path / "out", "val"))
    entries = json.loads((tmp_path / "out/anns/set/train.json").read_text())
    assert {entry.get("targets_num", 1) for entry in entries} == {0, 1}


def test_referrals_without_target_can_be_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr("vlt.prepare.scenes.NO_TARGET", 1.0)
    prepare(tmp_path, tmp_path / "out")
    nothing = [each for each in read(tmp_path / "out") if not each.targets]
    config = VLTConfig(language={"name": "gru", "words": {"dim": 4}})
    text = build_text(config, [e.text for each in nothing for e in each.expressions])
    sample = TrainSamples(nothing, text, (64, 64), True, epoch=0, seed=0)[0]
    assert sample.target.shape == (1, 64, 64)
    assert not sample.target.any()
    target, logits = torch.from_numpy(sample.target)[None], torch.full((1, 1, 16, 16), -20.0)
    assert segmentation_loss(logits, target, LossConfig())["total"] < 1e-3
    assert segmentation_loss(-logits, target, LossConfig())["total"] > 1


def test_the_seed_decides(prepared, tmp_path):
    out, _ = prepared
    prepare(out.parent, tmp_path / "again")
    prepare(out.parent, tmp_path / "other", seed=1)

    def content(folder):
        return [
            (e.text, np.flatnonzero(read_targets(each.targets, (1, 1))).sum())
            for each in read(folder)
            for e in each.expressions
        ]

    assert content(out) == content(tmp_path / "again")
    assert content(out) != content(tmp_path / "other")
    first = "images/set/scenes/000000.jpg"
    assert (out / first).read_bytes() == (tmp_path / "again" / first).read_bytes()
    assert (out / first).read_bytes() != (tmp_path / "other" / first).read_bytes()


def test_another_seed_under_the_same_name_is_refused(prepared):
    out, report = prepared
    with pytest.raises(DataError, match=r"made from seed 0, not 5; take another name"):
        prepare(out.parent, out, seed=5)
    assert json.loads((out / "anns/set/prepare.json").read_text())["source"]["seed"] == 0
    assert prepare(out.parent, out).counts == report.counts


def test_without_people_there_is_no_split_of_theirs(prepared, tmp_path):
    out, _ = prepared
    report = prepare(out.parent, tmp_path, people=None)
    assert set(report.counts) == {"train", "val", "val_a", "val_b"}
    assert not (tmp_path / "images/set/people").exists()


def test_missing_images_are_refused(tmp_path):
    instances, images = write_coco(tmp_path, {1: two_cars_and_a_dog()})
    with pytest.raises(DataError, match="There is no folder of images"):
        prepare_scenes(instances, tmp_path / "missing", tmp_path / "out", name="set")
    with pytest.raises(DataError, match=r"labels.json cannot be read: No such file.*names the labels"):
        prepare_scenes(instances, images, tmp_path / "out", name="set", people=tmp_path)
    with pytest.raises(
        DataError, match=r"No unambiguous expression was found for the training images of .*smaller val_share"
    ):
        prepare_scenes(instances, images, tmp_path / "out", name="set", scenes=0, val_share=1.0)
    assert not (tmp_path / "out/anns").exists()


def test_the_reason_is_given_where_no_image_can_be_used(tmp_path):
    instances, images = write_coco(tmp_path, {1: two_cars_and_a_dog()})
    (images / "1.png").unlink()
    with pytest.raises(DataError, match=r"No image .* can be used with the folder .*photos: missing photo 1 time"):
        prepare_scenes(instances, images, tmp_path / "out", name="set")
    content = json.loads(instances.read_text()) | {"images": [], "annotations": []}
    instances.write_text(json.dumps(content))
    with pytest.raises(DataError, match="the instance file lists none"):
        prepare_scenes(instances, images, tmp_path / "out", name="set")


def test_no_object_to_cut_out_is_refused(tmp_path):
    [first, *_], _ = sides(1)
    instances, images = write_coco(tmp_path, {first: [(3, (10, 10, 40, 40), (9, 9, 9), {})]})
    with pytest.raises(DataError, match="No object of the images is large and unoccluded enough to be cut out"):
        prepare_scenes(instances, images, tmp_path / "out", name="set")
    assert prepare_scenes(instances, images, tmp_path / "out", name="set", scenes=0).counts["train"].refs


def test_a_scene_is_a_jpeg_of_its_own_size(prepared):
    out, _ = prepared
    with Image.open(out / "images/set/scenes/000003.jpg") as image:
        assert (image.format, max(image.size)) == ("JPEG", 480)


def test_shares_of_the_referrals_are_to_all_objects_of_a_kind_and_to_none(tmp_path):
    """Not in street-fashion images, in which only one person is known."""
    report = prepare(tmp_path, tmp_path / "out", several=0.5, absent=0.2, scenes=12)
    assert (report.source["several"], report.source["absent"]) == (0.5, 0.2)
    found = read(tmp_path / "out")
    counts = {len(each.targets) for each in found}
    assert {0, 1, 2} <= counts
    assert all(len(each.targets) == 1 for each in found if each.image.parent.name == "people")
    for each in found:
        if len(each.targets) > 1:
            parts = np.stack([read_target(target) for target in each.targets])
            assert (parts.sum(axis=0) <= 1).all()
            assert each.standing is None
            assert each.expressions


def test_without_shares_a_set_is_the_same_to_the_byte(prepared, tmp_path):
    out, _ = prepared
    prepare(tmp_path, tmp_path / "out", several=0.0, absent=0.0)
    for name in ("train", "val"):
        path = f"anns/set/{name}.json"
        assert (tmp_path / "out" / path).read_bytes() == (out / path).read_bytes()
    assert not {"several", "absent"} & json.loads((out / "anns/set/prepare.json").read_text())["source"].keys()


def test_shares_above_all_are_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^several is 0\.8 and absent 0\.3, together more than all; take at most 1\.$"
    ):
        prepare(tmp_path, tmp_path / "out", several=0.8, absent=0.3)
