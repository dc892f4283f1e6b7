"""Data sets of a hub, from a local stand-in of it: the same as from a folder, only the files needed, and refusals."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner
from hub_fixture import Repository, StandIn, use_hub
from parquet_fixture import image_row, object_row, ref_row, write_images, write_rows

from vlt.cli import main
from vlt.data.prepared import split_names
from vlt.errors import DataError
from vlt.prepare.published.parquet import prepare_parquet
from vlt.prepare.published.refer import EXPECTED
from vlt.prepare.report import Counts

REFCOCO = {
    "train": [ref_row(1, 101, "train", "left man"), ref_row(2, 102, "train", "cup")],
    "validation": [ref_row(3, 103, "val", "a dog")],
    "test": [ref_row(4, 103, "test", "dog on top")],
    "testB": [ref_row(5, 101, "testB", "the man")],
}
"""Rows in the layout of jxu124/refcoco by the name of the file, whose split test is testA by its testB alone."""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = StandIn()
    use_hub(monkeypatch, server.url, tmp_path / "cache")
    write_images(tmp_path / "photos", 11, 12)
    yield server
    server.stop()


def publish(hub, tmp_path, name, splits, place="data/{}-00000-of-00001.parquet"):
    """Add a commit with the files of splits to a data set."""
    files = {"README.md": b"card", ".gitattributes": b""}
    for split, rows in splits.items():
        files[place.format(split)] = write_rows(tmp_path / "rows.parquet", rows).read_bytes()
    repository = hub.repositories.setdefault(f"datasets/{name}", Repository())
    repository.commits.append(files)
    repository.messages.append(f"commit {len(repository.commits)}")
    return repository


def prepare(tmp_path, repo, **choices):
    choices = {"name": "set", "images": tmp_path / "photos", **choices}
    return prepare_parquet([f"hf://datasets/{repo}"], tmp_path / "out", **choices)


def test_a_data_set_of_the_hub_is_read_as_a_folder_is(hub, tmp_path):
    repository = publish(hub, tmp_path, "jxu124/refcoco", REFCOCO)
    report = prepare(tmp_path, "jxu124/refcoco")
    commit = repository.commit_id(1)
    assert report.source["parquet"] == [f"hf://datasets/jxu124/refcoco@{commit}"]
    assert report.expected == EXPECTED["refcoco", "unc"]  # by the name of the folder in the cache
    for split, rows in REFCOCO.items():
        write_rows(tmp_path / f"folder/refcoco/{split}-00000-of-00001.parquet", rows)
    local = prepare_parquet([tmp_path / "folder/refcoco"], tmp_path / "local", name="set", images=tmp_path / "photos")
    assert (report.counts, report.expected, report.notes) == (local.counts, local.expected, local.notes)
    for split in ("train", "val", "testA", "testB"):
        one, other = (tmp_path / f"{root}/anns/set/{split}.json" for root in ("out", "local"))
        assert one.read_bytes() == other.read_bytes()


def test_only_the_files_of_the_chosen_splits_are_downloaded(hub, tmp_path):
    publish(hub, tmp_path, "jxu124/refcoco", REFCOCO)
    assert prepare(tmp_path, "jxu124/refcoco", splits=["val"]).counts == {"val": Counts(1, 1, 1)}
    assert hub.downloaded() == ["data/validation-00000-of-00001.parquet"]
    hub.requests.clear()
    report = prepare(tmp_path, "jxu124/refcoco", name="testA", splits=["testA"])
    assert report.counts == {"testA": Counts(1, 1, 1)}  # by its testB, which is downloaded, too
    assert hub.downloaded() == [f"data/{split}-00000-of-00001.parquet" for split in ("test", "testB")]


def test_a_split_that_is_called_test_a_needs_no_other_file(hub, tmp_path):
    splits = {split: [object_row(101, "man")] for split in ("test", "testA", "testB")}
    publish(hub, tmp_path, "lmms-lab/RefCOCO", splits)
    prepare(tmp_path, "lmms-lab/RefCOCO", images=None, splits=["testA"])
    assert hub.downloaded() == ["data/testA-00000-of-00001.parquet"]


def test_a_revision_and_a_second_call(hub, tmp_path):
    repository = publish(hub, tmp_path, "me/set", {"val": [image_row(11, (1, 101, "val", "man"))]})
    publish(hub, tmp_path, "me/set", {"val": [image_row(11, (1, 101, "val", "man"), (2, 102, "val", "cup"))]})
    for revision, refs in ((f"@{repository.commit_id(1)}", 1), ("@main", 2), ("", 2)):
        report = prepare(tmp_path, f"me/set{revision}", name=f"set{revision}", images=None)
        assert report.counts["val"].refs == refs
    hub.requests.clear()
    prepare(tmp_path, "me/set", images=None, name="set")
    assert hub.downloaded() == []
    publish(hub, tmp_path, "me/set", {"val": [image_row(11, (1, 101, "val", "another"))]})
    with pytest.raises(DataError, match=r"holds another data set, made from parquet \['hf://datasets/me/set@"):
        prepare(tmp_path, "me/set", images=None)


def test_files_that_the_hub_converted_are_read_where_there_are_no_others(hub, tmp_path):
    place = "default/{}/0000.parquet"
    splits = {"train": REFCOCO["train"], "validation": REFCOCO["validation"]}
    repository = publish(hub, tmp_path, "jxu124/refcocog", splits, place)
    repository.tags["refs/convert/parquet"] = 1
    publish(hub, tmp_path, "jxu124/refcocog", {})
    report = prepare(tmp_path, "jxu124/refcocog", splits=["val"])
    assert hub.downloaded() == ["default/validation/0000.parquet"]
    assert report.source["parquet"] == [f"hf://datasets/jxu124/refcocog@{repository.commit_id(1)}"]
    assert report.expected == {"val": EXPECTED["refcocog", "umd"]["val"]}
    with pytest.raises(DataError, match=r"refcocog@main has no file \*\.parquet; leave the revision out\.$"):
        prepare(tmp_path, "jxu124/refcocog@main", name="other")


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (["default/partial-val/0000.parquet"], r"has converted only a part of hf://datasets/me/set to Parquet \(defau"),
        (["a/val/0.parquet", "b/val/0.parquet"], r"me/set has several configurations, a, b, whose ids may collide;"),
    ],
)
def test_converted_files_that_are_not_one_whole_set_are_refused(hub, tmp_path, places, sentence):
    repository = publish(hub, tmp_path, "me/set", dict.fromkeys(places, REFCOCO["train"]), "{}")
    repository.tags["refs/convert/parquet"] = 1
    publish(hub, tmp_path, "me/set", {})
    with pytest.raises(DataError, match=sentence):
        prepare(tmp_path, "me/set")
    assert hub.downloaded() == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("me/none", "There is no data set hf://datasets/me/none, or it is private; check the name, and for a private"),
        ("me/set@v9", "hf://datasets/me/set@v9 has no revision 'v9'; name a branch, a tag or a commit, or leave it"),
        ("me/gated", "hf://datasets/me/gated is only for those whom its owner let in; ask for access on its page."),
        ("me/text", "hf://datasets/me/text has no file *.parquet; download it, and convert it or name another data"),
        ("set", "'hf://datasets/set' does not name a data set of the hub; write hf://datasets/OWNER/NAME, and behind"),
        ("me/a--b", "The hub allows no data set with the name hf://datasets/me/a--b (Cannot have -- or .."),
        ("me/two", "hf://datasets/me/two has files of several data sets, refcoco_unc, refcocog_umd; download those of"),
        ("me/named", "hf://datasets/me/named: all.parquet: the name states no split; rename it as the split, such as"),
    ],
)
def test_what_cannot_be_downloaded_is_one_sentence(hub, tmp_path, name, sentence):
    publish(hub, tmp_path, "me/set", REFCOCO)
    publish(hub, tmp_path, "me/text", {})
    publish(hub, tmp_path, "me/named", {"all": REFCOCO["train"]}, "{}.parquet")
    publish(hub, tmp_path, "me/two", dict.fromkeys(["refcoco_unc_val", "refcocog_umd_val"], REFCOCO["train"]))
    hub.repositories["datasets/me/gated"] = Repository(gated=True)
    with pytest.raises(DataError) as caught:
        prepare(tmp_path, name)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert hub.downloaded() == []


def test_a_split_that_a_data_set_lacks_is_refused_before_the_download(hub, tmp_path):
    publish(hub, tmp_path, "me/set", {"train": REFCOCO["train"]})
    for split in ("val", "testA"):
        with pytest.raises(DataError, match=rf"me/set: The files have no split '{split}'; they have train\."):
            prepare(tmp_path, "me/set", splits=[split])
    assert hub.downloaded() == []


def test_a_hub_that_cannot_be_reached_and_offline_mode(hub, tmp_path, monkeypatch):
    publish(hub, tmp_path, "me/set", REFCOCO)
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    with pytest.raises(DataError, match=r"could not be downloaded \(.*\); check the connection to the hub, and try"):
        prepare(tmp_path, "me/set")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as caught:
        prepare(tmp_path, "me/set")
    assert str(caught.value) == (
        "hf://datasets/me/set cannot be downloaded, since HF_HUB_OFFLINE is set; unset it, or name a folder on this "
        "machine."
    )
    assert not (tmp_path / "out").exists()


def test_a_download_that_fails_leaves_nothing_behind(hub, tmp_path):
    publish(hub, tmp_path, "me/set", REFCOCO)
    hub.fails_at = "HEAD"  # of the files; the list of them is fetched by GET
    with pytest.raises(DataError, match=r"hf://datasets/me/set could not be downloaded \("):
        prepare(tmp_path, "me/set")
    assert not (tmp_path / "out").exists()


def test_without_huggingface_hub_the_line_to_type_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataError, match=r"^hf://datasets/me/set needs huggingface_hub, which is not installed; `pip"):
        prepare(tmp_path, "me/set")


def test_the_command_takes_names_of_the_hub(hub, tmp_path):
    publish(hub, tmp_path, "me/set", {"val": [object_row(101, "man")]})
    arguments = ["prepare", "parquet", "hf://datasets/me/set", "--output-dir", str(tmp_path / "out"), "--name", "set"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    assert split_names(tmp_path / "out", "set") == ["val"]
    arguments[2] = "hf://me/set"
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stderr) == (
        1,
        "error: 'hf://me/set' does not name a data set of the hub; write hf://datasets/OWNER/NAME, and behind it "
        "@REVISION for a branch, a tag or a commit.\n",
    )
