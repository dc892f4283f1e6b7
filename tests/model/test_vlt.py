"""The whole network: promises that hold for every combination of parts."""

from typing import Any

import pytest
import torch

from vlt.config import (
    BertConfig,
    Darknet53Config,
    Dinov2Config,
    GRUConfig,
    ReferenceConfig,
    SwinConfig,
    VLTConfig,
    WordsConfig,
)
from vlt.model.build import build_model
from vlt.model.vlt import VLT

DARKNET = Darknet53Config(width=0.0625, blocks=(1, 1, 1, 1, 1))
SWIN = SwinConfig(architecture={"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2], "window_size": 4})
DINOV2 = Dinov2Config(architecture={"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2})
GRU = GRUConfig(words=WordsConfig(dim=12), hidden_dim=16)
BERT = BertConfig(
    tokenizer="unused",
    architecture={
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 50,
    },
)
SIZES = {"darknet53": (64, 96), "swin": (64, 96), "dinov2": (56, 70)}


def _config(**options: Any) -> VLTConfig:
    backbone = options.get("backbone", DARKNET)
    defaults = {"backbone": backbone, "language": GRU, "dim": 32, "heads": 4, "feedforward_dim": 32, "mask_dim": 16}
    return VLTConfig(**({"image_size": SIZES[backbone.name], "num_queries": 4} | defaults | options))


def _build(config: VLTConfig | ReferenceConfig) -> VLT:
    torch.manual_seed(0)
    return build_model(config, pretrained=False).eval()


def _words(config: VLTConfig, batch: int = 2, length: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if isinstance(config.language, BertConfig):
        return torch.randint(1, 50, (batch, length), generator=generator)
    return torch.randn(batch, length, 12, generator=generator)


def _images(config: VLTConfig, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, *config.image_size, generator=torch.Generator().manual_seed(2))


MASK = torch.tensor([[True] * 6, [True, True, True, False, False, False]])

EVERY_PART = [
    pytest.param({"backbone": backbone, "language": language}, id=f"{backbone.name}-{language.name}")
    for backbone in (DARKNET, SWIN, DINOV2)
    for language in (GRU, BERT)
]


@pytest.mark.parametrize("options", EVERY_PART)
@torch.no_grad()
def test_padding_and_companions_change_nothing(options: dict[str, Any]) -> None:
    config = _config(**options)
    model, images, words = _build(config), _images(config), _words(config)
    together = model(images, words, MASK)
    noise = words.clone()
    noise[1, 3:] = words[0, 3:]
    torch.testing.assert_close(model(images, noise, MASK), together, rtol=1e-4, atol=1e-5)
    alone = model(images[1:], words[1:, :3], MASK[1:, :3])
    torch.testing.assert_close(alone, together[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("language", [GRU, BERT], ids=lambda language: language.name)
@torch.no_grad()
def test_padding_is_seen_where_the_repair_is_off(language: Any) -> None:
    config = _config(language=language, mask_padding=False)
    model, images, words = _build(config), _images(config), _words(config)
    noise = words.clone()
    noise[1, 3:] = words[0, 3:]
    difference = (model(images, noise, MASK) - model(images, words, MASK)).abs().amax(dim=(1, 2, 3))
    assert difference[0] == 0
    assert difference[1] > 1e-5


@pytest.mark.parametrize("backbone", [DARKNET, SWIN, DINOV2], ids=lambda backbone: backbone.name)
@torch.no_grad()
def test_any_size_that_is_a_multiple_of_the_stride(backbone: Any) -> None:
    config = _config(backbone=backbone)
    model, unit = _build(config), 14 if backbone is DINOV2 else 32
    for rows, columns in ((1, 3), (4, 2), (5, 5)):
        size = (rows * unit, columns * unit)
        logits = model(torch.rand(1, 3, *size), _words(config, 1))
        assert logits.shape == (1, 1, -(-size[0] // 4), -(-size[1] // 4))
        assert logits.isfinite().all()


@torch.no_grad()
def test_image_index_equals_repeated_photos() -> None:
    config = _config()
    model, images, words = _build(config), _images(config), _words(config, 3)
    index = torch.tensor([1, 0, 1])
    torch.testing.assert_close(model(images, words, None, index), model(images[index], words), rtol=1e-4, atol=1e-5)


SWITCHES: list[dict[str, Any]] = [
    {"fusion": "sentence"},
    {"queries": "learned"},
    {"num_queries": 1},
    {"query_balance": False},
    {"mask_padding": False},
    {"causal_queries": True},
    {"positions": "1d"},
    {"any_size": False},
    {"pixel_features": False},
    {"encoder_layers": 0},
    {"photo_layers": 1},
    {"key_stride": 2},
    {"boxes": True},
    {"fusion_stride": 2},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: next(iter(switch)))
def test_every_switch_builds_differs_and_trains(switch: dict[str, Any]) -> None:
    config = _config(**switch)
    model, images, words = _build(config), _images(config), _words(config)
    with torch.no_grad():
        base = _build(_config())(images, words, MASK)
        assert not torch.allclose(model(images, words, MASK), base, atol=1e-6)
    features = model.train().encode(images)
    boxes = 0 if features.boxes is None else features.boxes.sum()  # boxes have a loss of their own
    (model.segment(features, words, MASK).logits.square().mean() + boxes).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, f"parameters the loss does not reach: {without}"


CANDIDATES = {"dim": 16, "heads": 2, "layers": 1, "count": 4, "detector_width": 0.0625, "grid": 2, "num_queries": 2}


def _build_guided(**changes: Any) -> tuple[VLTConfig, VLT]:
    """Build a network whose masks depend on the choice among candidates, as they do once it is trained."""
    config = _config(backbone=DINOV2, candidates=CANDIDATES | changes)
    model = _build(config)
    assert model.choice_guide is not None
    torch.nn.init.normal_(model.choice_guide.embed.weight)
    return config, model


@torch.no_grad()
def test_candidates_change_no_mask_before_they_are_trained() -> None:
    config = _config(backbone=DINOV2)
    images, words = _images(config), _words(config)
    plain = _build(config)(images, words, MASK)
    assert torch.equal(_build(_config(backbone=DINOV2, candidates=CANDIDATES))(images, words, MASK), plain)
    _, guided = _build_guided()
    assert not torch.allclose(guided(images, words, MASK), plain, atol=1e-3)


@torch.no_grad()
def test_padding_and_companions_change_neither_choice_nor_mask() -> None:
    config, model = _build_guided()
    images, words = _images(config), _words(config)
    together = model.segment(model.encode(images), words, MASK)
    alone = model.segment(model.encode(images[1:]), words[1:, :3], MASK[1:, :3])
    noise = words.clone()
    noise[1, 3:] = words[0, 3:]
    padded = model.segment(model.encode(images), noise, MASK)
    assert together.choice is not None
    assert alone.choice is not None
    assert padded.choice is not None
    torch.testing.assert_close(alone.choice.logits, together.choice.logits[1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(padded.choice.logits, together.choice.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.logits, together.logits[1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(padded.logits, together.logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_image_index_equals_repeated_photos_with_candidates() -> None:
    config, model = _build_guided()
    images, words, index = _images(config), _words(config, 3), torch.tensor([1, 0, 1])
    torch.testing.assert_close(model(images, words, None, index), model(images[index], words), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_features_without_masks_hold_the_same_candidates() -> None:
    config, model = _build_guided()
    images = _images(config)
    full, short = model.encode(images), model.encode(images, masks=False)
    assert short.maps == ()
    assert short.pixels is None
    assert full.candidates is not None
    assert short.candidates is not None
    for name in ("boxes", "valid", "tokens", "cells"):
        assert torch.equal(getattr(full.candidates, name), getattr(short.candidates, name))
    assert _build(_config()).encode(_images(_config())).candidates is None


@pytest.mark.parametrize(
    "switch", [{}, {"categories": False}, {"standing": False}, {"colours": False}, {"num_queries": 0}], ids=str
)
def test_every_switch_of_candidates_differs_and_trains(switch: dict[str, Any]) -> None:
    config, model = _build_guided(**switch)
    images, words = _images(config), _words(config)
    _, base = _build_guided()
    with torch.no_grad():
        same = torch.equal(
            model.choose(model.encode(images, masks=False), words, MASK).logits,
            base.choose(base.encode(images, masks=False), words, MASK).logits,
        )
        assert same == (not switch)
    output = model.train().segment(model.encode(images), words, MASK)
    assert output.choice is not None
    (output.logits.square().mean() + output.choice.logits.square().mean()).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert model.detector is not None
    assert not any(p.requires_grad for p in model.detector.parameters())


@pytest.mark.parametrize("names", [("candidate_encoder", "chooser"), ("fusion",), ()])
def test_only_the_parts_that_are_named_train(names: tuple[str, ...]) -> None:
    _, model = _build_guided()
    before = {name for name, p in model.named_parameters() if p.requires_grad}
    model.train_only(names)
    for mode in (True, False, True):
        model.train(mode)
        named = {name for name in before if name.split(".")[0] in names}
        assert {name for name, p in model.named_parameters() if p.requires_grad} == named
        for name, module in model.named_modules():
            if name:
                assert module.training == (mode and name.split(".")[0] in names), name


@torch.no_grad()
def test_balance_off_is_truly_off() -> None:
    config = _config(query_balance=False)
    model = _build(config)
    output = model.segment(model.encode(_images(config)), _words(config), MASK)
    assert output.confidence is None
    assert not any("balance" in name for name, _ in model.named_parameters())
    balanced = _build(_config())
    assert balanced.query_balance is not None
    torch.nn.init.constant_(balanced.query_balance.confidence.bias, -100.0)
    silent = balanced.segment(balanced.encode(_images(config)), _words(config), MASK)
    assert silent.confidence is not None
    assert silent.confidence.max() < 1e-20


@pytest.mark.parametrize("options", EVERY_PART)
def test_no_parameter_is_left_out_of_the_loss(options: dict[str, Any]) -> None:
    config = _config(**options)
    model = _build(config).train()
    model(_images(config), _words(config), MASK).square().mean().backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize(
    ("backbone", "count"),
    [(DARKNET, 2), (SWIN, 1), (DINOV2, 1), (DINOV2, 0)],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_frozen_blocks_keep_weights_and_statistics(backbone: Any, count: int) -> None:
    config = _config(backbone=backbone.model_copy(update={"trainable_blocks": count}))
    model = _build(config).train()
    blocks = model.backbone.blocks()
    frozen, training = blocks[: len(blocks) - count], blocks[len(blocks) - count :]
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(_images(config), _words(config), MASK).square().mean().backward()
    optimizer.step()
    frozen_names = {id(tensor) for block in frozen for tensor in [*block.parameters(), *block.buffers()]}
    for name, tensor in [*model.backbone.named_parameters(), *model.backbone.named_buffers()]:
        if id(tensor) in frozen_names and name in before:
            assert torch.equal(tensor, before[name]), name
    frozen_modules = {id(module) for block in frozen for module in block.modules()}
    assert not any(module.training for module in model.backbone.modules() if id(module) in frozen_modules)
    assert all(p.requires_grad for block in training for p in block.parameters())


@torch.no_grad()
def test_reference_sizes_come_from_the_configuration() -> None:
    config = ReferenceConfig(
        image_size=64, words=WordsConfig(dim=12), rnn_dim=16, fused_dim=64, hidden_dim=32, transformer_dim=32, heads=4,
        num_queries=3, encoder_layers=1, decoder_layers=1, output_stride=4, backbone=DARKNET,
    )  # fmt: skip
    model = _build(config)
    output = model.segment(model.encode(torch.rand(2, 3, 64, 64)), torch.randn(2, 15, 12))
    assert output.logits.shape == (2, 1, 16, 16)
    assert output.response_maps.shape == (2, 3, 4, 4)
    assert output.text.words.shape == (2, 15, 16)
