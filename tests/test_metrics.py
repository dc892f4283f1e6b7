import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vlt.metrics import (
    IMAGE_BOUNDARY,
    PROTOCOLS,
    VIDEO_BOUNDARY,
    EvaluationProtocol,
    ReferringMetrics,
    Scores,
    boundary_f,
    crossing_contour,
    overlap,
    share_near,
)

VLT, ORIGINAL = PROTOCOLS["vlt"], PROTOCOLS["original"]
STRICT = EvaluationProtocol(name="strict", threshold=0.5, comparison=">=", empty_iou=0.0, levels=(0.5, 0.9))
GREFCOCO = PROTOCOLS["grefcoco"]
EVERY_PROTOCOL = pytest.mark.parametrize(
    "protocol", [VLT, ORIGINAL, STRICT, GREFCOCO], ids=lambda protocol: protocol.name
)


def brute_force(pairs, protocol):
    """The definitions, one prediction at a time, in numpy and Python."""
    ious, total_intersection, total_union = [], 0, 0
    rated = [protocol.precision_of == "all" or bool(target.any()) for _, target in pairs]
    for mask, target in pairs:
        intersection = union = 0
        for m, t in zip(mask.ravel().tolist(), target.ravel().tolist(), strict=True):
            intersection += m and t
            union += m or t
        if not union:
            ious.append(protocol.empty_iou)
        else:
            ious.append((intersection + protocol.smoothing) / (union + protocol.smoothing))
        total_intersection, total_union = total_intersection + intersection, total_union + union
    found = list(zip(ious, rated, strict=True))
    precision = {
        level: sum((iou > level if protocol.comparison == ">" else iou >= level) for iou, counts in found if counts)
        / sum(rated)
        if any(rated)
        else math.nan
        for level in protocol.levels
    }
    overall = total_intersection / total_union if total_union else protocol.empty_iou
    boundary = np.mean([slow_boundary_f(*pair) for pair in pairs])
    accuracy = np.mean([slow_box_iou(*pair) >= 0.5 for pair in pairs])
    return Scores(np.mean(ious), overall, boundary, box=accuracy, precision=precision, count=len(ious))


def slow_box_iou(mask, target):
    """The IoU of the boxes, by filling them."""
    boxes = []
    for each in (mask, target):
        box = np.zeros(each.shape, dtype=bool)
        if each.any():
            (top, left), (bottom, right) = np.argwhere(each).min(0), np.argwhere(each).max(0)
            box[top : bottom + 1, left : right + 1] = True
        boxes.append(box)
    intersection, union = overlap(*boxes)
    return intersection / union if union else 1.0


def slow_contour(mask):
    """(N, 2): the pixels that have a neighbour in the image but outside the mask."""
    height, width = mask.shape
    return np.array(
        [
            (y, x)
            for y, x in np.argwhere(mask)
            if any(
                0 <= y + dy < height and 0 <= x + dx < width and not mask[y + dy, x + dx]
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
            )
        ]
    )


def slow_crossing(mask):
    """(N, 2): the pixels that differ from one of the three neighbours to the right and below, inside the image."""
    height, width = mask.shape
    return np.array(
        [
            (y, x)
            for y, x in np.ndindex(height, width)
            if any(
                y + dy < height and x + dx < width and mask[y + dy, x + dx] != mask[y, x]
                for dy, dx in ((0, 1), (1, 0), (1, 1))
            )
        ]
    )


def slow_boundary_f(mask, target, rule=IMAGE_BOUNDARY):
    """The definition: every pixel of one contour against every pixel of the other."""
    mine, true = map(slow_contour if rule is IMAGE_BOUNDARY else slow_crossing, (mask, target))
    if not (len(mine) and len(true)):
        return float((mask == target).all())
    reach = math.ceil(
        (0.0075 if rule is IMAGE_BOUNDARY else 0.008) * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)
    )
    near = ((mine[:, None] - true[None]) ** 2).sum(-1) <= reach**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def update(metrics, pairs):
    counts = torch.tensor([overlap(*pair) for pair in pairs])
    boundary, box = ([of(*pair) for pair in pairs] for of in (boundary_f, slow_box_iou))
    areas = torch.tensor([int(target.sum()) for _, target in pairs])
    metrics.update(counts[:, 0], counts[:, 1], torch.tensor(boundary), torch.tensor(box), areas)


def measure(pairs, protocol):
    metrics = ReferringMetrics(protocol)
    update(metrics, pairs)
    return metrics.compute()


