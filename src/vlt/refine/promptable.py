"""A promptable segmenter: SAM's prompt encoder and mask decoder (Kirillov et al. 2023) behind MobileSAM's encoder.

The network knows outlines of anything and names of nothing: it is shown a box or a point, and draws what may be meant.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder

from vlt.refine.tiny_vit import TinyViT

SIDE = 1024
"""Height and width of the input in pixels."""
MASK_STRIDE = 4
"""Stride of its masks, in pixels of the input."""
READINGS = 3
"""Masks for each box or point: a part, a thing, several."""
MEAN = (0.48500, 0.45589, 0.40603)
STD = (0.22896, 0.22400, 0.22500)
"""Per RGB channel in [0, 1]: 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 of 255."""


class Drawn(NamedTuple):
    """What may be meant by N prompts.

    Attributes:
        logits: (N, READINGS, 256, 256), of the masks; above zero is inside.
        quality: (N, READINGS), the IoU that each mask is thought to have with some thing.
    """

    logits: Tensor
    quality: Tensor


class PromptableSegmenter(nn.Module):
    """Photo, boxes and points to masks."""

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
        """A photo (3, 1024, 1024) in [0, 1] to its map (1, 256, 64, 64)."""
        mapped: Tensor = self.encoder(((image - self.mean) / self.std)[None])
        return mapped

    def segment(self, mapped: Tensor, boxes: Tensor, points: Tensor) -> Drawn:
        """What may be meant by each box, then by each point.

        Args:
            mapped: (1, 256, 64, 64), as `encode` makes it.
            boxes: (B, 4) xyxy in pixels of the input, at least one.
            points: (P, 2) xy in pixels of the input, each on a thing; there may be none.
        """
        inside = points.new_ones(1, len(points), 1)  # 1: on the thing
        by_box, dense = self.prompts(None, None, boxes[None], None)  # (1, B, 2, 256), (1, 256, 64, 64)
        by_point, _ = self.prompts(points[None, :, None], inside, None, None)  # (1, P, 2, 256): the point, and none
        sparse = torch.cat([by_box, by_point], dim=1)
        logits, quality, *_ = self.decoder(mapped, self._places(mapped), sparse, dense, True)
        return Drawn(logits[0], quality[0])

    def _places(self, mapped: Tensor) -> Tensor:
        """Where each position of the map is, as prompts say where they are."""
        middles = [(torch.arange(side, device=mapped.device) + 0.5) / side for side in mapped.shape[-2:]]
        y, x = torch.meshgrid(*middles, indexing="ij")
        told: Tensor = self.prompts.shared_embedding(torch.stack([x, y], dim=-1)[None])
        return told.permute(0, 3, 1, 2)
