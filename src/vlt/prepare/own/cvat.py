"""Reader of CVAT's XML export "CVAT for images 1.1": boxes, polygons and masks with a text or a label per region.

<annotations>
  <image id="0" name="7.jpg" width="640" height="480">
    <polygon label="cup" points="10.0,10.0;60.0,10.0;60.0,50.0">
      <attribute name="expression">left cup</attribute>
    </polygon>
    <box label="plate" xtl="80.0" ytl="20.0" xbr="120.0" ybr="50.0"/>
    <mask label="dog" rle="3, 5, 4" left="2" top="7" width="4" height="3"/>
  </image>
</annotations>

Coordinates are in pixels. The expressions of a region are its text attributes of the names in `TEXTS`, or else its
label. A tag of the image with the label "absent" has expressions that nothing in the image matches.
Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar
from xml.etree import ElementTree

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from vlt.data.masks import FARTHEST, encode_rle
from vlt.errors import DataError
from vlt.files import JsonObject, read_bytes
from vlt.prepare.own.records import (
    NO_EXPRESSION,
    OTHER_REGION,
    FilledBox,
    Record,
    RecordOutline,
    Segmentation,
    check_expressions,
    path_ends,
    rotated_box,
)
from vlt.types import Mask, Size

TEXTS = ("expression", "caption", "description")
"""Names of attributes, in lower case, whose texts are expressions."""

ABSENT = "absent"
"""Label of a tag whose expressions match nothing in the image."""

REMEDY = 'export the task as "CVAT for images 1.1", unpack the archive and name its annotations.xml'


class Picture(JsonObject):
    """An image of a task: its name, and its size in pixels."""

    name: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(gt=0, le=FARTHEST)]
    height: Annotated[int, Field(gt=0, le=FARTHEST)]

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.height, self.width


class CornerBox(JsonObject):
    """A box by its corners in pixels, rotated clockwise around its centre by degrees."""

    xtl: FiniteFloat
    ytl: FiniteFloat
    xbr: FiniteFloat
    ybr: FiniteFloat
    rotation: FiniteFloat = 0


class PointList(JsonObject):
    """A polygon as the text "x,y;x,y;..." in pixels."""

    points: str


class CroppedMask(JsonObject):
    """A mask inside a box: run lengths "3, 5, ..." row by row, beginning outside the object."""

    rle: str
    left: NonNegativeInt
    top: NonNegativeInt
    width: PositiveInt
    height: PositiveInt


Attributes = TypeVar("Attributes", bound=JsonObject)


class PlainTreeBuilder(ElementTree.TreeBuilder):
    """Builder of XML trees that refuses a document type, which could declare entities and so files or endless texts."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type.

        Raises:
            DataError: always.
        """
        raise DataError(f"it declares a document type, <!DOCTYPE {name}>, which exports of CVAT never do; {REMEDY}.")


def read_cvat(path: Path) -> list[Record]:
    """Read an XML export of CVAT.

    Args:
        path: path of annotations.xml.

    Returns:
        The records in the order of the export. Regions of other kinds, and those without text and label, have a fault.

    Raises:
        DataError: the file is missing, no complete XML, or not of the format; it declares a document type; an image
            without name or size; a region that is incomplete; no region at all.
    """
    root = read_plain_xml(path)
    images = root.findall("image") if root.tag == "annotations" else []
    if not images:
        raise DataError(f"{path} has no <image> in <annotations>; {REMEDY}.")
    records = [
        record
        for number, image in enumerate(images, 1)
        for record in read_picture(read_attributes(Picture, image, f"{path}, image {number}"), image, path)
    ]
    if not records:
        raise DataError(f"{path} has no region in any of its {len(images)} images; annotate some and export again.")
    return records


def read_plain_xml(path: Path) -> ElementTree.Element:
    """Read an XML file that declares no document type.

    Raises:
        DataError: it is missing, cannot be read, is no complete XML, or declares a document type.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    parser = ElementTree.XMLParser(target=PlainTreeBuilder())
    try:
        parser.feed(content)
        return parser.close()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # also an encoding that does not exist
        raise DataError(f"{path} is not complete XML ({error}); {REMEDY}.") from None


