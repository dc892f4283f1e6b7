"""A refiner is packed with a checkpoint, refines its masks, and can be left out."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image as PILImage
from safetensors.torch import save_file
from torch import nn

from vlt.checkpoint import load_checkpoint, open_checkpoint, pack_checkpoint
from vlt.checkpoint.describe import describe_checkpoint
from vlt.cli import main
from vlt.dataset import load_referrals
from vlt.errors import CheckpointError
from vlt.evaluate import evaluate
from vlt.infer import load
from vlt.infer.torch_engine import torch_predictor
from vlt.refine.promptable import PromptableSegmenter
from vlt.refine.refiner import Outline

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The file of a refiner's weights, random ones."""
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
    before, after = (
        load_checkpoint(folder).refiner.segmenter.network.state_dict() for folder in (packed, tmp_path / "again")
    )
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-5, atol=1e-7)


def test_the_description_of_a_checkpoint_lists_it(packed):
    facts = describe_checkpoint(open_checkpoint(packed))
    assert facts["parameters"]["refiner"] == sum(one.numel() for one in PromptableSegmenter().parameters())
    assert facts["files"]["refiner.safetensors"] > 9e6


def test_masks_come_from_it_and_scores_do_not(packed, monkeypatch):
    plain, sharp = load(packed, "cpu", refine=False), load(packed, "cpu")
    left_half = np.tile(np.where(np.arange(256) < 128, np.float32(5), np.float32(-5)), (1, 256, 1))
    monkeypatch.setattr(sharp.refiner, "refine", lambda *_: Outline(left_half, 0.5))
    [before], [after] = (each.predict(IMAGE, "circle", threshold=0.4) for each in (plain, sharp))
    assert plain.encode(IMAGE).outlines is None
    assert after.mask[:, :45].all()
    assert after.box == (0, 0, 45, 60) != before.box
    assert after.score == before.score


def test_weights_are_converted_for_prediction_alone(packed, tmp_path):
    """A checkpoint whose settings say bf16 is packed and exported from exact weights."""
    copied = Path(shutil.copytree(packed, tmp_path / "copied"))
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("precision: 'no'", "precision: bf16"))
    loaded = load_checkpoint(copied)
    assert loaded.config.inference.precision == "bf16"
    for refiner, expected in ((loaded.refiner, torch.float32), (load(copied).refiner, torch.bfloat16)):
        kinds = {x.weight.dtype for x in refiner.segmenter.network.modules() if isinstance(x, nn.Conv2d)}
        assert kinds == {expected}


def test_an_image_is_encoded_by_it_once(packed, monkeypatch):
    sharp = load(packed, "cpu")
    features = sharp.encode(IMAGE)
    direct = sharp.predict(IMAGE, ["circle", "red square"], threshold=0.3)
    monkeypatch.setattr(sharp.refiner, "encode", lambda *_: pytest.fail("the image was encoded again"))
    again = sharp.predict(features, ["circle", "red square"], threshold=0.3)
    assert all(np.array_equal(one.mask, other.mask) for one, other in zip(again, direct, strict=True))


def test_an_evaluation_refines_with_it(packed, tiny_config, monkeypatch):
    loaded = load_checkpoint(packed)
    monkeypatch.setattr(loaded.refiner, "refine", lambda *_: Outline(np.full((1, 256, 256), 5, np.float32), 0.5))
    # At threshold 0 the network's mask is nowhere empty, so that the outline replaces each.
    config = tiny_config.model_copy(
        update={"inference": tiny_config.inference.model_copy(update={"threshold": 0.0, "flip": True})}
    )
    predictor = torch_predictor(loaded.model, loaded.text, config, loaded.refiner)
    referrals = list(load_referrals(tiny_config.data, "val"))[:2]
    masks = []
    report = evaluate(predictor, referrals, on_outcome=lambda outcome: masks.append(outcome.mask))
    plain = evaluate(predictor.with_settings(refine=False), referrals)
    assert (report.provenance.refined, plain.provenance.refined) == (True, False)
    by_protocol = [evaluate(predictor, referrals, protocol=name).provenance for name in ("vlt", "original")]
    assert [(each.refined, each.flip) for each in by_protocol] == [(True, True), (False, False)]
    assert masks
    assert all(mask.all() for mask in masks)


def test_the_command_line_can_leave_it_out(packed, tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    PILImage.fromarray(IMAGE).save(path)
    monkeypatch.setattr("vlt.refine.Refiner.encode", lambda *_: pytest.fail("the refiner was used"))
    run = CliRunner().invoke(
        main, ["predict", str(path), "circle", "--checkpoint", str(packed), "--json", "--no-refine"]
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
