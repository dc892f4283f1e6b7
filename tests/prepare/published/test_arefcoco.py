"""aRefCOCO's own file: expressions about the objects of refs of RefCOCO and RefCOCOg."""

import json

import pytest
from refer_fixture import annotation, photo, rectangle, ref, write_photos, write_refer

from vlt.data.masks import read_targets
from vlt.data.prepared import read_prepared
from vlt.errors import DataError
from vlt.prepare.published.refer import EXPECTED, prepare_refer

PHOTOS = [photo(11, 6, 8), photo(12, 5, 10)]
# Annotation 101 and ref 1 stand for another object in each set.
REFCOCO = [annotation(101, [1, 1, 4, 3], [rectangle(1, 1, 5, 4)]), annotation(102, [0, 0, 1, 1], [[1, 1, 2, 2]])]
REFCOCOG = [annotation(101, [0, 0, 2, 2], [rectangle(0, 0, 2, 2)])]


@pytest.fixture
def root(tmp_path):
    write_photos(tmp_path / "refer" / "images" / "train2014", PHOTOS)
    refs = [ref(1, 101, 11, "train", "man", category=1), ref(2, 102, 11, "val", "flat"), ref(3, 101, 77, "val", "x")]
    write_refer(tmp_path / "refer", refs, PHOTOS, REFCOCO)
    other = [ref(1, 101, 12, "test", "a dog", category=18)]
    write_refer(tmp_path / "refer", other, PHOTOS, REFCOCOG, dataset="refcocog", split_by="umd")
    return tmp_path


def entry(ref_id, original_dataset, split, *descriptions, **keys):
    given = {"entity_id": 900 + ref_id, "ref_id": ref_id, "original_dataset": original_dataset, "split": split}
    return given | {"descriptions": list(descriptions), "category_name": "person", "bbox": [0, 0, 1, 1]} | keys


def write(root, entries):
    folder = root / "refer" / "arefcoco"
    folder.mkdir(exist_ok=True)
    content = entries if isinstance(entries, str) else json.dumps({"annotations": entries})
    (folder / "arefcoco.json").write_text(content)


def prepare(root, **how):
    return prepare_refer(root / "refer", root / "out", "arefcoco", "unc", generate_mask=False, **how)


def read(root, split):
    return read_prepared(root / "out", "arefcoco", split, root / "refer" / "images" / "train2014")


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def test_entries_have_the_objects_of_the_refs_that_they_name(root):
    write(
        root,
        [
            entry(1, "refcocog", "test", " closer to the cat than the cup ", "it is not the cat"),
            entry(1, "refcoco", "test", "he is the taller one"),
            entry(1, "refcocog", "train", "the one that barks"),
        ],
    )
    report = prepare(root)
    dog, man = read(root, "test")
    [barks] = read(root, "train")
    assert [one.ref_id for one in (dog, man, barks)] == [0, 1, 2]
    assert [one.text for one in dog.expressions] == ["closer to the cat than the cup", "it is not the cat"]
    assert [one.image.name[-6:] for one in (dog, man, barks)] == ["12.jpg", "11.jpg", "12.jpg"]
    assert [int(read_targets(one.targets, (1, 1)).sum()) for one in (dog, man, barks)] == [4, 12, 4]
    assert (dog.box, man.box) == ((0, 0, 2, 2), (1, 1, 5, 4))
    assert (dog.category, man.category) == (16, 0)
    assert {split: tuple(counts) for split, counts in report.counts.items()} == {"train": (1, 1, 1), "test": (2, 2, 3)}
    assert report.expected == EXPECTED["arefcoco", "unc"]
    assert "test: 3 sentences, expected 7,050" in report.differences()
    assert defects(report) == {}


def test_entries_that_cannot_be_used_are_reported(root):
    write(
        root,
        [
            entry(1, "refcoco", "test", "good"),
            entry(7, "refcocog", "test", "no such ref"),
            entry(2, "refcoco", "test", "no area"),
            entry(3, "refcoco", "test", "no such image"),
            entry(1, "refcoco", "test"),
            entry(1, "refcoco", "dev", "another split"),
        ],
    )
    report = prepare(root)
    assert defects(report) == {
        "ref that its original set lacks": [1],
        "degenerate polygon": [2],
        "empty mask": [2],
        "image not in instances.json": [3],
        "no sentence": [4],
        "split of another name": [5],
        "no such split": ["train"],
    }
    assert "such as ref_id 7 of refcocog" in str(report)
    assert [one.ref_id for one in read(root, "test")] == [0, 2]


def test_photos_that_the_two_sets_describe_differently_are_left_out(root):
    other = [ref(1, 101, 12, "test", "a dog"), ref(4, 101, 11, "test", "b")]
    photos = [photo(11, 9, 9), PHOTOS[1]]
    write_refer(root / "refer", other, photos, REFCOCOG, dataset="refcocog", split_by="umd")
    write(
        root, [entry(1, "refcoco", "test", "a"), entry(4, "refcocog", "test", "b"), entry(1, "refcocog", "test", "c")]
    )
    assert defects(prepare(root))["image or annotation id of several entries"] == [0, 1]
    assert [one.ref_id for one in read(root, "test")] == [2]


def test_refs_in_refers_layout_come_first(root):
    write(root, [entry(1, "refcoco", "test", "of the file")])
    write_refer(root / "refer", [ref(5, 101, 11, "test", "of the pickle")], PHOTOS, REFCOCO, dataset="arefcoco")
    prepare(root)
    assert [one.expressions[0].text for one in read(root, "test")] == ["of the pickle"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"annotations": [', r"arefcoco.json: Invalid JSON: EOF .*; this is not aRefCOCO's format, download"),
        ("[]", r"arefcoco.json: Input should be an object; this is not aRefCOCO's format"),
        ([{"ref_id": 1}], r"key 'annotations', entry 0, key 'original_dataset': Field required"),
        ([entry(1, "refcoco+", "test", "a")], r"key 'original_dataset': Input should be 'refcoco' or 'refcocog'"),
        ([entry(1, "refcoco", "test", "a", descriptions="a")], r"key 'descriptions': Input should be a valid array"),
        ([entry(7, "refcoco", "test", "a")], r"No ref of arefcoco, split by unc, can be used: ref that its original"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, content, sentence):
    write(root, content)
    with pytest.raises(DataError, match=sentence):
        prepare(root)
    assert not (root / "out").exists()


@pytest.mark.parametrize("lost", ["refcoco/refs(unc).p", "refcocog/refs(umd).p", "refcocog/instances.json"])
def test_both_original_sets_are_needed(root, lost):
    write(root, [entry(1, "refcoco", "test", "a")])
    (root / "refer" / lost).unlink()
    with pytest.raises(DataError, match=r"There is no .*(refs|instances).*; .* holds"):
        prepare(root)
    assert not (root / "out").exists()


def test_without_any_file_the_message_names_the_refs(root):
    with pytest.raises(DataError, match=r"There is no .*arefcoco/refs\(unc\).p; see docs/data.md"):
        prepare(root)
