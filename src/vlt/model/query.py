"""The expression read in several ways at once: each reading is a query; afterwards each answer gets its weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlt.model.convolution import BatchConv, GroupConv
from vlt.model.language import TextFeatures
from vlt.model.position import coordinates, sinusoid
from vlt.model.transformer import MultiHeadAttention


@dataclass(frozen=True, slots=True)
class Queries:
    """What query generation hands on.

    Attributes:
        visual: (B, Q, dim), V: what each query looked at in the picture.
        vectors: (B, Q, dim), the queries themselves.
    """

    visual: Tensor
    vectors: Tensor


class WordAttention(nn.Module):
    """Each query weighs the words in its own way: Q = attention(V', L', L') + V.

    Source: docs/model.md, "Query generation".

    Args:
        dim: width of V and L.
        attention_dim: width inside; equal to `dim`, since the result is added to V.
        heads: of the attention.
        relu: rectify the projections, as the original does.
    """

    def __init__(self, *, dim: int, attention_dim: int, heads: int, relu: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, attention_dim) for _ in range(3))
        self.act: nn.Module = nn.ReLU() if relu else nn.Identity()
        self.attention = MultiHeadAttention(dim=attention_dim, heads=heads, relu=relu)

    def forward(self, visual: Tensor, words: Tensor, mask: Tensor | None) -> Tensor:
        """V (B, Q, dim), L (B, T, dim) and the words' mask (B, T) to queries (B, Q, dim)."""
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
    """The original's: one map per query, read by a dense layer over all its positions.

    Source: docs/model.md, "Query generation".

    Args:
        map_dim: channels of the query map.
        text_dim: width of a word.
        dim: width of the queries.
        attention_dim: width of the attention to words.
        heads: of that attention.
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
        """Map (B, map_dim, h, w) and words (B, T, text_dim) to queries."""
        height, width = query_map.shape[-2:]
        where = coordinates(height, width, query_map.device).repeat_interleave(3, dim=0)  # x x x y y y
        maps = self.read(torch.cat([query_map, where.expand(len(query_map), -1, -1, -1)], dim=1))  # (B, Q, h, w)
        visual = self.visual(maps.flatten(2)).relu()
        return Queries(visual, self.attend(visual, self.words(text.words).relu(), text.mask))


class QueryGenerator(nn.Module):
    """Queries from the picture and the words: each looks at its own places, then weighs the words.

    Args:
        dim: width throughout.
        heads: of the attention to words.
        num_queries: Q.
        positions: h * w of the map, to read the queries' maps by a dense layer over all positions as the original does;
            None: each map is a softmax over positions that gathers the fused map, at any size.
    """

    def __init__(self, *, dim: int, heads: int, num_queries: int, positions: int | None) -> None:
        super().__init__()
        self.read = nn.Sequential(GroupConv(dim + 2, dim, 3), nn.Conv2d(dim, num_queries, 1))
        self.gathers = positions is None
        self.visual = nn.Linear(dim if positions is None else positions, dim)
        self.attend = WordAttention(dim=dim, attention_dim=dim, heads=heads, relu=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, query_map: Tensor, text: TextFeatures) -> Queries:
        """Map (B, dim, h, w) and words (B, T, dim) to queries."""
        height, width = query_map.shape[-2:]
        where = coordinates(height, width, query_map.device).to(query_map.dtype)
        maps = self.read(torch.cat([query_map, where.expand(len(query_map), -1, -1, -1)], dim=1)).flatten(
            2
        )  # (B, Q, hw)
        if self.gathers:
            maps = maps.softmax(dim=-1) @ query_map.flatten(2).transpose(1, 2)  # (B, Q, dim)
        visual = self.visual(maps)
        return Queries(visual, self.norm(self.attend(visual, text.words, text.mask)))


class LearnedQueries(nn.Module):
    """The same queries for every input, as in DETR; the ablation.

    Args:
        dim: width of the queries.
        num_queries: Q.
    """

    def __init__(self, *, dim: int, num_queries: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(num_queries, dim))

    def forward(self, query_map: Tensor, text: TextFeatures) -> Queries:
        """Anything to the learned queries (B, Q, dim)."""
        vectors = self.vectors.expand(len(query_map), -1, -1)
        return Queries(vectors, vectors)


class QueryBalance(nn.Module):
    """A confidence per query that scales its answer (source: docs/model.md, "Query balance").

    c = sigmoid(dense(relu(dense(concat[relu(dense(D)), relu(dense(Q))])))).

    Args:
        dim: width of answers and queries.
        hidden_dim: width inside.
    """

    def __init__(self, *, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, hidden_dim)
        self.answer = nn.Linear(dim, hidden_dim)
        self.join = nn.Linear(2 * hidden_dim, hidden_dim)
        self.confidence = nn.Linear(hidden_dim, 1)

    def forward(self, answers: Tensor, queries: Tensor) -> Tensor:
        """Answers D (B, Q, dim) and queries (B, Q, dim) to confidences (B, Q, 1) in [0, 1]."""
        both = torch.cat([self.answer(answers).relu(), self.query(queries).relu()], dim=-1)
        return self.confidence(self.join(both).relu()).sigmoid()
