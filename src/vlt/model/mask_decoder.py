"""Mask decoder: the queries' responses to the logits of the mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.layers import BatchConv

OUTPUT_STRIDE = 4
"""Stride of the improved network's logits in input pixels, and of the pixel features that `PixelDecoder` makes."""


class ReferenceMaskDecoder(nn.Module):
    """The original's decoder: a dense layer makes a map of each response, convolutions enlarge the maps to a mask.

    Source: docs/model.md, "Mask".

    Args:
        dim: width of a response.
        hidden_dim: width of the convolutions.
        num_queries: Q.
        size: (h, w) of the response maps, fixed; they are at stride 16.
        output_stride: stride of the logits in input pixels: 2, 4 or 8.
    """

    def __init__(
        self, *, dim: int, hidden_dim: int, num_queries: int, size: tuple[int, int], output_stride: int
    ) -> None:
        super().__init__()
        self.size = size
        self.paint = nn.Linear(dim, size[0] * size[1])
        grow: list[nn.Module] = [
            BatchConv(num_queries, hidden_dim, 3),
            *(BatchConv(hidden_dim, hidden_dim, 3) for _ in range(2)),
        ]
        for stride in (8, 4, 2):
            if output_stride <= stride:
                grow += [nn.Upsample(scale_factor=2, mode="nearest"), BatchConv(hidden_dim, hidden_dim, 3)]
        self.grow = nn.Sequential(*grow, nn.Conv2d(hidden_dim, 1, 3, padding=1))

    def respond(self, responses: Tensor, memory: Tensor) -> Tensor:
        """Responses (B, Q, dim) to response maps (B, Q, h, w); the memory is ignored."""
        return self.paint(responses).relu().unflatten(2, self.size)

    def forward(self, responses: Tensor, response_maps: Tensor, pixels: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Response maps (B, Q, h, w) to logits (B, 1, 16 h / stride, 16 w / stride); other arguments are ignored."""
        return self.grow(response_maps)


class MaskDecoder(nn.Module):
    """Compare each response with every position of the memory and of the pixel features; join the maps to a mask.

    Args:
        dim: width of responses and memory.
        mask_dim: width of the pixel features.
        num_queries: Q.
        pixel_features: whether there are any; False: masks are made of the response maps alone.
        size: (h, w) of the response maps, to make them by a dense layer as the original does; None: any size.
    """

    def __init__(
        self, *, dim: int, mask_dim: int, num_queries: int, pixel_features: bool, size: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.size = size
        self.answer = nn.Linear(dim, dim if size is None else size[0] * size[1])
        self.memory = nn.Conv2d(dim, dim, 1) if size is None else None
        self.paint = nn.Linear(dim, mask_dim) if pixel_features else None
        self.join = nn.Sequential(
            nn.Conv2d(num_queries, mask_dim // 2, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(mask_dim // 2, 1, 3, padding=1),
        )

    def respond(self, responses: Tensor, memory: Tensor) -> Tensor:
        """Responses (B, Q, dim) and memory (B, dim, h, w) to response maps (B, Q, h, w)."""
        if self.memory is None:
            return self.answer(responses).relu().unflatten(2, self.size)
        scale = memory.shape[1] ** -0.5
        return torch.einsum("bqc,bchw->bqhw", self.answer(responses), self.memory(memory)) * scale

    def forward(self, responses: Tensor, response_maps: Tensor, pixels: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Decode the mask.

        Args:
            responses: (B, Q, dim), multiplied by their confidence.
            response_maps: (B, Q, h, w).
            pixels: (B, mask_dim, H / 4, W / 4), rounded up; None without pixel features.
            size: (H, W) of the input.

        Returns:
            Logits (B, 1, H / 4, W / 4), rounded up.
        """
        fine = [-(-side // OUTPUT_STRIDE) for side in size]
        masks = F.interpolate(response_maps, fine, mode="bilinear", align_corners=False)
        if self.paint is not None and pixels is not None:
            scale = pixels.shape[1] ** -0.5
            masks = masks + torch.einsum("bqc,bchw->bqhw", self.paint(responses), pixels) * scale
        return masks.mean(dim=1, keepdim=True) + self.join(masks)
