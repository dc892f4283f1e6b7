"""From the queries' weighed answers to the mask's logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.convolution import BatchConv, GroupConv

PIXEL_STRIDE = 4
"""Stride of the pixel features and of the improved network's logits, in input pixels."""


class ReferenceMaskDecoder(nn.Module):
    """The original's: each answer paints a map by a dense layer, convolutions grow it (docs/model.md, "Mask").

    Args:
        dim: width of an answer.
        hidden_dim: width of the convolutions.
        num_queries: Q.
        size: (h, w) of the responses, fixed.
        output_stride: 2, 4 or 8; the responses lie at stride 16.
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

    def respond(self, answers: Tensor, memory: Tensor) -> Tensor:
        """Answers (B, Q, dim) to responses (B, Q, h, w); the memory is not looked at."""
        return self.paint(answers).relu().unflatten(2, self.size)

    def forward(self, responses: Tensor, memory: Tensor, pixels: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Responses (B, Q, h, w) to logits (B, 1, 16 h / stride, 16 w / stride); nothing else is looked at."""
        return self.grow(responses)


class PixelStem(nn.Sequential):
    """Pixel features at stride 4, straight from the photo, the same for every backbone.

    Args:
        dim: width of the result.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(GroupConv(3, dim // 2, 3, stride=2), GroupConv(dim // 2, dim, 3, stride=2))


class MaskDecoder(nn.Module):
    """Each answer is compared with every position; the maps grow to stride 4, where pixel features join.

    Args:
        dim: width of answers and memory.
        mask_dim: width of the maps at stride 4.
        num_queries: Q.
        pixel_features: whether memory and pixel features join; False: masks grow from the responses alone.
        size: (h, w) of the responses, to paint them by a dense layer as the original does; None: any size.
    """

    def __init__(
        self, *, dim: int, mask_dim: int, num_queries: int, pixel_features: bool, size: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.size = size
        self.answer = nn.Linear(dim, dim if size is None else size[0] * size[1])
        self.memory = nn.Conv2d(dim, dim, 1) if size is None else None
        self.skip = nn.Conv2d(dim, 2 * mask_dim, 1) if pixel_features else None
        self.coarse = nn.Sequential(
            GroupConv(num_queries + (2 * mask_dim if pixel_features else 0), 2 * mask_dim, 3),
            GroupConv(2 * mask_dim, 2 * mask_dim, 3),
        )
        self.middle = GroupConv(2 * mask_dim, mask_dim, 3)
        self.fine = GroupConv(mask_dim + (mask_dim if pixel_features else 0), mask_dim, 3)
        self.logits = nn.Conv2d(mask_dim, 1, 3, padding=1)

    def respond(self, answers: Tensor, memory: Tensor) -> Tensor:
        """Answers (B, Q, dim) and memory (B, dim, h, w) to responses (B, Q, h, w)."""
        if self.memory is None:
            return self.answer(answers).relu().unflatten(2, self.size)
        scale = memory.shape[1] ** -0.5
        return torch.einsum("bqc,bchw->bqhw", self.answer(answers), self.memory(memory)) * scale

    def forward(self, responses: Tensor, memory: Tensor, pixels: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Responses to logits.

        Args:
            responses: (B, Q, h, w).
            memory: (B, dim, h, w).
            pixels: (B, mask_dim, H / 4, W / 4), rounded up; None without pixel features.
            size: (H, W) of the input.

        Returns:
            (B, 1, H / 4, W / 4), rounded up.
        """
        fine_size = [-(-side // PIXEL_STRIDE) for side in size]
        middle_size = [-(-side // (2 * PIXEL_STRIDE)) for side in size]
        x = responses if self.skip is None else torch.cat([responses, self.skip(memory)], dim=1)
        x = self.middle(F.interpolate(self.coarse(x), middle_size, mode="bilinear", align_corners=False))
        x = F.interpolate(x, fine_size, mode="bilinear", align_corners=False)
        x = self.fine(x if pixels is None else torch.cat([x, pixels], dim=1))
        return self.logits(x)
