"""The detector: shapes, decoding of hand-made outputs, and suppression against a brute-force twin."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vlt.categories import COCO_CATEGORIES
from vlt.model import detector as module
from vlt.model.detector import DISTANCES, STRIDES, Detector, box_iou, decode, suppress

CLASSES = len(COCO_CATEGORIES)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def small(**sizes: float) -> Detector:
    """A narrow detector with random weights that keep the variance of maps, so that its probabilities vary."""
    detector = Detector(width=0.125, blocks=(1, 1, 1, 1), side=96, **sizes)
    for parameter in detector.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, a=0.1)
    return detector.eval()


def random_boxes(images: int, count: int) -> tuple[Tensor, Tensor]:
    """Boxes of a few places and a few classes, so that many are rivals, and probabilities of which many are equal."""
    corners = torch.rand(images, count, 2) * 0.3
    boxes = torch.cat([corners, corners + 0.3 + 0.3 * torch.rand(images, count, 2)], dim=2)
    scores = torch.zeros(images, count, CLASSES)
    classes = torch.randint(0, 3, (images, count, 1))
    return boxes, scores.scatter(2, classes, torch.randint(0, 20, (images, count, 1)) / 20)


def maps_of(size: tuple[int, int]) -> list[Tensor]:
    """Outputs at all strides of one image of `size`: nothing is probable and all distances are zero."""
    maps = []
    for stride in STRIDES:
        outputs = torch.full((1, CLASSES + 4 * DISTANCES, size[0] // stride, size[1] // stride), -40.0)
        outputs[:, CLASSES::DISTANCES] = 40.0
        maps.append(outputs)
    return maps


# ---------------------------------------------------------------- categories and the whole network


def test_categories_are_coco() -> None:
    assert len(set(COCO_CATEGORIES)) == 80
    assert [COCO_CATEGORIES[index] for index in (0, 15, 56, 79)] == ["person", "cat", "chair", "toothbrush"]


def test_default_is_the_published_size() -> None:
    detector = Detector()
    assert sum(parameter.numel() for parameter in detector.parameters()) == 3_786_068
    assert not any(parameter.requires_grad for parameter in detector.parameters())
    assert {key.split(".")[0] for key in detector.state_dict()} == {"stem", "stages", "laterals", "heads"}


@pytest.mark.parametrize("size", [(96, 96), (140, 140), (120, 200), (200, 33), (7, 900)])
def test_any_input_size(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        boxes, scores, valid = small(count=6, floor=0.0)(torch.rand(2, 3, *size))
    assert boxes.shape == (2, 6, 4)
    assert scores.shape == (2, 6, CLASSES)
    assert valid.dtype == torch.bool
    assert valid.any(dim=1).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert (boxes[valid][:, 2:] > boxes[valid][:, :2]).all()
    best = scores.amax(dim=2)
    assert (best.diff(dim=1) <= 0).all()


def test_floor_pads_with_zeros() -> None:
    images, detector = torch.rand(1, 3, 96, 96), small(count=500, floor=0.0)
    best = detector(images).scores[0].amax(dim=1)
    detector.floor = float(best[3])
    boxes, scores, valid = detector(images)
    assert valid[0].tolist() == [True] * 3 + [False] * 497
    assert torch.count_nonzero(boxes[0, 3:]) == torch.count_nonzero(scores[0, 3:]) == 0


def test_results_do_not_depend_on_the_batch() -> None:
    images, detector = torch.rand(3, 3, 120, 96), small(floor=0.3)
    together = detector(images)
    turned = detector(images.flip(0))
    for number in range(3):
        alone = detector(images[number : number + 1])
        for found, one, other in zip(alone, together, turned, strict=True):
            torch.testing.assert_close(found[0], one[number], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found[0], other[2 - number], rtol=1e-4, atol=1e-5)
    assert together.valid.sum() > 5


def test_pixels_are_bgr_and_fit_the_side() -> None:
    """Red in the centre of a wide image; published mean and deviation of 255."""
    images = torch.zeros(1, 3, 60, 192)
    images[:, 0] = 1.0
    pixels, size = small().normalise(images)
    assert size == (30, 96)
    assert pixels.shape == (1, 3, 32, 96)
    expected = [(level - mean) / std for level, mean, std in zip((0, 0, 255), module.MEAN, module.STD, strict=True)]
    np.testing.assert_allclose(pixels[0, :, 15, 48], expected, rtol=1e-5)
    assert torch.count_nonzero(pixels[:, :, 30:]) == 0


def test_shrinking_is_low_passed() -> None:
    """A pattern finer than the detector's pixels becomes grey; without a low-pass it would alias to stripes."""
    stripes = (torch.arange(480) % 2).float().expand(1, 3, 480, 480)
    pixels, _ = small().normalise(stripes)
    grey, _ = small().normalise(torch.full((1, 3, 96, 96), 0.5))
    assert (pixels - grey)[..., 8:-8].abs().max() < 0.3


