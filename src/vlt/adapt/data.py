"""Data of an adaptation: expressions about a user's images, read, checked, and split by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlt.data.image import read_image
from vlt.data.referrals import fingerprint
from vlt.errors import DataError, InputError
from vlt.prepare.instances import OUTCOME
from vlt.prepare.own.records import NO_EXPRESSION, OTHER_REGION
from vlt.prepare.report import Counts, Defects, count
from vlt.prepare.splits import hold_out
from vlt.types import Referral

if TYPE_CHECKING:
    from vlt.prepare.own.record_set import RecordSet

HELD_OUT = 0.2
"""Share of the images that is held out."""
FEWEST_EXPRESSIONS = 10
"""Smallest number of expressions, without which neither training nor the comparison says anything."""
HARMLESS = (OTHER_REGION, NO_EXPRESSION)
"""Defects of an export that leave nothing out that was an expression with an outline."""


@dataclass(frozen=True)
class AdaptData:
    """Expressions about a user's images in two parts that share no image.

    Attributes:
        path: the file that they were read from.
        images: folder of the images, or the common one of several.
        train: referrals to train on, of one expression each, so that every pass reads all of them.
        held_out: referrals that are only evaluated.
    """

    path: Path
    images: Path
    train: list[Referral]
    held_out: list[Referral]

    @property
    def trained(self) -> Counts:
        """Sizes of the part that is trained on."""
        return count(self.train)

    @property
    def evaluated(self) -> Counts:
        """Sizes of the part that is held out."""
        return count(self.held_out)

    @property
    def fingerprint(self) -> str:
        """Hash of all ids and expressions."""
        return fingerprint([*self.train, *self.held_out])

    def __str__(self) -> str:
        """The sizes of both parts, on one line."""
        trained, evaluated = self.trained, self.evaluated
        return (
            f"trained on {trained.sentences:,} expressions of {trained.images:,} images, "
            f"evaluated on {evaluated.sentences:,} expressions of {evaluated.images:,} other images"
        )


def read_adapt_data(path: Path, images: Sequence[Path] = (), instances: Sequence[Path] = ()) -> AdaptData:
    """Read expressions about a user's images, check that every one can be used, and hold out a fifth of the images.

    Images with and without an object that an expression refers to are held out in equal shares, by the hash that also
    splits prepared data sets (`vlt.prepare.splits`).

    Args:
        path: JSON lines, an export of Label Studio or CVAT, or COCO instances with expressions, see `vlt.prepare`.
        images: folders of the images; none: that of `path`.
        instances: instance files with outlines.

    Raises:
        DataError: a file or folder that is missing or malformed; an expression whose image or outline cannot be used;
            fewer than `FEWEST_EXPRESSIONS` expressions; fewer than two images with an outline.
    """
    from vlt.prepare.own.record_set import read_records, read_referrals  # noqa: PLC0415 (its chain of imports is long)

    if path.is_dir():
        raise DataError(
            f"{path} is a folder; name a file of JSON lines, an export of Label Studio or CVAT, or COCO instances."
        )
    found = read_referrals(read_records([path]), images or [path.parent], instances)
    refuse_defects(path, found.defects)
    total = count(found.referrals).sentences or 0
    if total < FEWEST_EXPRESSIONS:
        raise DataError(
            f"{path} has {total} expression{'s' * (total != 1)}, but an adaptation needs at least "
            f"{FEWEST_EXPRESSIONS}; write more, 50 about 20 images are a good start."
        )
    present = {found.image_id(referral) for referral in found.referrals if referral.targets}
    if len(present) < 2:
        raise DataError(
            f"{path} has outlines on {len(present)} image{'s' * (len(present) != 1)}, but one image is held out and "
            "at least one is trained on; add expressions about other images."
        )
    refuse_unreadable(found)
    absent = {found.image_id(referral) for referral in found.referrals} - present
    held = hold_out(present, HELD_OUT) | (hold_out(absent, HELD_OUT) if len(absent) > 1 else set())
    held_out = [referral for referral in found.referrals if found.image_id(referral) in held]
    others = [referral for referral in found.referrals if found.image_id(referral) not in held]
    train = [replace(referral, expressions=(each,)) for referral in others for each in referral.expressions]
    return AdaptData(path, found.root, train, held_out)


def refuse_defects(path: Path, defects: Defects) -> None:
    """Check that no expression is left out.

    Raises:
        DataError: some are, with the kinds of defects and an example of each.
    """
    lost = Defects()
    for kind, places in defects.items():
        if kind.outcome == OUTCOME and kind not in HARMLESS:
            lost[kind] = places
            lost.reasons |= {kind: defects.reasons[kind]} if kind in defects.reasons else {}
    lost.examples = defects.examples
    if lost:
        first = next(iter(lost.values()))[0]
        raise DataError(
            f"{path} has expressions that cannot be used: {lost.summary()}, first {first}; correct or remove them."
        )


def refuse_unreadable(found: RecordSet) -> None:
    """Check that every image can be decoded, since training would fail on it after minutes.

    Raises:
        DataError: one cannot.
    """
    for image in {referral.image: None for referral in found.referrals if isinstance(referral.image, Path)}:
        try:
            read_image(image)
        except InputError as error:
            raise DataError(f"An image with expressions cannot be read: {error}") from None
