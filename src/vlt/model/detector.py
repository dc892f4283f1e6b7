"""Frozen object detector: images to boxes with probabilities of COCO's 80 categories.

The network is NanoDet-g (RangiLyu 2020): a convolutional body, a path-aggregation neck that only adds, and at each
position class logits and a distribution over the distance to each side of the box (Li et al. 2020, "Generalized Focal
Loss"). Batch normalisations are folded into the convolutions, so its mode does not matter.
`tools/nanodet_from_package.py` makes the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlt.categories import COCO_CATEGORIES

MEAN = (103.53, 116.28, 123.675)
STD = (57.375, 57.12, 58.395)
"""Mean and standard deviation per BGR channel, of 255."""
STRIDES = (8, 16, 32)
"""Strides of the maps that boxes are predicted from, in pixels of the detector's own input."""
DISTANCES = 11
"""Distances 0 to 10, in strides, that the distribution over the distance to one side of a box covers."""
SAME_CLASS_IOU = 0.6
"""Of two boxes with the same best class that overlap more than this, the less probable one is dropped."""
ANY_CLASS_IOU = 0.85
"""Of two boxes with any classes that overlap more than this, the less probable one is dropped."""
CONSIDERED = 400
"""Positions per image that enter the suppression, the most probable ones."""


class Detections(NamedTuple):
    """Detected objects of U images, N per image, most probable first.

    Attributes:
        boxes: (U, N, 4) float xyxy in [0, 1], as shares of the width and height of the input.
        scores: (U, N, 80) float in [0, 1], the probability of each category, in the order of `COCO_CATEGORIES`.
        valid: (U, N) bool; where False, there is no object and `boxes` and `scores` are zero.
    """

    boxes: Tensor
    scores: Tensor
    valid: Tensor


