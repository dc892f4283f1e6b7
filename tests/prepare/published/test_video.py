"""Referring video sets: frames, targets, categories and ids by hand in each layout; defects; what is refused."""

import json

import numpy as np
import pytest
from video_fixture import (
    COWS,
    LOWER,
    POINTER,
    UPPER,
    expression,
    run_lengths,
    write_davis,
    write_frame,
    write_json,
    write_mevis,
    write_palette,
    write_youtube,
)

from vlt.data.masks import read_target, read_targets
from vlt.data.prepared import read_prepared, split_names
from vlt.errors import ConfigError, DataError
from vlt.evaluate.evaluation import ImageGroups, evaluate
from vlt.prepare.published.video import prepare_video


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def prepare(root, **how):
    return prepare_video(root, root.parent / "out", name="videos", **how)


def read(root, split):
    return read_prepared(root.parent / "out", "videos", split, root)


def defects(report):
    return {kind.name: ids for kind, ids in report.defects.items()}


def texts(referral):
    return [(each.sent_id, each.text) for each in referral.expressions]


# ---------------------------------------------------------------- layouts


def test_ref_youtube_vos_becomes_referrals_of_frames(root):
    write_youtube(root)
    report = prepare(root)
    found = read(root, "train")
    folder = root / "train" / "JPEGImages" / "cows"
    assert [each.image for each in found] == [folder / f"{frame}.jpg" for frame in COWS for _ in range(2)]
    assert [each.ref_id for each in found] == list(range(6))
    cow, panda = [(0, "the left cow"), (2, "a cow that leaves")], [(1, "the panda")]
    assert [texts(each) for each in found] == [cow, panda] * 3, "an expression has one id in all frames"
    expected = [UPPER, LOWER, UPPER, LOWER, None, UPPER]
    for referral, mask in zip(found, expected, strict=True):
        assert len(referral.targets) == (mask is not None)
        assert np.array_equal(read_targets(referral.targets, (6, 8)), np.zeros((6, 8), bool) if mask is None else mask)
    assert [each.box for each in found[:2]] == [(0, 0, 4, 2), (3, 4, 8, 6)]
    assert found[4].box is None, "the cow has left"
    nouns = [each.category if each.category < 0 else report.categories[each.category] for each in found]
    assert nouns == ["cow", "giant panda", "cow", "giant panda", -1, "giant panda"]
    assert tuple(report.counts["train"]) == (6, 3, 9)
    assert defects(report) == {}
    pairs = "pairs of a frame and an expression: 9, of which 2 without a target."
    assert f"train: videos: 1; expressions: 3; {pairs}" in str(report)
    assert f"Images are named relative to {root}, which is data.images" in str(report)


def test_each_nth_frame_is_taken(root):
    write_youtube(root)
    report = prepare(root, every=2)
    assert [each.image.stem for each in read(root, "train")] == ["00000", "00000", "00010", "00010"]
    assert "One frame in 2 was taken." in str(report)


def test_an_object_that_is_only_in_frames_that_are_not_taken_is_no_defect(root):
    write_youtube(root)
    for frame in ("00000", "00010"):
        write_palette(root / "train" / "Annotations", "cows", frame, {2: LOWER})
    report = prepare(root, every=2)
    assert defects(report) == {}
    assert [len(each.targets) for each in read(root, "train")] == [0, 1, 0, 1]


def test_frames_and_masks_may_lie_directly_in_the_folder(root):
    write_youtube(root)
    for name in ("JPEGImages", "Annotations", "meta.json"):
        (root / "train" / name).rename(root / name)
    prepare(root)
    assert read(root, "train")[0].image == root / "JPEGImages" / "cows" / "00000.jpg"


def test_without_categories_all_are_unknown(root):
    write_youtube(root)
    (root / "train" / "meta.json").unlink()
    report = prepare(root)
    assert {each.category for each in read(root, "train")} == {-1}
    assert (report.categories, defects(report)) == ((), {})
    assert "No file states the categories of the objects, so that all are -1." in str(report)


def test_splits_whose_masks_are_not_public_are_left_out(root):
    write_youtube(root)
    hidden = {"videos": {"x": {"expressions": {"0": expression("a dog")}, "frames": ["00000"]}}}
    write_json(root / "meta_expressions" / "valid" / "meta_expressions.json", hidden)
    report = prepare(root)
    assert split_names(root.parent / "out", "videos") == ["train"]
    assert "valid was left out: its expressions do not state their objects, because its masks are not pub" in str(
        report
    )
    with pytest.raises(
        DataError, match=r"^valid of .*set cannot be prepared: .* by the server of the benchmark; prepare"
    ):
        prepare(root, splits=["valid"])


