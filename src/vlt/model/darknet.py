"""Darknet-53 with the YOLOv3 neck, the original's visual backbone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vlt.model.backbone import Backbone
from vlt.model.convolution import BatchConv, DownConv


class ResidualBlock(nn.Module):
    """1 x 1 to half the channels, 3 x 3 back, added to the input.

    Args:
        channels: of the map, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = BatchConv(channels, channels // 2, 1)
        self.expand = BatchConv(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x + self.expand(self.reduce(x))


class Darknet53(Backbone):
    """Three maps, at strides 8, 16 and 32 (source: docs/model.md, "Visual backbone").

    Args:
        width: channels as a share of the published 32 ... 1024.
        blocks: residual blocks of the five stages.
        seen_coco_labels: of the weights that will be loaded; MCN's are a COCO detector's.
    """

    def __init__(
        self, *, width: float = 1.0, blocks: Sequence[int] = (1, 2, 8, 8, 4), seen_coco_labels: bool = False
    ) -> None:
        widths = [_even(channels * width) for channels in (32, 64, 128, 256, 512, 1024)]
        super().__init__(channels=widths[3:], strides=(8, 16, 32), seen_coco_labels=seen_coco_labels)
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
        """The ends of the third and fourth stage and of the neck."""
        x = self.stem(pixels)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs[2], outputs[3], self.neck(x)

    def blocks(self) -> list[nn.Module]:
        """The 52 convolutions of the body and the 6 of the neck, in order, each with its normalisation."""
        return [module for module in self.modules() if isinstance(module, BatchConv | DownConv)]


def _even(channels: float) -> int:
    """The nearest even number, at least 2: residual blocks halve it."""
    return max(2, round(channels / 2) * 2)
