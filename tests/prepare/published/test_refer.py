"""`prepare_refer` from folder to folder: the table worked out by hand, and every way to be stopped."""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refer_fixture import (
    ANNOTATIONS,
    PHOTOS,
    annotation,
    photo,
    python2_pickle,
    rectangle,
    ref,
    write_photos,
    write_refcoco,
    write_refer,
)

from vlt.data.masks import decode_rle, read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import DataError
from vlt.prepare.published.refer import EXPECTED, folder_name, prepare_refer

NAME_11, NAME_12 = "COCO_train2014_000000000011.jpg", "COCO_train2014_000000000012.jpg"

# Worked out by hand. bbox: corner and sides truncated. cat: COCO's id less the gaps below it.
PREPARED = {
    "train": [
        {
            "bbox": [1, 1, 5, 4],  # 1.9, 1.2, 1 + int(4.7), 1 + int(3.9)
            "cat": 0,  # 1, no gap below
            "segment_id": 1,
            "img_name": NAME_11,
            "sentences": [
                {"idx": 0, "sent_id": 10, "sent": "the left caf\xe9 man"},
                {"idx": 1, "sent_id": 11, "sent": ""},
            ],
            "sentences_num": 2,
        },
        {
            "bbox": [1, 0, 3, 3],
            "cat": 79,  # 90, the last
            "segment_id": 2,
            "img_name": NAME_11,
            "sentences": [{"idx": 0, "sent_id": 20, "sent": "crowd"}],
            "sentences_num": 1,
        },
        {
            "bbox": [5, 1, 7, 3],
            "cat": -1,  # 12 is one of the gaps
            "segment_id": 9,
            "img_name": NAME_12,
            "sentences": [{"idx": 0, "sent_id": 90, "sent": "twelve is no category"}],
            "sentences_num": 1,
        },
    ],
    "val": [
        {
            "bbox": [0, 0, 2, 2],
            "cat": 11,  # 13, one gap below and counting from 0
            "segment_id": 3,
            "img_name": NAME_12,
            "sentences": [{"idx": 0, "sent_id": 30, "sent": "stop sign"}],
            "sentences_num": 1,
        }
    ],
    "testA": [
        {
            "bbox": [4, 1, 7, 4],
            "cat": 16,  # 18
            "segment_id": 4,
            "img_name": NAME_12,
            "sentences": [{"idx": 0, "sent_id": 40, "sent": "dog"}],
            "sentences_num": 1,
        },
        {
            "bbox": [0, 0, 8, 6],
            "cat": 39,  # 44, gaps 12, 26, 29, 30
            "segment_id": 5,
            "img_name": NAME_11,
            "sentences": [
                {"idx": 0, "sent_id": 50, "sent": "bottle"},
                {"idx": 1, "sent_id": 51, "sent": "the whole photo"},
            ],
            "sentences_num": 2,
        },
    ],
}
PREPARED["testB"] = PREPARED["testA"][1:]  # "testAB" counts for both

# Worked out by hand: 1 two rectangles of 4 x 3 that share 2 x 2; 2 runs of 3 and 2; 3 one square, one polygon of two
# points left out; 4 nothing but such a polygon; 5 the whole photo; 9 a square.
MASKS = {
    1: ["........", ".####...", ".######.", ".######.", "...####.", "........"],
    2: [".##.....", ".##.....", ".#......", "........", "........", "........"],
    3: ["##........", "##........", "..........", "..........", ".........."],
    4: ["..........", "..........", "..........", "..........", ".........."],
    5: ["########"] * 6,
    9: ["..........", ".....##...", ".....##...", "..........", ".........."],
}
PIXELS = {1: 20, 2: 5, 3: 4, 4: 0, 5: 48, 9: 4}
COUNTS = {"train": (3, 2, 4), "val": (1, 1, 1), "testA": (2, 2, 3), "testB": (1, 1, 2)}  # refs, images, sentences

