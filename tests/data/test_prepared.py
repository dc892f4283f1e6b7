"""The prepared layout: what is written is read back, the original's sets too, and what is damaged is said."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlt.data.masks import encode_rle, read_targets
from vlt.data.prepared import read_prepared, write_prepared
from vlt.errors import DataError
from vlt.types import Expression, Referral, Standing


def mask_of(ref_id: int) -> np.ndarray[Any, Any]:
    mask = np.zeros((6, 8), bool)
    mask[1 : 2 + ref_id, 2:5] = True
    return mask


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg"):
        Image.new("RGB", (8, 6)).save(folder / name)
    return folder


@pytest.fixture
def referrals(images: Path) -> list[Referral]:
    return [
        Referral(
            1, images / "a.jpg", (encode_rle(mask_of(1)),), (Expression(10, "red"), Expression(11, "")), 3, (2, 1, 5, 3)
        ),
        Referral(
            2, images / "sub" / "b.jpg", (mask_of(2),), (Expression(12, "blue"),), 0, (2, 1, 5, 4), Standing(3, 2)
        ),
        Referral(3, images / "a.jpg", (np.zeros((6, 8), bool),), (Expression(13, "a whale"),), -1),
    ]


def same(one: Referral, other: Referral) -> bool:
    fields = ("ref_id", "image", "expressions", "category", "box", "standing")
    equal = all(getattr(one, name) == getattr(other, name) for name in fields)
    return equal and bool((read_targets(one.targets, (1, 1)) == read_targets(other.targets, (1, 1))).all())


@pytest.mark.parametrize("generate_mask", [False, True])
def test_targets_that_are_boxes_need_no_mask(tmp_path: Path, images: Path, generate_mask: bool) -> None:
    boxes = ((1.25, 0.5, 4.75, 3.5), (2.0, 1.0, 7.5, 2.0))
    referrals = [
        Referral(1, images / "a.jpg", boxes[:1], (Expression(10, "red"),), -1),
        Referral(2, images / "a.jpg", boxes, (Expression(11, "both"),), -1),
        Referral(3, images / "a.jpg", (), (Expression(12, "a whale"),), -1),
    ]
    write_prepared(tmp_path, "mine", {"val": referrals}, generate_mask=generate_mask, images=images)
    entries = json.loads((tmp_path / "anns/mine/val.json").read_text())
    assert [entry.get("boxes") for entry in entries] == [[list(boxes[0])], [list(box) for box in boxes], None]
    assert [entry["bbox"] for entry in entries] == [[1, 0, 4, 3], [1, 0, 7, 3], [0, 0, 0, 0]]
    assert [entry.get("targets_num") for entry in entries] == [None, 2, 0]
    found = read_prepared(tmp_path, "mine", "val", images)
    assert [each.targets for each in found] == [boxes[:1], boxes, ()]
    assert [each.boxes for each in found] == [boxes[:1], boxes, ()]
    with pytest.raises(DataError, match=r"its target is known by its box alone, but a mask is needed here; take"):
        read_targets(found[0].targets, (6, 8))


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[1, 1, 3, 3], [1, 1, 2, 2]], "2 boxes, but targets_num is 1"),
        ([], "0 boxes, but targets_num is 1"),
        ([[3, 1, 1, 3]], r"boxes are \[x0, y0, x1, y1\] with x0 < x1 and y0 < y1"),
        ([[1, 1, 3]], "key 'boxes', entry 0"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(
    tmp_path: Path, images: Path, referrals: list[Referral], boxes: list[Any], sentence: str
) -> None:
    write_prepared(tmp_path, "mine", {"val": referrals}, generate_mask=False, images=images)
    path = tmp_path / "anns/mine/val.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "boxes": boxes}]))
    with pytest.raises(DataError, match=rf"val\.json.*{sentence}.*; run `vlt prepare` again\.$"):
        read_prepared(tmp_path, "mine", "val", images)


def test_a_referral_with_a_mask_and_a_box_is_refused_before_anything_is_written(tmp_path: Path, images: Path) -> None:
    mixed = Referral(1, images / "a.jpg", (mask_of(1), (0.0, 0.0, 2.0, 2.0)), (Expression(10, "both"),))
    with pytest.raises(DataError, match="Referral 1 has targets with masks and others without; leave it out"):
        write_prepared(tmp_path, "mine", {"val": [mixed]}, generate_mask=False, images=images)
    assert [path for path in tmp_path.rglob("*.json*") if path.is_file()] == []


@pytest.mark.parametrize("generate_mask", [False, True])
def test_what_is_written_is_read_back(
    tmp_path: Path, images: Path, referrals: list[Referral], generate_mask: bool
) -> None:
    splits = {"train": referrals[:2], "val": referrals[2:]}
    write_prepared(tmp_path, "mine", splits, generate_mask=generate_mask, images=images)
    for split, members in splits.items():
        read = read_prepared(tmp_path, "mine", split, images)
        assert all(same(one, other) for one, other in zip(read, members, strict=True))
    assert json.loads((tmp_path / "anns/mine/train.json").read_bytes())[1]["img_name"] == "sub/b.jpg"


def test_a_box_that_was_not_given_is_the_masks(tmp_path: Path, images: Path) -> None:
    write_prepared(
        tmp_path,
        "mine",
        {"val": [Referral(1, Path("a.jpg"), (mask_of(1),), (Expression(1, "a"),))]},
        generate_mask=False,
    )
    assert read_prepared(tmp_path, "mine", "val", images)[0].box == (2, 1, 5, 3)


@pytest.mark.parametrize("generate_mask", [False, True])
def test_a_negative_id_is_refused_before_anything_is_written(tmp_path: Path, generate_mask: bool) -> None:
    negative = Referral(-7, Path("a.jpg"), (mask_of(1),), (Expression(1, "a"),))
    with pytest.raises(DataError, match="Referral -7 of val has a negative id, which no mask can have; renumber it"):
        write_prepared(tmp_path / "out", "mine", {"val": [negative]}, generate_mask=generate_mask)
    assert not (tmp_path / "out").exists()


def test_a_photo_in_memory_cannot_be_prepared(tmp_path: Path) -> None:
    drawn = Referral(7, np.zeros((6, 8, 3), np.uint8), (mask_of(1),), (Expression(1, "a"),), 0, (2, 1, 5, 3))
    with pytest.raises(DataError, match="Referral 7 has an image in memory"):
        write_prepared(tmp_path, "mine", {"val": [drawn]}, generate_mask=False)


def test_the_kind_of_masks_asked_for_last_is_read(tmp_path: Path, images: Path, referrals: list[Referral]) -> None:
    for generate_mask in (False, True, False):
        write_prepared(tmp_path, "mine", {"val": referrals}, generate_mask=generate_mask, images=images)
        target = read_prepared(tmp_path, "mine", "val", images)[0].targets[0]
        assert isinstance(target, Path) == generate_mask


def test_a_set_of_the_originals_script_is_read(tmp_path: Path, images: Path) -> None:
    """Written by hand as the script does: compact keys, PNGs only, a prepare.json nowhere."""
    (tmp_path / "anns" / "refcoco").mkdir(parents=True)
    (tmp_path / "masks" / "refcoco").mkdir(parents=True)
    (tmp_path / "anns/refcoco/testA.json").write_text(
        '[{"bbox": [2, 1, 5, 3], "cat": 0, "segment_id": 49971, "img_name": "a.jpg", "sentences": '
        '[{"idx": 0, "sent_id": 142196, "sent": "man in black"}, {"idx": 1, "sent_id": 142197, "sent": "left"}], '
        '"sentences_num": 2}]'
    )
    Image.fromarray(mask_of(1) * np.uint8(255)).save(tmp_path / "masks/refcoco/49971.png")
    (tmp_path / "masks/refcoco/Thumbs.png").write_bytes(b"no mask of ours")
    [referral] = read_prepared(tmp_path, "refcoco", "testA", images)
    assert same(
        referral,
        Referral(
            49971,
            images / "a.jpg",
            (mask_of(1),),
            (Expression(142196, "man in black"), Expression(142197, "left")),
            0,
            (2, 1, 5, 3),
        ),
    )


@pytest.mark.parametrize("generate_mask", [False, True])
def test_several_targets_and_none_are_read_back(tmp_path: Path, images: Path, generate_mask: bool) -> None:
    said = (Expression(1, "a"),)
    written = [
        Referral(12, images / "a.jpg", (), said, -1),
        Referral(13, images / "a.jpg", (mask_of(1),), said),
        Referral(14, images / "a.jpg", (mask_of(1), encode_rle(~mask_of(3))), said),
    ]
    write_prepared(tmp_path, "mine", {"val": written}, generate_mask=generate_mask, images=images)
    entries = json.loads((tmp_path / "anns/mine/val.json").read_bytes())
    assert [entry.get("targets_num") for entry in entries] == [0, None, 2], "one target is the original's schema"
    none, one, two = read_prepared(tmp_path, "mine", "val", images)
    assert [len(each.targets) for each in (none, one, two)] == [0, 1, 2]
    assert [each.box for each in (none, one, two)] == [None, (2, 1, 5, 3), (0, 0, 8, 6)]
    for target, mask in zip([*one.targets, *two.targets], (mask_of(1), mask_of(1), ~mask_of(3)), strict=True):
        np.testing.assert_array_equal(read_targets((target,), (1, 1)), mask)
    folder = tmp_path / "masks/mine"
    if generate_mask:
        assert {path.name for path in folder.iterdir()} == {"13.png", "14.0.png", "14.1.png"}
    else:
        packed = json.loads(gzip.decompress((folder / "masks.json.gz").read_bytes()))
        assert (packed["format"], list(packed["masks"])) == (2, ["13", "14.0", "14.1"])


@pytest.mark.parametrize("generate_mask", [False, True])
def test_a_set_without_any_target_needs_no_mask(tmp_path: Path, images: Path, generate_mask: bool) -> None:
    none = [Referral(1, images / "a.jpg", (), (Expression(1, "a whale"),), -1)]
    write_prepared(tmp_path, "mine", {"val": none}, generate_mask=generate_mask, images=images)
    assert read_prepared(tmp_path, "mine", "val", images) == none


def test_an_older_set_with_an_empty_mask_in_place_of_no_target_is_read(tmp_path: Path, images: Path) -> None:
    """As gRefCOCO was written before: a united mask or an empty one, one for each entry."""
    old = [Referral(1, images / "a.jpg", (np.zeros((6, 8), bool),), (Expression(1, "a whale"),), -1)]
    write_prepared(tmp_path, "mine", {"val": old}, generate_mask=False, images=images)
    assert json.loads(gzip.decompress((tmp_path / "masks/mine/masks.json.gz").read_bytes()))["format"] == 1
    [read] = read_prepared(tmp_path, "mine", "val", images)
    assert (len(read.targets), read.box, read.category) == (1, None, -1)
    assert not read_targets(read.targets, (1, 1)).any()


def test_one_of_two_masks_that_is_missing(tmp_path: Path, images: Path) -> None:
    two = [Referral(14, images / "a.jpg", (mask_of(1), mask_of(2)), (Expression(1, "a"),))]
    write_prepared(tmp_path, "mine", {"val": two}, generate_mask=True, images=images)
    (tmp_path / "masks/mine/14.1.png").unlink()
    with pytest.raises(DataError, match=r"has no mask for segment_id 14 \(1 of 1 are missing\)"):
        read_prepared(tmp_path, "mine", "val", images)


def test_annotations_with_a_byte_order_mark(tmp_path: Path, images: Path, referrals: list[Referral]) -> None:
    write_prepared(tmp_path, "mine", {"val": referrals}, generate_mask=False, images=images)
    path = tmp_path / "anns/mine/val.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_prepared(tmp_path, "mine", "val", images)) == 3


# ---------------------------------------------------------------- refused


@pytest.fixture
def prepared(tmp_path: Path, images: Path, referrals: list[Referral]) -> Path:
    write_prepared(tmp_path, "mine", {"train": referrals}, generate_mask=False, images=images)
    return tmp_path


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edits the JSON file at `path` in place."""
    packed = path.suffix == ".gz"
    value = json.loads(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    edit(value)
    text = json.dumps(value).encode()
    path.write_bytes(gzip.compress(text) if packed else text)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda refs: refs[1].pop("bbox"),
            r"train\.json, entry 1, key 'bbox': Field required; run `vlt prepare` again",
        ),
        (lambda refs: refs[0].update(bbox=[1, 2, 3]), "entry 0, key 'bbox', entry 3: Field required"),
        (lambda refs: refs[2].update(segment_id="3"), "entry 2, key 'segment_id': Input should be a valid integer"),
        (lambda refs: refs[0].update(img_name=""), "key 'img_name'"),
        (lambda refs: refs[0]["sentences"][1].update(sent=None), "entry 0, key 'sentences', entry 1, key 'sent'"),
        (lambda refs: refs[0].update(sentences=[]), "entry 0, key 'sentences'"),
        (lambda refs: refs[0].update(sentences_num=5), "segment_id 1 announces 5 sentences but has 2"),
        (lambda refs: refs.append(refs[0]), "holds segment_id 1 twice"),
        (lambda refs: refs[1]["standing"].pop("rank"), "entry 1, key 'standing', key 'rank': Field required"),
        (lambda refs: refs[1]["standing"].update(rank=4), "entry 1, key 'standing': Value error, rank 4 of 3"),
        (lambda refs: refs[1]["standing"].update(same=0), "key 'standing', key 'same': Input should be greater than 0"),
        (lambda refs: refs.clear(), r"train\.json holds no referrals"),
        (lambda refs: refs[0].update(img_name="lost.jpg"), r"lacks 1 of the 3 images .*lost\.jpg \(segment_id 1\)"),
        (
            lambda refs: refs[1].update(segment_id=8),
            r"masks\.json\.gz has no mask for segment_id 8 \(1 of 3 are missing\)",
        ),
    ],
)
def test_annotations_that_cannot_be_used(
    prepared: Path, images: Path, edit: Callable[[Any], object], sentence: str
) -> None:
    change(prepared / "anns/mine/train.json", edit)
    with pytest.raises(DataError, match=sentence):
        read_prepared(prepared, "mine", "train", images)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda masks: masks.update(format=3), r"masks\.json\.gz, key 'format': Input should be 1 or 2"),
        (lambda masks: masks.pop("masks"), "key 'masks': Field required"),
        (lambda masks: masks["masks"]["2"].update(size=[6]), "key 'masks', key '2', key 'size'"),
        (
            lambda masks: masks["masks"].update(x=masks["masks"]["2"]),
            "key 'masks', key 'x': String should match pattern",
        ),
    ],
)
def test_masks_that_cannot_be_used(prepared: Path, images: Path, edit: Callable[[Any], object], sentence: str) -> None:
    change(prepared / "masks/mine/masks.json.gz", edit)
    with pytest.raises(DataError, match=sentence):
        read_prepared(prepared, "mine", "train", images)


