"""Checks of the data: every missing or unreadable file is counted, and photos in two splits are found."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlt.data import prepared as prepared_sets
from vlt.data.masks import encode_rle
from vlt.data.prepared import (
    annotation_folder,
    mask_files,
    mask_folder,
    read_content,
    read_prepared,
    write_prepared,
)
from vlt.doctor import data as data_checks
from vlt.errors import DataError
from vlt.prepare.shards import write_shards
from vlt.types import Expression, Referral


@pytest.fixture
def add_split(tmp_path):
    """Writes a data set with one referral for each given photo, into the folder of the fixture `prepared`."""

    def write(dataset: str, splits: dict[str, list[str]], images: Path, *, generate_mask: bool = False) -> None:
        mask, number, members = np.ones((48, 64), bool), 0, {}
        for split, names in splits.items():
            members[split] = []
            for name in names:
                number += 1
                path = images / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (64, 48)).save(path)
                target = mask if generate_mask else encode_rle(mask)
                members[split].append(Referral(number, path, (target,), (Expression(number, "all of it"),), 0))
        write_prepared(tmp_path, dataset, members, generate_mask=generate_mask, images=images)

    return write


def test_a_split_that_is_missing_does_not_hide_what_is_wrong_with_the_other(
    configure, prepared, examined, found, results, tmp_path
):
    (tmp_path / "images" / "3.png").unlink()
    (tmp_path / "anns" / "mine" / "val.json").unlink()
    _, diagnosis = examined(configure(data=prepared), "--quick")
    assert [finding["subject"] for finding in found(diagnosis, severity="error")] == ["data train", "data val"]
    assert results(diagnosis)["data"].endswith("val: cannot be read")
    [finding] = found(diagnosis, subject="data val")
    assert finding["sentence"].endswith("val.json.")
    assert finding["remedy"] == "the splits there are train"


def test_masks_that_are_missing_are_found_beside_photos_that_are(configure, prepared, examined, found, tmp_path):
    (mask_folder(tmp_path, "mine") / "masks.json.gz").write_bytes(b"damaged")
    (tmp_path / "images" / "3.png").unlink()
    _, diagnosis = examined(configure(data=prepared), "--quick")
    masks, photos = found(diagnosis, subject="data train")
    assert "masks.json.gz cannot be unpacked" in masks["sentence"]
    assert masks["remedy"] == "run `vlt prepare` again"
    assert "lacks 1 of the 4 photos: 3.png" in photos["sentence"]


def test_masks_in_files_of_their_own_are_opened(configure, examined, found, add_split, tmp_path):
    images = tmp_path / "images"
    add_split("mine", {"train": ["1.png", "2.png"], "val": ["3.png"]}, images, generate_mask=True)
    (mask_folder(tmp_path, "mine") / "2.png").write_bytes(b"")
    data = {"name": "refer", "root": str(tmp_path), "dataset": "mine", "images": str(images)}
    _, diagnosis = examined(configure(data=data), "--quick")
    [finding] = found(diagnosis, severity="error")
    assert finding["subject"] == "data train"
    assert finding["sentence"].startswith("1 of 2 masks cannot be read. The image ")


def test_missing_photos_are_all_counted_and_the_first_are_named(configure, examined, found, add_split, tmp_path):
    images = tmp_path / "images"
    add_split("mine", {"train": [f"{number}.png" for number in range(1, 10)], "val": ["v.png"]}, images)
    for number in range(1, 9):
        (images / f"{number}.png").unlink()
    data = {"name": "refer", "root": str(tmp_path), "dataset": "mine", "images": str(images)}
    _, diagnosis = examined(configure(data=data))
    [finding] = found(diagnosis, severity="error")
    first = "1.png, 2.png, 3.png, 4.png, 5.png and 3 more"
    assert finding["sentence"] == f"{images} lacks 8 of the 9 photos: {first}."


def test_quick_opens_a_sample_spread_over_all_photos(configure, prepared, examined, monkeypatch):
    opened = []
    real = data_checks.open_image
    monkeypatch.setattr(data_checks, "open_image", lambda path: opened.append(path.name) or real(path))
    monkeypatch.setattr("vlt.doctor.examination.SAMPLE", 3)
    examined(configure(data=prepared), "--quick")
    assert opened == ["1.png", "3.png", "5.png"]
    opened.clear()
    examined(configure(data=prepared))
    assert len(opened) == 6


def test_photos_that_are_trained_and_validated_on_are_a_warning(configure, examined, found, add_split, tmp_path):
    add_split("mine", {"train": ["1.png", "2.png"], "val": ["2.png", "3.png"]}, tmp_path / "images")
    data = {"name": "refer", "root": str(tmp_path), "dataset": "mine", "images": str(tmp_path / "images")}
    code, diagnosis = examined(configure(data=data))
    [finding] = diagnosis["findings"]
    assert (code, finding["severity"], finding["subject"]) == (1, "warning", "data leakage")
    assert "1 of the 2 photos of val are also in train: 2.png" in finding["sentence"]
    assert any(check["name"] == "memory" for check in diagnosis["checks"])  # which is no reason not to measure


def test_photos_that_are_mixed_in_and_held_out_are_an_error(configure, prepared, examined, found, add_split, tmp_path):
    add_split("more", {"train": ["6.png", "7.png"]}, tmp_path / "images")
    data = {**prepared, "mixed_with": [{"dataset": "more", "images": str(tmp_path / "images")}]}
    code, diagnosis = examined(configure(data=data), "--quick")
    [finding] = diagnosis["findings"]
    assert (code, finding["severity"]) == (1, "error")
    assert finding["sentence"] == "more/train has 1 photo that mine holds out: 6.png."


def test_a_folder_of_photos_that_is_missing_lacks_all(configure, prepared, examined, found, tmp_path):
    _, diagnosis = examined(configure(data={**prepared, "images": str(tmp_path / "nowhere")}), "--quick")
    train, val = found(diagnosis, severity="error")
    assert f"{tmp_path / 'nowhere'} lacks 4 of the 4 photos: 1.png" in train["sentence"]
    assert "lacks 2 of the 2 photos" in val["sentence"]


# ---------------------------------------------------------------- reading of counts and masks alone


def test_the_content_is_counted_without_masks_and_images(prepared, tmp_path):
    for path in [*(tmp_path / "images").iterdir(), *mask_folder(tmp_path, "mine").iterdir()]:
        path.unlink()
    assert read_content(tmp_path, "mine", "train") == prepared_sets.SplitContent(
        4, 8, ("1.png", "2.png", "3.png", "4.png")
    )
    with pytest.raises(DataError, match="has no masks: neither"):
        mask_files(tmp_path, "mine", "train")
    (annotation_folder(tmp_path, "mine") / "train.json").write_text("[]")
    with pytest.raises(DataError, match="holds no referrals"):
        read_content(tmp_path, "mine", "train")


def test_masks_in_files_of_their_own_are_those_of_the_split(add_split, prepared, tmp_path):
    assert mask_files(tmp_path, "mine", "train") == []  # all of it in one file
    add_split("pngs", {"train": ["1.png", "2.png"], "val": ["3.png"]}, tmp_path / "images", generate_mask=True)
    assert mask_files(tmp_path, "pngs", "val") == [mask_folder(tmp_path, "pngs") / "3.png"]


# ---------------------------------------------------------------- shards


@pytest.fixture
def shards(prepared, tmp_path):
    """The prepared set in two shards per split, as a section `data`."""
    images = tmp_path / "images"
    splits = {split: read_prepared(tmp_path, "mine", split, images) for split in ("train", "val")}
    write_shards(tmp_path / "shards", "mine", splits, shards=2)
    return {"name": "shards", "root": str(tmp_path / "shards"), "dataset": "mine"}


def test_shards_are_counted_and_the_first_photo_of_each_is_opened(configure, shards, examined, found, results):
    _, diagnosis = examined(configure(data=shards), "--quick")
    assert found(diagnosis, severity="error") == []
    assert results(diagnosis)["data"].splitlines() == [
        "train: 4 referrals, 8 expressions, 4 photos, 2 shards",
        "val: 2 referrals, 4 expressions, 2 photos, 2 shards",
    ]
    assert results(diagnosis)["photos"].startswith("train: 2 opened, the first of each shard, 0 unreadable")


def test_a_missing_shard_does_not_hide_a_damaged_one_of_the_other_split(configure, shards, examined, found, tmp_path):
    (tmp_path / "shards" / "mine" / "train-00001-of-00002.parquet").unlink()
    (tmp_path / "shards" / "mine" / "val-00000-of-00002.parquet").write_bytes(b"damaged")
    _, diagnosis = examined(configure(data=shards), "--quick")
    assert [finding["subject"] for finding in found(diagnosis, severity="error")] == ["data train", "data val"]


def test_photos_of_shards_in_two_splits_are_found(configure, prepared, examined, found, tmp_path):
    splits = {split: read_prepared(tmp_path, "mine", "train", tmp_path / "images") for split in ("train", "val")}
    write_shards(tmp_path / "shards", "mine", splits, shards=1)
    _, diagnosis = examined(
        configure(data={"name": "shards", "root": str(tmp_path / "shards"), "dataset": "mine"}), "--quick"
    )
    [finding] = found(diagnosis, subject="data leakage")
    assert finding["sentence"].startswith("4 of the 4 photos of val are also in train: images/1.png")
