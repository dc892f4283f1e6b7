"""The boxes of the figure against independent twins."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vlt.model.backbone import Darknet53
from vlt.model.fusion import SentencePooling, SpatialDynamicAttention
from vlt.model.language import GRUEncoder, ResetBeforeGRU, SummedGRU, TextFeatures
from vlt.model.layers import coordinates, map_sinusoid, sinusoid
from vlt.model.mask_decoder import MaskDecoder
from vlt.model.photo import BoxHead, PhotoEncoder, ScaleNeck
from vlt.model.query import QueryBalance, QueryGenerator
from vlt.model.transformer import EncoderLayer, MultiHeadAttention, Transformer


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_sinusoid_is_the_formula() -> None:
    table = sinusoid(7, 6)
    for p in range(7):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            assert table[p, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[p, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_map_sinusoid_tells_rows_from_columns() -> None:
    table = map_sinusoid(3, 5, 8).view(3, 5, 8)
    assert torch.equal(table[1, 0, :4], table[1, 4, :4])  # one row, one first half
    assert torch.equal(table[0, 2, 4:], table[2, 2, 4:])  # one column, one second half
    assert len({tuple(position.tolist()) for position in table.flatten(0, 1)}) == 15


def test_coordinates_reach_both_ends() -> None:
    x, y = coordinates(3, 5)
    assert x[0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert y[:, 0].tolist() == [-1, 0, 1]
    assert coordinates(1, 2)[1].tolist() == [[0, 0]]


def test_attention_equals_torch_without_relu() -> None:
    ours = MultiHeadAttention(dim=12, heads=3)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    q, k = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    expected, _ = theirs(q, k, k, key_padding_mask=~mask)
    torch.testing.assert_close(ours(q, k, k, mask), expected, rtol=1e-5, atol=1e-6)


def test_relu_attention_is_never_negative() -> None:
    attention = MultiHeadAttention(dim=8, heads=2, relu=True)
    out = attention(torch.randn(2, 3, 8), torch.randn(2, 4, 8), torch.randn(2, 4, 8))
    assert (out >= 0).all()
    assert (out == 0).any()


def _transformer(**options: object) -> Transformer:
    sizes = {"dim": 16, "heads": 2, "feedforward_dim": 16, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.0}
    return Transformer(**(sizes | options)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("causal", [True, False])
def test_causal_mask_hides_later_queries_only_where_asked(causal: bool) -> None:
    transformer = _transformer(causal=causal)
    fused, queries = torch.randn(1, 16, 3, 4), torch.randn(1, 5, 16)
    changed = queries.clone()
    changed[:, 4] += 1
    before, after = transformer(fused, queries)[1], transformer(fused, changed)[1]
    assert torch.allclose(before[:, :4], after[:, :4]) is causal
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_queries_have_no_order_with_two_dimensional_positions() -> None:
    fused, queries = torch.randn(1, 16, 3, 4), torch.randn(1, 5, 16)
    order = torch.tensor([3, 1, 4, 0, 2])
    for positions, unordered in (("2d", True), ("1d", False)):
        transformer = _transformer(positions=positions)
        answers = transformer(fused, queries)[1]
        assert torch.allclose(transformer(fused, queries[:, order])[1], answers[:, order], atol=1e-5) is unordered


def test_reset_gate_acts_before_the_recurrent_product() -> None:
    gru = ResetBeforeGRU(4, 3)
    words = torch.randn(1, 6, 4)
    w, b = gru.input.weight.detach().numpy().T, gru.input.bias.detach().numpy()
    u = torch.cat([gru.recurrent_gates.weight, gru.recurrent_candidate.weight]).detach().numpy().T

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    state = np.zeros(3)
    for word, ours in zip(words[0].numpy(), gru(words)[0].detach().numpy(), strict=True):
        z = sigmoid(word @ w[:, :3] + state @ u[:, :3] + b[:3])
        r = sigmoid(word @ w[:, 3:6] + state @ u[:, 3:6] + b[3:6])
        h = np.tanh(word @ w[:, 6:] + (r * state) @ u[:, 6:] + b[6:])
        state = z * state + (1 - z) * h
        np.testing.assert_allclose(ours, state, rtol=1e-5, atol=1e-6)


def test_summed_gru_reads_backwards_in_word_order() -> None:
    encoder = SummedGRU(input_dim=4, hidden_dim=3, bidirectional=True, dropout=0.0).eval()
    assert encoder.backward_gru is not None
    words = torch.randn(2, 5, 4)
    backward = encoder.backward_gru(words.flip(1)).flip(1)
    torch.testing.assert_close(encoder(words, None).words, encoder.forward_gru(words) + backward)


def test_summed_gru_drops_the_same_entries_of_every_word() -> None:
    encoder = SummedGRU(input_dim=64, hidden_dim=3, bidirectional=False, dropout=0.5).train()
    inputs: list[torch.Tensor] = []
    encoder.forward_gru.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    encoder(torch.ones(3, 5, 64), None)
    [dropped] = inputs
    assert torch.equal(dropped[:, 0], dropped[:, 4])
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(dropped[0], dropped[1])


def test_gru_encoder_reads_the_words_only() -> None:
    encoder = GRUEncoder(input_dim=4, hidden_dim=6, layers=2, dim=8, dropout=0.0).eval()
    words = torch.randn(2, 5, 4)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    alone = encoder(words[1:, :3], mask[1:, :3]).words
    torch.testing.assert_close(encoder(words, mask).words[1:, :3], alone)


def test_sentence_pooling_chooses_words_per_channel() -> None:
    pooling = SentencePooling(3, 0.0)
    words = torch.randn(1, 4, 3)
    mask = torch.tensor([[True, True, True, False]])
    ours = pooling(TextFeatures(words, mask, words))[0]
    scores = pooling.score(words[0, :3]).tanh().detach()
    for channel in range(3):
        weights = [math.exp(scores[t, channel]) for t in range(3)]
        expected = sum(w * words[0, t, channel].item() for t, w in enumerate(weights)) / sum(weights)
        assert ours[channel].item() == pytest.approx(expected, abs=1e-6)


def test_spatial_dynamic_attention_against_loops() -> None:
    attention = SpatialDynamicAttention(dim=4)
    visual, words = torch.randn(1, 4, 2, 3), torch.randn(1, 3, 4)
    ours = attention(visual, TextFeatures(words, torch.tensor([[True, True, False]]), words))
    keys, values = attention.key(words)[0, :2], attention.value(words)[0, :2]
    for row in range(2):
        for column in range(3):
            query = attention.query(visual)[0, :, row, column]
            weights = torch.stack([query @ key / math.sqrt(4) for key in keys]).softmax(0)
            torch.testing.assert_close(ours[0, :, row, column], weights @ values)


def test_neck_takes_the_grid_nearest_to_the_wanted_stride() -> None:
    neck = ScaleNeck(channels=(2, 3, 4), strides=(8, 16, 32), dim=8, map_stride=14)
    maps = [torch.randn(1, 2, 12, 16), torch.randn(1, 3, 6, 8), torch.randn(1, 4, 3, 4)]
    assert neck(maps).shape == (1, 8, 6, 8)


def test_query_generator_works_at_any_size_unless_told_otherwise() -> None:
    words = torch.randn(1, 3, 8)
    text = TextFeatures(words, None, words)
    free = QueryGenerator(dim=8, heads=2, num_queries=5, positions=None)
    fixed = QueryGenerator(dim=8, heads=2, num_queries=5, positions=12)
    for size in ((3, 4), (5, 7)):
        assert free(torch.randn(1, 8, *size), text).vectors.shape == (1, 5, 8)
    assert fixed(torch.randn(1, 8, 3, 4), text).vectors.shape == (1, 5, 8)
    with pytest.raises(RuntimeError):
        fixed(torch.randn(1, 8, 5, 7), text)


def test_balance_is_a_confidence_per_query() -> None:
    balance = QueryBalance(dim=6, hidden_dim=4)
    answers, queries = torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    confidence = balance(answers, queries)
    assert confidence.shape == (2, 5, 1)
    assert ((confidence > 0) & (confidence < 1)).all()
    changed = answers.clone()
    changed[:, 2] += 1
    difference = (balance(changed, queries) - confidence).abs().sum(dim=(0, 2))
    assert (difference > 0).tolist() == [False, False, True, False, False]


def test_responses_compare_answers_with_positions() -> None:
    decoder = MaskDecoder(dim=4, mask_dim=8, num_queries=3, pixel_features=True, size=None)
    answers, memory = torch.randn(1, 3, 4), torch.randn(1, 4, 2, 5)
    ours = decoder.respond(answers, memory)
    assert decoder.memory is not None
    value = decoder.answer(answers)[0, 1] @ decoder.memory(memory)[0, :, 1, 3] / 2
    torch.testing.assert_close(ours[0, 1, 1, 3], value)


def test_keys_of_the_encoder_are_means_of_squares() -> None:
    layer = EncoderLayer(dim=8, heads=2, feedforward_dim=8, dropout=0.0, key_stride=2)
    x = torch.randn(1, 3 * 4, 8)
    grid = x.reshape(3, 4, 8)
    keys = [grid[:2, :2], grid[:2, 2:], grid[2:, :2], grid[2:, 2:]]
    means = torch.stack([square.reshape(-1, 8).mean(0) for square in keys])[None]
    attended = layer.attention_residual(x, layer.attention(x, means, means))
    torch.testing.assert_close(layer(x, (3, 4)), layer.feedforward_residual(attended, layer.feedforward(attended)))


def test_darknet_counts_its_convolutions_and_keeps_its_strides() -> None:
    backbone = Darknet53(width=0.0625)
    assert len(backbone.blocks()) == 52 + 6
    maps = backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(16, 8, 12), (32, 4, 6), (64, 2, 3)]


def test_boxes_hold_the_position_that_tells_them() -> None:
    head = BoxHead(dim=8)
    boxes = head(3 * torch.randn(2, 8, 3, 5))
    x, y = (coordinates(3, 5) + 1) / 2
    assert boxes.shape == (2, 4, 3, 5)
    assert (boxes[:, 0] < x).all()
    assert (x < boxes[:, 2]).all()
    assert (boxes[:, 1] < y).all()
    assert (y < boxes[:, 3]).all()


def test_what_is_known_of_a_box_is_known_of_its_position_alone() -> None:
    head = BoxHead(dim=8)
    boxes = torch.rand(1, 4, 3, 5)
    moved = boxes.clone()
    moved[0, 2, 1, 4] += 0.05
    changed = (head.embed(boxes) != head.embed(moved)).any(dim=1)[0]
    assert changed.nonzero().tolist() == [[1, 4]]


def test_hidden_channels_are_hidden_while_training_only():
    neck = ScaleNeck(channels=(64,), strides=(14,), dim=4, map_stride=14)
    nn.init.constant_(neck.lateral[0].weight, 1.0)
    seen = []
    neck.lateral[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder = PhotoEncoder(neck=neck, layers=[], box_head=None, pixel_decoder=None, reduce=None, map_dropout=0.5)
    maps, images = (torch.rand(2, 64, 4, 4) + 1,), torch.rand(2, 3, 56, 56)
    encoder.train()(maps, images)
    encoder.eval()(maps, images)
    hidden = (seen[0] == 0).flatten(2)
    assert torch.equal(hidden.any(dim=2), hidden.all(dim=2))  # whole channels
    assert 0.3 < hidden.float().mean() < 0.7
    torch.testing.assert_close(seen[0][seen[0] > 0], (2 * maps[0])[seen[0] > 0])
    assert torch.equal(seen[1], maps[0])
