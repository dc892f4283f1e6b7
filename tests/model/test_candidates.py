import pytest
import torch
from torch import Tensor

from vlt.model.candidates import (
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
    chosen = {"categories": True, "standing": True, "colours": True} | switches
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
        numbers += [smaller / max(1, smaller + larger) * 2 - 1, float(not smaller), float(not larger)]
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


def test_expressions_are_found_again_after_arranging_them_by_image() -> None:
    index = torch.tensor([2, 0, 2, 2, 0])  # unsorted, and none about image 1
    values = torch.arange(5) * 10
    rows, places = Candidates(torch.zeros(3, 4, 4), *3 * [torch.zeros(3, 4)], index=index).by_image()
    assert rows.shape == (3, 3)
    assert torch.equal(values[rows].flatten()[places], values)
    for expression, image in enumerate(index.tolist()):
        assert expression in rows[image].tolist()


def test_selecting_twice_selects_from_the_selection() -> None:
    candidates = Candidates(torch.zeros(3, 4, 4), *3 * [torch.zeros(3, 4)])
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


def test_shared_dropout_drops_whole_channels_while_training_only() -> None:
    torch.manual_seed(0)
    drop, x = SharedDropout(0.5), torch.ones(4, 3, 2, 16)
    dropped = drop(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1])
    assert torch.equal(drop.eval()(x), x)
