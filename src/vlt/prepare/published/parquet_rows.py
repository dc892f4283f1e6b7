"""Rows of the Parquet layouts in which referring sets are published: recognised by their columns, and converted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BeforeValidator, Field, FiniteFloat
from pydantic_core import from_json

from vlt.data.prepared import NO_BOX
from vlt.errors import DataError
from vlt.files import JsonObject
from vlt.prepare.instances import XYWH, Annotation, Id, Photo
from vlt.prepare.published.refer_files import Ref, RefSentence
from vlt.types import NO_CATEGORY

OBJECT_NAME = re.compile(r"(COCO_[a-z]+\d{4}_\d{12})_\d+(\.\w+)")
"""Name that REFER gives to a ref: that of its photo and a number."""


def decode_json(value: Any) -> Any:
    """Decode a value that some layouts write as JSON text; others are returned unchanged."""
    return from_json(value) if isinstance(value, str) else value


Value = TypeVar("Value")
Decoded = Annotated[Value, BeforeValidator(decode_json)]
"""A value, or the same as JSON text."""


class ImageCell(JsonObject):
    """A picture: the content of its file, and the path it once had."""

    content: Annotated[bytes | None, Field(alias="bytes")]
    path: str | None = None


class RowAnnotation(Annotation):
    """An annotation whose outline may be JSON text."""

    segmentation: Decoded[Any] = None


class RowRef(Ref):
    """A ref whose sentences may be JSON text; it need not name its split, which the file's name states."""

    split: str = ""
    sentences: Decoded[list[RefSentence]]


class RefRow(RowRef):
    """Row of jxu124/refcoco: a ref with its annotation and its image."""

    raw_anns: Decoded[Annotation]
    raw_image_info: Decoded[Photo]


class ListedRef(JsonObject):
    """A ref with its annotation, one of several of an image."""

    ann_info: Decoded[RowAnnotation]
    ref_info: Decoded[RowRef]


class ImageRow(JsonObject):
    """Row of jxu124/refcoco-benchmark: an image with its refs."""

    image: ImageCell
    image_id: Id
    ref_list: Decoded[list[ListedRef]]


class ObjectRow(JsonObject):
    """Row of lmms-lab/RefCOCO: an object with its expressions and its image."""

    image: ImageCell
    answer: Decoded[list[str]]
    segmentation: Decoded[list[Any]]
    bbox: Decoded[XYWH]
    file_name: str | None = None


class MaskSample(JsonObject):
    """An object with its expressions and its mask as run lengths."""

    sentences: Decoded[list[str]]
    mask: Decoded[dict[str, Any]]


class SampleRow(JsonObject):
    """Row of moondream/refcoco-m: an image with its objects."""

    image: ImageCell
    image_id: Id | None = None
    file_name: str | None = None
    samples: Decoded[list[MaskSample]]


class BoxRow(JsonObject):
    """Row of JierunChen/Ref-L4: an expression with the box of its object and its image."""

    id: int
    caption: str
    bbox: Decoded[XYWH]
    image_id: Id
    file_name: Annotated[str, Field(min_length=1)]
    height: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]
    split: str = ""


class SolutionRow(JsonObject):
    """Row of dddraxxx/ref-adv-s: an expression with its image and, as xyxy, the box of its object."""

    image: ImageCell
    normal_caption: str
    solution: Decoded[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]]
    file_name: str | None = None


class Picture(NamedTuple):
    """Picture in a row.

    Attributes:
        content: content of its file.
        name: name for its file, without folders; it need not have an ending.
    """

    content: bytes
    name: str


class Row(NamedTuple):
    """Content of a row of any layout.

    Attributes:
        image_id: id of the image.
        image: the picture; in a layout without pictures, name and size of the image.
        objects: refs of the image, each with its annotation.
    """

    image_id: Id
    image: Picture | Photo
    objects: list[tuple[Ref, Annotation]]


class Ids(NamedTuple):
    """Counters for the ids that a layout lacks, unique within a data set.

    Attributes:
        refs: next number of a ref and its annotation.
        sentences: next number of an expression.
    """

    refs: Iterator[int]
    sentences: Iterator[int]

    def describe(self, image_id: Id, texts: list[str], outline: object, box: XYWH = NO_BOX) -> tuple[Ref, Annotation]:
        """Make a ref and its annotation, with the next ids.

        Args:
            image_id: id of the image.
            texts: the expressions.
            outline: a `segmentation` in one of COCO's formats.
            box: box of the object; `NO_BOX` where the layout has none, and that of the mask is written.
        """
        number = next(self.refs)
        sentences = [RefSentence(sent_id=next(self.sentences), sent=text) for text in texts]
        ref = Ref(
            ref_id=number, ann_id=number, category_id=NO_CATEGORY, image_id=image_id, split="", sentences=sentences
        )
        return ref, Annotation(id=number, image_id=image_id, bbox=box, segmentation=outline)


class Layout(NamedTuple):
    """A layout of Parquet files.

    Attributes:
        name: a data set of the hub that has it.
        columns: names of the columns that it has.
        optional: names of columns that are read where they exist.
        convert: converts the values of a row; `DataError` for a row without a picture.
        has_pictures: whether the files hold the pictures.
        has_refs: whether it has REFER's ids, categories and boxes of the objects.
        has_outlines: whether it has outlines of the objects; else it has boxes alone.
        photos: description of the images, where the files do not hold them.
        only_split: the split that its single one is written as, whatever the file's name states; None: as stated.
    """

    name: str
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    convert: Callable[[dict[str, Any], Ids], Row]
    has_pictures: bool = True
    has_refs: bool = True
    has_outlines: bool = True
    only_split: str | None = None
    photos: str = "COCO's train2014"


