"""Choice: which candidate an expression refers to, none of them, or something that is no candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.candidates import Candidates
from vlt.model.language import TextFeatures
from vlt.model.layers import SharedDropout, shared_area, sinusoid
from vlt.model.query import QueryBalance, WordAttention
from vlt.model.transformer import DecoderLayer, MultiHeadAttention

NEVER = -1e4
"""Logit of a candidate that does not exist."""
CERTAIN = 20.0
"""Logit of a certain outcome, and of a position inside a box."""
RELATIONS = 8
"""Numbers that `relations` returns per pair of candidates."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Distribution over what an expression may refer to.

    Attributes:
        logits: (B, N + 2): the candidates, nothing in the image, and something that is no candidate.
        boxes: (B, N, 4) xyxy as shares of the input.
        valid: (B, N) bool.
    """

    logits: Tensor
    boxes: Tensor
    valid: Tensor

    def existing(self) -> Tensor:
        """Return the logits (B, N + 2) with minus infinity for candidates that do not exist."""
        return self.logits.masked_fill(~F.pad(self.valid, (0, 2), value=True), -torch.inf)


class Chooser(nn.Module):
    """Choose among the candidates of an image by an expression.

    The candidates' tokens attend to the words, to the cells of their own box, and to each other. Then the figure of
    VLT once more, with candidates in place of positions: queries are generated from the candidates and the words, the
    decoder's responses score the candidates, and the scores are weighed by the confidence of each response and summed.

    Args:
        text_dim: width of the language encoder's states.
        dim: width throughout.
        heads: number of attention heads.
        layers: number of layers of attention to words, cells and candidates.
        num_queries: Q; 0: candidates are scored by a linear layer.
        cells: attend to the cells of the box.
        relations: attend to other candidates.
        dropout: share dropped while training.
    """

    def __init__(
        self,
        *,
        text_dim: int,
        dim: int,
        heads: int,
        layers: int,
        num_queries: int,
        cells: bool,
        relations: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.word = nn.Sequential(nn.Linear(text_dim, dim), nn.LayerNorm(dim))
        self.word_layer = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.others = nn.Parameter(0.1 * torch.randn(2, dim))  # nothing, and something that is no candidate
        self.layers = nn.ModuleList(
            ChoiceLayer(dim=dim, heads=heads, cells=cells, relations=relations, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.score = nn.Linear(dim, 1)
        self.relations = RelationBias(heads=heads) if relations else None
        self.readings = (
            Readings(dim=dim, heads=heads, num_queries=num_queries, dropout=dropout) if num_queries else None
        )

    def forward(self, candidates: Candidates, text: TextFeatures) -> Choice:
        """Choose for B expressions.

        Args:
            candidates: of U images, with the image of each expression.
            text: states (B, T, text_dim) and their mask.
        """
        boxes, valid, tokens = (
            candidates.of_expressions(x) for x in (candidates.boxes, candidates.valid, candidates.tokens)
        )
        words = self.word(text.states) + 0.1 * sinusoid(text.states.shape[1], tokens.shape[-1], tokens.device)
        words = self.word_layer(words, src_key_padding_mask=None if text.mask is None else ~text.mask)
        x = torch.cat([tokens, self.others.expand(tokens.shape[0], -1, -1)], dim=1)
        mask = F.pad(valid, (0, len(self.others)), value=True)
        bias = None if self.relations is None else candidates.of_expressions(self.relations(candidates))
        groups = candidates.by_image()
        for layer in self.layers:
            x = layer(x, words, text.mask, candidates.cells, groups, mask, bias)
        x = self.norm(x)
        logits = self.score(x)[..., 0]
        if self.readings is not None:
            logits = logits + self.readings(x, mask, words, text.mask)
        return Choice(logits.masked_fill(~mask, NEVER), boxes, valid)


class ChoiceLayer(nn.Module):
    """Attention of candidates to the words, to the cells of their box and to each other; a feed-forward network.

    Arguments as in `Chooser`.
    """

    def __init__(self, *, dim: int, heads: int, cells: bool, relations: bool, dropout: float) -> None:
        super().__init__()
        self.words = MultiHeadAttention(dim=dim, heads=heads)
        self.cells = CellAttention(dim=dim, heads=heads) if cells else None
        self.candidates = BiasedAttention(dim=dim, heads=heads) if relations else None
        self.feedforward = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        built = (True, cells, relations, True)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) if each else nn.Identity() for each in built)
        self.drop = SharedDropout(dropout)

    def forward(
        self,
        x: Tensor,
        words: Tensor,
        word_mask: Tensor | None,
        cells: Tensor | None,
        groups: tuple[Tensor, Tensor],
        mask: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        """Update tokens.

        Args:
            x: (B, N + 2, dim), tokens of the candidates and of the two other outcomes.
            words: (B, T, dim).
            word_mask: (B, T) bool or None.
            cells: (U, N, K, dim); None where they are not used.
            groups: see `Candidates.by_image`.
            mask: (B, N + 2) bool, True for tokens that exist.
            bias: (B, heads, N + 2, N + 2), added to the attention between tokens; None without relations.
        """
        before_words, before_cells, before_others, before_feedforward = self.norms
        x = x + self.drop(self.words(before_words(x), words, words, word_mask))
        if self.cells is not None and cells is not None:
            count = cells.shape[1]
            seen = self.cells(before_cells(x[:, :count]), cells, groups)
            x = torch.cat([x[:, :count] + self.drop(seen), x[:, count:]], dim=1)
        if self.candidates is not None:
            x = x + self.drop(self.candidates(before_others(x), mask, bias))
        return x + self.drop(self.feedforward(before_feedforward(x)))


class CellAttention(nn.Module):
    """Attention of each candidate to the cells of its own box.

    Args:
        dim: width of tokens and cells; a multiple of `heads`.
        heads: number of heads.
    """

    def __init__(self, *, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, cells: Tensor, groups: tuple[Tensor, Tensor]) -> Tensor:
        """Attend from tokens to cells.

        Args:
            x: (B, N, dim).
            cells: (U, N, K, dim), too many to be copied for each expression.
            groups: see `Candidates.by_image`.

        Returns:
            (B, N, dim).
        """
        keys, values = self.key(cells), self.value(cells)
        queries = self.query(x)
        rows, places = groups
        found = attend_in_box(queries[rows], keys, values, self.heads)
        return self.output(found.flatten(0, 1)[places])


def attend_in_box(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Attend from several queries per candidate to the candidate's cells.

    Args:
        queries: (U, E, N, dim), E expressions per image.
        keys: (U, N, K, dim).
        values: (U, N, K, dim).
        heads: number of heads.

    Returns:
        (U, E, N, dim).
    """
    q = queries.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1, 4)  # (U, N, heads, E, dim / heads)
    k, v = (x.unflatten(-1, (heads, -1)).transpose(2, 3) for x in (keys, values))  # (U, N, heads, K, dim / heads)
    return F.scaled_dot_product_attention(q, k, v).permute(0, 3, 1, 2, 4).flatten(3)


