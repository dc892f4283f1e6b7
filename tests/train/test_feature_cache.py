import copy

import pytest
import torch
from safetensors.torch import load_file

from vlt.config import BertConfig, Darknet53Config, Dinov2Config, VLTConfig
from vlt.errors import ConfigError, DataError
from vlt.model.backbone import Backbone, Dinov2Backbone
from vlt.model.build import build_model
from vlt.model.detector import Detector
from vlt.model.language import BertEncoder
from vlt.train import feature_cache
from vlt.train.feature_cache import CachedBackbone, CachedDetector, CachedLanguage, ImageKeys

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
    first = CachedBackbone(backbone, tmp_path, "no", ImageKeys())(images[:2])
    again = CachedBackbone(backbone, tmp_path, "no", ImageKeys())(images[[1, 2, 0]])
    assert sum(counts) == 3
    for one, other, computed in zip(first, again, exact, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other[[2, 0]])
        torch.testing.assert_close(one, computed[:2], rtol=1e-3, atol=1e-3)


def test_maps_are_stored_in_half_precision(tmp_path):
    CachedBackbone(_backbone(), tmp_path, "no", ImageKeys())(torch.rand(1, 3, 28, 28))
    [path] = tmp_path.rglob("*.safetensors")
    assert {stored.dtype for stored in load_file(path).values()} == {torch.float16}


def test_cached_maps_come_back_in_mixed_precision(tmp_path):
    cached = CachedBackbone(_backbone(), tmp_path, "bf16", ImageKeys())
    with torch.autocast("cpu", torch.bfloat16):
        first, again = (cached(torch.ones(2, 3, 28, 28)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_other_weights_or_precision_share_nothing(tmp_path, monkeypatch):
    images, counts = torch.rand(1, 3, 28, 28), _count(monkeypatch)
    for cached in (
        CachedBackbone(_backbone(), tmp_path, "no", ImageKeys()),
        CachedBackbone(_backbone(seed=1), tmp_path, "no", ImageKeys()),
        CachedBackbone(_backbone(), tmp_path, "bf16", ImageKeys()),
    ):
        cached(images)
    assert sum(counts) == 3


def test_a_backbone_that_trains_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="trainable_blocks to 0"):
        CachedBackbone(_backbone(frozen=False), tmp_path, "no", ImageKeys())
    darknet = VLTConfig(image_size=(32, 32), backbone=Darknet53Config(width=0.0625, blocks=(1, 1, 1, 1, 1)))
    with pytest.raises(ConfigError, match="frozen"):
        CachedBackbone(build_model(darknet).backbone, tmp_path, "no", ImageKeys())


def test_a_damaged_file_is_named(tmp_path):
    cached, images = CachedBackbone(_backbone(), tmp_path, "no", ImageKeys()), torch.rand(1, 3, 28, 28)
    cached(images)
    [path] = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=f"{path.name}.*remove"):
        cached(images)


def test_a_cached_backbone_has_the_names_the_numbers_and_the_mode_of_the_plain_one(tmp_path):
    """Checkpoints, resume states and moving averages do not depend on whether there is a cache."""
    plain, images = _backbone().train(), torch.rand(1, 3, 28, 28)
    modes = {name: part.training for name, part in plain.named_modules() if name}
    cached = CachedBackbone(plain.eval(), tmp_path, "no", ImageKeys()).train()
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
    first = CachedDetector(detector, tmp_path, "no", ImageKeys())(images)
    monkeypatch.setattr(Detector, "maps", None)  # nothing is left that could compute
    again = CachedDetector(detector, tmp_path, "no", ImageKeys())(images[[1, 2, 0]])
    for one, other, computed in zip(first, again, exact, strict=True):
        torch.testing.assert_close(one, computed)
        assert torch.equal(one, other[[2, 0, 1]])


def test_caches_move_to_another_device_as_a_whole(tmp_path):
    images = torch.rand(1, 3, 56, 56, device="meta")  # a device of which every machine has one
    detector = CachedDetector(Detector(width=0.125, side=64), tmp_path, "no", ImageKeys()).to("meta")
    backbone = CachedBackbone(_backbone(), tmp_path, "no", ImageKeys()).to("meta")
    assert Detector.forward(detector, images).boxes.is_meta
    assert all(level.is_meta for level in Backbone.forward(backbone, images))


def test_detections_of_another_count_are_kept_apart(tmp_path):
    few, many = (
        CachedDetector(Detector(width=0.125, side=64, count=count), tmp_path, "no", ImageKeys()) for count in (2, 5)
    )
    image = torch.rand(1, 3, 56, 56)
    assert few(image).boxes.shape[1] == 2
    assert many(image).boxes.shape[1] == 5
    assert few.state_dict().keys() == Detector(width=0.125).state_dict().keys()