def convert_ref_row(values: dict[str, Any], ids: Ids) -> Row:
    """Convert a row of jxu124/refcoco."""
    row = RefRow.model_validate(values, strict=False)
    return Row(row.raw_image_info.id, row.raw_image_info, [(row, row.raw_anns)])


def convert_image_row(values: dict[str, Any], ids: Ids) -> Row:
    """Convert a row of jxu124/refcoco-benchmark."""
    row = ImageRow.model_validate(values, strict=False)
    objects: list[tuple[Ref, Annotation]] = [(each.ref_info, each.ann_info) for each in row.ref_list]
    return Row(row.image_id, take_picture(row.image, str(row.image_id)), objects)


def convert_object_row(values: dict[str, Any], ids: Ids) -> Row:
    """Convert a row of lmms-lab/RefCOCO; a flat list of coordinates is one polygon."""
    row = ObjectRow.model_validate(values, strict=False)
    picture = take_picture(row.image, row.file_name)
    image_id = content_id(picture)
    nested = any(isinstance(part, list | dict) for part in row.segmentation)
    outline = row.segmentation if nested or not row.segmentation else [row.segmentation]
    return Row(image_id, picture, [ids.describe(image_id, row.answer, outline, row.bbox)])


def convert_sample_row(values: dict[str, Any], ids: Ids) -> Row:
    """Convert a row of moondream/refcoco-m."""
    row = SampleRow.model_validate(values, strict=False)
    picture = take_picture(row.image, row.file_name or (None if row.image_id is None else str(row.image_id)))
    image_id = content_id(picture) if row.image_id is None else row.image_id
    return Row(image_id, picture, [ids.describe(image_id, each.sentences, each.mask) for each in row.samples])


def convert_box_row(values: dict[str, Any], ids: Ids) -> Row:
    """Convert a row of JierunChen/Ref-L4; each expression is a ref with the row's id."""
    row = BoxRow.model_validate(values, strict=False)
    photo = Photo(id=row.image_id, file_name=row.file_name, height=row.height, width=row.width)
    ref = Ref(
        ref_id=row.id,
        ann_id=row.id,
        category_id=NO_CATEGORY,
        image_id=photo.id,
        split=row.split,
        sentences=[RefSentence(sent_id=row.id, sent=row.caption)],
    )
    return Row(photo.id, photo, [(ref, Annotation(id=row.id, image_id=photo.id, bbox=row.bbox))])


def convert_solution_row(values: dict[str, Any], ids: Ids) -> Row:
    """Convert a row of dddraxxx/ref-adv-s."""
    row = SolutionRow.model_validate(values, strict=False)
    picture = take_picture(row.image, row.file_name)
    image_id = content_id(picture)
    x0, y0, x1, y1 = row.solution
    return Row(image_id, picture, [ids.describe(image_id, [row.normal_caption], None, (x0, y0, x1 - x0, y1 - y0))])


LAYOUTS = (
    Layout(
        "jxu124/refcoco",
        ("sentences", "ann_id", "ref_id", "image_id", "category_id", "raw_anns", "raw_image_info"),
        ("split",),
        convert_ref_row,
        has_pictures=False,
    ),
    Layout("jxu124/refcoco-benchmark", ("image", "image_id", "ref_list"), (), convert_image_row),
    Layout(
        "lmms-lab/RefCOCO",
        ("image", "answer", "segmentation", "bbox"),
        ("file_name",),
        convert_object_row,
        has_refs=False,
    ),
    Layout("moondream/refcoco-m", ("image", "samples"), ("image_id", "file_name"), convert_sample_row, has_refs=False),
    Layout(
        "JierunChen/Ref-L4",
        ("id", "caption", "bbox", "image_id", "file_name", "height", "width", "ori_category_id"),
        ("split",),
        convert_box_row,
        has_pictures=False,
        photos="the unpacked images.tar.gz",
        has_refs=False,
        has_outlines=False,
    ),
    Layout(
        "dddraxxx/ref-adv-s",
        ("image", "normal_caption", "solution"),
        ("file_name",),
        convert_solution_row,
        has_refs=False,
        has_outlines=False,
        only_split="test",
    ),
)
"""All layouts, from the most to the least specific columns."""
REFS, BENCHMARK, OBJECTS, SAMPLES, REF_L4, REF_ADV = LAYOUTS


def recognise_layout(columns: Collection[str]) -> Layout:
    """Recognise a layout by the names of its columns.

    Raises:
        DataError: no layout has these columns; a clause without the file's name.
    """
    for layout in LAYOUTS:
        if set(layout.columns) <= set(columns):
            return layout
    known = "; ".join(f"{layout.name}: {', '.join(layout.columns)}" for layout in LAYOUTS)
    raise DataError(
        f"the columns {', '.join(columns) or '(none)'} are of no known layout; download one of these and those like it "
        f"({known})."
    )


def take_picture(cell: ImageCell, name: str | None) -> Picture:
    """Take the picture of a row.

    Args:
        cell: the picture.
        name: name for its file where the row has no path of it.

    Raises:
        DataError: the row has only a path; a clause without the file's name.
    """
    if not cell.content:
        raise DataError(
            f"the picture {cell.path!r} is only a path without content; download the files that hold the pictures."
        )
    last = (cell.path or name or "").replace("\\", "/").rpartition("/")[2]
    if known := OBJECT_NAME.fullmatch(last):
        last = "".join(known.groups())
    return Picture(cell.content, re.sub(r"[^\w.+-]", "_", last).lstrip("."))


def content_id(picture: Picture) -> str:
    """Identify an image by its content, which several rows may hold."""
    return hashlib.sha256(picture.content).hexdigest()[:16]