DEFECTS = {
    "missing annotation": ("ref_id", "left out", [6]),
    "missing photo": ("ref_id", "left out", [7]),
    "no sentence": ("ref_id", "left out", [8]),
    "image not in instances.json": ("ref_id", "left out", [10]),
    "unreadable segmentation": ("ref_id", "left out", [11]),
    "split of another name": ("ref_id", "left out", [12]),
    "repeated ref_id": ("ref_id", "all but the first left out", [2]),
    "degenerate polygon": ("ref_id", "kept without that polygon", [3, 4]),
    "empty mask": ("ref_id", "kept", [4]),
    "unknown category": ("ref_id", "kept as category -1", [9]),
    "empty sentence": ("sent_id", "kept", [11]),
}


def as_mask(rows: list[str]) -> np.ndarray[Any, Any]:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_refcoco(tmp_path / "refer")
    return tmp_path / "refer"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- the table


def test_every_annotation_is_as_worked_out(root: Path, tmp_path: Path) -> None:
    prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)
    folder = tmp_path / "out" / "anns" / "refcoco"
    assert {path.stem: json.loads(path.read_bytes()) for path in folder.glob("[!p]*.json")} == PREPARED


def test_every_mask_is_as_worked_out(root: Path, tmp_path: Path) -> None:
    prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)
    packed = json.loads(gzip.decompress((tmp_path / "out/masks/refcoco/masks.json.gz").read_bytes()))
    assert packed["format"] == 1
    masks = {int(key): decode_rle(rle) for key, rle in packed["masks"].items()}
    assert {key: int(mask.sum()) for key, mask in masks.items()} == PIXELS
    for key, rows in MASKS.items():
        np.testing.assert_array_equal(masks[key], as_mask(rows), f"ref {key}")


def test_pngs_are_grey_and_hold_the_same_masks(root: Path, tmp_path: Path) -> None:
    prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=True)
    folder = tmp_path / "out" / "masks" / "refcoco"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{key}.png" for key in MASKS)
    for key, rows in MASKS.items():
        with Image.open(folder / f"{key}.png") as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), as_mask(rows) * np.uint8(255))


def test_counts_and_defects_are_as_worked_out(root: Path, tmp_path: Path) -> None:
    report = prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)
    assert {split: tuple(counts) for split, counts in report.counts.items()} == COUNTS
    assert {kind.name: (kind.of, kind.outcome, ids) for kind, ids in report.defects.items()} == DEFECTS
    written = json.loads((report.folder / "prepare.json").read_bytes())
    assert written == report.to_dict()
    assert written["counts"]["testA"] == {"refs": 2, "images": 2, "sentences": 3}
    assert {"kind": "missing photo", "of": "ref_id", "outcome": "left out", "ids": [7]} in written["defects"]


def test_report_says_what_differs_and_what_is_wrong(root: Path, tmp_path: Path) -> None:
    text = str(prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False))
    assert re.search(r"train +3 / 2 / 4   expected 42,404 / 16,994 / 120,624\n", text)
    assert "Differs: testB: 1 refs, expected 1,810." in text
    assert "empty sentence: 1 (kept); sent_id 11" in text


@pytest.mark.parametrize("generate_mask", [False, True])
def test_what_was_prepared_is_read_back(root: Path, tmp_path: Path, generate_mask: bool) -> None:
    prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=generate_mask)
    referrals = read_prepared(tmp_path / "out", "refcoco", "testA", root / "images" / "train2014")
    assert [referral.ref_id for referral in referrals] == [4, 5]
    assert [expression.text for expression in referrals[1].expressions] == ["bottle", "the whole photo"]
    assert (referrals[0].box, referrals[0].category) == ((4, 1, 7, 4), 16)
    for referral in referrals:
        np.testing.assert_array_equal(read_targets(referral.targets, (1, 1)), as_mask(MASKS[referral.ref_id]))


def test_preparing_twice_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    prepare_refer(root, tmp_path / "one", "refcoco", "unc", generate_mask=False)
    prepare_refer(root, tmp_path / "one", "refcoco", "unc", generate_mask=False)
    prepare_refer(root, tmp_path / "two", "refcoco", "unc", generate_mask=False)
    assert files(tmp_path / "one") == files(tmp_path / "two")


# ---------------------------------------------------------------- other data sets