def test_images_are_hashed_once_for_several_caches_and_anew_for_others(monkeypatch):
    hashed, blake2b = [], feature_cache.hashlib.blake2b
    monkeypatch.setattr(feature_cache.hashlib, "blake2b", lambda *args, **kw: hashed.append(1) or blake2b(*args, **kw))
    keys, images, others = ImageKeys(), torch.rand(2, 3, 4, 4), torch.rand(3, 3, 4, 4)
    first, again, second = keys(images), keys(images), keys(others)
    assert first == again
    assert len({*first, *second}) == 5
    assert len(hashed) == 5
    assert keys(images[[1, 0]]) == first[::-1]
    assert first[0] == blake2b(images[0].numpy().tobytes(), digest_size=16).hexdigest()  # as in folders of version 0.2


# ---------------------------------------------------------------- language


def _language(trainable_blocks: int = 0) -> BertEncoder:
    torch.manual_seed(0)
    part = BertConfig(
        architecture={**TINY, "intermediate_size": 16, "vocab_size": 50},
        tokenizer="nowhere",
        trainable_blocks=trainable_blocks,
    )
    backbone = Dinov2Config(architecture=TINY, layers=(1, 2))
    return build_model(VLTConfig(image_size=(28, 28), dim=16, heads=2, backbone=backbone, language=part)).language


def _texts(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(1, 50, mask.shape) * mask, mask


def _count_texts(encoder: BertEncoder) -> list[int]:
    """The number of texts in each call of the network."""
    counts: list[int] = []
    encoder.network.register_forward_pre_hook(
        lambda _, args, kwargs: counts.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return counts


def test_cached_states_are_those_of_the_encoder_in_half_precision_and_zero_behind_the_words():
    plain, (words, mask) = _language().eval(), _texts(3, 7, 1, 7, 5)
    cached = CachedLanguage(plain)
    for given in (mask, None):
        for _ in range(2):  # computed, then looked up
            found, exact = cached(words, given), plain(words, given)
            there = torch.ones_like(mask) if given is None else mask
            torch.testing.assert_close(found.states[there], exact.states[there], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(found.words[there], exact.words[there], rtol=1e-2, atol=1e-2)
            assert not found.states[~there].any()
            assert found.mask is given
    assert {states.dtype for states in cached.cached.values()} == {torch.float16}


def test_states_are_computed_once_per_text_and_do_not_depend_on_the_batch():
    encoder, (words, mask) = _language(), _texts(3, 7, 1, 7, 5)
    counts, cached = _count_texts(encoder), CachedLanguage(encoder)
    first = cached(words, mask).states
    again = cached(words[[4, 0, 4]][:, :5], mask[[4, 0, 4]][:, :5]).states  # of another length, and one text twice
    assert sorted(counts) == [1, 1, 1, 2]
    assert torch.equal(again, first[[4, 0, 4], :5])
    alone = CachedLanguage(encoder)(words[1:2], mask[1:2]).states
    torch.testing.assert_close(alone, first[1:2], rtol=1e-3, atol=1e-3)


def test_cached_states_come_back_in_mixed_precision():
    cached, (words, mask) = CachedLanguage(_language()), _texts(3, 7)
    with torch.autocast("cpu", torch.bfloat16):
        first, again = (cached(words, mask).states for _ in range(2))
    assert first.dtype == torch.float32
    assert torch.equal(first, again)


def test_the_number_of_cached_texts_is_bounded(monkeypatch):
    monkeypatch.setattr(feature_cache, "MAX_TEXTS", 3)
    encoder, (words, mask) = _language(), _texts(3, 4, 5, 6)
    counts, cached = _count_texts(encoder), CachedLanguage(encoder)
    for rows in (slice(0, 3), slice(3, 4), slice(3, 4), slice(0, 3)):
        cached(words[rows], mask[rows])
    assert sum(counts) == 5  # the last text was encoded twice
    assert len(cached.cached) == 3


def test_states_cached_by_validation_serve_training_and_the_projection_trains():
    encoder, (words, mask) = _language(), _texts(3, 7)
    cached = CachedLanguage(encoder).train()
    with torch.inference_mode():
        cached(words, mask)
    cached(words, mask).words.square().sum().backward()
    assert all(parameter.grad is not None for parameter in cached.project.parameters())
    assert all(parameter.grad is None for parameter in cached.network.parameters())


def test_a_cached_language_has_the_names_and_modes_of_the_plain_one_and_copies_begin_empty():
    plain = _language().train()
    modes = {name: part.training for name, part in plain.named_modules() if name}
    cached = CachedLanguage(plain).train()
    assert {name: part.training for name, part in cached.named_modules() if name} == modes
    for names in ("state_dict", "named_parameters"):
        assert list(dict(getattr(cached, names)())) == list(dict(getattr(plain, names)()))
    assert (cached.dim, cached.state_dim) == (plain.dim, plain.state_dim)
    cached(*_texts(2, 3))
    copied = copy.deepcopy(cached)
    assert cached.cached
    assert not copied.cached
    for parameter in copied.parameters():
        parameter.data.zero_()
    assert not copied(*_texts(2, 3)).states.any()  # the copy computes with its own parameters
