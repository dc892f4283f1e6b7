"""Candidates before any words are read: sampling, ranks, grouping by image and encoding."""

import math

import pytest
import torch
from torch import Tensor

from vlt.model.candidates import (
    COLOUR_SAMPLES,
    COLOUR_STRIDE,
    KIND_FLOOR,
    CandidateEncoder,
    CandidateInputs,
    Candidates,
    sample_boxes,
    standings,
)
from vlt.model.detector import Detections
from vlt.model.layers import BOX_CHANNELS, SharedDropout, box_encoding

BOXES = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.6, 0.2, 0.9, 0.5], [0.3, 0.5, 0.6, 0.9]])


def _detections(count: int = 3) -> Detections:
    scores = torch.zeros(1, count, 80)
    scores[0, :, 4] = 0.8
    return Detections(BOXES[None, :count], scores, torch.ones(1, count, dtype=torch.bool))


def _encoder(**switches: bool) -> CandidateEncoder:
    chosen = {"categories": True, "standing": True, "colours": True, "cells": True} | switches
    torch.manual_seed(0)
    return CandidateEncoder(channels=5, dim=8, grid=2, dropout=0.0, **chosen)


def _inputs() -> CandidateInputs:
    torch.manual_seed(1)
    maps, images = (torch.randn(1, 3, 8, 8), torch.randn(1, 2, 4, 4)), torch.rand(1, 3, 56, 56)
    return _encoder().gather(_detections(), maps, images)


def test_a_ramp_is_sampled_exactly_at_the_centres_of_the_cells() -> None:
    side = 64
    centres = (torch.arange(side) + 0.5) / side
    ramp = torch.stack([centres.expand(side, side), centres[:, None].expand(side, side)])[None]  # x, then y
    found = sample_boxes(ramp, BOXES[None], 3)
    for box, cells in zip(BOXES, found[0], strict=True):
        for place, (x, y) in enumerate(cells):
            row, column = divmod(place, 3)
            assert x.item() == pytest.approx((box[0] + (column + 0.5) / 3 * (box[2] - box[0])).item(), abs=1e-5)
            assert y.item() == pytest.approx((box[1] + (row + 0.5) / 3 * (box[3] - box[1])).item(), abs=1e-5)


def _bilinear(x: Tensor, row: float, column: float) -> Tensor:
    """Value of a map (C, h, w) between the centres of four positions, which beyond the edge repeat."""
    total = torch.zeros(len(x))
    top, left = math.floor(row), math.floor(column)
    for i in (top, top + 1):
        for j in (left, left + 1):
            weight = (1 - abs(row - i)) * (1 - abs(column - j))
            total += weight * x[:, min(max(i, 0), x.shape[1] - 1), min(max(j, 0), x.shape[2] - 1)]
    return total


def _sample(x: Tensor, box: list[float], grid: int) -> Tensor:
    """`sample_boxes` of one box of one map (C, h, w), by loops: (grid, grid, C)."""
    height, width = x.shape[1:]
    found = torch.zeros(grid, grid, len(x))
    for i in range(grid):
        for j in range(grid):
            across = box[0] + (j + 0.5) / grid * (box[2] - box[0])
            down = box[1] + (i + 0.5) / grid * (box[3] - box[1])
            found[i, j] = _bilinear(x, down * height - 0.5, across * width - 0.5)
    return found


def test_sampling_is_that_of_a_loop_on_maps_of_any_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 5, 8, generator=generator)
    boxes = torch.cat([BOXES, torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.97, 0.0, 1.0, 0.02]])]).expand(2, -1, -1)
    found = sample_boxes(maps, boxes, 3)
    for image in range(2):
        for place, box in enumerate(boxes[image].tolist()):
            torch.testing.assert_close(
                found[image, place], _sample(maps[image], box, 3).flatten(0, 1), rtol=1e-4, atol=1e-5
            )


def test_colours_lie_row_by_row_in_each_cell() -> None:
    images = torch.rand(1, 3, 7 * COLOUR_STRIDE, 4 * COLOUR_STRIDE, generator=torch.Generator().manual_seed(0))
    colours = _encoder().gather(_detections(), (torch.zeros(1, 5, 2, 2),), images).colours
    palette = torch.nn.functional.avg_pool2d(images, COLOUR_STRIDE)[0]
    for box, cells in zip(BOXES.tolist(), colours[0], strict=True):
        fine = _sample(palette, box, 2 * COLOUR_SAMPLES)
        for cell, found in enumerate(cells):
            row, column = (COLOUR_SAMPLES * start for start in divmod(cell, 2))
            expected = fine[row : row + COLOUR_SAMPLES, column : column + COLOUR_SAMPLES].flatten()
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_cells_hold_the_channels_of_all_maps_in_order() -> None:
    torch.manual_seed(1)
    maps = (torch.randn(1, 3, 8, 8), torch.randn(1, 2, 4, 4))
    cells = _encoder().gather(_detections(), maps, torch.rand(1, 3, 56, 56)).cells
    assert cells.shape == (1, 3, 4, 5)
    assert torch.equal(cells[..., :3], sample_boxes(maps[0], BOXES[None], 2))
    assert torch.equal(cells[..., 3:], sample_boxes(maps[1], BOXES[None], 2))