@pytest.mark.slow
def test_it_can_be_exported() -> None:
    detector, images = small(count=3, floor=0.3), torch.rand(2, 3, 140, 100)
    exported = torch.export.export(detector, (torch.rand(2, 3, 140, 100),)).module()
    for found, expected in zip(exported(images), detector(images), strict=True):
        torch.testing.assert_close(found, expected)


# ---------------------------------------------------------------- decoding


def test_a_known_box_is_decoded() -> None:
    """Second map, row 1, column 3: the centre is x = 56, y = 24; distances 3, 1, 2.5 and 0 strides."""
    maps = maps_of((96, 128))
    maps[1][0, 17, 1, 3] = 40.0
    logits = maps[1][0, CLASSES:].view(4, DISTANCES, 6, 8)[:, :, 1, 3]
    logits[:] = -40.0
    logits[0, 3] = logits[1, 1] = logits[2, 2] = logits[2, 3] = logits[3, 0] = 40.0
    boxes, scores = decode(maps, (90, 120))
    found = suppress(boxes, scores, count=4, floor=0.5)
    assert found.valid[0].tolist() == [True, False, False, False]
    np.testing.assert_allclose(found.boxes[0, 0], [8 / 120, 8 / 90, 96 / 120, 24 / 90], atol=1e-6)
    assert found.scores[0, 0].argmax() == 17


def test_boxes_in_the_padding_are_dropped() -> None:
    maps = maps_of((32, 32))
    maps[0][0, 0] = 40.0  # all 16 cells
    maps[0][0, CLASSES:].view(4, DISTANCES, 4, 4)[:, 1] = 40.0  # half a stride to each side
    boxes, scores = decode(maps, (32, 20))  # the last column of cells has its centre at x = 28
    found = suppress(boxes, scores, count=20, floor=0.5)
    assert found.valid.sum() == 12
    assert found.boxes[0, :12, 2].max() == 1


# ---------------------------------------------------------------- suppression


def brute_force(boxes: Tensor, scores: Tensor, count: int, floor: float) -> list[int]:
    """Indices of the kept boxes of one image, by comparing each box with all that are kept already."""

    def iou(a: list[float], b: list[float]) -> float:
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0.0, width) * max(0.0, height)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    rows, best, classes = boxes.double().tolist(), scores.amax(dim=1).tolist(), scores.argmax(dim=1).tolist()
    kept: list[int] = []
    for index in sorted(range(len(rows)), key=lambda index: (-best[index], index)):
        limits = [(iou(rows[index], rows[other]), 0.6 if classes[index] == classes[other] else 0.85) for other in kept]
        if best[index] > floor and all(overlap <= limit for overlap, limit in limits):
            kept.append(index)
    return kept[:count]


@pytest.mark.parametrize("count", [5, 60])
def test_suppression_equals_brute_force(count: int) -> None:
    boxes, scores = random_boxes(4, 150)
    found = suppress(boxes, scores, count=count, floor=0.22)
    for number in range(4):
        kept = brute_force(boxes[number], scores[number], count, 0.22)
        assert 5 <= len(kept) < 60
        assert found.valid[number].tolist() == [index < len(kept) for index in range(count)]
        assert torch.equal(found.boxes[number, : len(kept)], boxes[number, kept])
        assert torch.equal(found.scores[number, : len(kept)], scores[number, kept])


def test_only_the_most_probable_positions_are_considered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONSIDERED", 3)
    boxes = torch.tensor([[[0.1 * n, 0.0, 0.1 * n + 0.09, 1.0] for n in range(9)]])
    scores = torch.zeros(1, 9, CLASSES)
    scores[0, :, 0] = torch.linspace(0.1, 0.9, 9)
    found = suppress(boxes, scores, count=5, floor=0.0)
    assert found.valid[0].tolist() == [True] * 3 + [False] * 2
    assert torch.equal(found.boxes[0, :3], boxes[0, [8, 7, 6]])


def test_equal_scores_keep_the_first_position() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.52], [0.5, 0.5, 1.0, 1.0]]])
    scores = torch.zeros(1, 3, CLASSES)
    scores[..., 4] = 0.5
    assert torch.equal(suppress(boxes, scores, count=2, floor=0.1).boxes, boxes[:, [0, 2]])


def test_iou_by_hand() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 1.0, 1.0]]])
    expected = [[1, 1 / 7, 0, 0], [1 / 7, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(box_iou(boxes)[0], expected, atol=1e-6)
