"""Language encoders: words, as vectors or token ids, to word features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vlt.model.layers import Freezable


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """Features of the words of a batch of expressions.

    Attributes:
        words: (B, T, C).
        mask: (B, T) bool, True = a word; None where padding counts as words.
        states: (B, T, D), the encoder's states before their projection to `words`.
    """

    words: Tensor
    mask: Tensor | None
    states: Tensor

    def mean(self) -> Tensor:
        """Average the words of each expression, to (B, C)."""
        if self.mask is None:
            return self.words.mean(dim=1)
        weights = self.mask[..., None].to(self.words.dtype)
        return (self.words * weights).sum(dim=1) / weights.sum(dim=1)


class ResetBeforeGRU(nn.Module):
    """GRU in one direction whose reset gate acts before the recurrent product.

    h' = tanh(x Wh + (r * h) Uh + bh), unlike torch.nn.GRU, which multiplies after the product and so cannot hold the
    original's weights (source: docs/model.md, "Language").

    Args:
        input_dim: width of a word.
        hidden_dim: width of the state.
    """

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.input = nn.Linear(input_dim, 3 * hidden_dim)  # gates in the order z, r, h
        self.recurrent_gates = nn.Linear(hidden_dim, 2 * hidden_dim, bias=False)  # z, r
        self.recurrent_candidate = nn.Linear(hidden_dim, hidden_dim, bias=False)

    def forward(self, words: Tensor) -> Tensor:
        """Words (B, T, input_dim) to states (B, T, hidden_dim)."""
        projected = self.input(words)
        state = projected.new_zeros(words.shape[0], self.hidden_dim)
        states = []
        for gates, candidate in zip(
            projected[..., : 2 * self.hidden_dim].unbind(1),
            projected[..., 2 * self.hidden_dim :].unbind(1),
            strict=True,
        ):
            update, reset = (gates + self.recurrent_gates(state)).sigmoid().chunk(2, dim=-1)
            proposal = (candidate + self.recurrent_candidate(reset * state)).tanh()
            state = update * state + (1 - update) * proposal
            states.append(state)
        return torch.stack(states, dim=1)


class SummedGRU(nn.Module):
    """The original's encoder: a GRU in each direction, summed; padding counts as words.

    Args:
        input_dim: width of a word vector.
        hidden_dim: width of the result.
        bidirectional: False: the forward direction alone.
        dropout: share of a word vector's entries dropped while training; one mask per direction and expression, shared
            by all its words.
    """

    def __init__(self, *, input_dim: int, hidden_dim: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        self.dim = hidden_dim
        self.dropout = dropout
        self.forward_gru = ResetBeforeGRU(input_dim, hidden_dim)
        self.backward_gru = ResetBeforeGRU(input_dim, hidden_dim) if bidirectional else None

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Word vectors (B, T, input_dim) to word features (B, T, hidden_dim); the mask is ignored."""
        kept = torch.ones_like(words[:, :1])  # (B, 1, input_dim): the same entries of all words of an expression
        states = self.forward_gru(words * F.dropout(kept, self.dropout, self.training))
        if self.backward_gru is not None:
            dropped = words * F.dropout(kept, self.dropout, self.training)
            states = states + self.backward_gru(dropped.flip(1)).flip(1)
        return TextFeatures(states, None, states)


class WordProjection(nn.Sequential):
    """Project words (B, T, input_dim) to the network's width (B, T, dim), at unit scale.

    Without the normalisation words are several times weaker than the positional encoding and the map they are combined
    with, and the network learns to use the image long before it learns to use the words (docs/log.md, 2026-11-22).

    Args:
        input_dim: width of the encoder's state.
        dim: width of the result.
    """

    def __init__(self, input_dim: int, dim: int) -> None:
        super().__init__(nn.Linear(input_dim, dim), nn.LayerNorm(dim))


class GRUEncoder(nn.Module):
    """Bidirectional GRU over word vectors, projected to the network's width.

    Args:
        input_dim: width of a word vector.
        hidden_dim: width of each direction.
        layers: number of stacked layers.
        dim: width of the result.
        dropout: share of the input dropped while training.
    """

    def __init__(self, *, input_dim: int, hidden_dim: int, layers: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.dim = dim
        self.state_dim = 2 * hidden_dim
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(input_dim, hidden_dim, layers, batch_first=True, bidirectional=True)
        self.project = WordProjection(2 * hidden_dim, dim)

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Encode word vectors.

        Args:
            words: (B, T, input_dim) float.
            word_mask: (B, T) bool, True for the words, which come first; None: padding is encoded too.

        Returns:
            Word features (B, T, dim) with the mask.
        """
        words = self.dropout(words)
        if word_mask is None:
            states, _ = self.gru(words)
        else:
            lengths = word_mask.sum(1).cpu()
            packed, _ = self.gru(pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(packed, batch_first=True, total_length=words.shape[1])
        return TextFeatures(self.project(states), word_mask, states)


class BertEncoder(Freezable):
    """Token states of a BERT-family encoder, projected to the network's width.

    Args:
        network: a `transformers` encoder that takes input_ids and attention_mask and returns last_hidden_state.
        dim: width of the result.
    """

    def __init__(self, *, network: Any, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.state_dim: int = network.config.hidden_size
        self.network = network
        self.project = WordProjection(self.state_dim, dim)

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Encode token ids.

        Args:
            words: (B, T) int64.
            word_mask: (B, T) bool, True for tokens; None: padding is encoded too.

        Returns:
            Token features (B, T, dim) with the mask.
        """
        attended = torch.ones_like(words) if word_mask is None else word_mask.long()
        states = self.network(input_ids=words, attention_mask=attended).last_hidden_state
        return TextFeatures(self.project(states), word_mask, states)

    def blocks(self) -> list[nn.Module]:
        """List the embeddings, then the layers."""
        return [self.network.embeddings, *self.network.encoder.layer]
