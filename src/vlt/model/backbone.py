"""What a visual backbone promises, and the ones that `transformers` provides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vlt.model.freezing import Freezable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(Freezable):
    """A photo goes in, maps come out; everything downstream sizes itself from what is stated here.

    Attributes:
        channels: of each map, finest map first.
        strides: of each map in input pixels, finest first; they need not nest.
        seen_coco_labels: whether its pretrained weights saw labels of COCO, whose photos RefCOCO tests on.
        recall: asked in place of computing, with the photos and the way to compute; None: nobody remembers.

    Args:
        channels: see above.
        strides: see above.
        seen_coco_labels: see above.
        mean: per RGB channel, subtracted from pixels in [0, 1].
        std: per RGB channel, dividing them afterwards.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        seen_coco_labels: bool,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.seen_coco_labels = seen_coco_labels
        self.recall: Callable[[Tensor, Callable[[Tensor], tuple[Tensor, ...]]], tuple[Tensor, ...]] | None = None
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Photos to maps.

        Args:
            images: (B, 3, H, W) float in [0, 1]; H and W multiples of the coarsest stride.

        Returns:
            One (B, channels[i], H / strides[i], W / strides[i]) per level, finest first.
        """
        return self._perceive(images) if self.recall is None else self.recall(images, self._perceive)

    def _perceive(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.maps((images - self.mean) / self.std)

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What `forward` returns, from normalised pixels (B, 3, H, W)."""
        raise NotImplementedError


class SwinBackbone(Backbone):
    """Swin transformer (source: Liu et al. 2021); four maps at strides 4, 8, 16, 32 of the default patch.

    Args:
        network: a `transformers.SwinBackbone` whose out_features are all its stages.
    """

    def __init__(self, network: Any) -> None:
        config = network.config
        strides = [config.patch_size * 2**level for level in range(len(config.depths))]
        super().__init__(
            channels=network.channels, strides=strides, seen_coco_labels=False, mean=IMAGENET_MEAN, std=IMAGENET_STD
        )
        self.network = network
        network.swin.layernorm.requires_grad_(False)  # only classification uses it

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """One map per stage, finest first."""
        return tuple(self.network(pixels).feature_maps)

    def blocks(self) -> list[nn.Module]:
        """The patch embedding, the stages, and the norms of their outputs with the last stage's."""
        *stages, last = self.network.swin.encoder.layers
        return [self.network.swin.embeddings, *stages, nn.ModuleList([last, self.network.hidden_states_norms])]


class Dinov2Backbone(Backbone):
    """DINOv2 vision transformer (source: Oquab et al. 2023), self-supervised; maps of several depths at one stride.

    Args:
        network: a `transformers.Dinov2Backbone` whose out_indices are the depths to read.
    """

    def __init__(self, network: Any) -> None:
        config = network.config
        super().__init__(
            channels=network.channels,
            strides=[config.patch_size] * len(network.channels),
            seen_coco_labels=False,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        )
        self.network = network
        network.embeddings.mask_token.requires_grad_(False)  # only pretraining uses it

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """One map per depth, shallowest first."""
        return tuple(self.network(pixels).feature_maps)

    def blocks(self) -> list[nn.Module]:
        """The patch embedding, the transformer's layers, and the norm with the last layer."""
        *layers, last = self.network.encoder.layer
        return [self.network.embeddings, *layers, nn.ModuleList([last, self.network.layernorm])]