class BiasedAttention(nn.Module):
    """Self-attention among candidates, with a bias for each pair.

    Args:
        dim: width; a multiple of `heads`.
        heads: number of heads.
    """

    def __init__(self, *, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
        """Tokens (B, M, dim), their mask (B, M) and the bias (B, heads, M, M) to (B, M, dim)."""
        q, k, v = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        added = torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, NEVER)[:, None, None]
        gathered = F.scaled_dot_product_attention(q, k, v, attn_mask=added if bias is None else added + bias)
        attended: Tensor = self.output(gathered.transpose(1, 2).flatten(2))
        return attended


class RelationBias(nn.Module):
    """Attention bias of each pair of candidates, from the places and sizes of their boxes.

    Args:
        heads: number of heads.
    """

    def __init__(self, *, heads: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(RELATIONS, 32), nn.GELU(), nn.Linear(32, heads))

    def forward(self, candidates: Candidates) -> Tensor:
        """Return (U, heads, N + 2, N + 2); zero for the two outcomes that are no candidates."""
        return F.pad(self.layers(relations(candidates.boxes)).permute(0, 3, 1, 2), (0, 2, 0, 2))


def relations(boxes: Tensor) -> Tensor:
    """Describe where each box lies as seen from each other box.

    Args:
        boxes: (U, N, 4) xyxy as shares of the input.

    Returns:
        (U, N, N, RELATIONS): offsets in x and y, their length, logarithms of the ratios of width and height, shares of
        each of the two that the other covers, and whether both are the same box.
    """
    centre, extent = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    offset = 2 * (centre[:, None] - centre[:, :, None])
    ratio = (extent[:, None] / extent[:, :, None]).log() / 2
    shared = shared_area(boxes)
    area = extent.prod(dim=-1)
    covered = torch.stack([shared / area[:, :, None], shared / area[:, None]], dim=-1)
    same = torch.eye(boxes.shape[1], device=boxes.device).expand(boxes.shape[0], -1, -1)[..., None]
    return torch.cat([offset, offset.norm(dim=-1, keepdim=True), ratio, covered, same], dim=-1)


