"""What is seen before anything is said: the backbone's maps become one map, and pixel features for sharp edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.convolution import GroupConv
from vlt.model.position import coordinates, map_sinusoid
from vlt.model.transformer import EncoderLayer

PIXEL_STRIDE = 4
"""Stride of the pixel features and of the improved network's logits, in input pixels."""
BOX_OCTAVES = 4
"""Frequencies at which a box's numbers are told, so that near ones differ."""
BOX_CHANNELS = 8 * (1 + BOX_OCTAVES)
"""Four sides, centre and size, as they are and in waves."""


class ScaleNeck(nn.Module):
    """Brings maps of any strides onto the grid of one of them and adds them up.

    Args:
        channels: of each map.
        strides: of each map.
        dim: width of the result.
        map_stride: the map whose stride is nearest to this gives the grid.
    """

    def __init__(self, *, channels: Sequence[int], strides: Sequence[int], dim: int, map_stride: int) -> None:
        super().__init__()
        self.grid = min(range(len(strides)), key=lambda level: abs(strides[level] - map_stride))
        self.lateral = nn.ModuleList(nn.Conv2d(count, dim, 1) for count in channels)
        self.join = GroupConv(dim, dim, 3)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, channels[i], h_i, w_i) to one (B, dim, h, w)."""
        size = maps[self.grid].shape[-2:]
        resized = [_on_grid(lateral(x), size) for lateral, x in zip(self.lateral, maps, strict=True)]
        return self.join(torch.stack(resized).sum(dim=0))


def _on_grid(x: Tensor, size: torch.Size) -> Tensor:
    """Averaged where the map is finer than the grid, interpolated where it is coarser."""
    if x.shape[-2:] == size:
        return x
    if x.shape[-1] > size[-1]:
        return F.adaptive_avg_pool2d(x, (size[0], size[1]))
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class PixelDecoder(nn.Module):
    """Pixel features at stride 4: edges straight from the photo, joined with what the map knows of the things there.

    Args:
        dim: width of the map.
        mask_dim: width of the result.
    """

    def __init__(self, *, dim: int, mask_dim: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            GroupConv(3, mask_dim // 2, 3, stride=2), GroupConv(mask_dim // 2, mask_dim, 3, stride=2)
        )
        self.lateral = nn.Conv2d(dim, mask_dim, 1)
        self.join = nn.Sequential(GroupConv(mask_dim, mask_dim, 3), nn.Conv2d(mask_dim, mask_dim, 3, padding=1))

    def forward(self, visual: Tensor, images: Tensor) -> Tensor:
        """The map (U, dim, h, w) and the photos (U, 3, H, W) to (U, mask_dim, H / 4, W / 4), rounded up."""
        edges = self.stem(images)
        things = F.interpolate(self.lateral(visual), edges.shape[-2:], mode="bilinear", align_corners=False)
        features: Tensor = self.join(edges + things)
        return features


class BoxHead(nn.Module):
    """At each position, the box of the thing there, as distances to its four sides (source: FCOS, Tian et al. 2019).

    Two zebras side by side look alike; their boxes do not. So what follows can tell them apart and compare places and
    sizes. Boxes are learnt from masks (`vlt.losses.box_loss`); where there is no thing they mean nothing.

    Args:
        dim: width of the map.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.distances = nn.Sequential(GroupConv(dim, dim, 3), nn.Conv2d(dim, 4, 1))
        self.embedding = nn.Sequential(nn.Conv2d(BOX_CHANNELS, dim, 1), nn.GELU(), nn.Conv2d(dim, dim, 1))

    def forward(self, visual: Tensor) -> Tensor:
        """The map (U, dim, h, w) to boxes (U, 4, h, w), xyxy in shares of the input, sides anywhere."""
        x, y = (coordinates(visual.shape[-2], visual.shape[-1], visual.device) + 1) / 2  # (h, w) each, in [0, 1]
        left, top, right, bottom = self.distances(visual).float().sigmoid().unbind(1)
        return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)

    def embed(self, boxes: Tensor) -> Tensor:
        """Boxes (U, 4, h, w) to what is known of them at each position, (U, dim, h, w)."""
        corners = torch.stack([boxes[:, :2], boxes[:, 2:]])
        centre, size = corners.mean(dim=0), corners[1] - corners[0]
        known = torch.cat([boxes, centre, size], dim=1) * 2 - 1
        waves = [torch.sin(known * (torch.pi * 2**octave)) for octave in range(BOX_OCTAVES)]
        embedded: Tensor = self.embedding(torch.cat([known, *waves], dim=1))
        return embedded


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of photos before anything is said.

    Attributes:
        visual: (U, dim, h, w), the map that words join.
        pixels: (U, mask_dim, H / 4, W / 4), rounded up; None without a pixel decoder.
        boxes: (U, 4, h', w'), see `BoxHead`; None without one. Its grid may be finer than that of `visual`.
    """

    visual: Tensor
    pixels: Tensor | None
    boxes: Tensor | None


class PhotoEncoder(nn.Module):
    """Needs no words, so it runs once per photo, for any number of expressions.

    Args:
        neck: brings the backbone's maps onto one grid.
        layers: of self-attention over that grid.
        box_head: tells at each position the box of the thing there; None: nobody asks.
        pixel_decoder: makes the pixel features; None: there are none.
        reduce: brings the map onto the coarser grid on which words join it; None: they join it as it is.
        map_dropout: share of the backbone's channels that is hidden while training.
    """

    def __init__(
        self,
        *,
        neck: ScaleNeck,
        layers: Sequence[EncoderLayer],
        box_head: BoxHead | None,
        pixel_decoder: PixelDecoder | None,
        reduce: GroupConv | None,
        map_dropout: float,
    ) -> None:
        super().__init__()
        self.hide = nn.Dropout2d(map_dropout)
        self.neck = neck
        self.layers = nn.ModuleList(layers)
        self.box_head = box_head
        self.pixel_decoder = pixel_decoder
        self.reduce = reduce

    def forward(self, maps: Sequence[Tensor], images: Tensor) -> Seen:
        """Maps of the backbone, finest first, and the photos (U, 3, H, W) in [0, 1], to what is seen in them."""
        visual, boxes = self._attend(self.neck([self.hide(x) for x in maps])), None
        if self.box_head is not None:
            boxes = self.box_head(visual)
            visual = visual + self.box_head.embed(boxes.detach())
        pixels = None if self.pixel_decoder is None else self.pixel_decoder(visual, images)
        return Seen(visual if self.reduce is None else self.reduce(visual), pixels, boxes)

    def _attend(self, visual: Tensor) -> Tensor:
        if not self.layers:
            return visual
        height, width = visual.shape[-2:]
        x = visual.flatten(2).transpose(1, 2) + map_sinusoid(height, width, visual.shape[1], visual.device)
        for layer in self.layers:
            x = layer(x, (height, width))
        return x.transpose(1, 2).unflatten(2, (height, width))
