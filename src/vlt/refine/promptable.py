"""Promptable segmenter: SAM's prompt encoder and mask decoder (Kirillov et al. 2023) behind MobileSAM's encoder.

It segments the object at a box or a point without knowing categories or words.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder

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
        decoder = SamMaskDecoderConfig(layer_norm_eps=1e-5)
        decoder._attn_implementation = "sdpa"
        self.encoder = TinyViT()
        self.prompts = SamPromptEncoder(SamConfig())
        self.decoder = SamMaskDecoder(decoder)
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
        longest = max(encoded.shape[-2:])  # places count from the corner in shares of the longer side, as in training
        side = longest * self.encoder.stride
        kind = self.kind_vectors()[kinds][None]  # (1, N, 2, 256)
        placed = self.prompts.shared_embedding(places[None] + 0.5, (side, side))
        sparse = torch.where((kinds == 0)[None, ..., None], kind, placed + kind)
        dense = self.prompts.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(encoded)
        middles = [(torch.arange(size, device=encoded.device) + 0.5) / longest for size in encoded.shape[-2:]]
        y, x = torch.meshgrid(*middles, indexing="ij")
        positions = self.prompts.shared_embedding(torch.stack([x, y], dim=-1)[None]).permute(0, 3, 1, 2)
        logits, quality, *_ = self.decoder(encoded, positions, sparse, dense, True)
        return PromptedMasks(logits[0], quality[0])
