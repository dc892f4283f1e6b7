"""Parquet files of the RefCOCO sets: every layout gives the refs of REFER's own files, and bad files one sentence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from parquet_fixture import (
    NAMES,
    OUTLINES,
    SIZES,
    annotations,
    image_row,
    mask_of,
    object_row,
    picture,
    ref_row,
    sample_row,
    write_images,
    write_rows,
)
from PIL import Image
from PIL.ExifTags import Base
from refer_fixture import photo, ref, write_refer

from vlt.data.masks import decode_rle, read_targets
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import ConfigError, DataError
from vlt.prepare.published.parquet import prepare_parquet
from vlt.prepare.published.parquet_files import find_files, read_rows
from vlt.prepare.published.pictures import PictureFolder
from vlt.prepare.published.refer import EXPECTED, prepare_refer
from vlt.prepare.report import Counts

DATA = "some/data"
"""Folder of the files of a set, whose name tells no published one."""


@pytest.fixture
def refs(tmp_path):
    """A set in the layout of jxu124/refcoco, with its photos."""
    write_images(tmp_path / "photos", 11, 12)
    part = "-00000-of-00001.parquet"
    write_rows(
        tmp_path / DATA / f"train{part}",
        [ref_row(1, 101, "train", "left man", " big "), ref_row(2, 102, "train", "cup")],
    )
    write_rows(tmp_path / DATA / f"validation{part}", [ref_row(3, 103, "val", "a dog")])
    write_rows(tmp_path / DATA / f"test{part}", [ref_row(4, 103, "testA", "dog on top")])
    write_rows(tmp_path / DATA / f"testB{part}", [ref_row(5, 101, "testB", "the man")])
    return tmp_path


def prepare(root, *data, name="set", **choices):
    return prepare_parquet([root / each for each in data or (DATA,)], root / "out", name=name, **choices)


def read(root, split, images=None):
    return read_prepared(root / "out", "set", split, images or root / "out/images/set")


def texts(referral):
    return [each.text for each in referral.expressions]


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def nothing_written(root):
    return not (root / "out").exists()


# ---------------------------------------------------------------- layouts


def test_refs_give_the_same_set_as_refer_s_own_files(refs):
    report = prepare(refs, images=refs / "photos")
    assert defects(report) == {}
    own = [ref(1, 101, 11, "train", "left man", " big ", category=18), ref(2, 102, 11, "train", "cup", category=18)]
    own += [ref(3, 103, 12, "val", "a dog", category=18), ref(4, 103, 12, "testA", "dog on top", category=18)]
    own += [ref(5, 101, 11, "testB", "the man", category=18)]
    photos = [photo(number, *SIZES[number], NAMES[number]) for number in SIZES]
    write_refer(refs, own, photos, [annotations(number) for number in OUTLINES])
    prepare_refer(refs, refs / "refer", "refcoco", "unc", generate_mask=False, images=refs / "photos")
    for split in ("train", "val", "testA", "testB"):
        one, other = (folder / f"{split}.json" for folder in (refs / "out/anns/set", refs / "refer/anns/refcoco"))
        assert json.loads(one.read_text()) == json.loads(other.read_text())
    assert split_names(refs / "out", "set") == ["testA", "testB", "train", "val"]
    assert read(refs, "train", refs / "photos")[1].box == (5, 1, 7, 3)
    assert report.categories[16] == "dog"


def test_json_text_in_place_of_lists_is_read(refs):
    row = ref_row(7, 101, "train", "left man", "him")
    write_rows(refs / "text/train.parquet", [{**row, "sentences": json.dumps(row["sentences"])}])
    prepare(refs, "text", images=refs / "photos")
    [one] = read(refs, "train", refs / "photos")
    assert (one.ref_id, texts(one)) == (7, ["left man", "him"])


@pytest.mark.parametrize(
    ("splits", "names"),
    [
        ({"test": "testA", "testB": "testB"}, ["testA", "testB"]),
        ({"test": "test", "testB": "testB"}, ["testA", "testB"]),
        ({"test": "testA"}, ["testA"]),
        ({"test": "test", "validation": "val"}, ["test", "val"]),
    ],
)
def test_the_split_test_is_test_a_where_the_set_has_a_test_b(refs, splits, names):
    for number, (file, split) in enumerate(splits.items()):
        write_rows(refs / f"other/{file}-00000-of-00001.parquet", [ref_row(number, 101, split, "man")])
    report = prepare(refs, "other", images=refs / "photos")
    assert split_names(refs / "out", "set") == names
    assert "split other than the file's" not in defects(report) or splits["test"] == "test"


def test_images_with_their_refs(tmp_path):
    rows = [image_row(11, (1, 101, "val", "man"), (2, 102, "val", "cup")), image_row(12, (3, 103, "val", "dog"))]
    write_rows(tmp_path / DATA / "refcoco_unc_val-00000-of-00001-23c691a8c4bd006d.parquet", rows)
    report = prepare(tmp_path)
    assert defects(report) == {}
    assert report.expected == {"val": EXPECTED["refcoco", "unc"]["val"]}
    referrals = read(tmp_path, "val")
    assert [(one.ref_id, texts(one), one.category) for one in referrals] == [
        (1, ["man"], 16),
        (2, ["cup"], 16),
        (3, ["dog"], 16),
    ]
    for one, number in zip(referrals, (101, 102, 103), strict=True):
        assert np.array_equal(read_targets(one.targets, (1, 1)), decode_rle(mask_of(number)))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/images/set").iterdir()} == {
        NAMES[number]: picture(number) for number in SIZES
    }
    assert (
        f"The pictures are in {tmp_path / 'out/images/set'}, which is data.images of a configuration." in report.notes
    )


def test_run_lengths_are_read_where_an_annotation_has_them(tmp_path):
    row = image_row(11, (1, 101, "val", "man"))
    row["ref_list"][0]["ann_info"]["segmentation"] = mask_of(102)
    write_rows(tmp_path / DATA / "refcoco_unc_val.parquet", [row])
    prepare(tmp_path)
    [one] = read(tmp_path, "val")
    assert np.array_equal(read_targets(one.targets, (1, 1)), decode_rle(mask_of(102)))


def test_objects_of_one_photo_share_its_file(tmp_path):
    rows = [object_row(101, "man", "him"), object_row(102, "cup"), object_row(103, "dog")]
    write_rows(tmp_path / "RefCOCO/data/val-00000-of-00001.parquet", rows)
    report = prepare(tmp_path, "RefCOCO")
    assert defects(report) == {}
    assert report.counts == {"val": Counts(3, 2, 4)}
    referrals = read(tmp_path, "val")
    assert [(one.ref_id, texts(one), one.category) for one in referrals] == [
        (0, ["man", "him"], -1),
        (1, ["cup"], -1),
        (2, ["dog"], -1),
    ]
    assert [one.image.name for one in referrals] == [NAMES[11], NAMES[11], NAMES[12]]
    assert [one.box for one in referrals] == [(1, 1, 5, 4), (5, 1, 7, 3), (0, 0, 2, 2)]
    assert np.array_equal(read_targets(referrals[0].targets, (1, 1)), decode_rle(mask_of(101)))


def test_the_report_says_that_val_joins_two_ways_of_splitting(tmp_path):
    for split in ("val", "test", "testA"):
        write_rows(tmp_path / f"RefCOCO/data/{split}-00000-of-00001.parquet", [object_row(101, "man")])
    report = prepare(tmp_path, "RefCOCO/data")
    assert (
        "An outline is one list of coordinates here, so that an object of several parts is one polygon." in report.notes
    )
    assert any(
        "val joins two ways of splitting, 3,811 refs of unc and 5,000 of google" in note for note in report.notes
    )
    assert any(note.startswith("test is that of google") for note in report.notes)
    assert report.expected == {
        "val": Counts(8811, None, None),
        "test": Counts(5000, 4527, None),
        "testA": Counts(1975, 750, 5657),
    }
    shutil.copytree(tmp_path / "RefCOCO", tmp_path / "RefCOCOplus", ignore=lambda *_: ["test-00000-of-00001.parquet"])
    report = prepare(tmp_path, "RefCOCOplus/data", name="plus")
    assert not any("google" in note for note in report.notes)
    assert report.expected["val"] == EXPECTED["refcoco+", "unc"]["val"]


@pytest.mark.parametrize("form", ["object", "text"])
def test_samples_with_run_lengths(tmp_path, form):
    row = sample_row(11, (101, ["man", "him"]), (102, ["cup"]))
    if form == "text":
        for sample in row["samples"]:
            sample["mask"] = json.dumps(sample["mask"])
    write_rows(tmp_path / "refcoco-m/data/validation-00000-of-00001.parquet", [row])
    report = prepare(tmp_path, "refcoco-m")
    assert (defects(report), report.expected) == ({}, {})
    referrals = read(tmp_path, "val")
    assert [texts(one) for one in referrals] == [["man", "him"], ["cup"]]
    assert [one.image.name for one in referrals] == ["11.jpg", "11.jpg"]  # JPEG, by its content
    assert [one.box for one in referrals] == [(1, 1, 5, 4), (5, 1, 7, 3)]
    assert np.array_equal(read_targets(referrals[1].targets, (1, 1)), decode_rle(mask_of(102)))


def test_masks_as_pngs(refs):
    prepare(refs, images=refs / "photos", generate_mask=True)
    assert sorted(path.name for path in (refs / "out/masks/set").iterdir()) == [
        f"{number}.png" for number in range(1, 6)
    ]


# ---------------------------------------------------------------- splits and sets


def test_splits_are_chosen_and_the_command_may_be_repeated(refs):
    for _ in range(2):
        report = prepare(refs, images=refs / "photos", splits=["testA"])
        assert report.counts == {"testA": Counts(1, 1, 1)}
    with pytest.raises(DataError, match=r"The files have no split 'test'; they have train, val, testA, testB\."):
        prepare(refs, images=refs / "photos", splits=["test"])
    with pytest.raises(DataError, match=r"holds another data set, made from splits \['testA'\], not all;"):
        prepare(refs, images=refs / "photos")


def test_converted_files_are_named_by_their_folder(refs):
    write_rows(refs / "default/validation/0000.parquet", [ref_row(1, 101, "val", "man")])
    prepare(refs, "default", images=refs / "photos")
    assert split_names(refs / "out", "set") == ["val"]


def test_a_part_of_a_converted_split_is_no_split(refs):
    write_rows(refs / "default/partial-train/0000.parquet", [ref_row(1, 101, "train", "man")])
    with pytest.raises(DataError, match=r"0000\.parquet: the name states no split; rename it"):
        prepare(refs, "default", images=refs / "photos")


def test_the_report_names_parts_that_are_missing(refs):
    for part in (0, 2):
        write_rows(refs / f"other/train-{part:05}-of-00004.parquet", [ref_row(part, 101, "train", "man")])
    report = prepare(refs, "other", images=refs / "photos")
    assert "train is incomplete: there is no file of part 1, 3." in report.notes
    assert report.counts["train"].refs == 2


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        ("refcoco", ("refcoco", "unc")),
        ("datasets--jxu124--refcocoplus/snapshots/0a1b", ("refcoco+", "unc")),
        ("refcocog", ("refcocog", "umd")),
        ("refcoco_g_umd", ("refcocog", "umd")),
        ("refcoco_google", ("refcoco", "google")),
        ("mine", None),
    ],
)
def test_counts_are_compared_where_a_folder_tells_the_set(refs, folder, known):
    shutil.copytree(refs / DATA, refs / folder / "data")
    report = prepare(refs, folder, images=refs / "photos")
    assert set(report.expected) == set(EXPECTED.get(known, {})) & {"train", "val", "testA", "testB"}
    assert all(report.expected[split] == EXPECTED[known][split] for split in report.expected)


def test_the_prepared_name_tells_the_set_where_no_folder_does(refs):
    report = prepare(refs, images=refs / "photos", name="refcoco+")
    assert report.expected == EXPECTED["refcoco+", "unc"]


# ---------------------------------------------------------------- pictures


def test_pictures_of_one_name_and_other_content_are_kept_apart(tmp_path):
    rows = [object_row(101, "man", name="image.png"), object_row(103, "dog", name="image.png")]
    write_rows(tmp_path / DATA / "val.parquet", rows)
    prepare(tmp_path)
    one, other = read(tmp_path, "val")
    assert (one.image.name, other.image.name.startswith("image-")) == ("image.png", True)
    assert (one.image.read_bytes(), other.image.read_bytes()) == (picture(11), picture(12))


@pytest.mark.parametrize("name", ["../../evil.png", "C:\\evil.png", "..", ".hidden.png", "a\nb"])
def test_no_picture_is_written_outside_its_folder(tmp_path, name):
    write_rows(tmp_path / DATA / "val.parquet", [object_row(101, "man", name=name)])
    prepare(tmp_path)
    [one] = read(tmp_path, "val")
    assert one.image.parent == tmp_path / "out/images/set"
    assert not one.image.name.startswith(".")
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["set"]


def test_a_picture_that_cannot_be_used_is_reported(tmp_path):
    rows = [object_row(101, "man"), object_row(103, "dog"), object_row(103, "dog", name="turned.jpg")]
    rows[0]["image"]["bytes"] = b"no picture"
    exif = Image.Exif()
    exif[Base.Orientation] = 3
    rows[2]["image"]["bytes"] = picture(12, "jpeg", exif=exif)
    write_rows(tmp_path / DATA / "val.parquet", rows)
    report = prepare(tmp_path)
    assert defects(report) == {"unreadable photo": [0], "photo that EXIF rotates or mirrors": [2]}
    assert report.counts == {"val": Counts(1, 1, 1)}


def test_rows_are_read_in_batches(tmp_path):
    content = np.random.default_rng(0).bytes
    with pyarrow.parquet.ParquetWriter(tmp_path / "a.parquet", pyarrow.schema([("image", pyarrow.binary())])) as file:
        for _ in range(10):  # groups of rows, as the hub writes them
            file.write_table(pyarrow.table({"image": [content(100_000) for _ in range(40)]}, schema=file.schema))
    before, most = pyarrow.total_allocated_bytes(), 0
    numbers = []
    for number, row in read_rows(tmp_path / "a.parquet", ["image"]):
        numbers.append(number)
        assert len(row["image"]) == 100_000
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert numbers == list(range(1, 401))
    assert most < 0.4 * (tmp_path / "a.parquet").stat().st_size


# ---------------------------------------------------------------- defects


def test_defects_are_those_of_refer_s_own_files(refs):
    lost = ref_row(6, 103, "train", "no photo")
    lost["raw_image_info"] = json.dumps(photo(13, 4, 4))
    lost["raw_anns"] = json.dumps({**annotations(103), "id": 113, "image_id": 13})
    lost |= {"image_id": 13, "ann_id": 113}
    rows = [
        ref_row(1, 101, "train", "man"),
        ref_row(1, 102, "train", "again"),
        {**ref_row(2, 102, "train", "points nowhere"), "ann_id": 999},
        {**ref_row(3, 102, "train", "image nowhere"), "image_id": 99},
        ref_row(4, 102, "train"),
        lost,
        ref_row(7, 102, "val", "of another split"),
        {**ref_row(8, 102, "train", "no such category"), "category_id": 12},
        ref_row(9, 103, "train", "dog", " "),
    ]
    write_rows(refs / "other/train.parquet", rows)
    report = prepare(refs, "other", images=refs / "photos")
    assert defects(report) == {
        "repeated ref_id": [1],
        "missing annotation": [2],
        "image_id of no image": [3],
        "no sentence": [4],
        "missing photo": [6],
        "split other than the file's": [7],
        "unknown category": [8],
        "empty sentence": [91],
    }
    written = json.loads((refs / "out/anns/set/prepare.json").read_text())
    assert {entry["kind"] for entry in written["defects"]} == set(defects(report))
    assert [one.ref_id for one in read(refs, "train", refs / "photos")] == [1, 7, 8, 9]


def test_run_lengths_of_another_size_are_reported(tmp_path):
    row = sample_row(11, (101, ["man"]), (103, ["dog of the other photo"]))
    write_rows(tmp_path / DATA / "val.parquet", [row])
    assert defects(prepare(tmp_path)) == {"unreadable segmentation": [1]}


def test_a_set_without_any_usable_ref_writes_nothing(tmp_path):
    row = object_row(101, "man")
    row["image"]["bytes"] = b"no picture"
    write_rows(tmp_path / DATA / "val.parquet", [row])
    with pytest.raises(DataError, match=r"No ref of .*some/data can be used: unreadable photo 1 time"):
        prepare(tmp_path)
    assert nothing_written(tmp_path)


# ---------------------------------------------------------------- refusals


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def point(path):
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 439998464\n")


def scribble(path):
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little")
    content[-8 - footer : 100 - footer] = b"\xff" * 108
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut, "is truncated, since it does not end with PAR1; download it again."),
        (point, "is a pointer of Git LFS and not the file itself; run `git lfs pull` in its repository, or"),
        (
            lambda path: path.write_bytes(b""),
            "is no Parquet file, since it does not begin with PAR1; download it",
        ),
        (
            lambda path: path.write_text("{}"),
            "is no Parquet file, since it does not begin with PAR1; download it",
        ),
        (scribble, "is a damaged Parquet file ("),
        (lambda path: path.rename(path.with_name("all.parquet")), "the name states no split; rename it as the split"),
        (lambda path: write_rows(path, [{"a": 1}]), "the columns a are of no known layout; download one of these"),
        (
            lambda path: write_rows(path, [object_row(101, "man")]),
            "test-00000-of-00001.parquet has the layout of jxu124/refcoco, but",
        ),
        (
            lambda path: write_rows(path, [{**ref_row(1, 101, "train", "x"), "raw_anns": "{"}]),
            "row 1, key 'raw_anns': ",
        ),
        (
            lambda path: write_rows(path, [{**ref_row(1, 101, "train", "x"), "raw_anns": "[" * 100_000}]),
            "row 1, key 'raw_anns': ",
        ),
        (
            lambda path: write_rows(path, [{**ref_row(1, 101, "train", "x"), "raw_image_info": "{}"}]),
            "row 1, key 'raw_image_info', key 'id': Field required; this is not the layout of jxu124/refcoco",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(refs, damage, sentence):
    damage(refs / DATA / "train-00000-of-00001.parquet")
    with pytest.raises(DataError) as caught:
        prepare(refs, images=refs / "photos")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert nothing_written(refs)


def test_unknown_columns_are_answered_with_the_known_layouts(tmp_path):
    write_rows(tmp_path / DATA / "val.parquet", [{"image": b"", "caption": "x"}])
    with pytest.raises(DataError) as caught:
        prepare(tmp_path)
    for name in ("jxu124/refcoco", "jxu124/refcoco-benchmark", "lmms-lab/RefCOCO", "moondream/refcoco-m"):
        assert f"{name}: " in str(caught.value)


def test_a_damaged_page_leaves_no_picture_behind(tmp_path):
    noise = np.random.default_rng(0).bytes(2000)
    rows = [{**object_row(101, "man"), "question": f"{number} {noise.hex()}"} for number in range(200)]
    path = write_rows(tmp_path / DATA / "val.parquet", rows, compression="gzip", row_group_size=50)
    start = pyarrow.parquet.ParquetFile(path).metadata.row_group(2).column(1)
    content = bytearray(path.read_bytes())
    place = start.dictionary_page_offset or start.data_page_offset
    content[place : place + start.total_compressed_size] = bytes(start.total_compressed_size)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"val\.parquet is a damaged Parquet file \(.*\); download it again\.$"):
        prepare(tmp_path)
    assert nothing_written(tmp_path)


def test_text_that_is_not_utf_8_is_refused(refs):
    path = refs / DATA / "train-00000-of-00001.parquet"
    write_rows(path, [ref_row(1, 101, "train", "left m\xe4n")], compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace("\xe4".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match=r"is a damaged Parquet file \('utf-8' codec .*\); download it again\.$"):
        prepare(refs, images=refs / "photos")
    assert nothing_written(refs)


def test_a_picture_without_its_content_is_refused(tmp_path):
    rows = [object_row(101, "man"), object_row(103, "dog")]
    rows[1]["image"] = {"bytes": None, "path": "train2014/7.jpg"}
    write_rows(tmp_path / DATA / "val.parquet", rows)
    with pytest.raises(DataError, match=r"row 2: the picture 'train2014/7\.jpg' is only a path without content"):
        prepare(tmp_path)
    assert nothing_written(tmp_path)


def test_folders_are_checked(refs):
    with pytest.raises(DataError, match=r"holds no pictures, .*name the folder of COCO's train2014 with --images\."):
        prepare(refs)
    with pytest.raises(DataError, match=r"There is no folder of images .*none; name the one"):
        prepare(refs, images=refs / "none")
    with pytest.raises(DataError, match=r"There is no file or folder .*none; check the path\."):
        prepare(refs, "none")
    (refs / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no file \*\.parquet; download the data set's folder data/"):
        prepare(refs, "empty")
    write_rows(refs / "other/val.parquet", [object_row(101, "man")])
    with pytest.raises(DataError, match=r"holds its pictures, .*; leave --images out\."):
        prepare(refs, "other", images=refs / "photos")
    assert nothing_written(refs)


def test_files_of_two_data_sets_are_refused(refs):
    for name in ("refcoco_unc_val", "refcocog_umd_val"):
        write_rows(refs / f"two/{name}.parquet", [image_row(11, (1, 101, "val", "man"))])
    shutil.copytree(refs / DATA, refs / "both/refcoco/data")
    shutil.copytree(refs / DATA, refs / "both/refcocog/data")
    for folder, choices in (("two", {}), ("both", {"images": refs / "photos"})):
        with pytest.raises(DataError, match=r"are of different data sets, by their names; name the files of one\."):
            prepare(refs, folder, **choices)
    prepare(refs, "two/refcoco_unc_val.parquet")


def test_none_of_the_photos_exists(refs):
    report = prepare(refs, images=write_images(refs / "others"))
    assert any(note.startswith("Images were not checked") for note in report.notes)


def test_a_file_that_is_given_twice_is_read_once(refs):
    assert len(find_files([refs / DATA, refs / DATA / "train-00000-of-00001.parquet"])) == 4


def test_without_pyarrow_the_sentence_names_the_extra(refs, monkeypatch):
    monkeypatch.setattr("vlt.data.shards.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pyarrow, which is not installed; `pip install "vlt\[parquet\]"` adds it\.'):
        prepare(refs)


def test_pictures_are_published_or_removed(tmp_path):
    (tmp_path / "kept").mkdir()
    for folder in (tmp_path / "kept/images/set", tmp_path / "new/images/set"):
        with PictureFolder(folder) as pictures:
            assert pictures.add(picture(11), "a.png", 1).size == SIZES[11]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with PictureFolder(tmp_path / "kept/images/set") as pictures:
        names = [pictures.add(picture(number), name, 1).file_name for number, name in ((11, "A.png"), (12, "a.png"))]
        assert pictures.add(picture(11), "b.png", 1).file_name == "A.png"
        pictures.publish()
    assert sorted(path.name for path in (tmp_path / "kept/images/set").iterdir()) == sorted(names)
    assert len({name.lower() for name in names}) == 2
    assert [path.name for path in (tmp_path / "kept/images").iterdir()] == ["set"]
