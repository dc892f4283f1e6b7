"""Entries of SeqTR's annotation files and of those of its successors, whose targets may be several or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import Discriminator, Field, NonNegativeInt, PositiveInt, Tag, model_validator

from vlt.files import JsonObject
from vlt.prepare.instances import XYWH, Photo
from vlt.types import NO_CATEGORY

PHOTO_NAME = "COCO_train2014_{:012}.jpg"
"""Name of an image by its id, where the entry has none."""


class Target(JsonObject):
    """An object to which expressions refer; or the sign that there is none, which some files write as an object."""

    bbox: XYWH | None = None
    segmentation: Any = None
    category_id: int | None = None
    iscrowd: int = 0

    @model_validator(mode="after")
    def _outline_has_box(self) -> Target:
        if self.segmentation and self.bbox is None:
            raise ValueError("a segmentation without a bbox")
        return self

    @property
    def is_none(self) -> bool:
        """Whether it stands for no object: it has no outline, and either the category -1 or no box."""
        return not self.segmentation and (self.category_id == NO_CATEGORY or self.bbox is None)


class Group(NamedTuple):
    """Expressions that refer to the same objects of an image.

    Attributes:
        photo: the image.
        targets: the objects; empty where nothing in the image matches.
        category: category of the first.
        texts: the expressions.
    """

    photo: Photo
    targets: list[Target]
    category: int
    texts: list[str]


class ImageEntry(JsonObject):
    """Image of an entry."""

    image_id: NonNegativeInt
    height: PositiveInt
    width: PositiveInt
    file_name: Annotated[str, Field(min_length=1)] | None = None

    @property
    def photo(self) -> Photo:
        """The image."""
        file_name = self.file_name or PHOTO_NAME.format(self.image_id)
        return Photo(id=self.image_id, file_name=file_name, height=self.height, width=self.width)


class Entry(ImageEntry):
    """An object of an image and the expressions that refer to it, as SeqTR writes them."""

    bbox: XYWH
    expressions: list[str]
    mask: Any = None
    category_id: int | None = None
    cat: int | None = None

    @property
    def category(self) -> int:
        """The category under either key; `NO_CATEGORY` without one."""
        given = self.category_id if self.cat is None else self.cat
        return NO_CATEGORY if given is None else given

    def groups(self) -> list[Group]:
        """The group of its expressions."""
        target = Target(bbox=self.bbox, segmentation=self.mask, category_id=self.category)
        return [Group(self.photo, [target], self.category, self.expressions)]


class RawExpressions(JsonObject):
    """One or several expressions."""

    raw: str | list[str]


class SeveralEntry(ImageEntry):
    """The objects of an image to which the expressions refer, as DeRIS and InstanceVG write them."""

    annotations: list[Target]
    expressions: RawExpressions

    def groups(self) -> list[Group]:
        """The group of its expressions."""
        raw = self.expressions.raw
        return [make_group(self.photo, self.annotations, [raw] if isinstance(raw, str) else raw)]


class GroupedEntry(ImageEntry):
    """An image with a list of objects for each of its expressions, as SimVG writes them."""

    annotations: list[list[Target]]
    expressions: list[str]

    @model_validator(mode="after")
    def _lists_are_equally_long(self) -> GroupedEntry:
        if len(self.annotations) != len(self.expressions):
            raise ValueError(f"{len(self.annotations)} annotations for {len(self.expressions)} expressions")
        return self

    def groups(self) -> list[Group]:
        """A group per expression."""
        pairs = zip(self.annotations, self.expressions, strict=True)
        return [make_group(self.photo, targets, [text]) for targets, text in pairs]


def make_group(photo: Photo, targets: Iterable[Target], texts: list[str]) -> Group:
    """Make the group of expressions; objects that all stand for none are left out."""
    given = list(targets)
    found = [] if all(target.is_none for target in given) else given
    category = found[0].category_id if found else None
    return Group(photo, found, NO_CATEGORY if category is None else category, texts)


def entry_kind(entry: Any) -> str:
    """Tell the kind of an entry by its keys; the tag of `AnyEntry`, of which `malformed` says nothing."""
    given = entry if isinstance(entry, dict) else {}
    if "annotations" not in given:
        return "<one>"
    return "<grouped>" if isinstance(given.get("expressions"), list) else "<several>"


AnyEntry: TypeAlias = Annotated[
    Annotated[Entry, Tag("<one>")]
    | Annotated[SeveralEntry, Tag("<several>")]
    | Annotated[GroupedEntry, Tag("<grouped>")],
    Discriminator(entry_kind),
]
