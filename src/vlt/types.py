"""The words of this package, and the values that flow between its rooms.

Glossary:
    image: (H, W, 3) uint8 RGB, a photo as read. `images`: (B, 3, H, W) float in [0, 1], a batch at the model's size.
    expression: str, what a person says. `words`: (T,) token ids (int64) or (T, D) vectors (float32).
    word_mask: (T,) bool, True where there is a word, False on padding.
    target: (H, W) bool, the truth at the photo's size. mask: bool, after the threshold.
    logits: scores before the sigmoid.
    B batch, T words, Q queries, C channels, (H, W) photo or input, (h, w) features.
    Sizes are (height, width). Boxes are (x0, y0, x1, y1) in pixels of the photo.

One way for data to flow:
    Referral -> Sample -> Batch -> VLT -> logits -> mask -> Report
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from vlt.geometry import Letterbox

    Image: TypeAlias = npt.NDArray[np.uint8]
    Mask: TypeAlias = npt.NDArray[np.bool_]

Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[float, float, float, float]


class RLE(TypedDict):
    """A mask as COCO's compressed run lengths, in column-major order."""

    size: list[int]
    counts: str


@dataclass(frozen=True, slots=True)
class Expression:
    """One sentence about a referral.

    Attributes:
        sent_id: unique within a data set.
        text: the sentence, stripped.
    """

    sent_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a referent stands among the things of its category in its photo; 1 of 1 where it is the only one.

    Attributes:
        same: how many things of its category there are, itself included.
        rank: its place among them by area, 1 for the largest; crowds, which are several, are no rivals in this.
    """

    same: int
    rank: int


@dataclass(frozen=True, slots=True)
class Referral:
    """Who is meant, where: one object of one photo and the expressions that mean it.

    Attributes:
        ref_id: unique within a data set.
        image: path of the photo, or the photo itself where it was drawn in memory.
        target: run lengths, the path of a grey PNG (object where > 0), or a mask in memory.
        expressions: at least one.
        category: index of the object's category, 0-based and contiguous; -1 for none or an unknown one.
        box: of the object, xyxy in pixels of the photo.
        standing: of the object among others of its category; None where it is not known, or not one object is meant.
        scene: of a drawn photo, the same for referrals about the same one and for no others; None for a file.
    """

    ref_id: int
    image: Path | Image
    target: RLE | Path | Mask
    expressions: tuple[Expression, ...]
    category: int = 0
    box: Box | None = None
    standing: Standing | None = None
    scene: int | None = None


Referrals: TypeAlias = Sequence[Referral]


@dataclass(frozen=True, slots=True)
class Sample:
    """One expression about one photo, ready for the model.

    Attributes:
        image: (3, H, W) float32 in [0, 1], letterboxed to the model's input size.
        words: (T,) int64 ids or (T, D) float32 vectors, T the expression's own length.
        target: (1, H, W) float32 in [0, 1], letterboxed like the image; soft at the edges. None when only asking.
        letterbox: the way from photo to input and back.
        referral: where it comes from.
        expression: which of the referral's expressions.
    """

    image: torch.Tensor
    words: torch.Tensor
    target: torch.Tensor | None
    letterbox: Letterbox
    referral: Referral
    expression: Expression


@dataclass(slots=True)
class Batch:
    """Many samples, padded; what the model and the loss see.

    Attributes:
        images: (U, 3, H, W) float32 in [0, 1]; each distinct photo once, U <= B.
        image_index: (B,) int64, which photo each expression is about.
        words: (B, T) int64 ids or (B, T, D) float32 vectors, padded with zeros.
        word_mask: (B, T) bool, True where there is a word.
        targets: (B, 1, H, W) float32 in [0, 1], or None.
        letterboxes: one per expression.
        referrals: one per expression.
        expressions: one per expression.
    """

    images: torch.Tensor
    image_index: torch.Tensor
    words: torch.Tensor
    word_mask: torch.Tensor
    targets: torch.Tensor | None
    letterboxes: list[Letterbox] = field(default_factory=list)
    referrals: list[Referral] = field(default_factory=list)
    expressions: list[Expression] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of expressions."""
        return len(self.word_mask)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on `device`."""
        return Batch(
            images=self.images.to(device, non_blocking=True),
            image_index=self.image_index.to(device, non_blocking=True),
            words=self.words.to(device, non_blocking=True),
            word_mask=self.word_mask.to(device, non_blocking=True),
            targets=None if self.targets is None else self.targets.to(device, non_blocking=True),
            letterboxes=self.letterboxes,
            referrals=self.referrals,
            expressions=self.expressions,
        )
