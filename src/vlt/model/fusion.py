"""Fusion of image and words: the feature maps and the word features become one map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.language import TextFeatures
from vlt.model.layers import BatchConv, GroupConv, coordinates


@dataclass(frozen=True, slots=True)
class FusedMaps:
    """Output of the fusion.

    Attributes:
        query_map: (B, C, h, w), the map that queries are generated from.
        encoder_map: (B, dim, h, w), the transformer's input.
    """

    query_map: Tensor
    encoder_map: Tensor


class SentencePooling(nn.Module):
    """Pool the words of an expression to one vector, with separate word weights for every channel.

    a = softmax over words of dropout(tanh(dense(W))); s = sum_t a_t W_t (source: docs/model.md, "Language").

    Args:
        dim: width of a word.
        dropout: share of the scores dropped while training.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.score = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: TextFeatures) -> Tensor:
        """Words (B, T, dim) to sentence vectors (B, dim)."""
        scores = self.dropout(self.score(text.words).tanh())
        if text.mask is not None:
            scores = scores.masked_fill(~text.mask[..., None], -torch.inf)
        return (scores.softmax(dim=1) * text.words).sum(dim=1)


class ReferenceFusion(nn.Module):
    """The original's fusion of three scales, for maps of strides s, 2s, 4s (source: docs/model.md, "Fusion").

    Args:
        channels: channels of the maps at strides 8, 16, 32.
        text_dim: width of a word.
        hidden_dim: width of the encoder's input.
        dropout: share of the sentence pooling's scores dropped while training.
    """

    def __init__(self, *, channels: Sequence[int], text_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.pooling = SentencePooling(text_dim, dropout)
        self.coarse_residual = nn.Sequential(BatchConv(coarse, middle, 1), BatchConv(middle, coarse, 3))
        self.gate = nn.Linear(text_dim, coarse)
        self.gate_norm = nn.BatchNorm1d(coarse, eps=1e-3, momentum=0.01)
        self.product_norm = nn.BatchNorm2d(coarse, eps=1e-3, momentum=0.01)
        self.act = nn.LeakyReLU(0.1)
        self.middle_lateral = BatchConv(middle, middle, 1)
        self.middle_join = BatchConv(coarse + middle, middle, 1)
        self.fine_lateral = BatchConv(fine, fine, 1)
        self.query_join = BatchConv(middle + fine, middle, 1)
        self.refine = nn.Sequential(BatchConv(middle, fine, 1), BatchConv(fine, middle, 3))
        self.refine_join = BatchConv(2 * middle, middle, 1)
        self.encoder_join = nn.Sequential(
            BatchConv(coarse + middle, hidden_dim, 1), BatchConv(hidden_dim, hidden_dim, 1)
        )

    def forward(self, maps: Sequence[Tensor], text: TextFeatures) -> FusedMaps:
        """Fuse three maps with the words.

        Args:
            maps: (B, channels[i], h_i, w_i) at strides 8, 16, 32.
            text: words (B, T, text_dim).

        Returns:
            Query map (B, channels[1], h, w) and encoder map (B, hidden_dim, h, w), both at stride 16.
        """
        fine, middle, coarse = maps
        residual = coarse + self.coarse_residual(coarse)
        gate = self.act(self.gate_norm(self.gate(self.pooling(text))))[..., None, None]
        fused = F.interpolate(self.act(self.product_norm(residual * gate)), scale_factor=2, mode="nearest")
        joined = self.middle_join(torch.cat([fused, self.middle_lateral(middle)], dim=1))
        query_map = self.query_join(torch.cat([joined, self.fine_lateral(F.avg_pool2d(fine, 2))], dim=1))
        refined = self.refine_join(torch.cat([self.refine(query_map), joined], dim=1))
        return FusedMaps(query_map, self.encoder_join(torch.cat([fused, refined], dim=1)))


class SentenceAttention(nn.Module):
    """The original's attention to words: one sentence vector for all positions.

    Args:
        dim: width of map and words.
        dropout: share of the sentence pooling's scores dropped while training.
    """

    def __init__(self, *, dim: int, dropout: float) -> None:
        super().__init__()
        self.pooling = SentencePooling(dim, dropout)
        self.value = nn.Linear(dim, dim)

    def forward(self, visual: Tensor, text: TextFeatures) -> Tensor:
        """Map (B, dim, h, w) and words (B, T, dim) to the text feature of each position, (B, dim, h, w)."""
        return self.value(self.pooling(text))[..., None, None].expand_as(visual)


class SpatialDynamicAttention(nn.Module):
    """Attention of every position to the words (source: the 2022 extension).

    A = softmax over words of (Fv Wv)(Ft Wt)^T / sqrt(C), per position; Fsd = A (Ft W).

    Args:
        dim: width of map and words.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(dim, dim, 1)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(self, visual: Tensor, text: TextFeatures) -> Tensor:
        """Map (B, dim, h, w) and words (B, T, dim) to the text feature of each position, (B, dim, h, w)."""
        positions = self.query(visual).flatten(2).transpose(1, 2)  # (B, h * w, dim)
        mask = None if text.mask is None else text.mask[:, None]  # (B, 1, T)
        words = F.scaled_dot_product_attention(positions, self.key(text.words), self.value(text.words), attn_mask=mask)
        return words.transpose(1, 2).unflatten(2, visual.shape[-2:])


class Fusion(nn.Module):
    """Join the image's map, the text feature of each position, their product and the coordinates to one map.

    Args:
        attention: map and words to the text feature of each position.
        dim: width throughout.
    """

    def __init__(self, *, attention: SentenceAttention | SpatialDynamicAttention, dim: int) -> None:
        super().__init__()
        self.attention = attention
        self.join = nn.Sequential(GroupConv(3 * dim + 2, dim, 1), GroupConv(dim, dim, 3))

    def forward(self, maps: Sequence[Tensor], text: TextFeatures) -> FusedMaps:
        """Fuse the image encoder's one map with the words.

        Args:
            maps: one (B, dim, h, w).
            text: words (B, T, dim).

        Returns:
            One fused map (B, dim, h, w), as query map and as encoder map.
        """
        [visual] = maps
        words = self.attention(visual, text)
        where = coordinates(visual.shape[-2], visual.shape[-1], visual.device).to(visual.dtype)
        fused = self.join(torch.cat([visual, words, visual * words, where.expand(visual.shape[0], -1, -1, -1)], dim=1))
        return FusedMaps(fused, fused)
