"""Candidates: the objects that the detector found, each with the features of its box, before any words are read.

A candidate has one token (what it is, where, and how it ranks among those of its kind) and the features of the cells
of a grid over its box, in which words can find a colour or a part that the token has lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.categories import COCO_CATEGORIES
from vlt.model.detector import Detections
from vlt.model.layers import BOX_CHANNELS, SharedDropout, box_encoding

COLOUR_STRIDE = 7
"""Side of the squares over which colours are averaged, in pixels of the input."""
COLOUR_SAMPLES = 2
"""Colours per cell and direction."""
COLOURS = 3 * COLOUR_SAMPLES**2
"""Colour values per cell."""
STANDINGS = 12
"""Numbers that `standings` returns per candidate."""
KIND_FLOOR = 0.15
"""Smallest class probability with which a candidate counts as another of its kind."""


@dataclass(frozen=True, slots=True)
class CandidateInputs:
    """Inputs of the candidate encoder for U images, computed by frozen parts alone.

    Attributes:
        detections: boxes, class probabilities and validity of N candidates per image.
        cells: (U, N, K, C), the backbone's maps, concatenated, in each cell of a grid over the box, row by row.
        colours: (U, N, K, COLOURS) in [0, 1], RGB at several places of each cell.
    """

    detections: Detections
    cells: Tensor
    colours: Tensor


@dataclass(frozen=True, slots=True)
class Candidates:
    """Encoded candidates of U images, and which image each of B expressions is about.

    Attributes:
        boxes: (U, N, 4) xyxy as shares of the input.
        scores: (U, N, 80) in [0, 1], the detector's class probabilities.
        valid: (U, N) bool; False: there is no such candidate.
        tokens: (U, N, dim).
        cells: (U, N, K, dim); None where they are not used.
        index: (B,) int64, the image of each expression; None: B = U, one each.
    """

    boxes: Tensor
    scores: Tensor
    valid: Tensor
    tokens: Tensor
    cells: Tensor | None
    index: Tensor | None = None

    def select(self, index: Tensor) -> Candidates:
        """Select the candidates of the images at `index` (B,) int64; nothing is copied."""
        return replace(self, index=index if self.index is None else self.index[index])

    def of_expressions(self, x: Tensor) -> Tensor:
        """Select, from a tensor (U, ...), the entry of the image of each expression: (B, ...)."""
        return x if self.index is None else x.index_select(0, self.index)

    def by_image(self) -> tuple[Tensor, Tensor]:
        """Number the expressions of each image, so that a tensor of expressions can be arranged by image.

        Returns:
            `rows` (U, E), E the most expressions of one image: the expression at each place, 0 where there is none;
            and `places` (B,): the place of each expression in the flattened `rows`.
        """
        images = len(self.boxes)
        index = torch.arange(images, device=self.boxes.device) if self.index is None else self.index
        number = (index[:, None] == index).tril().sum(dim=1) - 1  # of each expression among those of its image
        rows = index.new_zeros(images, int(number.max()) + 1)
        rows[index, number] = torch.arange(len(index), device=index.device)
        return rows, index * rows.shape[1] + number


class CandidateEncoder(nn.Module):
    """Encode candidates from their box, category, rank, colours and the backbone's features.

    Args:
        channels: channels of the backbone's maps together.
        dim: width of tokens and cells.
        grid: cells per side of a box; K is its square.
        categories: use the detector's class probabilities.
        standing: use the rank among the candidates of the same kind.
        colours: use colours.
        cells: encode the cells; False: tokens only.
        dropout: share of the backbone's channels dropped while training.
    """

    def __init__(
        self,
        *,
        channels: int,
        dim: int,
        grid: int,
        categories: bool,
        standing: bool,
        colours: bool,
        cells: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.drop = SharedDropout(dropout)
        self.pooled = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, dim))
        self.geometry = nn.Sequential(nn.Linear(BOX_CHANNELS, dim), nn.GELU(), nn.Linear(dim, dim))
        self.category = nn.Linear(len(COCO_CATEGORIES), dim) if categories else None
        self.standing = nn.Linear(STANDINGS, dim) if standing else None
        self.colour = _colour_layers(dim) if colours else None
        self.norm = nn.LayerNorm(dim)
        self.cell = nn.Linear(channels, dim) if cells else None
        self.cell_place = nn.Parameter(0.1 * torch.randn(grid**2, dim)) if cells else None
        self.cell_colour = _colour_layers(dim) if cells and colours else None
        self.cell_norm = nn.LayerNorm(dim) if cells else None

    def gather(self, detections: Detections, maps: tuple[Tensor, ...], images: Tensor) -> CandidateInputs:
        """Sample the backbone's maps and the image's colours in the boxes; no trained parameter is used.

        Args:
            detections: N per image.
            maps: the backbone's maps, (U, channels[i], h_i, w_i).
            images: (U, 3, H, W) in [0, 1].
        """
        features = torch.cat([sample_boxes(x, detections.boxes, self.grid) for x in maps], dim=-1)
        palette = F.avg_pool2d(images, COLOUR_STRIDE, ceil_mode=True)
        samples = sample_boxes(palette, detections.boxes, self.grid * COLOUR_SAMPLES)  # finer than the cells
        fine = samples.unflatten(
            2, (self.grid, COLOUR_SAMPLES, self.grid, COLOUR_SAMPLES)
        )  # y, y in a cell, x, x in it
        colours = fine.transpose(3, 4).flatten(4).flatten(2, 3)
        return CandidateInputs(detections, features, colours)

    def forward(self, inputs: CandidateInputs) -> Candidates:
        """Encode candidates, once per image."""
        (boxes, scores, valid), cells = inputs.detections, self.drop(inputs.cells)
        token = self.pooled(cells.mean(dim=2)) + self.geometry(box_encoding(boxes))
        if self.category is not None:
            token = token + self.category(3 * scores.sqrt())  # weak classes count, too
        if self.standing is not None:
            token = token + self.standing(standings(boxes, scores, valid))
        colours = 4 * inputs.colours - 2  # about unit scale
        if self.colour is not None:
            token = token + self.colour(colours.mean(dim=2))
        encoded = None
        if self.cell is not None and self.cell_norm is not None:
            encoded = self.cell(cells) + self.cell_place
            if self.cell_colour is not None:
                encoded = encoded + self.cell_colour(colours)
            encoded = self.cell_norm(encoded)
        return Candidates(boxes, scores, valid, self.norm(token), encoded)


def _colour_layers(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(COLOURS, dim // 2), nn.GELU(), nn.Linear(dim // 2, dim))


def sample_boxes(x: Tensor, boxes: Tensor, grid: int) -> Tensor:
    """Sample a map at the centres of the cells of a grid over each box, bilinearly.

    Args:
        x: (U, C, h, w), a map of the whole input.
        boxes: (U, N, 4) xyxy as shares of the input.
        grid: cells per side.

    Returns:
        (U, N, grid * grid, C), row by row.
    """
    steps = (torch.arange(grid, device=x.device, dtype=boxes.dtype) + 0.5) / grid  # half precision would be pixels off
    corner, extent = boxes[..., None, :2], boxes[..., None, 2:] - boxes[..., None, :2]  # (U, N, 1, 2)
    where = (corner + steps[:, None] * extent) * 2 - 1  # (U, N, grid, 2), from -1 to 1
    points = torch.stack(
        [
            where[..., None, :, 0].expand(-1, -1, grid, -1),
            where[..., :, None, 1].expand(-1, -1, -1, grid),
        ],
        dim=-1,
    )  # (U, N, grid, grid, 2) xy
    sampled = F.grid_sample(x.to(points.dtype), points.flatten(2, 3), align_corners=False, padding_mode="border")
    return sampled.permute(0, 2, 3, 1)


def standings(boxes: Tensor, scores: Tensor, valid: Tensor) -> Tensor:
    """Rank each candidate among those of its most probable category.

    Args:
        boxes: (U, N, 4) xyxy.
        scores: (U, N, K), class probabilities.
        valid: (U, N) bool.

    Returns:
        (U, N, STANDINGS): for x, y and area in turn the rank from -1 (smallest) to 1 (largest), 0 where all are equal,
        and 1 where it is the smallest, and where it is the largest; then the logarithm of the number of its kind, 1
        where it is the only one, and its class probability.
    """
    best, kind = scores.max(dim=-1)
    itself = torch.eye(boxes.shape[1], dtype=torch.bool, device=boxes.device)
    rivals = (kind[:, :, None] == kind[:, None]) & ((best > KIND_FLOOR) & valid)[:, None] & ~itself
    extent = boxes[..., 2:] - boxes[..., :2]
    columns = []
    for value in ((boxes[..., 0] + boxes[..., 2]), (boxes[..., 1] + boxes[..., 3]), extent.prod(dim=-1)):
        smaller, larger = (
            (rivals & comparison).sum(dim=-1).float()
            for comparison in (value[:, None] < value[:, :, None], value[:, None] > value[:, :, None])
        )
        rank = (smaller - larger) / (smaller + larger).clamp(min=1)
        columns += [rank, (smaller == 0).float(), (larger == 0).float()]
    count = 1 + rivals.sum(dim=-1).float()
    return torch.stack([*columns, count.log(), (count == 1).float(), best], dim=-1)