def test_refclef_reads_a_list_with_one_rle_and_skips_three_photos(tmp_path: Path) -> None:
    photos = [photo(1, 3, 4, "1.jpg"), photo(19579, 3, 4, "19579.jpg")]
    annotations = [annotation("1_1", [1, 0, 1, 3], [{"size": [3, 4], "counts": "336"}])]  # the second of four columns
    refs = [ref(1, "1_1", 1, "train", "a", category=300), ref(2, "1_1", 19579, "train", "b", category=300)]
    refs += [ref(3, "1_1", 1, "testC", "c", category=7)]
    write_refer(tmp_path, refs, photos, annotations, dataset="refclef", categories=[300, 7])
    write_photos(tmp_path / "images" / "saiapr_tc-12", photos)
    report = prepare_refer(tmp_path, tmp_path / "out", "refclef", "unc", generate_mask=False)
    referral = read_prepared(tmp_path / "out", "refclef", "train", tmp_path / "images" / "saiapr_tc-12")[0]
    np.testing.assert_array_equal(read_targets(referral.targets, (1, 1)), as_mask([".#.."] * 3))
    assert (referral.category, referral.box) == (1, (1, 0, 2, 3))  # its own categories are 7 and 300
    assert {kind.name: ids for kind, ids in report.defects.items()} == {
        "photo known to be unusable": [2],
        "no such split": ["val", "testA", "testB"],
    }
    assert tuple(report.counts["testC"]) == (1, 1, 1)
    assert "No expected counts are known for this set." in str(report)


def test_refclef_is_not_mixed_from_two_ways_of_splitting(tmp_path: Path) -> None:
    for split_by in ("unc", "berkeley"):
        refs = [ref(1, 1, 1, "train", "a")]
        write_refer(
            tmp_path, refs, [photo(1, 3, 4)], [annotation(1, [0, 0, 1, 1], [])], dataset="refclef", split_by=split_by
        )
    prepare_refer(tmp_path, tmp_path / "out", "refclef", "unc", generate_mask=False)
    before = files(tmp_path / "out")
    with pytest.raises(DataError, match=r"holds .*split 'unc', not 'berkeley'.*; take .* another output folder"):
        prepare_refer(tmp_path, tmp_path / "out", "refclef", "berkeley", generate_mask=False)
    assert files(tmp_path / "out") == before


def test_grefcoco_has_several_targets_and_none(tmp_path: Path) -> None:
    crowd = annotation(3, [0, 0, 4, 4], {"size": [4, 6], "counts": [0, 24]}, crowd=1)
    annotations = [
        annotation(1, [0, 0, 2, 2], [rectangle(0, 0, 2, 2)]),
        annotation(2, [4, 2, 2, 2], [rectangle(4, 2, 6, 4)]),
    ]
    refs = [ref(1, [1, 2, 3], 1, "val", "both", category=[44, 1, 1]), ref(2, [-1], 1, "val", "a whale", category=[-1])]
    refs += [ref(3, [2], 1, "val", "one", category=[1])]
    write_refer(tmp_path, refs, [photo(1, 4, 6)], [*annotations, crowd], dataset="grefcoco")
    write_photos(tmp_path / "images" / "train2014", [photo(1, 4, 6)])
    report = prepare_refer(tmp_path, tmp_path / "out", "grefcoco", "unc", generate_mask=False)
    both, none, one = read_prepared(tmp_path / "out", "grefcoco", "val", tmp_path / "images" / "train2014")
    np.testing.assert_array_equal(read_targets(both.targets, (1, 1)), as_mask(["##....", "##....", "....##", "....##"]))
    assert (both.box, both.category) == ((0, 0, 6, 4), 39)
    assert [len(each.targets) for each in (both, none, one)] == [2, 0, 1]
    assert (none.box, none.category) == (None, -1)
    assert one.box == (4, 2, 6, 4)
    assert [kind.name for kind in report.defects] == ["no such split"]  # meaning nothing is no defect


