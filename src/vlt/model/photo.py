"""Image encoder: the part of the network before the words, run once per image for any number of expressions.

The backbone's maps become one feature map, with a box per position, and pixel features for sharp edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.layers import BOX_CHANNELS, GroupConv, box_encoding, coordinates, map_sinusoid
from vlt.model.transformer import EncoderLayer


class ScaleNeck(nn.Module):
    """Resize maps of any strides to the grid of one of them and sum them.

    Args:
        channels: channels of each map.
        strides: strides of each map.
        dim: width of the result.
        map_stride: the map whose stride is nearest to this gives the grid.
    """

    def __init__(self, *, channels: Sequence[int], strides: Sequence[int], dim: int, map_stride: int) -> None:
        super().__init__()
        self.grid = min(range(len(strides)), key=lambda level: abs(strides[level] - map_stride))
        self.lateral = nn.ModuleList(nn.Conv2d(count, dim, 1) for count in channels)
        self.join = GroupConv(dim, dim, 3)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, channels[i], h_i, w_i) to one map (B, dim, h, w)."""
        height, width = maps[self.grid].shape[-2:]
        resized = []
        for lateral, x in zip(self.lateral, maps, strict=True):
            x = lateral(x)
            if x.shape[-1] > width:  # finer than the grid: average
                x = F.adaptive_avg_pool2d(x, (height, width))
            elif x.shape[-2:] != (height, width):
                x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
            resized.append(x)
        return self.join(torch.stack(resized).sum(dim=0))


class PixelDecoder(nn.Module):
    """Pixel features at stride 4: edges computed from the image itself, added to the upsampled feature map.

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
        """Map (U, dim, h, w) and images (U, 3, H, W) to pixel features (U, mask_dim, H / 4, W / 4), rounded up."""
        edges = self.stem(images)
        objects = F.interpolate(self.lateral(visual), edges.shape[-2:], mode="bilinear", align_corners=False)
        features: Tensor = self.join(edges + objects)
        return features


class BoxHead(nn.Module):
    """Predict at each position the box of the object there, as distances to its four sides (source: FCOS, Tian 2019).

    Two zebras side by side have similar features but different boxes, so the layers that follow can separate them, and
    compare places and sizes. Boxes are trained with `vlt.losses.auxiliary.box_loss`, only at positions on an object.

    Args:
        dim: width of the map.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.distances = nn.Sequential(GroupConv(dim, dim, 3), nn.Conv2d(dim, 4, 1))
        self.embedding = nn.Sequential(nn.Conv2d(BOX_CHANNELS, dim, 1), nn.GELU(), nn.Conv2d(dim, dim, 1))

    def forward(self, visual: Tensor) -> Tensor:
        """Map (U, dim, h, w) to boxes (U, 4, h, w), xyxy as shares of the input; sides may lie outside of it."""
        x, y = (coordinates(visual.shape[-2], visual.shape[-1], visual.device) + 1) / 2  # (h, w) each, in [0, 1]
        left, top, right, bottom = self.distances(visual).float().sigmoid().unbind(1)
        return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)

    def embed(self, boxes: Tensor) -> Tensor:
        """Boxes (U, 4, h, w) to an embedding of each position's box, (U, dim, h, w)."""
        embedded: Tensor = self.embedding(box_encoding(boxes.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return embedded


class PhotoMaps(NamedTuple):
    """Output of the image encoder.

    Attributes:
        visual: (U, dim, h, w), the map that is fused with words.
        pixels: (U, mask_dim, H / 4, W / 4), rounded up; None without a pixel decoder.
        boxes: (U, 4, h', w'), see `BoxHead`; None without one. Its grid may be finer than that of `visual`.
    """

    visual: Tensor
    pixels: Tensor | None
    boxes: Tensor | None


class PhotoEncoder(nn.Module):
    """Encode the backbone's maps to one feature map, boxes and pixel features.

    Args:
        neck: resizes the backbone's maps to one grid.
        layers: self-attention layers over that grid.
        box_head: predicts a box at each position; None: no boxes.
        pixel_decoder: makes the pixel features; None: there are none.
        reduce: brings the map to the coarser grid on which words join it; None: the grid stays.
        map_dropout: share of the backbone's channels dropped while training.
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

    def forward(self, maps: Sequence[Tensor], images: Tensor) -> PhotoMaps:
        """Encode images.

        Args:
            maps: maps of the backbone, finest first, (U, channels[i], h_i, w_i) each.
            images: (U, 3, H, W) in [0, 1].
        """
        visual = self.neck([self.hide(x) for x in maps])
        if self.layers:
            height, width = visual.shape[-2:]
            x = visual.flatten(2).transpose(1, 2) + map_sinusoid(height, width, visual.shape[1], visual.device)
            for layer in self.layers:
                x = layer(x, (height, width))
            visual = x.transpose(1, 2).unflatten(2, (height, width))
        boxes = None
        if self.box_head is not None:
            boxes = self.box_head(visual)
            visual = visual + self.box_head.embed(boxes.detach())
        pixels = None if self.pixel_decoder is None else self.pixel_decoder(visual, images)
        return PhotoMaps(visual if self.reduce is None else self.reduce(visual), pixels, boxes)
