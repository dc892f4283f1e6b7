"""Promptable segmenter: SAM's prompt encoder and mask decoder (Kirillov et al. 2023) behind MobileSAM's encoder.

It segments the object at a box or a point without knowing categories or words.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import SamConfig
from transformers.models.sam.modeling_sam import SamPromptEncoder

from vlt.refine.outline_decoder import build_decoder, decode
from vlt.refine.tiny_vit import TinyViT

MASKS_PER_PROMPT = 3
"""Number of masks per prompt, since it may refer to a part of an object, the object, or several objects."""
MEAN = (0.48500, 0.45589, 0.40603)
STD = (0.22896, 0.22400, 0.22500)
"""Mean and standard deviation per RGB channel in [0, 1]: 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 of 255."""


class PromptedMasks(NamedTuple):
    """Masks for N prompts.

    Attributes:
        logits: (N, MASKS_PER_PROMPT, H / 4, W / 4), above zero inside the mask.
        quality: (N, MASKS_PER_PROMPT), the estimated IoU of each mask with an object.
    """

    logits: Tensor
    quality: Tensor


class PromptableSegmenter(nn.Module):
    """SAM with TinyViT as its image encoder: image, boxes and points to masks."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TinyViT()
        self.prompts = SamPromptEncoder(SamConfig())
        self.decoder = build_decoder()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def encode(self, image: Tensor) -> Tensor:
        """Image (3, H, W) in [0, 1], H and W multiples of 16, to its feature map (1, 256, H / 16, W / 16)."""
        encoded: Tensor = self.encoder(((image - self.mean) / self.std)[None])
        return encoded

    def kind_vectors(self) -> Tensor:
        """Return the vectors (4, 256) of the kinds of places: none, a point of the object, two corners of its box."""
        points: list[Any] = list(self.prompts.point_embed)  # the first is for points outside the object
        return torch.cat([self.prompts.not_a_point_embed.weight, *(each.weight for each in points[1:])])

    def segment(self, encoded: Tensor, places: Tensor, kinds: Tensor) -> PromptedMasks:
        """Segment the object of each prompt.

        Args:
            encoded: (1, 256, h, w), the feature map of `encode`.
            places: (N, 2, 2) xy in pixels of the input, two for each prompt.
            kinds: (N, 2) int64, what each place is, see `vlt.refine.refiner.prompts`.

        Returns:
            Masks of N prompts.
        """
        rows, columns = encoded.shape[-2:]
        longest = max(rows, columns)  # places count from the corner in shares of the longer side, as in training
        side = longest * self.encoder.stride
        kind = self.kind_vectors()[kinds]  # (N, 2, 256)
        placed = self.prompts.shared_embedding(places[None] + 0.5, (side, side))[0]
        tokens = torch.where((kinds == 0)[..., None], kind, placed + kind)
        dense = self.prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return PromptedMasks(*decode(self.decoder, encoded + dense, self.positions(rows, columns), tokens))

    def positions(self, rows: int, columns: int) -> Tensor:
        """Encode the positions of a feature map, (rows * columns, 256).

        The angle of a position is the sum of one of its row and one of its column, so sines and cosines are needed only
        of these: sin(a + b) = sin a cos b + cos a sin b.
        """
        by_column, by_row = 2 * torch.pi * self.prompts.shared_embedding.positional_embedding  # (128,) each
        longest = max(rows, columns)
        y, x = (
            (2 * (torch.arange(size, device=by_row.device)[:, None] + 0.5) / longest - 1) * frequency
            for size, frequency in ((rows, by_row), (columns, by_column))
        )
        y, x = y[:, None], x[None]
        sines = y.sin() * x.cos() + y.cos() * x.sin()
        cosines = y.cos() * x.cos() - y.sin() * x.sin()
        return torch.cat([sines, cosines], dim=-1).flatten(0, 1)
