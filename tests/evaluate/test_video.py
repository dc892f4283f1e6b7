"""Protocol `video`: J, F and J&F by hand, per video, on several processes, in reports and in tables."""

import json

import numpy as np
import pytest
from PIL import Image as PILImage

from vlt.checkpoint.recorded import read_record
from vlt.errors import DataError, VLTWarning
from vlt.evaluate import ExpressionResult, Provenance, Report, Shard, evaluate, whole_image
from vlt.evaluate.paper_table import paper_table
from vlt.metrics import PROTOCOLS
from vlt.types import Expression, Referral

VIDEO = PROTOCOLS["video"]


def result(sent_id, iou, boundary, video="cows", ref_id=1):
    return ExpressionResult(ref_id, sent_id, "a cow", iou, 1, 2, boundary, 0.5, 2, 100, 2, video=video)


RESULTS = [
    result(7, 1.0, 0.5),
    result(7, 0.5, 0.5),
    result(7, 0.0, 0.2),
    result(8, 1.0, 1.0),
    result(9, 0.2, 0.0, video="dogs"),
    result(9, 0.4, 0.4, video="dogs"),
]


def test_frames_are_averaged_before_expressions():
    """J: (1 + 0.5 + 0) / 3 = 0.5, then 1, then 0.3; F: 0.4, 1 and 0.2. The mean over all pairs would be another."""
    report = Report.of(RESULTS, VIDEO)
    assert (report.video.region, report.video.contour) == pytest.approx((1.8 / 3, 1.6 / 3))
    assert report.video.mean == pytest.approx(1.7 / 3)
    assert (report.video.expressions, report.video.frames) == (3, 6)
    assert report.scores.boundary == pytest.approx(2.6 / 6), "the table counts each pair of frame and expression once"


def test_each_video_has_scores_of_its_own():
    videos = Report.of(RESULTS, VIDEO).videos
    assert list(videos) == ["cows", "dogs"]
    assert videos["cows"][:2] == pytest.approx(((0.5 + 1) / 2, (0.4 + 1) / 2))
    assert videos["dogs"][:2] == pytest.approx((0.3, 0.2))
    assert [scores[2:] for scores in videos.values()] == [(2, 4), (1, 2)]


def test_the_order_of_frames_and_expressions_does_not_matter():
    one, other = Report.of(RESULTS, VIDEO).video, Report.of(RESULTS[::-1], VIDEO).video
    assert one == pytest.approx(other)


def test_other_protocols_have_none_of_it():
    report = Report.of(RESULTS, PROTOCOLS["vlt"])
    assert (report.video, report.videos) == (None, {})
    assert "J&F" not in str(report)
    assert report.to_dict()["video"] is None