def test_each_cell_has_its_own_colours() -> None:
    """A picture that is red in its left half and blue in its right half, under one box that covers it."""
    images = torch.zeros(1, 3, 56, 56)
    images[:, 0, :, :28], images[:, 2, :, 28:] = 1, 1
    whole = Detections(
        torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]), torch.zeros(1, 1, 80), torch.ones(1, 1, dtype=torch.bool)
    )
    colours = _encoder().gather(whole, (torch.zeros(1, 5, 4, 4),), images).colours[0, 0]  # 2 x 2 cells, 2 x 2 places
    for cell, rgb in zip(colours, ((1, 0, 0), (0, 0, 1), (1, 0, 0), (0, 0, 1)), strict=True):
        assert torch.equal(cell.view(4, 3), torch.tensor(rgb).expand(4, 3).float())


def _standing(boxes: Tensor, scores: Tensor, valid: Tensor, one: int) -> list[float]:
    """`standings` of one candidate, by loops."""
    best, kind = scores.max(dim=1)
    rivals = [
        other
        for other in range(len(boxes))
        if other != one and valid[other] and best[other] > KIND_FLOOR and kind[other] == kind[one]
    ]
    numbers: list[float] = []
    for value in (
        lambda box: box[0] + box[2],
        lambda box: box[1] + box[3],
        lambda box: (box[2] - box[0]) * (box[3] - box[1]),
    ):
        smaller = sum(bool(value(boxes[other]) < value(boxes[one])) for other in rivals)
        larger = sum(bool(value(boxes[other]) > value(boxes[one])) for other in rivals)
        numbers += [(smaller - larger) / max(1, smaller + larger), float(not smaller), float(not larger)]
    count = torch.tensor(1.0 + len(rivals))
    return [*numbers, count.log().item(), float(len(rivals) == 0), best[one].item()]


def test_standings_are_those_of_a_loop_over_rivals() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        corner, extent = torch.rand(2, 6, 2, generator=generator)
        boxes = torch.cat([corner, corner + extent], dim=1)
        scores = torch.rand(6, 3, generator=generator) ** 4  # some below the floor
        valid = torch.rand(6, generator=generator) > 0.3
        found = standings(boxes[None], scores[None], valid[None])[0]
        for one, row in enumerate(found):
            torch.testing.assert_close(row, torch.tensor(_standing(boxes, scores, valid, one)))


def test_candidates_of_equal_rank_share_both_ends() -> None:
    boxes = torch.tensor([[[0.25, 0.0, 0.5, 0.25], [0.25, 0.5, 0.5, 0.75]]])
    scores = torch.tensor([[[0.9, 0.0], [0.8, 0.0]]])
    first, second = standings(boxes, scores, torch.ones(1, 2, dtype=torch.bool))[0]
    alike = [0.0, 1.0, 1.0]  # neither is left of the other
    assert first.tolist() == pytest.approx([*alike, -1, 1, 0, *alike, math.log(2), 0, 0.9], abs=1e-6)
    assert second.tolist() == pytest.approx([*alike, 1, 0, 1, *alike, math.log(2), 0, 0.8], abs=1e-6)


def test_a_candidate_without_rivals_has_the_middle_rank() -> None:
    alone = standings(BOXES[None, :1], torch.tensor([[[0.9, 0.0]]]), torch.ones(1, 1, dtype=torch.bool))[0, 0]
    assert alone.tolist() == pytest.approx([0, 1, 1] * 3 + [0, 1, 0.9])


@pytest.mark.parametrize("change", ["valid", "improbable", "another kind"])
def test_what_is_no_rival_changes_no_standing(change: str) -> None:
    scores, valid = torch.tensor([[[0.9, 0.0], [0.8, 0.0], [0.7, 0.0]]]), torch.ones(1, 3, dtype=torch.bool)
    among_three = standings(BOXES[None], scores, valid)[0, :2]
    if change == "valid":
        valid[0, 2] = False
    else:
        scores[0, 2] = torch.tensor([KIND_FLOOR - 0.01, 0.0] if change == "improbable" else [0.0, 0.7])
    found = standings(BOXES[None], scores, valid)[0, :2]
    assert torch.equal(found, standings(BOXES[None, :2], scores[:, :2], valid[:, :2])[0])
    assert not torch.equal(found, among_three)


def test_expressions_are_found_again_after_arranging_them_by_image() -> None:
    index = torch.tensor([2, 0, 2, 2, 0])  # unsorted, and none about image 1
    values = torch.arange(5) * 10
    rows, places = Candidates(torch.zeros(3, 4, 4), *4 * [torch.zeros(3, 4)], index=index).by_image()
    assert rows.shape == (3, 3)
    assert torch.equal(values[rows].flatten()[places], values)
    for expression, image in enumerate(index.tolist()):
        assert expression in rows[image].tolist()


