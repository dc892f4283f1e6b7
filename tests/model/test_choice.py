"""The choice among candidates: on what it depends, on what it does not, and how it guides the mask."""

from dataclasses import replace

import pytest
import torch

from vlt.config import VLTConfig
from vlt.losses.candidate import candidate_loss
from vlt.model.build import build_model
from vlt.model.candidates import CandidateEncoder, CandidateInputs, Candidates
from vlt.model.choice import CERTAIN, NEVER, Choice, ChoiceGuide, Chooser, box_logits, paint_choice, relations
from vlt.model.detector import Detections
from vlt.model.language import TextFeatures
from vlt.model.vlt import VLT

CANDIDATE_TENSORS = ("boxes", "scores", "valid", "tokens", "cells")

TINY = {
    "image_size": (56, 56),
    "dim": 16,
    "heads": 2,
    "feedforward_dim": 32,
    "language": {"name": "gru", "hidden_dim": 8, "words": {"dim": 6}},
    "backbone": {
        "name": "dinov2",
        "architecture": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    },
    "candidates": {"dim": 16, "heads": 2, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2},
}


def _model(**switches: bool) -> VLT:
    torch.manual_seed(0)
    tiny = {**TINY, "candidates": {**TINY["candidates"], **switches}}
    return build_model(VLTConfig.model_validate(tiny), pretrained=False).eval()


def _chooser(**changes: object) -> Chooser:
    torch.manual_seed(0)
    sizes = {"text_dim": 6, "dim": 8, "heads": 2, "layers": 2, "num_queries": 3, "cells": True, "relations": True}
    return Chooser(**(sizes | changes), dropout=0.0).eval()


def _candidates(images: int = 3, count: int = 5) -> Candidates:
    torch.manual_seed(1)
    corner = torch.rand(images, count, 2) / 2
    boxes = torch.cat([corner, corner + 0.1 + torch.rand(images, count, 2) / 3], dim=2)
    return Candidates(
        boxes=boxes,
        scores=torch.rand(images, count, 80),
        valid=torch.ones(images, count, dtype=torch.bool),
        tokens=torch.randn(images, count, 8),
        cells=torch.randn(images, count, 4, 8),
    )


def _text(count: int, words: int = 4) -> TextFeatures:
    torch.manual_seed(2)
    states = torch.randn(count, words, 6)
    return TextFeatures(states, torch.ones(count, words, dtype=torch.bool), states)


def test_a_choice_does_not_depend_on_other_expressions_or_images() -> None:
    chooser, candidates, text, index = _chooser(), _candidates(), _text(4), torch.tensor([2, 0, 2, 1])
    together = chooser(candidates.select(index), text).logits
    for one, image in enumerate(index.tolist()):
        alone = Candidates(*(getattr(candidates, name)[image, None] for name in CANDIDATE_TENSORS))
        words = text.states[one, None]
        found = chooser(alone, TextFeatures(words, None, words)).logits
        torch.testing.assert_close(found[0], together[one], rtol=1e-4, atol=1e-5)


def test_padding_words_have_no_influence() -> None:
    chooser, candidates, text = _chooser(), _candidates(1), _text(1)
    padded = torch.cat([text.states, torch.randn(1, 3, 6)], dim=1)
    mask = torch.arange(7)[None] < 4
    found = chooser(candidates, TextFeatures(padded, mask, padded)).logits
    torch.testing.assert_close(found, chooser(candidates, text).logits, rtol=1e-4, atol=1e-5)


