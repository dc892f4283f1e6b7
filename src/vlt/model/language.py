"""From words to features of words; one encoder per way of reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vlt.model.freezing import Freezable


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """What the language encoder makes of a batch of expressions.

    Attributes:
        words: (B, T, C).
        mask: (B, T) bool, True = a word; None where the padding is meant to be seen.
    """

    words: Tensor
    mask: Tensor | None

    def mean(self) -> Tensor:
        """Of the words of each expression, (B, C)."""
        if self.mask is None:
            return self.words.mean(dim=1)
        seen = self.mask[..., None].to(self.words.dtype)
        return (self.words * seen).sum(dim=1) / seen.sum(dim=1)


class ResetBeforeGRU(nn.Module):
    """A GRU in one direction whose reset gate acts before the recurrent product.

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
        """(B, T, input_dim) to the states (B, T, hidden_dim)."""
        projected = self.input(words)
        state = projected.new_zeros(len(words), self.hidden_dim)
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
    """The original's encoder: two directions, summed; padding words are words like others.

    Args:
        input_dim: width of a word vector.
        hidden_dim: width of the result.
        bidirectional: False: the forward direction alone.
        dropout: share of a word vector's entries dropped while training, the same for all words of an expression.
    """

    def __init__(self, *, input_dim: int, hidden_dim: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        self.dim = hidden_dim
        self.dropout = dropout
        self.forward_gru = ResetBeforeGRU(input_dim, hidden_dim)
        self.backward_gru = ResetBeforeGRU(input_dim, hidden_dim) if bidirectional else None

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Vectors (B, T, input_dim) to features (B, T, hidden_dim); the mask is not looked at."""
        states = self.forward_gru(self._dropped(words))
        if self.backward_gru is not None:
            states = states + self.backward_gru(self._dropped(words).flip(1)).flip(1)
        return TextFeatures(states, None)

    def _dropped(self, words: Tensor) -> Tensor:
        return words * F.dropout(torch.ones_like(words[:, :1]), self.dropout, self.training)


class WordProjection(nn.Sequential):
    """To the network's width, at unit scale.

    Without the normalisation words arrive several times weaker than the sinusoids and the map they meet, and the
    network learns to look long before it learns to listen (docs/log.md, 2026-11-22).

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
        hidden_dim: of each direction.
        layers: stacked.
        dim: width of the result.
        dropout: share dropped before the GRU while training.
    """

    def __init__(self, *, input_dim: int, hidden_dim: int, layers: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.dim = dim
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(input_dim, hidden_dim, layers, batch_first=True, bidirectional=True)
        self.project = WordProjection(2 * hidden_dim, dim)

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Vectors to features of words.

        Args:
            words: (B, T, input_dim) float.
            word_mask: (B, T) bool, True for the words, which come first; None: padding is read too.
        """
        words = self.dropout(words)
        if word_mask is None:
            states, _ = self.gru(words)
        else:
            lengths = word_mask.sum(1).cpu()
            packed, _ = self.gru(pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(packed, batch_first=True, total_length=words.shape[1])
        return TextFeatures(self.project(states), word_mask)


class BertEncoder(Freezable):
    """A BERT-family encoder read at its token states, projected to the network's width.

    Args:
        network: a `transformers` encoder that takes input_ids and attention_mask and answers last_hidden_state.
        dim: width of the result.
    """

    def __init__(self, *, network: Any, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.network = network
        self.project = WordProjection(network.config.hidden_size, dim)

    def forward(self, words: Tensor, word_mask: Tensor | None) -> TextFeatures:
        """Token ids to features of tokens.

        Args:
            words: (B, T) int64.
            word_mask: (B, T) bool, True for tokens; None: padding is read too.
        """
        seen = torch.ones_like(words) if word_mask is None else word_mask.long()
        states = self.network(input_ids=words, attention_mask=seen).last_hidden_state
        return TextFeatures(self.project(states), word_mask)

    def blocks(self) -> list[nn.Module]:
        """The embeddings, then the layers."""
        return [self.network.embeddings, *self.network.encoder.layer]