def test_grouping_by_image_can_be_undone_for_any_index() -> None:
    generator = torch.Generator().manual_seed(0)
    for expressions in (1, 2, 7, 12):
        for images in (1, 3, 9):
            index = torch.randint(images, (expressions,), generator=generator)
            rows, places = Candidates(torch.zeros(images, 4, 4), *4 * [torch.zeros(images, 4)], index=index).by_image()
            assert rows.shape == (images, index.bincount().max())
            assert torch.equal(rows.flatten()[places], torch.arange(expressions))
            assert torch.equal(places // rows.shape[1], index)
    rows, places = Candidates(torch.zeros(3, 4, 4), *4 * [torch.zeros(3, 4)]).by_image()  # one expression each
    assert rows.tolist() == [[0], [1], [2]]
    assert places.tolist() == [0, 1, 2]


def test_selecting_twice_selects_from_the_selection() -> None:
    candidates = Candidates(torch.zeros(3, 4, 4), *4 * [torch.zeros(3, 4)])
    twice = candidates.select(torch.tensor([2, 0, 1])).select(torch.tensor([0, 0, 2]))
    assert twice.of_expressions(torch.tensor([5, 6, 7])).tolist() == [7, 7, 6]


@pytest.mark.parametrize("switch", ["categories", "standing", "colours"])
def test_a_switch_leaves_out_what_it_names(switch: str) -> None:
    inputs = _inputs()
    detections = inputs.detections
    other = {
        "categories": CandidateInputs(
            detections._replace(scores=detections.scores * 0.9), inputs.cells, inputs.colours
        ),
        "standing": CandidateInputs(
            detections._replace(valid=torch.tensor([[True, False, False]])), inputs.cells, inputs.colours
        ),
        "colours": CandidateInputs(detections, inputs.cells, 1 - inputs.colours),
    }[switch]
    without = dict.fromkeys(("categories", "standing", "colours"), False)
    for on in (False, True):
        encoder = _encoder(**(without | {switch: on}))
        first, second = encoder(inputs), encoder(other)
        same = torch.equal(first.tokens[:, 0], second.tokens[:, 0]) and torch.equal(first.cells, second.cells)
        assert same != on


def test_boxes_are_encoded_to_about_unit_scale_and_apart() -> None:
    encoded = box_encoding(BOXES)
    assert encoded.shape == (3, BOX_CHANNELS)
    assert encoded.abs().max() <= 1
    assert (encoded[0] - box_encoding(BOXES + 0.01)[0]).abs().max() > 0.1


def test_the_encoding_of_a_box_begins_with_sides_centre_and_size() -> None:
    encoded = box_encoding(torch.tensor([0.1, 0.2, 0.5, 0.8]))
    numbers = [-0.8, -0.6, 0.0, 0.6, -0.4, 0.0, -0.2, 0.2]  # x1, y1, x2, y2, x, y, width, height, from -1 to 1
    assert encoded[:8].tolist() == pytest.approx(numbers, abs=1e-6)
    for octave in range(BOX_CHANNELS // 8 - 1):
        waves = [math.sin(number * math.pi * 2**octave) for number in numbers]
        assert encoded[8 * (octave + 1) :][:8].tolist() == pytest.approx(waves, abs=1e-5)


def test_candidates_are_encoded_each_for_itself() -> None:
    """The order moves along; what is not valid is only in its own place."""
    encoder, inputs, order = _encoder(), _inputs(), torch.tensor([2, 0, 1])
    boxes, scores, valid = inputs.detections
    valid = torch.tensor([[True, False, True]])
    inputs = CandidateInputs(Detections(boxes, scores, valid), inputs.cells, inputs.colours)
    first = encoder(inputs)
    moved = encoder(
        CandidateInputs(
            Detections(*(x[:, order] for x in inputs.detections)), inputs.cells[:, order], inputs.colours[:, order]
        )
    )
    for name in ("boxes", "valid", "tokens", "cells"):
        torch.testing.assert_close(getattr(moved, name), getattr(first, name)[:, order])
    boxes, scores, cells, colours = (x.clone() for x in (boxes, scores, inputs.cells, inputs.colours))
    boxes[:, 1], scores[:, 1], cells[:, 1], colours[:, 1] = BOXES[2] / 2, 0.3, 7, 0
    other = encoder(CandidateInputs(Detections(boxes, scores, valid), cells, colours))
    assert torch.equal(other.tokens[:, ::2], first.tokens[:, ::2])
    assert torch.equal(other.cells[:, ::2], first.cells[:, ::2])
    assert not torch.allclose(other.tokens[:, 1], first.tokens[:, 1])


def test_shared_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    for shape in ((2000, 8), (2000, 3, 8)):
        dropped = SharedDropout(0.25)(torch.ones(shape))
        assert dropped.mean().item() == pytest.approx(1, abs=0.03)
        assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    x = torch.randn(2, 3, 4)
    assert torch.equal(SharedDropout(0.0)(x), x)


def test_shared_dropout_drops_whole_channels_while_training_only() -> None:
    torch.manual_seed(0)
    drop, x = SharedDropout(0.5), torch.ones(4, 3, 2, 16)
    dropped = drop(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1])
    assert torch.equal(drop.eval()(x), x)
