"""`vlt prepare`: what is typed reaches the functions, and their reports reach stdout."""

import json
import shlex
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from parquet_fixture import image_row, object_row, ref_row, write_images, write_rows
from PIL import Image as PILImage
from shards_fixture import write_set
from video_fixture import write_mevis

from vlt.cli import main
from vlt.config.reading import read_config


def prepare(*arguments):
    return CliRunner().invoke(main, ["prepare", *map(str, arguments)])


@pytest.mark.parametrize("join", ["-", "_"])
def test_refer_takes_the_originals_spelling_and_ours(join, tmp_path, monkeypatch):
    heard = []

    def prepare_refer(*arguments, **options):
        heard.append((arguments, options))
        return "the report"

    monkeypatch.setattr("vlt.prepare.published.refer.prepare_refer", prepare_refer)
    options = {"data-root": tmp_path, "output-dir": tmp_path / "out", "dataset": "refcoco+", "split": "unc"}
    typed = [part for name, value in options.items() for part in (f"--{name.replace('-', join)}", value)]
    result = prepare("refer", *typed, f"--generate{join}mask")
    assert result.stdout == "the report\n"
    assert heard == [((tmp_path, tmp_path / "out", "refcoco+", "unc"), {"generate_mask": True, "images": None})]


def test_refer_refuses_unknown_sets(tmp_path):
    result = prepare("refer", "--data-root", tmp_path, "--output-dir", tmp_path, "--dataset", "coco", "--split", "unc")
    assert result.exit_code == 2
    assert "'coco' is not one of 'refcoco', 'refcoco+', 'refcocog', 'refclef'" in result.stderr


