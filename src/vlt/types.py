"""The values that are passed between the sub-packages of vlt, and the glossary of its terms.

Glossary:
    image: (H, W, 3) uint8 RGB, as read. images: (U, 3, H, W) float in [0, 1], a batch at the network's input size.
    expression: str, what a person writes. words: (T,) token ids (int64) or (T, D) word vectors (float32).
    word_mask: (T,) bool, True = a word, False = padding.
    target: the mask of an object that an expression refers to, or its box where the outline is not known; several or
        none are possible.
    ground truth: (H, W) bool, the union of an expression's targets at the image's own size.
    logits: scores before the sigmoid. mask: (H, W) bool, after the threshold.
    candidate: an object that a detector found, among which an expression chooses.
    referent: an object that an expression refers to. distractor: another object of its category in the same image.
    cue: a kind of information in an expression, such as colour or position, see `vlt.text.cues`.
    presence: whether anything in the image matches an expression.
    B batch, T words, Q queries, C channels, (H, W) image or input, (h, w) feature map.
    Sizes are (height, width). Boxes are (x0, y0, x1, y1) in pixels of the image; x1 and y1 lie just outside.

Data flow:
    Referral -> Sample -> Batch -> Engine -> logits -> mask -> Prediction / Report
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from vlt.geometry import Letterbox

if TYPE_CHECKING:
    import torch

Image: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.float32]
Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[float, float, float, float]

NO_CATEGORY = -1
"""Category of a referral without a target, or with a target of an unknown category."""


class RLE(TypedDict):
    """A mask as COCO's compressed run lengths, in column-major order."""

    size: list[int]
    counts: str


Target: TypeAlias = RLE | Path | Mask | Box
"""The mask of one object: run lengths, the path of a grey PNG (object where > 0), or an array; or its box alone."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One referring expression of a data set.

    Attributes:
        sent_id: unique within a data set; of a video, the same in all its frames.
        text: the expression, stripped.
    """

    sent_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Rank of a target among the objects of its category in its image; 1 of 1 where it is the only one.

    Attributes:
        same: number of objects of its category, itself included.
        rank: its place among them by area, 1 for the largest; crowd annotations are not counted as larger.
    """

    same: int
    rank: int


class PackedImage(ABC):
    """An image inside a file that holds many; hashable, and equal for all referrals to it.

    Attributes:
        name: its path before it was packed: the name of its folder and its own.
    """

    __slots__ = ()
    name: str

    @abstractmethod
    def read(self) -> bytes:
        """Read the image file.

        Raises:
            DataError: the file that holds it is missing or damaged.
        """


@dataclass(frozen=True, slots=True)
class Referral:
    """Expressions about one image, and the objects they refer to: one, several, or none.

    Attributes:
        ref_id: unique within a data set.
        image: path of the image; an image inside a larger file; or its pixels if it was drawn in memory.
        targets: the mask of each object referred to, or its box; empty: nothing in the image matches the expressions.
        expressions: at least one.
        category: index of the target's category, 0-based and contiguous; `NO_CATEGORY` for none or an unknown one.
        box: around all targets; None where it is not known or there is no target.
        standing: rank of a single target among the objects of its category; None where it is not known.
        scene: number of the drawn scene that several referrals share; None for a file.
    """

    ref_id: int
    image: Path | PackedImage | Image
    targets: tuple[Target, ...]
    expressions: tuple[Expression, ...]
    category: int = 0
    box: Box | None = None
    standing: Standing | None = None
    scene: int | None = None

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes of the targets that are known by their boxes alone."""
        return tuple(target for target in self.targets if isinstance(target, tuple))


Referrals: TypeAlias = Sequence[Referral]


@dataclass(frozen=True, slots=True)
class Sample:
    """One training expression with its image and ground truth, at the network's input size.

    Attributes:
        image: (3, H, W) float32 in [0, 1], letterboxed.
        words: (T,) int64 ids or (T, D) float32 vectors, T the expression's own length.
        target: (1, H, W) float32 in [0, 1], letterboxed like the image, soft at the edges; None where masks are not
            trained.
        target_boxes: (N, 4) float32 xyxy around each of the N targets, as shares of the input; zeros for an empty mask.
        letterbox: maps the image to the input and back.
        referral: the referral of the expression.
        expression: the expression as read: after augmentation.
    """

    image: FloatArray
    words: npt.NDArray[np.float32] | npt.NDArray[np.int64]
    target: FloatArray | None
    target_boxes: FloatArray
    letterbox: Letterbox
    referral: Referral
    expression: Expression


@dataclass(slots=True)
class Batch:
    """Several samples, padded and stacked: the input of the network and the loss.

    Attributes:
        images: (U, 3, H, W) float32 in [0, 1]; each distinct image once, U <= B.
        image_index: (B,) int64, the image of each expression.
        words: (B, T) int64 ids or (B, T, D) float32 vectors, padded with zeros.
        word_mask: (B, T) bool, True = a word.
        targets: (B, 1, H, W) float32 in [0, 1]; None where masks are not trained.
        target_boxes: (B, N, 4) float32 xyxy around each target, as shares of the input; N is the largest number of
            targets of an expression, zeros are padding.
        target_mask: (B, N) bool, True = a target.
        letterboxes: one per expression.
        referrals: one per expression.
        expressions: one per expression.
    """

    images: torch.Tensor
    image_index: torch.Tensor
    words: torch.Tensor
    word_mask: torch.Tensor
    targets: torch.Tensor | None
    target_boxes: torch.Tensor
    target_mask: torch.Tensor
    letterboxes: list[Letterbox] = field(default_factory=list)
    referrals: list[Referral] = field(default_factory=list)
    expressions: list[Expression] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of expressions."""
        return len(self.word_mask)

    @property
    def presence(self) -> torch.Tensor:
        """(B,) bool, whether each expression refers to something in its image."""
        return self.target_mask.any(dim=1)

    def to(self, device: torch.device | str) -> Batch:
        """Return the same batch with its tensors on `device`."""
        return Batch(
            images=self.images.to(device, non_blocking=True),
            image_index=self.image_index.to(device, non_blocking=True),
            words=self.words.to(device, non_blocking=True),
            word_mask=self.word_mask.to(device, non_blocking=True),
            targets=None if self.targets is None else self.targets.to(device, non_blocking=True),
            target_boxes=self.target_boxes.to(device, non_blocking=True),
            target_mask=self.target_mask.to(device, non_blocking=True),
            letterboxes=self.letterboxes,
            referrals=self.referrals,
            expressions=self.expressions,
        )