def test_the_report_prints_and_writes_the_scores(tmp_path):
    report = Report.of(RESULTS, VIDEO)
    line = "J&F 56.67, J 60.00, F 53.33 over 3 expressions, averaged over the frames of each first"
    assert line in str(report).splitlines()
    assert "J and F as in DAVIS" in str(report)
    report.write(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["video"] == pytest.approx(
        {"region": 0.6, "contour": 1.6 / 3, "mean": 1.7 / 3, "expressions": 3, "frames": 6}
    )
    assert read["videos"]["dogs"] == pytest.approx(
        {"region": 0.3, "contour": 0.2, "mean": 0.25, "expressions": 1, "frames": 2}
    )


# ---------------------------------------------------------------- from images to scores

SIZE = (60, 80)


def square(top, left, side=20):
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.fixture
def frames(tmp_path):
    """Two videos of two frames. The first has an expression about an object that leaves, and one about two objects."""
    referrals, ref_id = [], 0
    targets = {
        ("a", "00000"): {1: [square(0, 0)], 2: [square(0, 0), square(30, 40)]},
        ("a", "00005"): {1: [], 2: [square(30, 40)]},
        ("b", "00000"): {3: [square(20, 20)]},
        ("b", "00005"): {3: [square(20, 24)]},
    }
    for (video, frame), about in targets.items():
        path = tmp_path / video / f"{frame}.jpg"
        path.parent.mkdir(exist_ok=True)
        PILImage.fromarray(np.full((*SIZE, 3), ref_id, np.uint8)).save(path)
        for sent_id, masks in about.items():
            referrals.append(Referral(ref_id, path, tuple(masks), (Expression(sent_id, f"expression {sent_id}"),)))
            ref_id += 1
    return referrals


def upper_square(images, expressions):
    """Predict the square at the upper left for expression 1 in the first frame, and at the middle for 3."""
    for image, texts in zip(images, expressions, strict=True):
        first = int(image[0, 0, 0]) == 0
        known = {
            "expression 1": square(0, 0) if first else np.zeros(SIZE, bool),
            "expression 2": square(0, 0),
            "expression 3": square(20, 20),
        }
        yield [known[text] for text in texts]


def test_scores_of_frames_by_hand(frames):
    """Expression 1 is right in both frames, the second of which has no target and no prediction: J and F are 1.

    Of 2, the prediction is one of two equal squares, J 1/2, then a wrong one, J 0. Of 3 it is right, then 4 of 20
    columns beside the target: J 16 / 24.
    """
    report = evaluate(upper_square, frames, protocol="video")
    assert report.video.region == pytest.approx(np.mean([1, (1 / 2 + 0) / 2, (1 + 16 / 24) / 2]))
    of_one = [each for each in report.results if each.sent_id == 1]
    assert [(each.iou, each.boundary) for each in of_one] == [(1, 1), (1, 1)]
    shifted = report.results[-1]
    assert shifted.video == "b"
    # A diagonal of 100 pixels, so contours agree within one. Each is a ring of 21 x 21 - 19 x 19 = 80 pixels, and one
    # lies 4 columns beside the other. Near the other are 18 of the 21 pixels of its upper and of its lower side, and
    # the first and last pixel of one of its two other sides, which lie beside the other's upper and lower side.
    assert shifted.boundary == pytest.approx((18 + 18 + 2) / 80)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_together_report_what_one_does(frames, world):
    alone = evaluate(upper_square, frames, protocol="video")
    parts = []
    for rank in range(world):
        keep = Shard(rank, world, lambda mine: parts.append(mine) or list(alone.results))
        evaluate(upper_square, frames, protocol="video", shard=keep)
    gathered = [each for part in parts for each in part]
    together = evaluate(upper_square, frames, protocol="video", shard=Shard(0, world, lambda _: gathered))
    assert (together.video, together.videos) == (alone.video, alone.videos)


# ---------------------------------------------------------------- tables


def test_a_table_of_videos(tmp_path):
    for name in ("one", "two"):
        origin = Provenance(dataset="davis", split="valid", checkpoint=name)
        Report.of(RESULTS if name == "one" else RESULTS[3:], VIDEO, provenance=origin).write(tmp_path / f"{name}.json")
    lines = paper_table([read_record(tmp_path / "one.json")], ["j&f", "J", "f"]).splitlines()
    assert lines[0] == "| checkpoint | davis valid (6): J&F | davis valid (6): J | davis valid (6): F |"
    assert lines[2] == "| one | 56.67 | 60.00 | 53.33 |"
    assert "J, F and J&F are means over the frames of each expression, then over expressions (3 in davis" in lines[-1]
    assert r"J\&F" in paper_table([read_record(tmp_path / "one.json")], ["J&F"], "latex")
    Report.of(RESULTS, PROTOCOLS["vlt"], provenance=origin).write(tmp_path / "images.json")
    with pytest.raises(DataError, match=r"images.json has no J&F \(it needs `vlt test --protocol video`\)"):
        paper_table([read_record(tmp_path / "images.json")], ["J&F"])


def test_images_that_are_no_frames_give_a_warning():
    """Each expression of a data set of images is about one of them."""
    images = [Referral(number, np.zeros((4, 4, 3), np.uint8), (), (Expression(number, "a cow"),)) for number in (1, 2)]
    with pytest.warns(VLTWarning, match=r"over the frames of an expression, but each expression is about one image"):
        evaluate(whole_image, images, protocol="video")