class LeakyConv(nn.Sequential):
    """Convolution with bias and LeakyReLU(0.1): the unit of NanoDet-g once its batch normalisations are folded.

    Maps (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.act = nn.LeakyReLU(0.1)


class ConcatBlock(nn.Module):
    """Two convolutions to half of `out_channels` each, the second after the first; the results are concatenated.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, even.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = LeakyConv(in_channels, out_channels // 2)
        self.second = LeakyConv(out_channels // 2, out_channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W)."""
        x = self.first(x)
        return torch.cat([self.second(x), x], dim=1)


class Stage(nn.Module):
    """Cross-stage partial block (Wang et al. 2020): a convolution, and beside its output what blocks make of it.

    Args:
        in_channels: channels of the input.
        width: channels of each of the two halves of the output, even.
        blocks: number of blocks.
        stride: stride of the first convolution.
    """

    def __init__(self, *, in_channels: int, width: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.enter = LeakyConv(in_channels, width, stride)
        self.blocks = nn.Sequential(*(ConcatBlock(width, width) for _ in range(blocks)))
        self.leave = LeakyConv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, 2 * width, ceil(H / stride), ceil(W / stride))."""
        x = self.enter(x)
        return torch.cat([self.leave(self.blocks(x)), x], dim=1)


class Detector(nn.Module):
    """NanoDet-g, which detects COCO's objects. Its parameters take no gradients.

    It can be exported by `torch.export`: sizes are those of the example, loops have a fixed length. In ONNX, resizing
    with antialiasing needs opset 18; images of the detector's own size are not resized.

    Args:
        width: channels as a share of the published ones; each width is rounded to an even number.
        blocks: blocks of the four stages.
        side: longer side of the detector's own input, in pixels, a multiple of 32.
        count: N, the boxes per image.
        floor: boxes whose best class is at most this probable are dropped.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        width: float = 1.0,
        blocks: Sequence[int] = (1, 2, 2, 3),
        side: int = 416,
        count: int = 40,
        floor: float = 0.04,
    ) -> None:
        super().__init__()
        self.side, self.count, self.floor = side, count, floor
        widths = [max(2, round(channels * width / 2) * 2) for channels in (32, 64, 128, 256)]
        neck = widths[2]
        self.stem = LeakyConv(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            Stage(in_channels=before, width=after, blocks=number, stride=1 if level == 0 else 2)
            for level, (before, after, number) in enumerate(
                zip([widths[0], *(2 * each for each in widths[:-1])], widths, blocks, strict=True)
            )
        )
        self.laterals = nn.ModuleList(nn.Conv2d(2 * each, neck, 1) for each in widths[1:])
        outputs = len(COCO_CATEGORIES) + 4 * DISTANCES
        self.heads = nn.ModuleList(nn.Sequential(LeakyConv(neck, neck), nn.Conv2d(neck, outputs, 1)) for _ in STRIDES)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) / 255, persistent=False)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Detections:
        """Detect the objects of images of one size.

        Args:
            images: (U, 3, H, W) float RGB in [0, 1], any H and W.

        Returns:
            At most `count` objects per image. Results of one image do not depend on the others.
        """
        pixels, (height, width) = self.normalise(images)
        boxes, scores = decode(self.maps(pixels), (height, width))
        return suppress(boxes, scores, count=self.count, floor=self.floor)

    def normalise(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Resize images to the detector's own input and normalise them as in its training.

        Args:
            images: (U, 3, H, W) float RGB in [0, 1].

        Returns:
            (U, 3, h, w) float BGR, the longer side `side`, padded with zeros on the right and below to multiples of 32;
            and the (height, width) that the images have in it.
        """
        sides = list(images.shape[-2:])
        height, width = (max(1, round(side * self.side / max(sides))) for side in sides)
        if sides != [height, width]:
            images = F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)
        pixels = (images.flip(1) - self.mean) / self.std
        pixels = F.pad(pixels, (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))
        return pixels.contiguous(memory_format=torch.channels_last), (height, width)  # a fifth faster on a CPU

    def maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs at each stride, before decoding.

        Args:
            pixels: (U, 3, h, w) float, normalised, h and w multiples of 32.

        Returns:
            (U, 80 + 4 * DISTANCES, h / stride, w / stride) per stride, finest first: logits of the classes, then
            logits of the distances from the position to the left, top, right and bottom side of its box.
        """
        x = F.max_pool2d(self.stem(pixels), 3, stride=2, padding=1)
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        fine, middle, coarse = (lateral(x) for lateral, x in zip(self.laterals, stages[1:], strict=True))
        middle = middle + resize_like(coarse, middle)
        fine = fine + resize_like(middle, fine)
        middle = middle + resize_like(fine, middle)
        coarse = coarse + resize_like(middle, coarse)
        return tuple(head(x) for head, x in zip(self.heads, (fine, middle, coarse), strict=True))


def resize_like(x: Tensor, other: Tensor) -> Tensor:
    """Resize map (U, C, h, w) bilinearly to the height and width of `other`."""
    return F.interpolate(x, other.shape[-2:], mode="bilinear", align_corners=False)


def decode(maps: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Decode the outputs at all strides to boxes and class probabilities.

    The distance to a side is the mean of its distribution; distances are measured from the centre of the position's
    cell. Boxes end at the image's edges, so those in the padding have no area.

    Args:
        maps: outputs of `Detector.maps`, M positions together.
        size: (height, width) of the image inside the detector's input, in pixels.

    Returns:
        Boxes (U, M, 4) float32 xyxy in [0, 1] as shares of `size`, and probabilities (U, M, 80) float32.
    """
    height, width = size
    boxes, scores = [], []
    for outputs, stride in zip(maps, STRIDES, strict=True):
        classes, distances = outputs.float().flatten(2).transpose(1, 2).split([len(COCO_CATEGORIES), 4 * DISTANCES], 2)
        steps = torch.arange(DISTANCES, device=outputs.device, dtype=torch.float32)
        sides = (distances.unflatten(2, (4, DISTANCES)).softmax(dim=3) @ steps) * stride  # (U, M, 4)
        y, x = (
            (torch.arange(length, device=outputs.device, dtype=torch.float32) + 0.5) * stride
            for length in outputs.shape[-2:]
        )
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2).flatten(0, 1)  # (M, 2) xy
        boxes.append(torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], dim=2))
        scores.append(classes.sigmoid())
    shares = torch.cat(boxes, dim=1) / torch.tensor([width, height, width, height], device=boxes[0].device)
    return shares.clamp(0, 1), torch.cat(scores, dim=1)


def suppress(boxes: Tensor, scores: Tensor, *, count: int, floor: float) -> Detections:
    """Keep the most probable boxes that do not overlap a more probable one too much.

    Greedy: the most probable box is kept and its rivals are dropped, `count` times. Two boxes are rivals above
    `SAME_CLASS_IOU` if they have the same best class, above `ANY_CLASS_IOU` in any case. Of equally probable boxes the
    first position precedes. Boxes without area are dropped.

    Args:
        boxes: (U, M, 4) float xyxy.
        scores: (U, M, K) float, the probability of each class.
        count: N, boxes to keep per image.
        floor: see `Detector`.

    Returns:
        The kept boxes, in the units of `boxes`, with their scores.
    """
    images = torch.arange(boxes.shape[0], device=boxes.device)
    best, classes = scores.max(dim=2)
    best, order = (x[:, :CONSIDERED] for x in best.sort(dim=1, descending=True, stable=True))
    boxes, scores, classes = boxes[images[:, None], order], scores[images[:, None], order], classes.gather(1, order)
    overlaps = box_iou(boxes)
    same_class = classes[:, :, None] == classes[:, None]
    rivals = (overlaps > ANY_CLASS_IOU) | (same_class & (overlaps > SAME_CLASS_IOU))
    alive = (best > floor) & (boxes[..., 2:] > boxes[..., :2]).all(dim=2)
    kept, valid = [], []
    for _ in range(count):
        first = alive.long().argmax(dim=1)  # the first of the ones, and 0 where none is alive
        kept.append(first)
        valid.append(alive.any(dim=1))
        alive = alive & ~rivals[images, first]
    indices, present = torch.stack(kept, dim=1), torch.stack(valid, dim=1)
    return Detections(
        boxes=boxes[images[:, None], indices] * present[..., None],
        scores=scores[images[:, None], indices] * present[..., None],
        valid=present,
    )


def box_iou(boxes: Tensor) -> Tensor:
    """Intersection over union of each pair of boxes of an image, (U, M, 4) xyxy to (U, M, M); 0 without area."""
    upper = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    lower = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    sides = (lower - upper).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    union = areas[:, :, None] + areas[:, None] - shared
    return shared / union.clamp(min=torch.finfo(boxes.dtype).tiny)
