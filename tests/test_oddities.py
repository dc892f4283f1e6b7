"""The original's oddities: each lives in the reference network and is repaired in the other (docs/oddities.md)."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from vlt.config import Darknet53Config, GRUConfig, ReferenceConfig, VLTConfig, WordsConfig
from vlt.model.build import build_model

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "docs" / "oddities.md").read_text()
BACKBONE = Darknet53Config(width=1 / 16, blocks=(1, 1, 1, 1, 1))
REFERENCE = ReferenceConfig(
    image_size=64,
    max_words=6,
    words=WordsConfig(dim=8),
    rnn_dim=32,
    fused_dim=64,
    hidden_dim=16,
    transformer_dim=16,
    heads=2,
    num_queries=4,
    backbone=BACKBONE,
)
IMPROVED = VLTConfig(
    image_size=(64, 64),
    dim=16,
    backbone=BACKBONE,
    language=GRUConfig(words=WordsConfig(dim=8), hidden_dim=16),
    num_queries=4,
    heads=2,
    feedforward_dim=16,
    mask_dim=16,
)
BOTH = pytest.mark.parametrize(("config", "odd"), [(REFERENCE, True), (IMPROVED, False)], ids=["reference", "vlt"])


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def build(config):
    torch.manual_seed(4)
    return build_model(config).eval()


def differ(one, other):
    """Beyond rounding, whatever the scale."""
    return ((one - other).abs().max() > 1e-4 * one.std()).item()


@BOTH
def test_padding_words_take_part(config, odd):
    model, images, words = build(config), torch.rand(1, 3, 64, 64), torch.randn(1, 6, 8)
    word_mask = torch.tensor([[True, True, True, False, False, False]])
    other = words.clone()
    other[:, 3:] = 0
    assert differ(model(images, words, word_mask), model(images, other, word_mask)) is odd


@BOTH
def test_queries_see_only_those_before_them(config, odd):
    transformer, fused, queries = build(config).transformer, torch.randn(1, 16, 4, 4), torch.randn(1, 4, 16)
    changed = queries.clone()
    changed[:, 3] = 0
    (_, before), (_, after) = transformer(fused, queries), transformer(fused, changed)
    assert differ(before[:, :3], after[:, :3]) is not odd


@BOTH
def test_only_one_size_can_run(config, odd):
    model = build(config)
    images, words = torch.rand(1, 3, 96, 64), torch.randn(1, 6, 8)
    if odd:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            model(images, words)
    else:
        assert model(images, words).shape == (1, 1, 24, 16)


@BOTH
def test_positions_do_not_know_rows(config, odd):
    """The same positions in a row of 16 or a square of 4 x 4."""
    transformer, fused, queries = build(config).transformer, torch.randn(1, 16, 4, 4), torch.randn(1, 4, 16)
    square, row = transformer(fused, queries)[1], transformer(fused.reshape(1, 16, 1, 16), queries)[1]
    assert differ(square, row) is not odd


@BOTH
def test_masks_are_rebuilt_from_the_responses_alone(config, odd):
    """Fine detail of the photo reaches the mask past the queries, or it does not."""
    model, words = build(config), torch.randn(1, 6, 8)
    features = model.encode(torch.rand(1, 3, 64, 64))
    detail = None if features.pixels is None else torch.randn_like(features.pixels)
    output = model.segment(features, words)
    other = model.segment(dataclasses.replace(features, pixels=detail), words)
    answers = torch.randn(1, output.response_maps.shape[1], 16)
    assert not differ(output.response_maps, other.response_maps)
    assert differ(output.logits, other.logits) is not odd
    from_elsewhere = model.mask_decoder(answers, output.response_maps, features.pixels, features.size)
    assert differ(output.logits, from_elsewhere) is not odd


@BOTH
def test_all_projections_of_attention_are_rectified(config, odd):
    """Scores cannot be negative then, and attention can only add."""
    model = build(config)
    inputs = torch.randn(1, 5, 16)
    for layer in (*model.transformer.encoder, *model.transformer.decoder):
        attention = getattr(layer, "attention", None) or layer.memory_attention
        assert bool((attention(inputs, inputs, inputs) >= 0).all()) is odd
    assert bool((model.query_generator.attend.attention(inputs, inputs, inputs) >= 0).all()) is odd


@BOTH
def test_layer_normalisation_blows_up_what_hardly_varies(config, odd):
    """Epsilon 1e-14 lets differences of a millionth become whole numbers."""
    norm = build(config).transformer.encoder[0].feedforward_residual.norm
    assert (norm(1e-6 * torch.randn(1, 5, 16)).std() > 0.5).item() is odd


@BOTH
def test_coordinates_come_three_times(config, odd):
    model = build(config)
    width = model.backbone.channels[1] if odd else config.dim
    assert model.query_generator.read[0].conv.in_channels == width + (6 if odd else 2)


def test_the_improved_network_can_be_made_odd_again():
    """Every oddity that is a switch comes back when it is turned off."""
    odd = {"mask_padding": False, "causal_queries": True, "positions": "1d", "any_size": False, "pixel_features": False}
    config = IMPROVED.model_copy(update=odd)
    test_padding_words_take_part(config, odd=True)
    test_queries_see_only_those_before_them(config, odd=True)
    test_only_one_size_can_run(config, odd=True)
    test_positions_do_not_know_rows(config, odd=True)
    test_masks_are_rebuilt_from_the_responses_alone(config, odd=True)


def test_every_test_that_the_table_names_is_there():
    file, missing, named = "", [], re.findall(r"`([\w/]*(?:\.py)?)::(\w+)`", TABLE)
    for path, name in named:
        file = path or file  # a name without a file is of the file before
        if f"def {name}(" not in (TESTS / file).read_text():
            missing.append(f"{file}::{name}")
    assert len(named) > 15
    assert not missing
