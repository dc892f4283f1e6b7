"""Query generation and query balance.

The expression is interpreted in several ways at once, one query each; the decoder's response to each query is then
multiplied by a confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlt.model.language import TextFeatures
from vlt.model.layers import BatchConv, GroupConv, coordinates, sinusoid
from vlt.model.transformer import MultiHeadAttention


@dataclass(frozen=True, slots=True)
class Queries:
    """Output of the query generation.

    Attributes:
        visual: (B, Q, dim), V: the image features from which each query was generated.
        vectors: (B, Q, dim), the queries.
    """

    visual: Tensor
    vectors: Tensor


class WordAttention(nn.Module):
    """Attention from queries to words; each query has its own word weights: Q = attention(V', L', L') + V.

    Source: docs/model.md, "Query generation".

    Args:
        dim: width of V and L.
        attention_dim: width inside; equal to `dim`, since the result is added to V.
        heads: number of attention heads.
        relu: rectify the projections, as the original does.
    """

    def __init__(self, *, dim: int, attention_dim: int, heads: int, relu: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, attention_dim) for _ in range(3))
        self.act: nn.Module = nn.ReLU() if relu else nn.Identity()
        self.attention = MultiHeadAttention(dim=attention_dim, heads=heads, relu=relu)

    def forward(self, visual: Tensor, words: Tensor, mask: Tensor | None) -> Tensor:
        """Image features V (B, Q, dim), words L (B, T, dim) and their mask (B, T) to queries (B, Q, dim)."""
        positioned_visual = visual + sinusoid(visual.shape[1], visual.shape[2], visual.device)
        positioned_words = words + sinusoid(words.shape[1], words.shape[2], words.device)
        gathered = self.attention(
            self.act(self.query(positioned_visual)),
            self.act(self.key(positioned_words)),
            self.act(self.value(positioned_words)),
            mask,
        )
        return gathered + visual


class ReferenceQueryGenerator(nn.Module):
    """The original's query generation: one map per query, projected by a dense layer over all its positions.

    Source: docs/model.md, "Query generation".

    Args:
        map_dim: channels of the query map.
        text_dim: width of a word.
        dim: width of the queries.
        attention_dim: width of the attention to words.
        heads: number of heads of that attention.
        num_queries: Q.
        positions: h * w of the query map, fixed.
    """

    def __init__(
        self, *, map_dim: int, text_dim: int, dim: int, attention_dim: int, heads: int, num_queries: int, positions: int
    ) -> None:
        super().__init__()
        wide = map_dim + 6
        self.read = nn.Sequential(*(BatchConv(wide, wide, 3) for _ in range(3)), nn.Conv2d(wide, num_queries, 1))
        self.visual = nn.Linear(positions, dim)
        self.words = nn.Linear(text_dim, dim)
        self.attend = WordAttention(dim=dim, attention_dim=attention_dim, heads=heads, relu=True)

    def forward(self, query_map: Tensor, text: TextFeatures) -> Queries:
        """Map (B, map_dim, h, w) and words (B, T, text_dim) to queries (B, Q, dim)."""
        height, width = query_map.shape[-2:]
        where = coordinates(height, width, query_map.device).repeat_interleave(3, dim=0)  # x x x y y y
        maps = self.read(torch.cat([query_map, where.expand(query_map.shape[0], -1, -1, -1)], dim=1))  # (B, Q, h, w)
        visual = self.visual(maps.flatten(2)).relu()
        return Queries(visual, self.attend(visual, self.words(text.words).relu(), text.mask))


class QueryGenerator(nn.Module):
    """Generate queries from the fused map and the words: each pools its own positions, then attends to the words.

    Args:
        dim: width throughout.
        heads: number of heads of the attention to words.
        num_queries: Q.
        positions: h * w of the map, to project each query's map by a dense layer over all positions as the original
            does; None: each map is a softmax over positions that pools the fused map, at any size.
    """

    def __init__(self, *, dim: int, heads: int, num_queries: int, positions: int | None) -> None:
        super().__init__()
        self.read = nn.Sequential(GroupConv(dim + 2, dim, 3), nn.Conv2d(dim, num_queries, 1))
        self.gathers = positions is None
        self.visual = nn.Linear(dim if positions is None else positions, dim)
        self.attend = WordAttention(dim=dim, attention_dim=dim, heads=heads, relu=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, query_map: Tensor, text: TextFeatures) -> Queries:
        """Map (B, dim, h, w) and words (B, T, dim) to queries (B, Q, dim)."""
        height, width = query_map.shape[-2:]
        where = coordinates(height, width, query_map.device).to(query_map.dtype)
        maps = self.read(torch.cat([query_map, where.expand(query_map.shape[0], -1, -1, -1)], dim=1))
        maps = maps.flatten(2)  # (B, Q, h * w)
        if self.gathers:
            maps = maps.softmax(dim=-1) @ query_map.flatten(2).transpose(1, 2)  # (B, Q, dim)
        visual = self.visual(maps)
        return Queries(visual, self.norm(self.attend(visual, text.words, text.mask)))


class LearnedQueries(nn.Module):
    """Learned queries, the same for every input, as in DETR; for ablation studies.

    Args:
        dim: width of the queries.
        num_queries: Q.
    """

    def __init__(self, *, dim: int, num_queries: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(num_queries, dim))

    def forward(self, query_map: Tensor, text: TextFeatures) -> Queries:
        """Return the learned queries (B, Q, dim), for any map and words of a batch of B."""
        vectors = self.vectors.expand(query_map.shape[0], -1, -1)
        return Queries(vectors, vectors)


class QueryBalance(nn.Module):
    """Predict a confidence per query, which its response is multiplied by (source: docs/model.md, "Query balance").

    c = sigmoid(dense(relu(dense(concat[relu(dense(D)), relu(dense(Q))])))).

    Args:
        dim: width of responses and queries.
        hidden_dim: width inside.
    """

    def __init__(self, *, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, hidden_dim)
        self.answer = nn.Linear(dim, hidden_dim)
        self.join = nn.Linear(2 * hidden_dim, hidden_dim)
        self.confidence = nn.Linear(hidden_dim, 1)

    def forward(self, responses: Tensor, queries: Tensor) -> Tensor:
        """Responses D (B, Q, dim) and queries (B, Q, dim) to confidences (B, Q, 1) in [0, 1]."""
        both = torch.cat([self.answer(responses).relu(), self.query(queries).relu()], dim=-1)
        return self.confidence(self.join(both).relu()).sigmoid()