@pytest.mark.parametrize(
    ("dataset", "split", "name"),
    [
        ("refcoco", "unc", "refcoco"),
        ("refcoco", "google", "refcoco_google"),
        ("refcoco+", "unc", "refcoco+"),
        ("refcocog", "umd", "refcocog_umd"),
        ("refcocog", "google", "refcocog_google"),
        ("refclef", "unc", "refclef"),
        ("refclef", "berkeley", "refclef"),
    ],
)
def test_folders_are_the_originals_where_nothing_would_be_overwritten(dataset: str, split: str, name: str) -> None:
    assert folder_name(dataset, split) == name


def test_test_takes_every_split_with_test_in_its_name(tmp_path: Path) -> None:
    refs = [ref(i, 1, 1, split, "a") for i, split in enumerate(["test", "testA", "testB", "train"])]
    write_refer(tmp_path, refs, [photo(1, 3, 4)], [annotation(1, [0, 0, 1, 1], [])], dataset="refcocog", split_by="umd")
    report = prepare_refer(tmp_path, tmp_path / "out", "refcocog", "umd", generate_mask=False)
    assert report.folder == tmp_path / "out" / "anns" / "refcocog_umd"
    assert report.counts["test"].refs == 3
    assert report.defects == {kind: ["val"] for kind in report.defects if kind.name == "no such split"} | {
        kind: [0, 1, 2, 3] for kind in report.defects if kind.name == "empty mask"
    }


def test_expected_counts_of_refcoco_add_up_to_the_published_totals() -> None:
    totals = {
        key: [sum(split[i] for split in splits.values() if split[i]) for i in (0, 2)]
        for key, splits in EXPECTED.items()
    }
    assert totals["refcoco", "unc"] == [50_000, 142_210]
    assert totals["refcoco+", "unc"] == [49_856, 141_564]
    assert totals["refcocog", "umd"] == [49_822, 95_010]
    assert totals["refcocog", "google"] == [49_822, 95_010]


# ---------------------------------------------------------------- photos


@pytest.mark.parametrize("empty_folder", [False, True])
def test_annotations_can_be_prepared_before_the_photos_come(tmp_path: Path, empty_folder: bool) -> None:
    write_refer(tmp_path, [ref(1, 107, 13, "train", "a")], PHOTOS, ANNOTATIONS)
    if empty_folder:
        (tmp_path / "images" / "train2014").mkdir(parents=True)
    report = prepare_refer(tmp_path, tmp_path / "out", "refcoco", "unc", generate_mask=False)
    assert report.counts["train"].refs == 1
    assert "Images were not checked: " in str(report)
    assert ("holds none of the 1" if empty_folder else "there is no folder") in str(report)


def test_photos_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "images").rename(tmp_path / "elsewhere")
    images = tmp_path / "elsewhere" / "train2014"
    report = prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False, images=images)
    assert report.notes == []
    assert [referral.ref_id for referral in read_prepared(tmp_path / "out", "refcoco", "val", images)] == [3]
    with pytest.raises(DataError, match=r"There is no folder of images .*nowhere; name the one"):
        prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False, images=tmp_path / "nowhere")


# ---------------------------------------------------------------- refused


