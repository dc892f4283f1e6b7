"""Promptable segmenter: SAM's prompt encoder and mask decoder (Kirillov et al. 2023) behind MobileSAM's encoder.

It segments the object at a box or a point without knowing categories or words.
"""

from __future__ import annotations

from typing import NamedTuple

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
        logits: (N, MASKS_PER_PROMPT, 256, 256), above zero inside the mask.
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
        """Image (3, 1024, 1024) in [0, 1] to its feature map (1, 256, 64, 64)."""
        encoded: Tensor = self.encoder(((image - self.mean) / self.std)[None])
        return encoded

    def segment(self, encoded: Tensor, boxes: Tensor, points: Tensor) -> PromptedMasks:
        """Segment the object in each box, then the object at each point.

        Args:
            encoded: (1, 256, 64, 64), the feature map of `encode`.
            boxes: (B, 4) xyxy in pixels of the input, at least one.
            points: (P, 2) xy in pixels of the input, each inside an object; there may be none.

        Returns:
            Masks of N = B + P prompts.
        """
        inside = points.new_ones(1, len(points), 1)  # label 1: the point is inside the object
        by_box, dense = self.prompts(None, None, boxes[None], None)  # (1, B, 2, 256), (1, 256, 64, 64)
        by_point, _ = self.prompts(points[None, :, None], inside, None, None)  # (1, P, 2, 256): the point and padding
        sparse = torch.cat([by_box, by_point], dim=1)
        middles = [(torch.arange(side, device=encoded.device) + 0.5) / side for side in encoded.shape[-2:]]
        y, x = torch.meshgrid(*middles, indexing="ij")
        positions = self.prompts.shared_embedding(torch.stack([x, y], dim=-1)[None]).permute(0, 3, 1, 2)
        logits, quality, *_ = self.decoder(encoded, positions, sparse, dense, True)
        return PromptedMasks(logits[0], quality[0])