def test_mevis_has_several_targets_and_none_where_an_object_is_missing(root):
    write_mevis(root)
    report = prepare(root)
    found = read(root, "valid_u")
    birds, one = [(0, "birds that fly")], [(1, "bird that vanishes")]
    assert [texts(each) for each in found] == [birds, one] * 3
    assert [len(each.targets) for each in found] == [2, 1, 1, 0, 2, 1]
    masks = [read_targets(each.targets, (6, 8)) for each in found]
    nothing = np.zeros((6, 8), bool)
    for mask, expected in zip(masks, [UPPER | LOWER, LOWER, UPPER, nothing, UPPER | LOWER, LOWER], strict=True):
        assert np.array_equal(mask, expected)
    assert found[0].box == (0, 0, 8, 6)
    assert tuple(report.counts["valid_u"]) == (6, 3, 6)
    assert defects(report) == {}


def test_run_lengths_may_be_uncompressed_and_ids_may_be_single(root):
    about = {"0": expression("a bird", 0, anno_id="70")}
    videos = {"birds": {"expressions": about, "frames": ["00000", "00001"]}}
    counts = {"size": [6, 8], "counts": [1, 2, 45]}
    write_mevis(root, videos=videos, masks={"70": [counts, None]})
    prepare(root)
    first, second = read(root, "valid_u")
    assert np.argwhere(read_target(first.targets[0])).tolist() == [[1, 0], [2, 0]]
    assert second.targets == ()


@pytest.mark.parametrize("annotations", ["Annotations_unsupervised", "Annotations"])
def test_ref_davis17_is_read_as_published(root, annotations):
    write_davis(root, annotations)
    report = prepare(root)
    found = read(root, "val")
    bear = ["a brown bear", "a bear that walks", "the bear’s head", "bear"]
    cub = ["the cub", "a cub running", "cub", "small one"]
    assert [[text for _, text in texts(each)] for each in found] == [bear, cub] * 2
    assert texts(found[0]) == texts(found[2])
    assert found[0].image == root / "DAVIS" / "JPEGImages" / "480p" / "bear" / "00000.jpg"
    assert np.array_equal(read_targets(found[1].targets, (1, 1)), LOWER)
    assert report.categories[found[0].category] == "bear"
    [car, _] = read(root, "train")
    assert car.image.parent.name == "classic-car", "the text files misspell it"
    assert {split: tuple(counts) for split, counts in report.counts.items()} == {"train": (2, 2, 8), "val": (4, 2, 16)}
    ids = [{sent_id for each in read(root, split) for sent_id, _ in texts(each)} for split in ("train", "val")]
    assert ids == [set(range(4)), set(range(4, 12))], "ids are unique in all splits"


def test_converted_ref_davis17_goes_before_the_published_files_beside_it(root):
    write_davis(root)
    write_youtube(root, "valid")
    report = prepare(root)
    assert list(report.counts) == ["valid"]


def test_masks_can_be_pngs(root):
    write_mevis(root)
    prepare(root, generate_mask=True)
    names = sorted(path.name for path in (root.parent / "out" / "masks" / "videos").glob("*.png"))
    assert names == ["0.0.png", "0.1.png", "1.png", "2.png", "4.0.png", "4.1.png", "5.png"]
    assert np.array_equal(read_target(read(root, "valid_u")[2].targets[0]), UPPER)


# ---------------------------------------------------------------- evaluation of what was prepared


def test_a_prepared_set_is_evaluated_with_an_image_per_frame(root):
    write_mevis(root)
    prepare(root)
    referrals = read(root, "valid_u")
    assert len(ImageGroups(referrals, range(6))) == 3, "the expressions of a frame are side by side"

    def both(images, expressions):
        return ([UPPER | LOWER] * len(own) for own in expressions)

    report = evaluate(both, referrals, protocol="video")
    # The masks have 8 and 10 pixels. IoU of the first expression: 1, 8 / 18, 1; of the second: 10 / 18, 0, 10 / 18.
    assert report.video.region == pytest.approx(((2 + 8 / 18) / 3 + (20 / 18) / 3) / 2)
    assert list(report.videos) == ["birds"]
    assert (report.video.expressions, report.video.frames) == (2, 6)


# ---------------------------------------------------------------- defects


