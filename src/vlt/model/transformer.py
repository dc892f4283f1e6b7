"""Attention, and the encoder and decoder made of it: the map is read, then the queries ask it."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.position import map_sinusoid, sinusoid


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in several heads.

    Args:
        dim: width of queries, keys, values and output; a multiple of `heads`.
        heads: number of heads.
        relu: rectify all four projections, as the original does (docs/oddities.md).
    """

    def __init__(self, *, dim: int, heads: int, relu: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))
        self.act: nn.Module = nn.ReLU() if relu else nn.Identity()

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """What each query gathers from the values.

        Args:
            queries: (B, N, dim).
            keys: (B, M, dim).
            values: (B, M, dim).
            key_mask: (B, M) bool, True where a key may be looked at; None: everywhere.
            causal: query i sees keys 0..i only; not together with `key_mask`.

        Returns:
            (B, N, dim).
        """
        q = self._split(self.act(self.query(queries)))  # (B, heads, N, dim / heads)
        k = self._split(self.act(self.key(keys)))
        v = self._split(self.act(self.value(values)))
        mask = None if key_mask is None else key_mask[:, None, None]  # (B, 1, 1, M)
        gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.act(self.output(gathered.transpose(1, 2).flatten(2)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two dense layers with a ReLU between.

    Args:
        dim: width in and out.
        hidden_dim: width between.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__(nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, dim))


class Residual(nn.Module):
    """x = norm(x + dropout(change)), the original's post-norm step.

    Args:
        dim: width.
        dropout: share of the change dropped while training.
        epsilon: of the layer normalisation, inside the square root.
    """

    def __init__(self, dim: int, dropout: float, epsilon: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim, eps=epsilon)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Both (B, N, dim)."""
        return self.norm(x + self.dropout(change))


class EncoderLayer(nn.Module):
    """Self-attention over the map, then feed-forward. Arguments as in `Transformer`."""

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        feedforward_dim: int,
        dropout: float,
        key_stride: int = 1,
        relu: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.key_stride = key_stride
        self.attention = MultiHeadAttention(dim=dim, heads=heads, relu=relu)
        self.attention_residual = Residual(dim, dropout, epsilon)
        self.feedforward = FeedForward(dim, feedforward_dim)
        self.feedforward_residual = Residual(dim, dropout, epsilon)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, h * w, dim), the map's rows one after the other, to the same; `size` is (h, w)."""
        keys = self._keys(x, size)
        x = self.attention_residual(x, self.attention(x, keys, keys))
        return self.feedforward_residual(x, self.feedforward(x))

    def _keys(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """What is attended to: every position, or the means of squares of `key_stride` positions a side."""
        if self.key_stride == 1:
            return x
        grid = x.transpose(1, 2).unflatten(2, size)
        return F.avg_pool2d(grid, self.key_stride, ceil_mode=True).flatten(2).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Self-attention among queries, attention to the memory, feed-forward. Arguments as in `Transformer`."""

    def __init__(
        self, *, dim: int, heads: int, feedforward_dim: int, dropout: float, relu: bool, epsilon: float, causal: bool
    ) -> None:
        super().__init__()
        self.causal = causal
        self.self_attention = MultiHeadAttention(dim=dim, heads=heads, relu=relu)
        self.self_residual = Residual(dim, dropout, epsilon)
        self.memory_attention = MultiHeadAttention(dim=dim, heads=heads, relu=relu)
        self.memory_residual = Residual(dim, dropout, epsilon)
        self.feedforward = FeedForward(dim, feedforward_dim)
        self.feedforward_residual = Residual(dim, dropout, epsilon)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Queries (B, Q, dim) and memory (B, h * w, dim) to queries."""
        x = self.self_residual(x, self.self_attention(x, x, x, causal=self.causal))
        x = self.memory_residual(x, self.memory_attention(x, memory, memory))
        return self.feedforward_residual(x, self.feedforward(x))


class Transformer(nn.Module):
    """Encoder over the fused map, decoder over the queries (source: the paper's figure 2, right).

    Args:
        dim: width.
        heads: attention heads.
        feedforward_dim: inner width of the feed-forward layers.
        encoder_layers: may be 0, then the memory is the map with its positions.
        decoder_layers: at least 1.
        dropout: share dropped while training.
        key_stride: the encoder's positions attend to means of squares of so many positions a side; 1: to each.
        positions: "2d": rows and columns of the map, queries without order; "1d": index in the flattened map, and the
            queries' index, as in the original.
        causal: query i sees queries 0..i only, as in the original.
        relu: rectify attention's projections, as in the original.
        epsilon: of the layer normalisations.
    """

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        feedforward_dim: int,
        encoder_layers: int,
        decoder_layers: int,
        dropout: float,
        key_stride: int = 1,
        positions: Literal["1d", "2d"] = "2d",
        causal: bool = False,
        relu: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.positions = positions
        self.encoder = nn.ModuleList(
            EncoderLayer(
                dim=dim,
                heads=heads,
                feedforward_dim=feedforward_dim,
                dropout=dropout,
                key_stride=key_stride,
                relu=relu,
                epsilon=epsilon,
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(
                dim=dim,
                heads=heads,
                feedforward_dim=feedforward_dim,
                dropout=dropout,
                relu=relu,
                epsilon=epsilon,
                causal=causal,
            )
            for _ in range(decoder_layers)
        )

    def forward(self, fused: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Reads the map, then asks it.

        Args:
            fused: (B, dim, h, w), the encoder's input.
            queries: (B, Q, dim).

        Returns:
            memory (B, dim, h, w), the encoder's output as a map, and answers (B, Q, dim), the decoder's output.
        """
        height, width = fused.shape[-2:]
        memory = fused.flatten(2).transpose(1, 2) + self._map_positions(height, width, fused)  # (B, h * w, dim)
        for layer in self.encoder:
            memory = layer(memory, (height, width))
        answers = queries
        if self.positions == "1d":
            answers = queries + sinusoid(queries.shape[1], queries.shape[2], queries.device)
        for layer in self.decoder:
            answers = layer(answers, memory)
        return memory.transpose(1, 2).unflatten(2, (height, width)), answers

    def _map_positions(self, height: int, width: int, fused: Tensor) -> Tensor:
        if self.positions == "1d":
            return sinusoid(height * width, fused.shape[1], fused.device)
        return map_sinusoid(height, width, fused.shape[1], fused.device)