def test_the_order_of_candidates_does_not_matter() -> None:
    chooser, candidates, text, order = _chooser(), _candidates(1), _text(1), torch.tensor([3, 0, 4, 1, 2])
    moved = Candidates(*(getattr(candidates, name)[:, order] for name in CANDIDATE_TENSORS))
    first, second = chooser(candidates, text).logits, chooser(moved, text).logits
    torch.testing.assert_close(second[:, :5], first[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second[:, 5:], first[:, 5:], rtol=1e-4, atol=1e-5)


def test_a_candidate_that_is_not_valid_is_never_chosen_and_has_no_influence() -> None:
    chooser, candidates, text = _chooser(), _candidates(1), _text(1)
    candidates = replace(candidates, valid=torch.tensor([[True, True, True, False, False]]))
    noise = {name: getattr(candidates, name).clone() for name in ("tokens", "cells", "boxes")}
    noise["tokens"][:, 3:], noise["cells"][:, 3:], noise["boxes"][:, 3:] = 9, -9, torch.tensor([0.0, 0.0, 1.0, 1.0])
    first, second = (chooser(each, text).logits for each in (candidates, replace(candidates, **noise)))
    assert (first[:, 3:5] == NEVER).all()
    torch.testing.assert_close(first, second)
    fewer = Candidates(*(getattr(candidates, name)[:, :3] for name in CANDIDATE_TENSORS))
    torch.testing.assert_close(chooser(fewer, text).logits, first[:, [0, 1, 2, 5, 6]], rtol=1e-4, atol=1e-5)
    nothing = chooser(replace(candidates, valid=torch.zeros(1, 5, dtype=torch.bool)), text)
    assert nothing.logits.argmax() >= 5
    assert nothing.logits.isfinite().all()


@pytest.mark.parametrize(("switch", "part"), [("cells", "cells"), ("relations", "tokens")])
def test_a_switch_leaves_out_what_it_names(switch: str, part: str) -> None:
    candidates, text = _candidates(1), _text(1)
    changed = getattr(candidates, part).clone()
    changed[:, 1 if part == "tokens" else 0] *= -1
    for on in (False, True):
        chooser = _chooser(num_queries=0, **{switch: on})
        first, second = (
            chooser(each, text).logits[0, 0] for each in (candidates, replace(candidates, **{part: changed}))
        )
        assert torch.equal(first, second) != on


@pytest.mark.parametrize("part", ["tokens", "cells", "boxes"])
def test_without_relations_and_queries_other_candidates_have_no_influence(part: str) -> None:
    """The queries are generated from all candidates, so that either of the two lets others in."""
    candidates, text = _candidates(1), _text(1)
    changed = getattr(candidates, part).clone()
    changed[:, 1] = changed[:, 1] * 0.5
    other = replace(candidates, **{part: changed})
    for relations_on, num_queries in ((False, 0), (True, 0), (False, 3)):
        chooser = _chooser(relations=relations_on, num_queries=num_queries)
        first, second = (chooser(each, text).logits[0] for each in (candidates, other))
        apart = not torch.equal(first[0], second[0])
        assert apart == (relations_on or (num_queries > 0 and part != "boxes")), (relations_on, num_queries)


def test_without_queries_none_are_generated() -> None:
    assert _chooser().readings is not None
    assert not any("readings" in name for name in _chooser(num_queries=0).state_dict())


def test_words_and_their_order_matter() -> None:
    chooser, candidates, text = _chooser(num_queries=0), _candidates(1), _text(1)  # queries add positions of their own
    first = chooser(candidates, text).logits
    for states in (text.states.flip(1), text.states * 0.5):
        assert (chooser(candidates, replace(text, states=states)).logits - first).abs().max() > 1e-4


def test_a_choice_is_the_same_with_and_without_gradients() -> None:
    """Without gradients, torch takes another path through the layer over the words."""
    chooser, candidates, text = _chooser(), _candidates(2), _text(2)
    text = replace(text, mask=torch.tensor([[True] * 4, [True, True, False, False]]))
    with_gradients = chooser(candidates, text).logits
    with torch.no_grad():
        torch.testing.assert_close(chooser(candidates, text).logits, with_gradients.detach(), rtol=1e-4, atol=1e-5)


def test_the_order_of_detections_does_not_matter() -> None:
    """Boxes, class probabilities, cells and colours move together, with one that is not valid among them."""
    candidates, text, order = _candidates(1), _text(1), torch.tensor([3, 0, 4, 1, 2])
    torch.manual_seed(3)
    detections = Detections(
        candidates.boxes, torch.rand(1, 5, 80) ** 8, torch.tensor([[True, True, False, True, True]])
    )
    inputs = CandidateInputs(detections, torch.randn(1, 5, 4, 6), torch.rand(1, 5, 4, 12))
    moved = CandidateInputs(
        Detections(*(x[:, order] for x in detections)), inputs.cells[:, order], inputs.colours[:, order]
    )
    encoder = CandidateEncoder(
        channels=6, dim=8, grid=2, categories=True, standing=True, colours=True, cells=True, dropout=0.0
    ).eval()
    first, second = (_chooser()(encoder(each), text).logits for each in (inputs, moved))
    torch.testing.assert_close(second[:, :5], first[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second[:, 5:], first[:, 5:], rtol=1e-4, atol=1e-5)
    assert (first[:, :5].diff().abs() > 1e-4).all()  # candidates are told apart


def test_relations_say_where_the_other_box_lies() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 0.2, 0.4], [0.5, 0.1, 0.9, 0.3]]])
    right, down, distance, wider, taller, own, others, same = relations(boxes)[0, 0, 1].tolist()
    assert (right, down) == pytest.approx((1.2, 0.0))
    assert distance == pytest.approx(1.2)
    assert wider > 0 > taller
    assert (own, others, same) == (0, 0, 0)
    assert relations(boxes)[0, 1, 1].tolist() == pytest.approx([0, 0, 0, 0, 0, 1, 1, 1])


