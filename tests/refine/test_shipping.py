"""A refiner travels with a packed checkpoint, sharpens its answers, and can be left out."""

from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image as PILImage
from safetensors.torch import save_file

from vlt.checkpoint import describe_checkpoint, load_checkpoint, pack_checkpoint
from vlt.cli import main
from vlt.data.dataset import load_referrals
from vlt.errors import CheckpointError
from vlt.evaluate import evaluate
from vlt.predict import load
from vlt.refine.promptable import PromptableSegmenter

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random ones."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("refiner") / "refiner.safetensors"
    save_file(PromptableSegmenter().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def packed(weights, tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "checkpoint"
    pack_checkpoint(tiny_checkpoint, folder, refiner=weights)
    return folder


def test_it_is_packed_to_a_quarter(packed, weights):
    assert (packed / "refiner.safetensors").stat().st_size < weights.stat().st_size / 3.8


def test_packing_again_keeps_it(packed, tmp_path):
    pack_checkpoint(packed, tmp_path / "again")
    before, after = (load_checkpoint(folder).refiner.segmenter.state_dict() for folder in (packed, tmp_path / "again"))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-5, atol=1e-7)


def test_what_is_said_of_it(packed):
    facts = describe_checkpoint(load_checkpoint(packed))
    assert facts["parameters"]["refiner"] == sum(one.numel() for one in PromptableSegmenter().parameters())
    assert facts["files"]["refiner.safetensors"] > 9e6
    assert "refiner" not in describe_checkpoint(load_checkpoint(packed, refine=False))["parameters"]


def test_masks_come_from_it_and_scores_do_not(packed, monkeypatch):
    plain, sharp = load(packed, "cpu", refine=False), load(packed, "cpu")
    left_half = torch.where(torch.arange(256) < 128, 5.0, -5.0).expand(1, 256, 256)
    monkeypatch.setattr(sharp.refiner, "outline", lambda *_: left_half)
    [before], [after] = (each.predict(PHOTO, "circle", threshold=0.4) for each in (plain, sharp))
    assert plain.encode(PHOTO).outlines is None
    assert after.mask[:, :45].all()
    assert after.box == (0, 0, 45, 60) != before.box
    assert after.score == before.score


def test_a_photo_is_seen_by_it_once(packed):
    sharp = load(packed, "cpu")
    seen = sharp.encode(PHOTO)
    again, direct = (sharp.predict(photo, ["circle", "red square"], threshold=0.3) for photo in (seen, PHOTO))
    assert all(np.array_equal(one.mask, other.mask) for one, other in zip(again, direct, strict=True))


def test_an_evaluation_sharpens_with_it(packed, tiny_config, monkeypatch):
    loaded = load_checkpoint(packed)
    referrals = list(load_referrals(tiny_config.data, "val"))[:2]
    masks = []
    monkeypatch.setattr(loaded.refiner, "outline", lambda *_: torch.full((1, 256, 256), 5.0))
    judge = partial(evaluate, loaded.model, loaded.text, referrals, tiny_config)
    report = judge(refiner=loaded.refiner, on_sample=lambda outcome: masks.append(outcome.mask))
    assert (report.provenance.refined, judge().provenance.refined) == (True, False)
    mirrored = tiny_config.model_copy(update={"evaluate": tiny_config.evaluate.model_copy(update={"mirror": True})})
    as_published = partial(evaluate, loaded.model, loaded.text, referrals, mirrored, refiner=loaded.refiner)
    told = [as_published(protocol=name).provenance for name in ("vlt", "original")]
    assert [(each.refined, each.mirrored) for each in told] == [(True, True), (False, False)]
    assert masks
    assert all(mask.all() for mask in masks)


def test_the_command_line_can_leave_it_out(packed, tmp_path, monkeypatch):

    photo = tmp_path / "photo.png"
    PILImage.fromarray(PHOTO).save(photo)
    monkeypatch.setattr("vlt.refine.Refiner.see", lambda *_: pytest.fail("it was asked"))
    run = CliRunner().invoke(
        main, ["predict", str(photo), "circle", "--checkpoint", str(packed), "--json", "--no-refine"]
    )
    assert run.exit_code == 0, run.output


def test_other_weights_are_refused(tiny_checkpoint, tmp_path):
    save_file({"weight": torch.zeros(2, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors holds no weights of a refiner .*make it again"):
        pack_checkpoint(tiny_checkpoint, tmp_path / "packed", refiner=tmp_path / "other.safetensors")
    broken = {name: one * torch.nan for name, one in PromptableSegmenter().state_dict().items()}
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(CheckpointError, match=r"broken\.safetensors are not all finite"):
        pack_checkpoint(tiny_checkpoint, tmp_path / "packed", refiner=tmp_path / "broken.safetensors")
    assert not (tmp_path / "packed").exists()
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors is missing or damaged"):
        pack_checkpoint(tiny_checkpoint, tmp_path / "packed", refiner=tmp_path / "nowhere.safetensors")
