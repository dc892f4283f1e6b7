import copy

import pytest
import torch
from safetensors.torch import load_file

from vlt.config import Darknet53Config, Dinov2Config, VLTConfig
from vlt.errors import ConfigError, DataError
from vlt.model.backbone import Backbone, Dinov2Backbone
from vlt.model.build import build_model
from vlt.model.detector import Detector
from vlt.train.feature_cache import CachedBackbone, CachedDetector

pytestmark = pytest.mark.filterwarnings("ignore:.*keeps the others at random weights")

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def _backbone(seed: int = 0, frozen: bool = True) -> Backbone:
    torch.manual_seed(seed)
    part = Dinov2Config(architecture=TINY, layers=(1, 2), trainable_blocks=0 if frozen else None)
    return build_model(VLTConfig(image_size=(28, 28), dim=16, heads=2, backbone=part)).backbone.eval()


def _count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images in each call of a backbone that computes."""
    counts: list[int] = []
    compute = Dinov2Backbone.maps

    def counting(self: Dinov2Backbone, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        counts.append(len(pixels))
        return compute(self, pixels)

    monkeypatch.setattr(Dinov2Backbone, "maps", counting)
    return counts


def test_cached_maps_are_not_computed_again_and_are_the_same_bit_for_bit(tmp_path, monkeypatch):
    backbone, images = _backbone(), torch.rand(3, 3, 28, 28)
    exact, counts = backbone(images), _count(monkeypatch)
    first = CachedBackbone(backbone, tmp_path, "no")(images[:2])
    again = CachedBackbone(backbone, tmp_path, "no")(images[[1, 2, 0]])
    assert sum(counts) == 3
    for one, other, computed in zip(first, again, exact, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other[[2, 0]])
        torch.testing.assert_close(one, computed[:2], rtol=1e-3, atol=1e-3)


def test_maps_are_stored_in_half_precision(tmp_path):
    CachedBackbone(_backbone(), tmp_path, "no")(torch.rand(1, 3, 28, 28))
    [path] = tmp_path.rglob("*.safetensors")
    assert {stored.dtype for stored in load_file(path).values()} == {torch.float16}


def test_cached_maps_come_back_in_mixed_precision(tmp_path):
    cached = CachedBackbone(_backbone(), tmp_path, "bf16")
    with torch.autocast("cpu", torch.bfloat16):
        first, again = (cached(torch.ones(2, 3, 28, 28)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_other_weights_or_precision_share_nothing(tmp_path, monkeypatch):
    images, counts = torch.rand(1, 3, 28, 28), _count(monkeypatch)
    for cached in (
        CachedBackbone(_backbone(), tmp_path, "no"),
        CachedBackbone(_backbone(seed=1), tmp_path, "no"),
        CachedBackbone(_backbone(), tmp_path, "bf16"),
    ):
        cached(images)
    assert sum(counts) == 3


def test_a_backbone_that_trains_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="trainable_blocks to 0"):
        CachedBackbone(_backbone(frozen=False), tmp_path, "no")
    darknet = VLTConfig(image_size=(32, 32), backbone=Darknet53Config(width=0.0625, blocks=(1, 1, 1, 1, 1)))
    with pytest.raises(ConfigError, match="frozen"):
        CachedBackbone(build_model(darknet).backbone, tmp_path, "no")


def test_a_damaged_file_is_named(tmp_path):
    cached, images = CachedBackbone(_backbone(), tmp_path, "no"), torch.rand(1, 3, 28, 28)
    cached(images)
    [path] = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=f"{path.name}.*remove"):
        cached(images)


def test_a_cached_backbone_has_the_names_the_numbers_and_the_mode_of_the_plain_one(tmp_path):
    """Checkpoints, resume states and moving averages do not depend on whether there is a cache."""
    plain, images = _backbone().train(), torch.rand(1, 3, 28, 28)
    modes = {name: part.training for name, part in plain.named_modules() if name}
    cached = CachedBackbone(plain.eval(), tmp_path, "no").train()
    assert {name: part.training for name, part in cached.named_modules() if name} == modes
    for names in ("state_dict", "named_parameters"):
        assert list(dict(getattr(cached, names)())) == list(dict(getattr(plain, names)()))
    assert (cached.channels, cached.strides) == (plain.channels, plain.strides)
    copied = copy.deepcopy(cached)
    for parameter in copied.parameters():
        parameter.data.zero_()
    assert not any(level.any() for level in copied.maps(images))  # the copy computes with its own parameters
    assert all(level.any() for level in cached.maps(images))


def test_cached_detections_are_those_of_the_detector_and_are_not_computed_again(tmp_path, monkeypatch):
    torch.manual_seed(0)
    detector, images = Detector(width=0.125, side=64, count=5, floor=0.0), torch.rand(3, 3, 56, 56)
    exact = detector(images)
    first = CachedDetector(detector, tmp_path, "no")(images)
    monkeypatch.setattr(Detector, "forward", None)  # nothing is left that could compute
    again = CachedDetector(detector, tmp_path, "no")(images[[1, 2, 0]])
    for one, other, computed in zip(first, again, exact, strict=True):
        torch.testing.assert_close(one, computed)
        assert torch.equal(one, other[[2, 0, 1]])


def test_detections_of_another_count_are_kept_apart(tmp_path):
    few, many = (CachedDetector(Detector(width=0.125, side=64, count=count), tmp_path, "no") for count in (2, 5))
    image = torch.rand(1, 3, 56, 56)
    assert few(image).boxes.shape[1] == 2
    assert many(image).boxes.shape[1] == 5
    assert few.state_dict().keys() == Detector(width=0.125).state_dict().keys()