def _certain(outcome: int, boxes: list[list[float]]) -> Choice:
    logits = torch.full((1, len(boxes) + 2), -CERTAIN)
    logits[0, outcome] = CERTAIN
    return Choice(logits, torch.tensor([boxes]), torch.ones(1, len(boxes), dtype=torch.bool))


def test_a_choice_is_painted_with_its_area() -> None:
    boxes = [[0.13, 0.2, 0.61, 0.9], [0.0, 0.0, 0.3, 0.3]]
    painted = paint_choice(_certain(0, boxes), (10, 7))
    assert painted[0, 0].mean().item() == pytest.approx(0.48 * 0.7, abs=1e-5)
    assert painted[0, 0].max().item() == pytest.approx(1)
    assert not paint_choice(_certain(2, boxes), (10, 7)).gt(1e-6).any()  # nothing there
    other = paint_choice(_certain(3, boxes), (10, 7))  # no candidate
    assert other[0, 0].max() < 1e-6
    assert other[0, 1].min() > 0.999


def test_a_distribution_is_painted_with_the_area_of_each_box() -> None:
    candidates = _candidates()
    choice = Choice(torch.randn(3, 7), candidates.boxes, candidates.valid)
    probability = choice.logits.softmax(dim=1)
    areas = (candidates.boxes[..., 2:] - candidates.boxes[..., :2]).prod(dim=-1)
    for size in ((5, 8), (32, 3), (1, 1)):
        painted = paint_choice(choice, size)
        assert painted.shape == (3, 2, *size)
        torch.testing.assert_close(painted[:, 0].mean(dim=(1, 2)), (probability[:, :5] * areas).sum(dim=1))
        assert torch.equal(painted[:, 1], probability[:, 6, None, None].expand(3, *size))
        assert 0 <= painted.min() <= painted.max() <= 1 + 1e-6


def test_a_box_is_painted_where_it_lies() -> None:
    painted = paint_choice(_certain(0, [[0.25, 0.5, 0.5, 0.8]]), (5, 8))[0, 0]
    expected = torch.zeros(5, 8)
    expected[2, 2:4], expected[3, 2:4] = 0.5, 1.0  # rows 2.5 to 4, columns 2 to 4
    torch.testing.assert_close(painted, expected, rtol=0, atol=1e-5)


def test_a_filled_box_holds_the_positions_more_than_half_inside() -> None:
    height, width = 9, 13
    for box in _candidates(4, 5).boxes.flatten(0, 1).tolist():
        found = box_logits(_certain(0, [box]), (height, width))[0, 0]
        for row in range(height):
            for column in range(width):
                across = min(box[2] * width, column + 1) - max(box[0] * width, column)
                down = min(box[3] * height, row + 1) - max(box[1] * height, row)
                share = max(0.0, across) * max(0.0, down)
                if abs(share - 0.5) > 1e-4:
                    assert (found[row, column] > 0) == (share > 0.5), (box, row, column)


