"""From the queries' weighed answers to the mask's logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.model.convolution import BatchConv
from vlt.model.photo import PIXEL_STRIDE


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

    def forward(self, answers: Tensor, responses: Tensor, pixels: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Responses (B, Q, h, w) to logits (B, 1, 16 h / stride, 16 w / stride); nothing else is looked at."""
        return self.grow(responses)


class MaskDecoder(nn.Module):
    """Each answer is compared with every position of the memory and with the pixel features; convolutions join them.

    Args:
        dim: width of answers and memory.
        mask_dim: width of the pixel features.
        num_queries: Q.
        pixel_features: whether there are any; False: masks grow from the responses alone.
        size: (h, w) of the responses, to paint them by a dense layer as the original does; None: any size.
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

    def respond(self, answers: Tensor, memory: Tensor) -> Tensor:
        """Answers (B, Q, dim) and memory (B, dim, h, w) to responses (B, Q, h, w)."""
        if self.memory is None:
            return self.answer(answers).relu().unflatten(2, self.size)
        scale = memory.shape[1] ** -0.5
        return torch.einsum("bqc,bchw->bqhw", self.answer(answers), self.memory(memory)) * scale

    def forward(self, answers: Tensor, responses: Tensor, pixels: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Responses to logits.

        Args:
            answers: (B, Q, dim), weighed.
            responses: (B, Q, h, w).
            pixels: (B, mask_dim, H / 4, W / 4), rounded up; None without pixel features.
            size: (H, W) of the input.

        Returns:
            (B, 1, H / 4, W / 4), rounded up.
        """
        fine = [-(-side // PIXEL_STRIDE) for side in size]
        masks = F.interpolate(responses, fine, mode="bilinear", align_corners=False)
        if self.paint is not None and pixels is not None:
            scale = pixels.shape[1] ** -0.5
            masks = masks + torch.einsum("bqc,bchw->bqhw", self.paint(answers), pixels) * scale
        return masks.mean(dim=1, keepdim=True) + self.join(masks)
