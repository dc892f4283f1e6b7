import pytest
import torch

from vlt.config import Darknet53Config, Dinov2Config, VLTConfig
from vlt.errors import ConfigError, DataError
from vlt.model.backbone import Backbone
from vlt.model.build import build_model
from vlt.train.map_cache import MapCache

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def _backbone(seed: int = 0, frozen: bool = True) -> Backbone:
    torch.manual_seed(seed)
    part = Dinov2Config(architecture=TINY, layers=(1, 2), trainable_blocks=0 if frozen else None)
    return build_model(VLTConfig(image_size=(28, 28), dim=16, heads=2, backbone=part)).backbone.eval()


class Counted:
    """A backbone's computing, counted."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.photos = 0

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.photos += len(images)
        return self.backbone(images)


def test_what_is_known_is_not_computed_again_and_is_the_same_bit_for_bit(tmp_path):
    backbone, images = _backbone(), torch.rand(3, 3, 28, 28)
    counted = Counted(backbone)
    first = MapCache(tmp_path, backbone, "no")(images[:2], counted)
    again = MapCache(tmp_path, backbone, "no")(images[[1, 2, 0]], counted)
    assert counted.photos == 3
    for one, other, exact in zip(first, again, backbone(images), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other[[2, 0]])
        torch.testing.assert_close(one, exact[:2], rtol=1e-3, atol=1e-3)


def test_what_is_known_comes_back_in_mixed_precision(tmp_path):
    cache, backbone = MapCache(tmp_path, _backbone(), "bf16"), _backbone()
    with torch.autocast("cpu", torch.bfloat16):
        first, again = (cache(torch.ones(2, 3, 28, 28), backbone) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_other_weights_or_precision_share_nothing(tmp_path):
    images, counted = torch.rand(1, 3, 28, 28), Counted(_backbone())
    for cache in (
        MapCache(tmp_path, _backbone(), "no"),
        MapCache(tmp_path, _backbone(seed=1), "no"),
        MapCache(tmp_path, _backbone(), "bf16"),
    ):
        cache(images, counted)
    assert counted.photos == 3


def test_a_backbone_that_trains_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="trainable_blocks to 0"):
        MapCache(tmp_path, _backbone(frozen=False), "no")
    darknet = VLTConfig(image_size=(32, 32), backbone=Darknet53Config(width=0.0625, blocks=(1, 1, 1, 1, 1)))
    with pytest.raises(ConfigError, match="frozen"):
        MapCache(tmp_path, build_model(darknet).backbone, "no")


def test_a_damaged_file_is_named(tmp_path):
    backbone, images = _backbone(), torch.rand(1, 3, 28, 28)
    cache = MapCache(tmp_path, backbone, "no")
    cache(images, backbone)
    [path] = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=f"{path.name}.*remove"):
        cache(images, backbone)