class Readings(nn.Module):
    """Score candidates by generated queries: VLT's query generation, decoder and balance over candidates.

    Args:
        dim: width throughout.
        heads: number of heads.
        num_queries: Q.
        dropout: share dropped while training.
    """

    def __init__(self, *, dim: int, heads: int, num_queries: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.Linear(dim, num_queries)
        self.attend = WordAttention(dim=dim, attention_dim=dim, heads=heads, relu=False)
        self.norm = nn.LayerNorm(dim)
        self.decoder = DecoderLayer(
            dim=dim, heads=heads, feedforward_dim=2 * dim, dropout=dropout, relu=False, epsilon=1e-5, causal=False
        )
        self.balance = QueryBalance(dim=dim, hidden_dim=dim)
        self.key = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor, words: Tensor, word_mask: Tensor | None) -> Tensor:
        """Tokens (B, M, dim), their mask (B, M), words (B, T, dim) and their mask to scores (B, M)."""
        weights = self.pool(x).masked_fill(~mask[..., None], NEVER).softmax(dim=1)  # (B, M, Q)
        pooled = weights.transpose(1, 2) @ x
        queries = self.norm(self.attend(pooled, words, word_mask))
        responses = self.decoder(queries, x, mask)
        confidence = self.balance(responses, queries)
        return ((confidence * responses) @ self.key(x).transpose(1, 2)).mean(dim=1) * x.shape[-1] ** -0.5


class ChoiceGuide(nn.Module):
    """Add the chosen candidates' boxes to the memory, so that the mask follows the choice.

    Starts with zero weights: a network without candidates can be extended without changing its masks.

    Args:
        dim: width of the memory.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, dim, 1)
        for parameter in self.embed.parameters():
            nn.init.zeros_(parameter)

    def forward(self, memory: Tensor, choice: Choice) -> Tensor:
        """Memory (B, dim, h, w) to the same shape; no gradient reaches the choice."""
        guided: Tensor = memory + self.embed(paint_choice(choice, memory.shape[-2:]).detach().to(memory.dtype))
        return guided


def paint_choice(choice: Choice, size: Sequence[int]) -> Tensor:
    """Paint the distribution of a choice on a grid.

    Args:
        choice: of B expressions.
        size: (h, w) of the grid, which covers the input.

    Returns:
        (B, 2, h, w) in [0, 1]: the probability that the candidate chosen covers the position, and that what the
        expression refers to is no candidate, the same everywhere.
    """
    probability = choice.logits.float().softmax(dim=-1)
    covered = []
    for axis, length in ((1, size[0]), (0, size[1])):  # y, x
        edges = torch.arange(length + 1, device=probability.device) / length
        start, end = choice.boxes[..., axis, None], choice.boxes[..., axis + 2, None]  # (B, N, 1)
        shared = torch.minimum(end, edges[1:]) - torch.maximum(start, edges[:-1])
        covered.append((shared * length).clamp(0, 1))  # (B, N, length), share of each row or column
    inside = torch.einsum("bn,bnh,bnw->bhw", probability[:, :-2], *covered)
    return torch.stack([inside, probability[:, -1, None, None].expand_as(inside)], dim=1)


def box_logits(choice: Choice, size: Sequence[int]) -> Tensor:
    """Fill the box of the most probable outcome, as the logits of a mask; empty where that is no candidate.

    Args:
        choice: of B expressions.
        size: (h, w) of the logits, which cover the input.

    Returns:
        (B, 1, h, w), positive at positions that lie more than half inside the box.
    """
    chosen = F.one_hot(choice.logits.argmax(dim=-1), choice.logits.shape[-1]).float()
    certain = Choice(CERTAIN * (2 * chosen - 1), choice.boxes, choice.valid)
    return CERTAIN * (2 * paint_choice(certain, size)[:, :1] - 1)
