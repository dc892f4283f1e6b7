from dataclasses import replace

import pytest
import torch

from vlt.config import VLTConfig
from vlt.errors import CheckpointError
from vlt.model.build import build_model, load_detector
from vlt.model.candidates import Candidates
from vlt.model.choice import CERTAIN, NEVER, Choice, ChoiceGuide, Chooser, box_logits, paint_choice, relations
from vlt.model.detector import Detector
from vlt.model.language import TextFeatures
from vlt.model.vlt import VLT

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


def _model() -> VLT:
    torch.manual_seed(0)
    return build_model(VLTConfig.model_validate(TINY), pretrained=False).eval()


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
        alone = Candidates(*(getattr(candidates, name)[image, None] for name in ("boxes", "valid", "tokens", "cells")))
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
    moved = Candidates(*(getattr(candidates, name)[:, order] for name in ("boxes", "valid", "tokens", "cells")))
    first, second = chooser(candidates, text).logits, chooser(moved, text).logits
    torch.testing.assert_close(second[:, :5], first[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second[:, 5:], first[:, 5:], rtol=1e-4, atol=1e-5)


def test_a_candidate_that_is_not_valid_is_never_chosen_and_has_no_influence() -> None:
    chooser, candidates, text = _chooser(), _candidates(1), _text(1)
    candidates = replace(candidates, valid=torch.tensor([[True, True, True, False, False]]))
    other = candidates.tokens.clone()
    other[:, 3:] = 9
    first, second = (chooser(each, text).logits for each in (candidates, replace(candidates, tokens=other)))
    assert (first[:, 3:5] == NEVER).all()
    torch.testing.assert_close(first, second)


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


def test_presence_is_the_probability_that_something_matches() -> None:
    boxes = [[0.0, 0.0, 1.0, 1.0]]
    assert [_certain(outcome, boxes).presence().item() for outcome in range(3)] == pytest.approx([1, 0, 1])


def test_choosing_alone_gives_the_choice_that_comes_with_the_mask() -> None:
    model, images, index = _model(), torch.rand(2, 3, 56, 56), torch.tensor([1, 0, 1])
    words, mask = torch.randn(3, 4, 6), torch.ones(3, 4, dtype=torch.bool)
    with_mask = model.segment(model.encode(images).select(index), words, mask).choice
    alone = model.choose(model.encode(images, masks=False).select(index), words, mask)
    assert with_mask is not None
    torch.testing.assert_close(alone.logits, with_mask.logits)
    assert alone.logits.shape == (3, 6)


def test_parts_that_are_not_named_stay_frozen_whatever_the_mode() -> None:
    model = _model()
    model.train_only(["chooser"])
    model.train()
    assert {name.split(".")[0] for name, each in model.named_parameters() if each.requires_grad} == {"chooser"}
    assert {name for name, part in model.named_children() if part.training} == {"chooser"}


def test_a_loss_on_the_choice_trains_encoder_and_chooser_but_not_the_detector() -> None:
    model = _model()
    features = model.encode(torch.rand(1, 3, 56, 56), masks=False)
    model.choose(features, torch.randn(1, 4, 6)).logits[0, -1].backward()
    trained = {name.split(".")[0] for name, each in model.named_parameters() if each.grad is not None}
    assert {"candidate_encoder", "chooser"} <= trained
    assert "detector" not in trained


def test_a_detector_that_cannot_be_loaded_is_refused(tmp_path) -> None:
    detector, path = Detector(width=0.0625), tmp_path / "weights.safetensors"
    with pytest.raises(CheckpointError, match=r"does not exist; tools/README.md says how to make it"):
        load_detector(detector, tmp_path)
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"cannot be loaded \(.*\); make it again"):
        load_detector(detector, tmp_path)