def test_a_pickle_that_would_run_code_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        (root / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps([{"ref_id": Malicious()}], protocol))
        with pytest.raises(DataError, match=r"refs\(unc\)\.p references (posix|nt)\.system, but only plain containers"):
            prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("dataset", "split", "sentence"),
    [
        ("refcoco", "umd", "refcoco has no split by 'umd'; it was split by unc and by google"),
        ("refcoc", "unc", "There is no REFER data set 'refcoc'; there are refcoco, "),
        ("refcoco", "google", r"There is no .*refs\(google\)\.p; .*refcoco holds instances\.json, refs\(unc\)\.p"),
        ("refcocog", "umd", r"There is no .*refcocog/refs\(umd\)\.p; see docs/data\.md"),
    ],
)
def test_what_is_not_there_is_refused(root: Path, tmp_path: Path, dataset: str, split: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        prepare_refer(root, tmp_path / "out", dataset, split, generate_mask=False)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("refs(unc).p", python2_pickle([ref(1, 1, 1, "train", "a")])[:-20], "is not a complete pickle"),
        ("refs(unc).p", b"", "is not a complete pickle"),
        ("refs(unc).p", b"version https://git-lfs.github.com/spec/v1\n", r"refs\(unc\)\.p is a pointer of Git LFS"),
        ("instances.json", b"version https://git-lfs.github.com/spec/v1\n", r"instances\.json is a pointer of Git LFS"),
        ("refs(unc).p", b"<html>404</html>", "is not a complete pickle"),
        (
            "refs(unc).p",
            python2_pickle({"a": 1}),
            r"refs\(unc\)\.p: Input should be a valid list; this is not REFER's format",
        ),
        ("refs(unc).p", python2_pickle([{"ref_id": 1}]), r"refs\(unc\)\.p, entry 0, key 'ann_id': Field required"),
        ("refs(unc).p", python2_pickle([ref(1, None, 1, "train", "a")]), r"entry 0, key 'ann_id': Input should be"),
        (
            "instances.json",
            b'{"images": [',
            r"instances\.json: Invalid JSON: EOF .*; an instance file of COCO's format is needed",
        ),
        ("instances.json", b'{"images": []}', r"instances\.json, key 'annotations': Field required"),
        (
            "instances.json",
            b'{"images": [{"id": 1, "file_name": "a", "height": 0, "width": 2}], "annotations": []}',
            r"key 'images', entry 0, key 'height': Input should be greater than 0",
        ),
    ],
)
def test_malformed_files_are_refused(root: Path, tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (root / "refcoco" / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)
    assert not (tmp_path / "out").exists()


def test_a_missing_instances_file_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "refcoco" / "instances.json").unlink()
    with pytest.raises(DataError, match=r"There is no .*instances\.json; .* holds refs\(unc\)\.p"):
        prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)


def test_a_set_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    write_refer(tmp_path, [ref(1, 5, 1, "train", "a"), ref(2, 6, 1, "val", "b")], [photo(1, 2, 2)], [])
    with pytest.raises(DataError, match="No ref of refcoco, split by unc, can be used: missing annotation 2 times"):
        prepare_refer(tmp_path, tmp_path / "out", "refcoco", "unc", generate_mask=False)


def test_an_output_folder_that_cannot_be_made(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"The folder .*file/out/anns/refcoco cannot be made: Not a directory\."):
        prepare_refer(root, tmp_path / "file" / "out", "refcoco", "unc", generate_mask=False)


def test_a_read_only_output_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: Path, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)  # permissions would not stop root
    with pytest.raises(DataError, match=r"The folder .*out/anns/refcoco cannot be made: Read-only file system\."):
        prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=False)


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize("generate_mask", [False, True])
@pytest.mark.parametrize("after", range(6))
def test_an_interrupted_run_leaves_whole_files_only(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generate_mask: bool, after: int
) -> None:
    """What stood there stays until its successor is whole, and nothing half-written lies about."""
    out = tmp_path / "out"
    prepare_refer(root, out, "refcoco", "unc", generate_mask=generate_mask)
    old = files(out)
    changed = [ref(i, 101, 11, split, "new") for i, split in enumerate(["train", "val", "testA", "testB"], 20)]
    write_refer(root, changed, PHOTOS, ANNOTATIONS)
    prepare_refer(root, tmp_path / "whole", "refcoco", "unc", generate_mask=generate_mask)
    new = files(tmp_path / "whole")
    written = itertools.count()

    def sync_some(descriptor: int) -> None:
        if next(written) >= after:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", sync_some)
    with pytest.raises(KeyboardInterrupt):
        prepare_refer(root, out, "refcoco", "unc", generate_mask=generate_mask)
    now = files(out)
    assert set(now) <= set(old) | set(new)
    assert all(content in (old.get(name), new.get(name)) for name, content in now.items())
    assert sum(now[name] == new[name] != old.get(name) for name in new if name in now) == after


@pytest.mark.parametrize("generate_mask", [False, True])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generate_mask: bool
) -> None:
    prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=generate_mask)
    before = files(tmp_path / "out")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"masks/refcoco/.* cannot be written: No space left on device\."):
        prepare_refer(root, tmp_path / "out", "refcoco", "unc", generate_mask=generate_mask)
    assert files(tmp_path / "out") == before
