"""Visual backbones, image to feature maps: the common interface, Darknet-53, Swin and DINOv2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vlt.model.layers import BatchConv, DownConv, Freezable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(Freezable):
    """Base of the visual backbones: image to feature maps. Later parts take their sizes from its attributes.

    Attributes:
        channels: channels of each map, finest map first.
        strides: strides of each map in input pixels, finest first; none need be a multiple of another.

    Args:
        channels: see above.
        strides: see above.
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
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images to feature maps.

        Args:
            images: (B, 3, H, W) float in [0, 1]; H and W multiples of the coarsest stride.

        Returns:
            One (B, channels[i], H / strides[i], W / strides[i]) per level, finest first.
        """
        return self.maps((images - self.mean) / self.std)

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Normalised pixels (B, 3, H, W) to the maps that `forward` returns."""
        raise NotImplementedError


class ResidualBlock(nn.Module):
    """1 x 1 convolution to half the channels, 3 x 3 back, added to the input.

    Args:
        channels: channels of the map, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = BatchConv(channels, channels // 2, 1)
        self.expand = BatchConv(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return x + self.expand(self.reduce(x))


class Darknet53(Backbone):
    """Darknet-53 with the YOLOv3 neck, the original's backbone: three maps at strides 8, 16 and 32.

    Source: docs/model.md, "Visual backbone".

    Args:
        width: channels as a share of the published 32 ... 1024; each is rounded to an even number.
        blocks: residual blocks of the five stages.
    """

    def __init__(self, *, width: float = 1.0, blocks: Sequence[int] = (1, 2, 8, 8, 4)) -> None:
        widths = [max(2, round(channels * width / 2) * 2) for channels in (32, 64, 128, 256, 512, 1024)]
        super().__init__(channels=widths[3:], strides=(8, 16, 32))
        self.stem = BatchConv(3, widths[0], 3)
        self.stages = nn.ModuleList(
            nn.Sequential(DownConv(before, after), *(ResidualBlock(after) for _ in range(count)))
            for before, after, count in zip(widths[:-1], widths[1:], blocks, strict=True)
        )
        half, full = widths[-2:]
        self.neck = nn.Sequential(
            *(BatchConv(*shape) for _ in range(3) for shape in ((full, half, 1), (half, full, 3)))
        )

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels (B, 3, H, W) to the outputs of the third stage, the fourth stage and the neck, as in `Backbone`."""
        x = self.stem(pixels)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs[2], outputs[3], self.neck(x)

    def blocks(self) -> list[nn.Module]:
        """List the 52 convolutions of the body and the 6 of the neck, in order, each with its normalisation."""
        return [module for module in self.modules() if isinstance(module, BatchConv | DownConv)]


class SwinBackbone(Backbone):
    """Swin transformer (source: Liu et al. 2021): four maps, at strides 4, 8, 16, 32 with the default patch.

    Args:
        network: a `transformers.SwinBackbone` whose out_features are all its stages.
    """

    def __init__(self, network: Any) -> None:
        config = network.config
        strides = [config.patch_size * 2**level for level in range(len(config.depths))]
        super().__init__(channels=network.channels, strides=strides, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        self.network = network
        network.swin.layernorm.requires_grad_(False)  # only classification uses it

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels (B, 3, H, W) to one map per stage, as in `Backbone`."""
        return tuple(self.network(pixels).feature_maps)

    def blocks(self) -> list[nn.Module]:
        """List the patch embedding and the stages, the last one with the norms of all stages' outputs."""
        *stages, last = self.network.swin.encoder.layers
        return [self.network.swin.embeddings, *stages, nn.ModuleList([last, self.network.hidden_states_norms])]


class Dinov2Backbone(Backbone):
    """DINOv2 vision transformer (source: Oquab et al. 2023), self-supervised: maps of several depths at one stride.

    Args:
        network: a `transformers.Dinov2Backbone` whose out_indices are the depths to read.
    """

    def __init__(self, network: Any) -> None:
        config = network.config
        super().__init__(
            channels=network.channels,
            strides=[config.patch_size] * len(network.channels),
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        )
        self.network = network
        network.embeddings.mask_token.requires_grad_(False)  # only pretraining uses it

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Pixels (B, 3, H, W) to one map per depth, shallowest first, as in `Backbone`."""
        return tuple(self.network(pixels).feature_maps)

    def blocks(self) -> list[nn.Module]:
        """List the patch embedding and the transformer's layers, the last one with the final norm."""
        *layers, last = self.network.encoder.layer
        return [self.network.embeddings, *layers, nn.ModuleList([last, self.network.layernorm])]