def test_refer_without_its_files(tmp_path):
    result = prepare(
        "refer", "--data-root", tmp_path, "--output-dir", tmp_path, "--dataset", "refcoco", "--split", "unc"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert str(tmp_path) in result.stderr


@pytest.fixture
def instances(tmp_path):
    """Eight photos of one red and one blue square each, as an instance file of COCO's format."""
    (tmp_path / "images").mkdir()
    photos, annotations = [], []
    for number in range(1, 9):
        pixels = np.full((60, 80, 3), 255, np.uint8)
        pixels[20:40, 10:30], pixels[20:40, 50:70] = (255, 0, 0), (0, 0, 255)
        pixels[0, 0] = number  # copies of an image would be merged
        PILImage.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        photos.append({"id": number, "file_name": f"{number}.png", "height": 60, "width": 80})
        for place, left in enumerate((10, 50)):
            outline = [left, 20, left + 20, 20, left + 20, 40, left, 40]
            annotations.append(
                {
                    "id": 10 * number + place,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": [outline],
                    "bbox": [left, 20, 20, 20],
                    "area": 400,
                    "iscrowd": 0,
                }
            )
    content = {"images": photos, "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    return tmp_path


def test_coco(instances):
    options = ["--instances", instances / "instances.json", "--images", instances / "images", "--val_share", "0.5"]
    result = prepare("coco", *options, "--output-dir", instances / "out", "--name", "boxes", "--per-target", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("boxes: refs / images / sentences")
    folder = instances / "out" / "anns" / "boxes"
    written = [json.loads(path.read_text()) for path in folder.glob("[tv]*.json")]
    halves = [entry for path in folder.glob("val_*.json") for entry in json.loads(path.read_text())]
    assert sum(len(split) for split in written) == 16 + len(halves)
    assert {len(referral["sentences"]) for split in written for referral in split} <= {1, 2}


def test_coco_with_sentences_that_people_wrote(instances):
    (instances / "table.tsv").write_text("image_id\tannotation_id\texpression\n1\t10\tred one\n2\t21\tblue one\n")
    options = ["--instances", instances / "instances.json", "--images", instances / "images", "--name", "hand"]
    result = prepare("coco", *options, "--output-dir", instances / "out", "--expressions", instances / "table.tsv")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("hand: refs / images / sentences")
    assert "2 are targets, in 2 of 2 expressions" in result.stdout


def test_coco_writes_nothing_outside_and_replaces_nothing_silently(instances):
    options = ["--instances", instances / "instances.json", "--images", instances / "images"]
    result = prepare("coco", *options, "--output-dir", instances / "out", "--name", "../evil")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: '../evil' cannot be the name of a data set")
    assert not (instances / "out").exists()
    assert prepare("coco", *options, "--output-dir", instances / "out", "--seed", "1").exit_code == 0
    result = prepare("coco", *options, "--output-dir", instances / "out", "--seed", "2")
    assert result.exit_code == 1
    assert "holds another data set, made from seed 1, not 2; take another name" in result.stderr
    assert prepare("coco", *options, "--output-dir", instances / "out", "--seed", "1").exit_code == 0


def test_coco_without_its_file(instances):
    options = ["--instances", instances / "none.json", "--images", instances / "images", "--output-dir", instances]
    result = prepare("coco", *options)
    assert result.exit_code == 1
    assert "none.json" in result.stderr
    assert result.stderr.count("\n") == 1


def test_scenes(instances):
    options = ["--instances", instances / "instances.json", "--images", instances / "images", "--val_share", "0.5"]
    result = prepare("scenes", *options, "--output-dir", instances / "out", "--scenes", "0", "--crops", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("scenes: refs / images / sentences")
    [source] = [json.loads((instances / "out/anns/scenes/prepare.json").read_text())["source"]]
    assert (source["scenes"], source["crops"], source["val_share"], source["people"]) == (0, 1, 0.5, None)
    assert {path.name for path in (instances / "out/images/scenes").iterdir()} == {"photos", "crops"}


def test_scenes_without_the_people_that_are_named(instances):
    options = ["--instances", instances / "instances.json", "--images", instances / "images"]
    result = prepare("scenes", *options, "--output-dir", instances / "out", "--people", instances / "nobody")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "nobody" in result.stderr


def test_lines(instances):
    rows = [
        {"image": "1.png", "expressions": ["red one", "left box"], "annotation": 10},
        {"image": "2.png", "expression": "blue one", "box": [50, 20, 70, 40]},
        {"image": "2.png", "expression": "green one", "absent": True},
    ]
    (instances / "my.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = ["--images", instances / "images", "--instances", instances / "instances.json", "--val_share", "0"]
    result = prepare("lines", instances / "my.jsonl", *options, "--output-dir", instances / "out", "--name", "my")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("my: refs / images / sentences")
    assert "Targets: 2, with 3 expressions; expressions without a target: 1." in result.stdout
    assert "1 target is a box without an outline." in result.stdout
    entries = json.loads((instances / "out/anns/my/train.json").read_text())
    assert [entry["img_name"] for entry in entries] == ["1.png", "2.png", "2.png"]
    (instances / "my.jsonl").write_text(json.dumps({**rows[0], "imge": "x"}))
    result = prepare("lines", instances / "my.jsonl", *options, "--output-dir", instances / "out", "--name", "my")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "my.jsonl, line 1: unknown key 'imge' (did you mean 'image'?)" in result.stderr
    assert "--images" in prepare("lines", instances / "my.jsonl", "--output-dir", instances, "--name", "my").stderr


def test_label_studio(instances):
    size = {"original_width": 80, "original_height": 60, "image_rotation": 0}
    value = {"x": 12.5, "y": 100 / 3, "width": 25.0, "height": 100 / 3, "rotation": 0, "rectanglelabels": ["box"]}
    region = {"id": "a", "type": "rectanglelabels", "value": value} | size
    text = {"id": "a", "type": "textarea", "from_name": "text", "value": {"text": ["red one"]}} | size
    task = {"id": 1, "data": {"image": "/data/upload/1/01234567-1.png"}, "annotations": [{"result": [region, text]}]}
    (instances / "export.json").write_text(json.dumps([task]))
    options = ["--images", instances / "images", "--output-dir", instances / "out", "--name", "ls", "--generate_mask"]
    result = prepare("label-studio", instances / "export.json", *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("ls: refs / images / sentences")
    [png] = (instances / "out/masks/ls").glob("*.png")
    mask = np.asarray(PILImage.open(png)) > 0
    assert np.argwhere(mask).min(0).tolist() == [20, 10]
    assert np.argwhere(mask).max(0).tolist() == [39, 29]


def test_seqtr(instances):
    (instances / "images" / "1.png").rename(instances / "images" / "COCO_train2014_000000000001.jpg")
    entry = {"image_id": 1, "height": 60, "width": 80, "bbox": [10, 20, 20, 20], "category_id": 0}
    entry |= {"mask": [[10, 20, 30, 20, 30, 40, 10, 40]], "expressions": ["red one"]}
    (instances / "seqtr.json").write_text(json.dumps({"testA": [entry]}))
    options = ["--images", instances / "images", "--output-dir", instances / "out", "--name", "sq"]
    result = prepare("seqtr", instances / "seqtr.json", *options, "--generate_mask")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("sq: refs / images / sentences")
    assert [path.name for path in (instances / "out/masks/sq").iterdir()] == ["0.png"]
    assert json.loads((instances / "out/anns/sq/testA.json").read_text())[0]["cat"] == 0
    assert prepare("seqtr", instances / "none.json", *options).stderr.count("\n") == 1


def test_mdetr(instances):
    image = {"id": 0, "original_id": 1, "file_name": "1.png", "height": 60, "width": 80, "caption": "red one"}
    target = {"id": 0, "image_id": 0, "original_id": 10, "bbox": [10, 20, 20, 20], "category_id": 1, "iscrowd": 0}
    for split in ("train", "testA"):
        content = {"images": [image], "annotations": [target], "categories": []}
        (instances / f"finetune_{split}.json").write_text(json.dumps(content))
        target = {**target, "original_id": 11}
    files = [instances / f"finetune_{split}.json" for split in ("train", "testA")]
    options = ["--images", instances / "images", "--output-dir", instances / "out", "--name", "md"]
    result = prepare("mdetr", *files, *options)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--instances" in result.stderr
    result = prepare("mdetr", *files, *options, "--instances", instances / "instances.json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("md: refs / images / sentences")
    assert json.loads((instances / "out/anns/md/testA.json").read_text())[0]["segment_id"] == 11


def test_parquet(tmp_path):
    folder = tmp_path / "refcoco" / "data"
    write_rows(folder / "refcoco_unc_val-00000-of-00001.parquet", [image_row(11, (1, 101, "val", "the man"))])
    write_rows(folder / "refcoco_unc_testA-00000-of-00001.parquet", [image_row(12, (3, 103, "testA", "a dog"))])
    options = ["--output_dir", tmp_path / "out", "--name", "my", "--generate-mask"]
    result = prepare("parquet", folder, *options, "--split", "val", "--split", "testA")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("my: refs / images / sentences")
    assert "Differs: val: 1 refs, expected 3,811." in result.stdout
    assert {path.name for path in (tmp_path / "out/anns/my").iterdir()} == {"prepare.json", "testA.json", "val.json"}
    assert {path.name for path in (tmp_path / "out/masks/my").iterdir()} == {"1.png", "3.png"}
    assert len(list((tmp_path / "out/images/my").iterdir())) == 2


def test_parquet_without_pictures_takes_a_folder_of_images(tmp_path):
    write_rows(tmp_path / "data/train.parquet", [ref_row(1, 101, "train", "the man")])
    options = ["--output-dir", tmp_path / "out", "--name", "my"]
    result = prepare("parquet", tmp_path / "data", *options)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (1, 1, "")
    assert "with --images." in result.stderr
    result = prepare("parquet", tmp_path / "data", *options, "--images", write_images(tmp_path / "photos", 11))
    assert result.exit_code == 0, result.stderr
    assert "No defects." in result.stdout


def test_parquet_of_mixed_layouts_or_without_pyarrow(tmp_path, monkeypatch):
    write_rows(tmp_path / "data/train.parquet", [ref_row(1, 101, "train", "the man")])
    write_rows(tmp_path / "data/val.parquet", [object_row(101, "the man")])
    result = prepare("parquet", tmp_path / "data", "--output-dir", tmp_path / "out", "--name", "my")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "name the files of one data set." in result.stderr
    monkeypatch.setattr("vlt.data.shards.find_spec", lambda name: None)
    result = prepare("parquet", tmp_path / "data", "--output-dir", tmp_path / "out", "--name", "my")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert '`pip install "vlt[parquet]"` adds it.' in result.stderr
    assert not (tmp_path / "out").exists()


def test_cvat(instances):
    region = (
        '<box label="box" xtl="10" ytl="20" xbr="30" ybr="40"><attribute name="expression">red one</attribute></box>'
    )
    content = f'<annotations><image id="0" name="1.png" width="80" height="60">{region}</image></annotations>'
    (instances / "annotations.xml").write_text(content)
    options = ["--images", instances / "images", "--output-dir", instances / "out", "--name", "cv", "--val_share", "0"]
    result = prepare("cvat", instances / "annotations.xml", *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("cv: refs / images / sentences")
    [entry] = json.loads((instances / "out/anns/cv/train.json").read_text())
    assert (entry["bbox"], entry["sentences"][0]["sent"]) == ([10, 20, 30, 40], "red one")


# ---------------------------------------------------------------- shards


@pytest.fixture
def run(tiny_config, tmp_path):
    """A configuration file of a run of seconds on a prepared set."""
    values = {**tiny_config.model_dump(mode="json"), "data": write_set(tmp_path, train=6, val=2)}
    values["output_dir"] = str(tmp_path / "run")
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(values))
    return path


def test_shards_of_a_configuration_can_be_trained_on_and_tested(run, tmp_path):
    written = prepare("shards", run, "--output-dir", tmp_path / "shards", "--shards", 2)
    assert written.exit_code == 0, written.stderr
    *lines, hint = written.stdout.splitlines()
    assert lines == [
        "train: 12 referrals to 6 photos in 2 shards",
        "val: 4 referrals to 2 photos in 2 shards",
        f"written to {tmp_path / 'shards' / 'squares'}",
    ]
    setting = hint.removeprefix("To train on them: --set '").removesuffix("'")
    assert setting == f"data={{name: shards, root: {tmp_path / 'shards'}, dataset: squares}}"
    shutil.rmtree(tmp_path / "images")
    trained = CliRunner().invoke(main, ["train", str(run), "--set", setting])
    assert trained.exit_code == 0, trained.stderr
    tested = CliRunner().invoke(main, ["test", str(run), "--set", setting, "--output", str(tmp_path / "val.json")])
    assert tested.exit_code == 0, tested.stderr
    report = json.loads((tmp_path / "val.json").read_text())
    assert (report["provenance"]["dataset"], report["scores"]["count"]) == ("squares", 6)


def test_the_hint_keeps_augmentation_and_splits(run, tmp_path):
    options = ["--set", "data.flip=0.5", "--set", "data.val_split=train", "--output-dir", tmp_path / "my shards: new"]
    written = prepare("shards", run, *options, "--shards", 1)
    assert written.exit_code == 0, written.stderr
    setting, value = shlex.split(written.stdout.splitlines()[-1].removeprefix("To train on them: "))
    data = read_config(run, [value]).data
    assert (setting, data.root, data.dataset) == ("--set", str(tmp_path / "my shards: new"), "squares")
    assert (data.flip, data.train_split, data.val_split) == (0.5, "train", "train")


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_the_name_of_shards_is_no_path(name, run, tmp_path):
    written = prepare("shards", run, "--output-dir", tmp_path / "shards", "--shards", 1, "--name", name)
    assert written.exit_code == 2
    assert f"error: {name!r} cannot be the name of a data set" in written.stderr
    assert not (tmp_path / "shards").exists()


def test_shards_of_a_split_that_does_not_exist(run, tmp_path):
    written = prepare("shards", run, "--output-dir", tmp_path / "shards", "--shards", 2, "--split", "testA")
    assert written.exit_code == 1
    assert written.stderr.startswith("error: There is no ")
    assert not (tmp_path / "shards").exists()


def test_composed_scenes_cannot_be_written_as_shards(run, tmp_path):
    sentence = "data.compose makes new scenes in each epoch, which shards cannot hold; set it to null."
    scenes = "data.compose={instances: instances.json, images: images}"
    options = ["--set", scenes, "--set", "train.by_photo=true", "--output-dir", tmp_path / "shards", "--shards", 2]
    written = prepare("shards", run, *options)
    assert written.exit_code == 2
    assert written.stderr == f"error: {sentence}\n"


def test_video(tmp_path):
    write_mevis(tmp_path / "mevis")
    options = ["--output-dir", tmp_path / "out", "--name", "mevis", "--split", "valid_u", "--every", "2"]
    result = prepare("video", tmp_path / "mevis", *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("mevis: refs / images / sentences")
    assert "valid_u: videos: 1; expressions: 2; pairs of a frame and an expression: 4" in result.stdout
    entries = json.loads((tmp_path / "out" / "anns" / "mevis" / "valid_u.json").read_text())
    assert [each["img_name"] for each in entries] == [
        f"valid_u/JPEGImages/birds/{frame}.jpg" for frame in ("00000", "00000", "00002", "00002")
    ]
    result = prepare("video", tmp_path / "out", "--output-dir", tmp_path / "other", "--name", "x")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "has none of the layouts that are read" in result.stderr
