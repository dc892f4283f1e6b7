"""Transformer: an encoder over the fused map, and a decoder in which the queries attend to it."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.layers import map_sinusoid, sinusoid


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with several heads.

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
        """Attend from queries to keys.

        Args:
            queries: (B, N, dim).
            keys: (B, M, dim).
            values: (B, M, dim).
            key_mask: (B, M) bool, True where a key may be attended to; None: everywhere.
            causal: query i attends to keys 0..i only; not together with `key_mask`.

        Returns:
            (B, N, dim).
        """
        q, k, v = (
            self.act(project(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N or M, dim / heads)
            for project, x in ((self.query, queries), (self.key, keys), (self.value, values))
        )
        mask = None if key_mask is None else key_mask[:, None, None]  # (B, 1, 1, M)
        gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.act(self.output(gathered.transpose(1, 2).flatten(2)))


class FeedForward(nn.Sequential):
    """Two dense layers with a ReLU between, on (..., dim).

    Args:
        dim: width in and out.
        hidden_dim: width between.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__(nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, dim))


class Residual(nn.Module):
    """Residual connection with the original's post-norm: norm(x + dropout(change)).

    Args:
        dim: width.
        dropout: share of the change dropped while training.
        epsilon: epsilon of the layer normalisation, inside the square root.
    """

    def __init__(self, dim: int, dropout: float, epsilon: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim, eps=epsilon)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Add `change` to `x` and normalise, all (B, N, dim)."""
        return self.norm(x + self.dropout(change))


class EncoderLayer(nn.Module):
    """Self-attention over a feature map, then a feed-forward network. Arguments as in `Transformer`."""

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
        """Map of size (h, w) as (B, h * w, dim), its rows one after the other, to the same shape."""
        keys = x
        if self.key_stride > 1:
            grid = x.transpose(1, 2).unflatten(2, size)
            keys = F.avg_pool2d(grid, self.key_stride, ceil_mode=True).flatten(2).transpose(1, 2)
        x = self.attention_residual(x, self.attention(x, keys, keys))
        return self.feedforward_residual(x, self.feedforward(x))


class DecoderLayer(nn.Module):
    """Self-attention among queries, attention to the memory, a feed-forward network. Arguments as in `Transformer`."""

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

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        """Queries (B, Q, dim), memory (B, M, dim) and, where not all of it counts, its mask to queries (B, Q, dim)."""
        x = self.self_residual(x, self.self_attention(x, x, x, causal=self.causal))
        x = self.memory_residual(x, self.memory_attention(x, memory, memory, memory_mask))
        return self.feedforward_residual(x, self.feedforward(x))


class Transformer(nn.Module):
    """Encoder over the fused map, decoder over the queries (source: the paper's figure 2, right).

    Args:
        dim: width.
        heads: number of attention heads.
        feedforward_dim: inner width of the feed-forward networks.
        encoder_layers: may be 0: the memory is then the map with its positional encoding.
        decoder_layers: at least 1.
        dropout: share of each layer's output dropped while training.
        key_stride: average-pool the encoder's attention keys by this factor along both sides; 1: no pooling.
        positions: "2d": encode rows and columns of the map, and no order of the queries; "1d": encode the index in the
            flattened map, and the index of each query, as in the original.
        causal: query i attends to queries 0..i only, as in the original.
        relu: rectify the projections of attention, as in the original.
        epsilon: epsilon of the layer normalisations.
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
        """Encode the map, then decode the queries.

        Args:
            fused: (B, dim, h, w), the encoder's input.
            queries: (B, Q, dim).

        Returns:
            Memory (B, dim, h, w), the encoder's output as a map, and responses (B, Q, dim), the decoder's output.
        """
        dim, height, width = fused.shape[1:]
        if self.positions == "1d":
            encoding = sinusoid(height * width, dim, fused.device)
            responses = queries + sinusoid(queries.shape[1], dim, queries.device)
        else:
            encoding = map_sinusoid(height, width, dim, fused.device)
            responses = queries
        memory = fused.flatten(2).transpose(1, 2) + encoding  # (B, h * w, dim)
        for layer in self.encoder:
            memory = layer(memory, (height, width))
        for layer in self.decoder:
            responses = layer(responses, memory)
        return memory.transpose(1, 2).unflatten(2, (height, width)), responses