def assert_same(one, other):
    assert one.count == other.count
    assert one.miou == pytest.approx(other.miou, abs=1e-12)
    assert one.oiou == pytest.approx(other.oiou, abs=1e-12)
    assert one.boundary == pytest.approx(other.boundary, abs=1e-7)
    assert one.box == pytest.approx(other.box, abs=1e-7)
    assert one.precision == pytest.approx(other.precision, abs=1e-7, nan_ok=True)


def strip(length, start, stop):
    """A mask of one row, true from `start` to `stop`."""
    mask = np.zeros((1, length), dtype=bool)
    mask[:, start:stop] = True
    return mask


EMPTY, FULL = strip(10, 0, 0), strip(10, 0, 10)
CORNERS = {
    # name: (mask, target, IoU under vlt, passes 0.5 under vlt, under original, under strict)
    "both empty": (EMPTY, EMPTY, 1.0, True, True, False),
    "prediction empty": (EMPTY, strip(10, 0, 4), 0.0, False, False, False),
    "target empty": (strip(10, 0, 4), EMPTY, 0.0, False, False, False),
    "both full": (FULL, FULL, 1.0, True, True, True),
    "full prediction, half target": (FULL, strip(10, 0, 5), 0.5, False, True, True),  # 1e-10 lifts it above
    "disjoint": (strip(10, 0, 5), strip(10, 5, 10), 0.0, False, False, False),
    "exactly at 0.5": (strip(10, 0, 3), strip(10, 0, 6), 0.5, False, True, True),
    "just above 0.5": (strip(10, 0, 5), strip(10, 0, 9), 5 / 9, True, True, True),
    "just below 0.5": (strip(10, 0, 4), strip(10, 0, 9), 4 / 9, False, False, False),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner_cases(name):
    mask, target, iou, *passes = CORNERS[name]
    for protocol, passed in zip([VLT, ORIGINAL, STRICT], passes, strict=True):
        scores = measure([(mask, target)], protocol)
        expected = 0.0 if protocol is STRICT and name == "both empty" else iou
        assert scores.miou == pytest.approx(expected, abs=1e-9), protocol.name
        assert scores.precision[0.5] == passed, protocol.name
        assert_same(scores, brute_force([(mask, target)], protocol))


@EVERY_PROTOCOL
def test_all_corner_cases_together(protocol):
    pairs = [(mask, target) for mask, target, *_ in CORNERS.values()]
    assert_same(measure(pairs, protocol), brute_force(pairs, protocol))


@pytest.mark.parametrize(("intersection", "union"), [(1, 2), (3, 5), (7, 10), (4, 5), (9, 10), (90_000, 100_000)])
def test_an_iou_exactly_at_a_level_does_not_pass_it_unless_the_protocol_says_so(intersection, union):
    def passed(protocol):
        iou = protocol.iou(torch.tensor([intersection]), torch.tensor([union]))
        return protocol.passes(iou)[0, protocol.levels.index(intersection / union)].item()

    assert not passed(VLT)
    assert passed(replace(VLT, comparison=">="))


def test_an_iou_next_to_a_level_differs_from_it():
    union = 400_000_000  # an image of 20,000 x 20,000
    iou = VLT.iou(torch.tensor([union // 2, union // 2 + 1]), torch.tensor([union, union]))
    assert VLT.passes(iou)[:, 0].tolist() == [False, True]


def test_the_original_protocol_is_the_originals():
    assert (ORIGINAL.threshold, ORIGINAL.comparison, ORIGINAL.empty_iou, ORIGINAL.smoothing) == (0.35, ">", 1.0, 1e-10)
    assert ORIGINAL.levels == pytest.approx(np.arange(0.5, 0.99, 0.05))
    iou = ORIGINAL.iou(torch.tensor([0, 0, 3]), torch.tensor([0, 7, 4]))
    assert iou.tolist() == [1.0, 1e-10 / (7 + 1e-10), (3 + 1e-10) / (4 + 1e-10)]


def row(flags):
    return np.array(flags)[None]


masks = st.integers(1, 12).flatmap(
    lambda size: st.lists(
        st.tuples(*(st.lists(st.booleans(), min_size=size, max_size=size).map(row) for _ in range(2))),
        min_size=1,
        max_size=6,
    )
)


@EVERY_PROTOCOL
@settings(deadline=None, max_examples=60)
@given(pairs=masks)
def test_equals_the_brute_force_twin(protocol, pairs):
    assert_same(measure(pairs, protocol), brute_force(pairs, protocol))


@EVERY_PROTOCOL
@settings(deadline=None, max_examples=40)
@given(pairs=masks, cut=st.integers(0, 6))
def test_two_merged_halves_equal_the_whole(protocol, pairs, cut):
    whole = measure(pairs, protocol)
    halves = [half for half in (pairs[:cut], pairs[cut:]) if half]
    parts = [ReferringMetrics(protocol) for _ in halves]
    batched = ReferringMetrics(protocol)
    for half, part in zip(halves, parts, strict=True):
        update(part, half)
        update(batched, half)
    merged, *rest = parts
    for part in rest:
        merged.merge_state(part)
    assert_same(merged.compute(), whole)
    assert_same(batched.compute(), whole)


@settings(deadline=None, max_examples=40)
@given(pairs=masks)
def test_properties(pairs):
    scores = measure(pairs, VLT)
    assert 0 <= scores.miou <= 1
    assert 0 <= scores.oiou <= 1
    shares = list(scores.precision.values())
    assert shares == sorted(shares, reverse=True)
    assert_same(scores, measure(pairs[::-1], VLT))
    assert_same(scores, measure([(target, mask) for mask, target in pairs], VLT))
    perfect = measure([(target, target) for _, target in pairs], VLT)
    assert (perfect.miou, perfect.oiou, perfect.boundary, perfect.box) == (1, 1, 1, 1)
    assert set(perfect.precision.values()) == {1}


@st.composite
def blocky_pairs(draw):
    """Two masks of blocks, some wide enough for contours that lie several pixels apart to agree."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    block = np.ones(draw(st.tuples(st.integers(1, 4), st.integers(1, 100))), dtype=bool)
    flags = st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    return tuple(np.kron(np.reshape(draw(flags), shape), block) for _ in range(2))


@settings(deadline=None, max_examples=60)
@given(pair=blocky_pairs(), shift=st.integers(0, 12), rule=st.sampled_from([IMAGE_BOUNDARY, VIDEO_BOUNDARY]))
def test_the_boundary_score_equals_its_brute_force_twin(pair, shift, rule):
    mask, target = pair
    mask = np.roll(mask, shift, axis=1)
    assert boundary_f(mask, target, rule) == pytest.approx(slow_boundary_f(mask, target, rule), abs=1e-12)
    assert boundary_f(mask, target, rule) == boundary_f(target, mask, rule)


def test_contours_of_videos_are_those_of_davis():
    """By hand: where a pixel differs from its right, lower or lower right neighbour; the border is no contour."""
    square = np.zeros((6, 6), dtype=bool)
    square[2:4, 2:4] = True
    expected = ["......", ".###..", ".#.#..", ".###..", "......", "......"]
    assert ["".join(".#"[int(each)] for each in row) for row in crossing_contour(square)] == expected
    corner = np.zeros((4, 4), dtype=bool)
    corner[2:, 2:] = True
    expected = ["....", ".###", ".#..", ".#.."]
    assert ["".join(".#"[int(each)] for each in row) for row in crossing_contour(corner)] == expected


def test_contours_of_videos_agree_within_08_percent_of_the_diagonal():
    target = np.zeros((300, 400), dtype=bool)  # a diagonal of 500 pixels: 0.8 % are 4, of images 0.75 % also 4
    target[100:200, 150:160] = True
    assert [boundary_f(np.roll(target, by, axis=0), target, VIDEO_BOUNDARY) for by in (0, 4)] == [1, 1]
    assert boundary_f(np.roll(target, 5, axis=0), target, VIDEO_BOUNDARY) < 1
    wide = np.zeros((1, 510), dtype=bool)  # 0.8 % are 4.08, so 5 pixels; 0.75 % are 3.8, so 4
    wide[:, 100:400] = True
    shifted = np.roll(wide, 5, axis=1)
    assert (boundary_f(shifted, wide, VIDEO_BOUNDARY), boundary_f(shifted, wide)) == (1, 0)


def test_contours_agree_up_to_the_reach_and_no_farther():
    target = np.zeros((300, 400), dtype=bool)  # a diagonal of 500 pixels, so 3.75 are rounded up to 4
    target[100:200, 150:160] = True
    scores = [boundary_f(np.roll(target, by, axis=0), target) for by in (0, 4, 5)]
    assert scores[:2] == [1, 1]
    assert scores[2] < 1
    assert boundary_f(np.roll(target, 120, axis=0), target) == 0


@settings(deadline=None, max_examples=60)
@given(pair=blocky_pairs(), reach=st.integers(0, 9))
@example(pair=(np.ones((1, 1), bool), np.zeros((1, 1), bool)), reach=2)  # a reach of more than twice the width
def test_the_share_near_a_contour_equals_its_brute_force_twin(pair, reach):
    contour, other = pair
    if not contour.any():
        return
    places, others = np.argwhere(contour), np.argwhere(other)
    near = [bool(len(others)) and ((others - place) ** 2).sum(1).min() <= reach**2 for place in places]
    assert share_near(contour, other, reach) == pytest.approx(np.mean(near), abs=1e-12)


def test_the_boundary_score_where_there_is_no_contour():
    empty, full = np.zeros((20, 30), dtype=bool), np.ones((20, 30), dtype=bool)
    part = np.pad(np.ones((5, 5), dtype=bool), ((3, 12), (4, 21)))
    assert boundary_f(empty, empty) == boundary_f(full, full) == 1
    assert boundary_f(full, empty) == boundary_f(empty, part) == boundary_f(part, full) == 0
    assert boundary_f(empty, empty, VIDEO_BOUNDARY) == 1, "nothing predicted for an object that is not in the frame"
    assert boundary_f(empty, part, VIDEO_BOUNDARY) == boundary_f(part, empty, VIDEO_BOUNDARY) == 0


def test_the_border_of_the_image_is_no_contour():
    touching = np.zeros((40, 40), dtype=bool)
    touching[:, :10] = True
    wider = np.zeros((40, 40), dtype=bool)
    wider[:, :30] = True
    assert boundary_f(touching, wider) == 0, "they share three sides of the border, but not an edge"


def test_reset_forgets():
    metrics = ReferringMetrics(VLT)
    update(metrics, [(FULL, FULL)])
    metrics.reset()
    update(metrics, [(EMPTY, FULL)])
    assert metrics.compute() == Scores(0.0, 0.0, 0.0, 0.0, dict.fromkeys(VLT.levels, 0.0), 1)


def test_many_pixels_do_not_overflow():
    pixels = 20_000 * 20_000
    metrics = ReferringMetrics(VLT)
    for _ in range(10):
        areas = torch.tensor([pixels] * 10)
        metrics.update(areas, areas + 1, torch.ones(10), torch.ones(10), areas)
    assert metrics.compute().oiou == pytest.approx(pixels / (pixels + 1), abs=1e-15)


def test_the_rules_of_grefcoco():
    """Five expressions by hand: three with a target, two without."""
    pairs = [
        (strip(10, 0, 8), strip(10, 0, 10)),  # 8 of 10
        (strip(10, 0, 7), strip(10, 0, 10)),  # 7 of 10, which passes Pr@0.7
        (EMPTY, strip(10, 0, 4)),  # missed: 0 of 4
        (EMPTY, EMPTY),  # nothing there and nothing predicted: gIoU 1, nothing in cIoU
        (strip(10, 0, 3), EMPTY),  # nothing there, something predicted: 0, and 3 pixels in the union
    ]
    scores = measure(pairs, GREFCOCO)
    assert scores.miou == pytest.approx((0.8 + 0.7 + 0 + 1 + 0) / 5)
    assert scores.oiou == pytest.approx((8 + 7) / (10 + 10 + 4 + 3))
    assert scores.precision == pytest.approx({0.7: 2 / 3, 0.8: 1 / 3, 0.9: 0})
    assert scores.count == 5
    alone = measure(pairs[3:], GREFCOCO)
    assert alone.to_dict()["precision"] == {"0.7": None, "0.8": None, "0.9": None}


def test_a_protocol_as_a_sentence():
    assert str(ORIGINAL) == (
        "protocol original: mask = probability > 0.35, at the image's own size; Pr@t = share with IoU > t; "
        "two empty masks give IoU 1 (1e-10 added above and below); as in VLT, ICCV 2021"
    )
    assert "Pr@t = share with IoU >= t; two empty masks give IoU 0;" in str(STRICT)


def test_scores_are_json_values():
    scores = Scores(miou=0.5, oiou=0.25, boundary=0.75, box=1.0, precision={0.5: 1.0, 0.55: 0.0}, count=2)
    assert scores.to_dict() == {
        "miou": 0.5,
        "oiou": 0.25,
        "boundary": 0.75,
        "box": 1.0,
        "precision": {"0.5": 1.0, "0.55": 0.0},
        "count": 2,
    }
