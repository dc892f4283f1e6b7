"""Shards give the referrals, photos, samples and scores of the prepared set that they were made of."""

import functools
import gc
import json
import multiprocessing
import os
import pickle
import shutil
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter
from shards_fixture import file_sizes, write_set

from vlt.config import DataConfig
from vlt.data.image import read_image
from vlt.data.referrals import fingerprint, image_name
from vlt.data.row_groups import Block, RowGroups, ShardImage, opened_shard, remove_folder
from vlt.data.samples import TrainSamples
from vlt.data.shards import INDEX, read_index, read_shards
from vlt.dataset import category_names, load_referrals
from vlt.errors import ConfigError, DataError
from vlt.prepare import shards as writing
from vlt.prepare.shards import write_shards
from vlt.text.reader import build_text


def section(values):
    """A section `data` of a configuration."""
    return TypeAdapter(DataConfig).validate_python(values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared set, as a section `data`, and the same set in three shards per split with small row groups."""
    root = tmp_path_factory.mktemp("set")
    data = write_set(root)
    config = section(data)
    splits = {split: load_referrals(config, split) for split in ("train", "val")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "GROUP_BYTES", 20_000)  # three photos of 7 KB
        write_shards(root / "shards", "squares", splits, shards=3, categories=["square", "squares"])
    return config, {"name": "shards", "root": str(root / "shards"), "dataset": "squares"}


@pytest.fixture
def prepared(folder):
    return {split: load_referrals(folder[0], split) for split in ("train", "val")}


@pytest.fixture
def copy(folder, tmp_path):
    """The shards in a folder of their own, to be damaged."""
    source = folder[1]["root"]
    shutil.copytree(Path(source) / "squares", tmp_path / "copy" / "squares")
    return tmp_path / "copy"


def by_id(referrals):
    return {referral.ref_id: referral for referral in referrals}


# ---------------------------------------------------------------- the same data


@pytest.mark.parametrize("split", ["train", "val"])
def test_referrals_and_photos_come_back(folder, prepared, split):
    root, dataset = folder[1]["root"], folder[1]["dataset"]
    found = by_id(read_shards(root, dataset, split, capacity=2))
    expected = by_id(prepared[split])
    assert found.keys() == expected.keys()
    for ref_id, referral in found.items():
        other = expected[ref_id]
        assert replace(referral, image=other.image) == other
        assert np.array_equal(read_image(referral.image), read_image(other.image))
        assert image_name(referral) == image_name(other)
    same = [found[each.ref_id] for each in prepared[split]]
    assert fingerprint(same) == fingerprint(prepared[split])


def test_referrals_to_a_photo_share_it_and_are_neighbours(folder):
    referrals = read_shards(folder[1]["root"], "squares", "train", capacity=1)
    pairs = list(zip(referrals[::2], referrals[1::2], strict=True))
    assert all(one.image == other.image and hash(one.image) == hash(other.image) for one, other in pairs)
    assert len({one.image for one, _ in pairs}) == 24


def test_photos_are_shuffled_over_shards_of_even_size(folder):
    index = read_index(folder[1]["root"], "squares")
    assert [(file.photos, file.referrals) for file in index.splits["train"]] == [(8, 16)] * 3
    order = [each.ref_id // 2 for each in read_shards(folder[1]["root"], "squares", "train", capacity=1)[::2]]
    assert order != sorted(order)


def test_samples_are_those_of_the_prepared_set(folder, prepared, tiny_config):
    """Augmentation draws by the photo's name, so that flips and light are the same."""
    shards = by_id(read_shards(folder[1]["root"], "squares", "train", capacity=9))
    text = build_text(tiny_config.model, ["the red blue left small square squares both"])
    same = [shards[each.ref_id] for each in prepared["train"]]
    options = {"epoch": 1, "seed": 3, "flip": 0.5, "light": 0.7, "chatter": 0.3, "slips": 0.3}
    one, other = (TrainSamples(each, text, (64, 64), True, **options) for each in (same, prepared["train"]))
    for index in range(len(one)):
        assert one[index].expression == other[index].expression
        assert np.array_equal(one[index].image, other[index].image)
        assert np.array_equal(one[index].target, other[index].target)


def test_a_configuration_names_shards(folder, prepared):
    config = section(folder[1])
    assert by_id(load_referrals(config, "train")).keys() == by_id(prepared["train"]).keys()
    assert category_names(config) == ("square", "squares")


def test_drawn_scenes_can_be_written(tmp_path):
    values = {"name": "synthetic", "size": [64, 64], "train_scenes": 5, "val_scenes": 2, "referents": 2}
    scenes = load_referrals(section(values), "train")
    written = write_shards(tmp_path, "shapes", {"train": scenes}, shards=9)
    assert written.files == {"train": [(1, 2)] * 5}, "one shard per photo at most"
    assert str(written).splitlines()[0] == "train: 10 referrals to 5 photos in 5 shards"
    found = by_id(read_shards(str(tmp_path), "shapes", "train", capacity=1))
    for scene in scenes:
        assert np.array_equal(read_image(found[scene.ref_id].image), scene.image)


def test_targets_that_are_boxes_come_back(prepared, tmp_path):
    boxes = ((1.5, 2.0, 9.0, 8.25), (0.0, 0.0, 3.0, 3.0))
    known_by_boxes = [replace(each, targets=boxes) for each in prepared["val"]]
    write_shards(tmp_path, "boxes", {"val": known_by_boxes}, shards=1)
    assert {each.targets for each in read_shards(str(tmp_path), "boxes", "val", capacity=1)} == {boxes}


def test_shards_can_be_divided_anew(folder, tmp_path):
    before = by_id(read_shards(folder[1]["root"], "squares", "val", capacity=1))
    write_shards(tmp_path, "again", {"val": list(before.values())}, shards=1)
    after = by_id(read_shards(str(tmp_path), "again", "val", capacity=1))
    assert after.keys() == before.keys()
    assert all(after[key].image.read() == before[key].image.read() for key in before)


# ---------------------------------------------------------------- reading little


def test_only_the_row_group_of_a_photo_is_read_and_the_last_ones_stay(folder, monkeypatch):
    read = []
    monkeypatch.setattr(RowGroups, "_fetch", spy(RowGroups._fetch, read))
    images = list(dict.fromkeys(each.image for each in read_shards(folder[1]["root"], "squares", "train", capacity=2)))
    blocks = list(dict.fromkeys(image.block for image in images))
    assert len(blocks) == 9, "three row groups of each of three shards"
    assert read == [], "annotations are read without photos"
    for _ in range(2):
        for image in images[:6]:
            image.read()
    assert read == blocks[:2]
    images[0].read()
    images[-1].read()
    images[0].read()
    images[5].read()
    assert read == [*blocks[:2], blocks[-1], blocks[1]], "the one that was used longest ago was dropped"


def spy(function, calls):
    def call(self, block):
        calls.append(block)
        return function(self, block)

    return call


def test_photos_are_pickled_without_what_is_in_memory(folder):
    image = read_shards(folder[1]["root"], "squares", "val", capacity=1)[0].image
    content = image.read()
    packed = pickle.dumps(image)
    assert len(packed) < 2000 < len(content)
    assert pickle.loads(packed) == image
    assert pickle.loads(packed).read() == content


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves parts of files, and counts the bytes of Parquet files sent."""

    sent: ClassVar[list[int]] = []

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content, wanted = path.read_bytes(), self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(first or 0) : int(last or len(content) - 1) + 1]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        self.sent.append(len(part) if path.suffix == ".parquet" else 0)


@pytest.fixture
def server(folder):
    """URL of the shards on a server of this machine."""
    handler = functools.partial(RangeHandler, directory=folder[1]["root"])
    RangeHandler.sent.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_shards_are_read_over_http(folder, server):
    found = by_id(read_shards(server, "squares", "val", capacity=1))
    local = by_id(read_shards(folder[1]["root"], "squares", "val", capacity=1))
    assert all(found[key].image.read() == local[key].image.read() for key in local)
    with pytest.raises(DataError, match=rf"There is no {server}/circles/shards\.json; check the path"):
        read_shards(server, "circles", "val", capacity=1)


def test_processes_that_load_data_share_what_they_fetched(server):
    images = list(dict.fromkeys(each.image for each in read_shards(server, "squares", "train", capacity=9)))
    kept = images[0].groups.folder
    RangeHandler.sent.clear()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map_async(file_sizes, [images, images[::-1]]).get(timeout=120)
    assert results[0] == results[1][::-1]
    assert len(list(kept.glob("*.arrow"))) == 9
    assert sum(14_000 < size < 22_000 for size in RangeHandler.sent) == 9, "each row group once, footers are larger"
    assert kept.is_dir(), "a process that ends leaves the folder to the one that made it"
    del images
    gc.collect()
    assert not kept.exists()


def test_a_process_removes_only_the_folder_that_it_made(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    remove_folder(folder, os.getppid())
    assert folder.is_dir()
    remove_folder(folder, os.getpid())
    assert not folder.exists()


def test_the_folder_of_fetched_row_groups_stays_small(server):
    images = list(dict.fromkeys(each.image for each in read_shards(server, "squares", "train", capacity=2)))
    assert len({image.block for image in images}) == 9
    contents = [image.read() for image in images]
    assert len(list(images[0].groups.folder.glob("*.arrow"))) == 4
    assert [image.read() for image in images] == contents, "what was removed is fetched again"


# ---------------------------------------------------------------- bad input


def test_an_unknown_split(folder):
    with pytest.raises(DataError, match=r"shards\.json has no split 'testA'; the splits there are train, val\.$"):
        read_shards(folder[1]["root"], "squares", "testA", capacity=1)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"There is no .*nothing/shards\.json; check the path, or write them again"):
        read_shards(str(tmp_path), "nothing", "train", capacity=1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", r"shards\.json: Invalid JSON"),
        (b'{"format": 2, "categories": [], "splits": {}}', r"shards\.json, key 'format'"),
        (b'{"format": 1, "categories": [], "splits": {"train": []}}', r"shards\.json, key 'splits', key 'train'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    ],
)
def test_a_damaged_index(copy, content, sentence):
    (copy / "squares" / INDEX).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_shards(str(copy), "squares", "train", capacity=1)


def test_a_missing_shard(copy):
    (copy / "squares" / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(DataError, match=r"There is no .*train-00001-of-00003\.parquet; check the path"):
        read_shards(str(copy), "squares", "train", capacity=1)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_truncated_shard(copy, keep):
    path = copy / "squares" / "train-00002-of-00003.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-00002-of-00003\.parquet cannot be read \(.*\); check path and conn"):
        read_shards(str(copy), "squares", "train", capacity=1)


def test_a_shard_that_is_a_pointer(copy):
    path = copy / "squares" / "val-00000-of-00003.parquet"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match=r"val-00000-of-00003\.parquet is a pointer of Git LFS"):
        read_shards(str(copy), "squares", "val", capacity=1)


def test_a_parquet_file_that_is_no_shard(copy):
    pq.write_table(pa.table({"image": [1]}), copy / "squares" / "val-00000-of-00003.parquet")
    with pytest.raises(DataError, match=r"val-00000-of-00003\.parquet is no shard, since it has other columns; write"):
        read_shards(str(copy), "squares", "val", capacity=1)


def test_shards_of_another_time(copy):
    index = json.loads((copy / "squares" / INDEX).read_text())
    index["splits"]["val"][0]["photos"] += 1
    (copy / "squares" / INDEX).write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"has 2 photos and 4 referrals, but shards\.json lists 3 and 4; write them"):
        read_shards(str(copy), "squares", "val", capacity=1)


def test_a_shard_listed_twice(copy):
    index = json.loads((copy / "squares" / INDEX).read_text())
    index["splits"]["val"].append(index["splits"]["val"][0])
    (copy / "squares" / INDEX).write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"squares holds ref_id \d+ of val twice"):
        read_shards(str(copy), "squares", "val", capacity=1)


def test_a_shard_that_vanishes_after_it_was_opened(copy):
    referral = read_shards(str(copy), "squares", "val", capacity=1)[0]
    for path in (copy / "squares").glob("val-*"):
        path.unlink()
    with pytest.raises(DataError, match=r"There is no .*val-00000-of-00003\.parquet"):
        read_image(referral.image)


def test_a_url_that_no_file_system_knows():
    with pytest.raises(DataError, match=r"^foo://x/squares/shards\.json cannot be read \(Protocol not known: foo\)"):
        read_shards("foo://x", "squares", "val", capacity=1)


def test_a_server_that_cannot_be_reached():
    with pytest.raises(
        DataError, match=r"^http://127\.0\.0\.1:1/squares/shards\.json cannot be reached \(Connect call failed"
    ):
        read_shards("http://127.0.0.1:1", "squares", "val", capacity=1)


def test_a_server_without_range_requests(server, monkeypatch):
    monkeypatch.setattr(RangeHandler, "do_GET", SimpleHTTPRequestHandler.do_GET)
    sentence = rf"^The server of {server}/squares/val-\S+ does not send parts of a file .* or download the folder\.$"
    with pytest.raises(DataError, match=sentence):
        read_shards(server, "squares", "val", capacity=1)


def test_a_url_whose_package_is_not_installed():
    fsspec.register_implementation("bucket", "bucketfs.FS", errtxt="Install bucketfs", clobber=True)
    with pytest.raises(ConfigError, match=r"bucket://x/squares/shards\.json needs a package .*: Install bucketfs\.$"):
        read_shards("bucket://x", "squares", "val", capacity=1)


def test_existing_shards_are_not_overwritten(copy, prepared):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (copy / "squares").iterdir())
    with pytest.raises(DataError, match=r"squares holds shards already; remove the folder, or choose another name"):
        write_shards(copy, "squares", prepared, shards=2)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (copy / "squares").iterdir()) == before


def test_nothing_is_left_where_a_photo_cannot_be_read(tmp_path, prepared):
    last = prepared["val"][-1]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    prepared["val"][-1] = replace(last, image=broken)
    with pytest.raises(DataError, match=rf"^Referral {last.ref_id}: .*broken\.jpg is not an image"):
        write_shards(tmp_path / "out", "squares", prepared, shards=2)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_photo_that_is_damaged_inside_a_shard_is_named():
    class Damaged(RowGroups):
        def read(self, block, row):
            return b"no image"

    image = ShardImage("train2014/7.jpg", Block(0, 0), 0, Damaged([], 1))
    with pytest.raises(DataError.__base__, match=r"^train2014/7\.jpg is not an image"):
        read_image(image)


def test_shards_are_parquet_files_whose_photos_other_programs_recognise(folder):
    """`datasets` stores images in columns of this form."""
    with opened_shard(f"{folder[1]['root']}/squares/val-00000-of-00003.parquet") as shard:
        row = shard.read().to_pylist()[0]
    assert row["image"]["bytes"].startswith(b"\x89PNG")
    assert row["image"]["path"].startswith("train2014/")
