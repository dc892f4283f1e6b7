"""Runs of networks with candidates, with a detector of random weights."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlt.checkpoint import load_checkpoint, read_pointer
from vlt.errors import CheckpointError
from vlt.infer.torch_engine import torch_predictor
from vlt.model.detector import Detector
from vlt.model.vlt import VLT
from vlt.train import learner, train
from vlt.train.setup import CANDIDATE_PARTS, build_network, load_start

CANDIDATES = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}


def _candidates(small, folder, *, model=None, **sections):
    return small(folder, model={"candidates": CANDIDATES, **(model or {})}, loss={"candidate": 1.0}, **sections)


def _weights(run):
    return load_file(run / "checkpoints" / read_pointer(run, "last") / "weights.safetensors")


def test_a_run_of_the_choice_alone_changes_nothing_else(small, tmp_path):
    start = small(tmp_path / "start", train={"epochs": 1})
    train(start)
    config = _candidates(
        small,
        tmp_path / "run",
        model={"backbone": {**start.model.backbone.model_dump(), "trainable_blocks": 0}},
        train={
            "epochs": 1,
            "only": "candidates",
            "start_from": str(tmp_path / "start"),
            "map_cache": str(tmp_path / "maps"),
        },
    )
    train(config)
    before, after = _weights(tmp_path / "start"), _weights(tmp_path / "run")
    new = {name for name in after if name.split(".")[0] in (*CANDIDATE_PARTS, "detector", "choice_guide")}
    assert after.keys() - before.keys() == new
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not after["choice_guide.embed.weight"].any()  # the masks stay what they were
    torch.manual_seed(config.seed)
    untrained = build_network(config, load_start(config.train.start_from)).state_dict()
    assert any(not torch.equal(after[name], untrained[name]) for name in new if name.startswith("chooser"))


def test_a_run_of_the_masks_alone_leaves_the_choice_as_it_is(small, tmp_path):
    train(_candidates(small, tmp_path / "start", train={"epochs": 1}))
    train(_candidates(small, tmp_path / "run", train={"epochs": 1, "only": "masks", "start_from": tmp_path / "start"}))
    before, after = _weights(tmp_path / "start"), _weights(tmp_path / "run")
    changed = {name.split(".")[0] for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed >= {"mask_decoder", "choice_guide", "transformer"}
    assert not changed & {*CANDIDATE_PARTS, "detector"}
    history = (tmp_path / "run" / "history.jsonl").read_text()
    assert '"bce"' in history
    assert '"candidate"' not in history


def test_a_run_of_everything_trains_masks_and_choice(small, tmp_path):
    train(_candidates(small, tmp_path / "run", train={"epochs": 1}))
    history = (tmp_path / "run" / "history.jsonl").read_text()
    assert '"candidate"' in history
    assert '"bce"' in history
    loaded = load_checkpoint(tmp_path / "run", "cpu")
    engine = torch_predictor(loaded.model, loaded.text, loaded.config).engine
    output = engine.segment(
        engine.encode(torch.rand(1, 3, 64, 64).numpy()),
        torch.zeros(1, dtype=torch.int64).numpy(),
        torch.rand(1, 2, 8).numpy(),
        torch.ones(1, 2, dtype=torch.bool).numpy(),
    )
    assert output.outcomes.shape == (1, CANDIDATES["count"] + 2)


def test_the_detector_is_read_from_its_folder_for_a_start_without_candidates(small, tmp_path):
    train(small(tmp_path / "start", train={"epochs": 1}))
    detector = Detector(width=0.0625, count=4)
    (tmp_path / "detector").mkdir()
    save_file(detector.state_dict(), tmp_path / "detector" / "weights.safetensors")
    chosen = {"candidates": {**CANDIDATES, "detector": str(tmp_path / "detector")}}
    config = small(
        tmp_path / "run", model=chosen, loss={"candidate": 1.0}, train={"start_from": str(tmp_path / "start")}
    )
    model = build_network(config, load_start(config.train.start_from))
    for name, tensor in detector.state_dict().items():
        assert torch.equal(model.state_dict()[f"detector.{name}"], tensor)
    (tmp_path / "detector" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"The detector .* does not exist; tools/README.md says how to make it"):
        build_network(config, load_start(config.train.start_from))


def test_with_foreign_every_expression_is_read_about_an_image_that_it_is_foreign_to_and_matches_nothing_there(
    small, tmp_path, monkeypatch
):
    losses, read = [], []
    choose, loss_of = VLT.choose, learner.candidate_loss

    def spy_choose(self, features, words, word_mask=None):
        read.append((features.candidates.index, words))
        return choose(self, features, words, word_mask)

    def spy_loss(logits, boxes, valid, targets, target_mask, smoothing):
        losses.append(target_mask.any(dim=1))
        return loss_of(logits, boxes, valid, targets, target_mask, smoothing)

    def foreign(right, target_mask, scores, index):
        return torch.arange(len(scores)) == (index[:, None] + 1) % len(scores)  # the next image

    monkeypatch.setattr(VLT, "choose", spy_choose)
    monkeypatch.setattr(learner, "candidate_loss", spy_loss)
    monkeypatch.setattr(learner, "foreign_images", foreign)
    train(
        small(
            tmp_path / "run",
            model={"candidates": CANDIDATES},
            loss={"candidate": 1.0, "foreign": 1.0},
            train={"epochs": 1, "only": "candidates"},
        )
    )
    (own, words), (other, same) = read[:2]
    assert (other == (own + 1) % (own.max() + 1)).all()
    assert torch.equal(words, same)
    assert losses[0].all()
    assert not losses[1].any()


def test_mixed_precision_neither_moves_the_detections_nor_stops_the_foreign_expressions(small, tmp_path, monkeypatch):
    found, detect = [], Detector.forward

    def spy(self, images):
        found.append((images, detect(self, images), torch.is_autocast_enabled("cpu")))
        return found[-1][1]

    monkeypatch.setattr(Detector, "forward", spy)

    def everywhere(right, target_mask, scores, index):
        return torch.ones(len(right), len(scores)) > 0

    monkeypatch.setattr(learner, "foreign_images", everywhere)
    config = small(
        tmp_path / "run",
        model={"candidates": CANDIDATES},
        loss={"candidate": 1.0, "foreign": 1.0},
        train={"epochs": 1, "precision": "bf16"},
    )
    train(config)
    detector = load_checkpoint(tmp_path / "run", "cpu").model.detector
    images, detections, is_lowered = found[0]
    assert not is_lowered
    with torch.no_grad():
        for one, other in zip(detections, detect(detector, images), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("only", ["candidates", None])
def test_each_target_of_an_expression_reaches_the_loss(small, tmp_path, monkeypatch, only):
    """Scenes are small, so that most have one kind with several shapes; batches are padded to the most targets."""
    given, loss_of = [], learner.candidate_loss

    def spy(logits, boxes, valid, targets, target_mask, smoothing):
        given.append((targets, target_mask))
        return loss_of(logits, boxes, valid, targets, target_mask, smoothing)

    monkeypatch.setattr(learner, "candidate_loss", spy)
    data = {"several": 0.6, "absent": 0.2, "flip": 0.5}
    train(_candidates(small, tmp_path / "run", data=data, train={"epochs": 1, "only": only}))
    counts = torch.cat([mask.sum(dim=1) for _, mask in given])
    assert {0, 1, 2} <= set(counts.tolist())
    for targets, mask in given:
        assert targets.shape[:2] == mask.shape
        assert mask.shape[1] == mask.sum(dim=1).max()
        assert (targets[mask][:, 2:] > targets[mask][:, :2]).all()
        assert not targets[~mask].any()