def test_truncated_files(prepared: Path, images: Path) -> None:
    for name, sentence in (
        ("masks/mine/masks.json.gz", r"masks\.json\.gz cannot be unpacked .*; run `vlt prepare` again"),
        ("anns/mine/train.json", r"train\.json: Invalid JSON: EOF .*; run `vlt prepare` again"),
    ):
        path = prepared / name
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(DataError, match=sentence):
            read_prepared(prepared, "mine", "train", images)


def test_a_set_without_masks(prepared: Path, images: Path) -> None:
    (prepared / "masks/mine/masks.json.gz").unlink()
    with pytest.raises(DataError, match=r"train\.json has no masks: neither .* nor PNGs lie in .*masks/mine; run"):
        read_prepared(prepared, "mine", "train", images)


def test_a_single_missing_png(prepared: Path, images: Path, referrals: list[Referral]) -> None:
    write_prepared(prepared, "mine", {"train": referrals}, generate_mask=True, images=images)
    (prepared / "masks/mine/2.png").unlink()
    with pytest.raises(DataError, match=r"masks/mine has no mask for segment_id 2 \(1 of 3 are missing\)"):
        read_prepared(prepared, "mine", "train", images)


def test_splits_sets_and_folders_that_are_not_there(prepared: Path, images: Path, tmp_path: Path) -> None:
    (prepared / "anns/mine/prepare.json").write_text("{}")
    with pytest.raises(DataError, match=r"There is no .*val\.json; the splits there are train\."):
        read_prepared(prepared, "mine", "val", images)
    with pytest.raises(DataError, match=r"There is no .*yours/val\.json; run `vlt prepare` to make .*yours"):
        read_prepared(prepared, "yours", "val", images)
    with pytest.raises(DataError, match=r"There is no folder of images .*nowhere; name the one with a\.jpg in it"):
        read_prepared(prepared, "mine", "train", tmp_path / "nowhere")
    (prepared / "anns/mine/dir.json").mkdir()
    with pytest.raises(DataError, match=r"dir\.json cannot be read: Is a directory"):
        read_prepared(prepared, "mine", "dir", images)