def test_the_box_of_a_certain_choice_is_filled() -> None:
    found = box_logits(_certain(0, [[0.25, 0.5, 0.75, 1.0]]), (8, 8))[0, 0] > 0
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[4:, 2:6] = True
    assert torch.equal(found, expected)
    assert not (box_logits(_certain(1, [[0.25, 0.5, 0.75, 1.0]]), (8, 8)) > 0).any()


def test_the_guide_changes_nothing_at_first_and_lets_no_gradient_reach_the_choice() -> None:
    choice = _certain(0, [[0.25, 0.5, 0.75, 1.0]])
    choice.logits.requires_grad_()
    memory, guide = torch.randn(1, 4, 6, 6), ChoiceGuide(dim=4)
    assert torch.equal(guide(memory, choice), memory)
    guide(memory, choice).sum().backward()
    assert choice.logits.grad is None
    assert guide.embed.weight.grad is not None


def test_choosing_alone_gives_the_choice_that_comes_with_the_mask() -> None:
    model, images, index = _model(), torch.rand(2, 3, 56, 56), torch.tensor([1, 0, 1])
    words, mask = torch.randn(3, 4, 6), torch.ones(3, 4, dtype=torch.bool)
    with_mask = model.segment(model.encode(images).select(index), words, mask).choice
    alone = model.choose(model.encode(images, masks=False).select(index), words, mask)
    assert with_mask is not None
    torch.testing.assert_close(alone.logits, with_mask.logits)
    assert alone.logits.shape == (3, 6)


CANCELLED = ("key.bias", "pool.bias", "score.bias")
"""Biases that a softmax cancels: their gradient is zero but for rounding, which differs between machines."""


@pytest.mark.parametrize("off", [(), ("cells",), ("relations",), ("cells", "relations"), ("cells", "colours")])
def test_the_loss_of_the_choice_reaches_all_of_encoder_and_chooser_and_nothing_of_the_detector(off) -> None:
    model = _model(**dict.fromkeys(off, False)).train()
    features = model.encode(torch.rand(2, 3, 56, 56), masks=False)
    choice = model.choose(features, torch.randn(2, 4, 6))
    targets = torch.tensor([[[0.2, 0.2, 0.7, 0.7]]]).expand(2, -1, -1)
    loss = candidate_loss(choice.logits, choice.boxes, choice.valid, targets, torch.tensor([[True], [False]]), 0.1)
    loss.backward()
    for name, each in model.named_parameters():
        part = name.split(".")[0]
        if part in ("candidate_encoder", "chooser"):
            assert each.grad is not None, name
            assert each.grad.any() or name.endswith(CANCELLED), name
        assert part not in ("detector", "choice_guide", "mask_decoder", "fusion") or each.grad is None, name


def test_what_a_switch_leaves_out_does_not_change_the_weights_drawn_before_it() -> None:
    whole, parted = (_model(**switches).state_dict() for switches in ({}, {"cells": False, "relations": False}))
    left_out = {name for name in whole if name not in parted}
    assert {name.split(".")[0] for name in left_out} == {"candidate_encoder", "chooser"}
    assert {"candidate_encoder.cell_place", "chooser.layers.0.norms.1.weight"} < left_out
    assert torch.equal(parted["candidate_encoder.pooled.1.weight"], whole["candidate_encoder.pooled.1.weight"])


def test_steps_on_the_loss_of_the_choice_teach_it() -> None:
    """Two expressions about one image learn to name two candidates."""
    candidates, text, chooser = _candidates(1), _text(2), _chooser().train()
    both = candidates.select(torch.tensor([0, 0]))
    targets = candidates.boxes[0, [1, 3], None]
    optimizer = torch.optim.Adam(chooser.parameters(), lr=0.01)
    for _ in range(40):
        choice = chooser(both, text)
        loss = candidate_loss(choice.logits, choice.boxes, choice.valid, targets, torch.tensor([[True], [True]]), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert chooser.eval()(both, text).logits.argmax(dim=1).tolist() == [1, 3]
