"""Convolutions with their normalisation and activation, the brick of both networks."""

from __future__ import annotations

from torch import Tensor, nn


class BatchConv(nn.Sequential):
    """Convolution without bias, batch normalisation, LeakyReLU(0.1): Darknet's unit, and the original's everywhere.

    Keras' momentum 0.99 is 0.01 in PyTorch's convention (source: docs/model.md, "The reference network").

    Args:
        in_channels: of the map.
        out_channels: of the result.
        kernel: side of the square kernel; the padding keeps the size at stride 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        self.act = nn.LeakyReLU(0.1)


class DownConv(nn.Module):
    """Halves a map as Darknet does: a zero row on top and a zero column on the left, then stride 2 without padding.

    Args:
        in_channels: of the map.
        out_channels: of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((1, 0, 1, 0))
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H/2, W/2); H and W even."""
        return self.act(self.norm(self.conv(self.pad(x))))


class GroupConv(nn.Sequential):
    """Convolution, group normalisation, GELU: the improved network's unit.

    Group statistics do not depend on the rest of the batch, so small batches train and many devices agree.

    Args:
        in_channels: of the map.
        out_channels: of the result.
        kernel: side of the square kernel; the padding keeps the size at stride 1.
        stride: 1 or 2; at 2 the result has ceil(H/2) rows.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(_groups(out_channels), out_channels)
        self.act = nn.GELU()


def _groups(channels: int) -> int:
    """The largest number of groups up to 8 that divides `channels`."""
    return next(groups for groups in (8, 4, 2, 1) if channels % groups == 0)