def read_picture(picture: Picture, image: ElementTree.Element, path: Path) -> list[Record]:
    """Convert the regions of an image to records, and the expressions that match nothing.

    Args:
        picture: name and size of the image.
        image: its element.
        path: path of the file, for messages.

    Raises:
        DataError: see `read_cvat`.
    """
    names = tuple(path_ends(picture.name)) or (picture.name,)
    records = []
    for number, region in enumerate(image, 1):
        place = f"{path}, image {picture.name}, {region.tag} {number}"
        if region.tag != "tag":
            records.append(read_region(region, picture.size, names, place))
        elif region.get("label") == ABSENT and (texts := list_texts(region)):
            records.append(Record(place, names, check_expressions(texts, place)))
    return records


def read_region(region: ElementTree.Element, size: Size, images: tuple[str, ...], where: str) -> Record:
    """Make the record of one region.

    Args:
        region: the element.
        size: (height, width) of the image in pixels.
        images: names of the image.
        where: file, image and region, for messages.

    Raises:
        DataError: an outline without its numbers; damaged run lengths.
    """
    label = (region.get("label") or "").strip()
    texts = list_texts(region) or [label] * bool(label)
    fault = None
    outline: RecordOutline | None = None
    if region.tag not in ("box", "polygon", "mask"):
        fault = OTHER_REGION, f"{region.tag}; draw a rectangle, a polygon or a mask"
    elif not texts:
        fault = NO_EXPRESSION, "give it a text or a label"
    else:
        outline = read_outline(region, size, where)
    return Record(
        where=where,
        images=images,
        expressions=() if fault else check_expressions(texts, where),
        outline=outline,
        category=label or None,
        size=size,
        fault=fault,
    )


def list_texts(region: ElementTree.Element) -> list[str]:
    """List the different texts of a region that are expressions; empty ones, which CVAT writes, are left out."""
    texts = [
        (each.text or "").strip()
        for each in region.findall("attribute")
        if (each.get("name") or "").strip().lower() in TEXTS
    ]
    return list(dict.fromkeys(text for text in texts if text))


def read_outline(region: ElementTree.Element, size: Size, where: str) -> RecordOutline:
    """Read the outline of a box, polygon or mask.

    Args:
        region: the element.
        size: (height, width) of the image in pixels.
        where: file, image and region, for messages.

    Raises:
        DataError: an attribute is missing or no number, or the run lengths are damaged.
    """
    if region.tag == "mask":
        return Segmentation(dict(encode_rle(place_mask(read_attributes(CroppedMask, region, where), size, where))))
    if region.tag == "polygon":
        text = read_attributes(PointList, region, where).points
        points = [point.split(",") for point in text.split(";") if point.strip()]
        try:
            return Segmentation([[side for x, y in points for side in (float(x), float(y))]])
        except ValueError:
            raise DataError(f'{where}: points are not "x,y;x,y;..."; {REMEDY}.') from None
    box = read_attributes(CornerBox, region, where)
    corners = (box.xtl, box.ytl, box.xbr, box.ybr)
    if not box.rotation % 360:
        return FilledBox(corners)
    centre = (box.xtl + box.xbr) / 2, (box.ytl + box.ybr) / 2
    return Segmentation([rotated_box(corners, box.rotation, centre)])


def place_mask(given: CroppedMask, size: Size, where: str) -> Mask:
    """Decode a mask and place it in its image.

    Args:
        given: the mask inside its box.
        size: (height, width) of the image in pixels.
        where: file, image and region, for messages.

    Returns:
        (H, W) bool.

    Raises:
        DataError: the run lengths are damaged or do not fill the box, or the box lies outside the image.
    """
    try:
        runs = [int(run) for run in given.rle.split(",")]
    except ValueError:
        raise DataError(f"{where}: rle is not a list of whole numbers; {REMEDY}.") from None
    if min(runs) < 0 or sum(runs) != given.width * given.height:
        raise DataError(
            f"{where}: the run lengths add up to {sum(runs)} pixels, but the box has {given.height} x {given.width}; "
            "export the task again."
        )
    if given.top + given.height > size[0] or given.left + given.width > size[1]:
        raise DataError(f"{where}: the mask ends outside the image of {size[0]} x {size[1]}; export the task again.")
    mask = np.zeros(size, dtype=bool)
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(given.height, given.width)
    mask[given.top : given.top + given.height, given.left : given.left + given.width] = inside
    return mask


def read_attributes(schema: type[Attributes], element: ElementTree.Element, where: str) -> Attributes:
    """Read the XML attributes of an element, which are texts, as numbers and texts.

    Args:
        schema: names and types of the attributes.
        element: the element.
        where: its place, for messages.

    Raises:
        DataError: one is missing or of another type.
    """
    try:
        return schema.model_validate(element.attrib, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(f"{where}: {first['loc'][0]}: {first['msg']}; {REMEDY}.") from None