def test_frames_that_cannot_be_used_are_reported(root):
    frames = [f"{number:05}" for number in range(8)]
    about = {"0": expression("a dog", "1")}
    write_youtube(root, dogs={"expressions": about, "frames": [*frames, "00000"]})
    images, masks = root / "train" / "JPEGImages", root / "train" / "Annotations"
    for frame in frames:
        write_frame(images, "dogs", frame)
        write_palette(masks, "dogs", frame, {1: UPPER})
    (images / "dogs" / "00001.jpg").unlink()
    (images / "dogs" / "00002.jpg").write_bytes(b"no image")
    write_frame(images, "dogs", "00003", (8, 6))
    (masks / "dogs" / "00004.png").unlink()
    (masks / "dogs" / "00005.png").write_bytes(b"no image")
    (images / "dogs" / "00006.jpg").replace(masks / "dogs" / "00006.png")  # colours, and no photo
    write_frame(images, "dogs", "00006")
    report = prepare(root)
    assert defects(report) == {
        "repeated frame": ["train/dogs/00000"],
        "missing photo": ["train/dogs/00001"],
        "unreadable photo": ["train/dogs/00002"],
        "photo of another size than stated": ["train/dogs/00003"],
        "missing mask": ["train/dogs/00004"],
        "unreadable mask": ["train/dogs/00005", "train/dogs/00006"],
    }
    assert "RGB and not an object id per pixel; export it with a palette" in str(report)
    assert [each.image.stem for each in read(root, "train") if each.image.parent.name == "dogs"] == ["00000", "00007"]


def test_expressions_that_cannot_be_used_are_reported(root):
    about = {
        "0": expression("a dog", "1"),
        "1": expression("a ghost", "3"),
        "2": expression("which one?"),
        "3": expression("no number", "left"),
        "4": expression("both", ["1", "3"]),
        "5": expression(" ", "1"),
    }
    write_youtube(
        root,
        dogs={"expressions": about, "frames": ["00000"]},
        empty={"expressions": about, "frames": []},
        silent={"expressions": {}, "frames": ["00000"]},
    )
    for video in ("dogs", "silent"):
        write_frame(root / "train" / "JPEGImages", video, "00000")
        write_palette(root / "train" / "Annotations", video, "00000", {1: UPPER})
    found = defects(prepare(root))
    ghosts = [f"train/{video}/{key}" for video in ("dogs",) for key in (1, 3, 4)]
    assert found.pop("object that no mask of the video has")[:3] == ghosts
    assert found == {
        "expression without an object": ["train/dogs/2", "train/empty/2"],
        "empty sentence": [4],
        "video without a usable frame": ["train/empty"],
        "video without a usable expression": ["train/silent"],
    }
    [dog] = [each for each in read(root, "train") if each.image.parent.name == "dogs"]
    assert texts(dog) == [(3, "a dog"), (4, "")]


def test_annotations_of_mevis_that_cannot_be_used_are_reported(root):
    keys = ("70", "71", "72", "73", "74", ["70", "72"])
    about = {str(number): expression(f"bird {key}", [0], anno_id=key) for number, key in enumerate(keys)}
    videos = {"birds": {"expressions": about, "frames": ["00000", "00001"]}}
    there = run_lengths(UPPER)
    masks = {"70": [there, there], "71": [there], "73": [None, None], "74": [None, run_lengths(LOWER, counts="?!")]}
    write_mevis(root, videos=videos, masks=masks)
    report = prepare(root)
    assert defects(report) == {
        "unreadable mask": ["valid_u/birds/00001"],
        "annotation of another number of frames": ["valid_u/birds/1"],
        "missing annotation": ["valid_u/birds/2", "valid_u/birds/5"],
        "object that no mask of the video has": ["valid_u/birds/3"],
    }
    assert [texts(each) for each in read(root, "valid_u")] == [[(0, "bird 70")], [(1, "bird 74")]]


def test_run_lengths_of_another_size_than_the_frame_are_reported(root):
    wide = np.ones((8, 6), bool)
    about = {"0": expression("a bird", [0], anno_id=[70])}
    videos = {"birds": {"expressions": about, "frames": ["00000", "00001"]}}
    write_mevis(root, videos=videos, masks={"70": [run_lengths(wide), run_lengths(UPPER)]})
    assert defects(prepare(root)) == {"photo of another size than stated": ["valid_u/birds/00000"]}
    assert len(read(root, "valid_u")) == 1


# ---------------------------------------------------------------- refused


def expressions_file(root):
    return root / "meta_expressions" / "train" / "meta_expressions.json"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (POINTER, "meta_expressions.json is a pointer of Git LFS .*`git lfs pull`"),
        (
            '{"videos": {',
            "meta_expressions.json: Invalid JSON: EOF .*; a file of videos is needed, each with expressions",
        ),
        ({"images": []}, "meta_expressions.json, key 'videos': Field required; a file of videos is needed"),
        ({"videos": {"../x": {"expressions": {}, "frames": []}}}, r"key 'videos', key '\.\./x': String should match"),
        (
            {"videos": {"x": {"expressions": {}, "frames": ["a/b"]}}},
            "key 'x', key 'frames', entry 0: String should match",
        ),
        (
            {"videos": {"x": {"expressions": {"0": {"exp": 1}}, "frames": []}}},
            "key '0', key 'exp': Input should be a val",
        ),
        ({"videos": {}}, "train of .* cannot be prepared: its expressions do not state their objects"),
        (
            {"videos": {"x": {"expressions": {"0": expression("a dog", "1")}, "frames": ["0"]}}},
            "No expression of .* can be used: missing photo 1 time .*video without a usable frame 1 time",
        ),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(root, content, sentence):
    write_youtube(root)
    write_json(expressions_file(root), content)
    with pytest.raises(DataError, match=sentence):
        prepare(root)
    assert not (root.parent / "out").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda root: (root / "train/Annotations/cows/00005.png").write_text(POINTER),
            "00005.png is a pointer of Git LFS",
        ),
        (
            lambda root: (root / "train/meta.json").write_text("[]"),
            "meta.json: .*; a file of videos is needed, each with it",
        ),
        (
            lambda root: (root / "train/Annotations").rename(root / "x"),
            "no folder .*Annotations with the masks of train; un",
        ),
        (
            lambda root: (root / "train/JPEGImages").rename(root / "x"),
            "There is no folder .*Annotations with the masks",
        ),
        (
            lambda root: (root / "meta_expressions").rename(root / "x"),
            "set has none of the layouts that are read: .* MeViS",
        ),
    ],
)
def test_files_that_are_missing_or_damaged_are_refused(root, change, sentence):
    write_youtube(root)
    change(root)
    with pytest.raises(DataError, match=sentence):
        prepare(root)
    assert not (root.parent / "out").exists()


def test_masks_of_mevis_that_are_no_run_lengths_are_refused(root):
    write_mevis(root, masks={"70": [{"size": [6], "counts": "0"}]})
    with pytest.raises(
        DataError, match=r"mask_dict.json, key '70', entry 0, key 'size', entry 1: Field required; an obj"
    ):
        prepare(root)
    (root / "valid_u" / "mask_dict.json").unlink()
    with pytest.raises(DataError, match=r"mask_dict.json cannot be read: No such file"):
        prepare(root)


def test_a_line_of_davis_that_is_no_expression_is_named(root):
    write_davis(root)
    path = root / "davis_text_annotations" / "Davis17_annot2.txt"
    path.write_text('bear 1 "a bear"\nbear two "x"\n')
    with pytest.raises(
        DataError, match=r'Davis17_annot2.txt, line 2: a line has the form bear 1 "a brown bear"; correct'
    ):
        prepare(root)
    for text in path.parent.iterdir():
        text.unlink()
    with pytest.raises(DataError, match=r"holds no file Davis17_annot\*.txt; unpack the text annotations there"):
        prepare(root)


def test_splits_and_steps_that_do_not_exist_are_refused(root):
    write_youtube(root)
    with pytest.raises(DataError, match=r"set has no split 'val'; it has train\."):
        prepare(root, splits=["val"])
    with pytest.raises(ConfigError, match="every is 0, but"):
        prepare(root, every=0)
    with pytest.raises(ConfigError, match="cannot be the name of a data set"):
        prepare_video(root, root.parent / "out", name="a/b")


def test_a_set_of_other_frames_or_splits_is_not_replaced(root):
    write_youtube(root)
    write_youtube(root, "valid")
    prepare(root, splits=["train"])
    before = json.loads((root.parent / "out/anns/videos/prepare.json").read_text())
    for how, difference in (({"every": 5, "splits": ["train"]}, "every 1, not 5"), ({}, r"splits \['train'\], not")):
        with pytest.raises(DataError, match=f"holds another data set, made from {difference}"):
            prepare(root, **how)
    prepare(root, splits=["train"])
    assert json.loads((root.parent / "out/anns/videos/prepare.json").read_text()) == before
