"""Reader of FineCops-Ref: COCO's format with an image per caption, boxes without outlines, and negative captions.

{"images": [{"id": 0, "file_name": "2370370.jpg", "height": 375, "width": 500, "caption": "man left of the car"}, ...],
 "annotations": [{"id": 0, "image_id": 0, "bbox": [x, y, width, height], "level": 1}, ...]}

An annotation with a negative_type is of a caption that nothing in its image matches; its box is not used.
Source: https://github.com/liujunzhuo/FineCops-Ref (its README and its evaluation code)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from vlt.data.prepared import split_names
from vlt.files import JsonObject, read_json
from vlt.prepare.instances import OUTCOME, Annotation, Id, InstanceFile, Photo
from vlt.prepare.published.mdetr import Fault, join_captions, split_of
from vlt.prepare.published.refer import check_images, prepare_refer_set
from vlt.prepare.published.refer_files import Ref, RefSentence
from vlt.prepare.published.refer_set import BOXES_ALONE, UNKNOWN_CATEGORY, ReferReader, ReferSet
from vlt.prepare.report import DefectKind, PrepareReport
from vlt.prepare.splits import REFER_SPLITS, check_name
from vlt.types import NO_CATEGORY

SEVERAL_ANNOTATIONS = DefectKind("caption with several annotations", "image id", OUTCOME)


class CaptionImage(Photo):
    """An image with one caption; the same image has an entry for each of its captions."""

    caption: str


class CaptionBox(Annotation):
    """The object to which the caption of its image refers; with a `negative_type` the caption refers to nothing."""

    image_id: Id
    negative_type: Any = None


class BoxFile(JsonObject):
    """The captions of a split, or of a part of it."""

    images: list[CaptionImage]
    annotations: list[CaptionBox]


def read_finecops(files: Sequence[Path], images: Path) -> ReferSet:
    """Read the files of a data set; each caption is a ref, numbered from 0 in the order of the files.

    Only the headers of images are read; where none of the images exists, they are not checked.

    Args:
        files: paths of the files in COCO's format, each with the name of its split in its own, such as
            expression_pos_val_set_coco_format.json; those of one split are joined.
        images: the folder of the images.

    Raises:
        DataError: a file is missing or not of the format; a file's name has no split.
    """
    remedy = "a file of FineCops-Ref in COCO's format is needed, with an image per caption"
    faults: list[Fault] = []
    photos: dict[Photo, None] = {}
    refs: list[Ref] = []
    annotations: list[Annotation] = []
    numbers = itertools.count()
    splits = {path: split_of(path) for path in files}
    for path, split in splits.items():
        content = read_json(path, TypeAdapter(BoxFile), remedy)
        for image, own in join_captions(content.images, content.annotations, faults):
            if len(own) > 1:
                faults.append((SEVERAL_ANNOTATIONS, image.id))
                continue
            number, target = next(numbers), own[0]
            photos[Photo(id=image.file_name, file_name=image.file_name, height=image.height, width=image.width)] = None
            annotations.append(Annotation(id=number, bbox=target.bbox))
            refs.append(
                Ref(
                    ref_id=number,
                    ann_id=[number] if target.negative_type is None else [],
                    category_id=NO_CATEGORY,
                    image_id=image.file_name,
                    split=split,
                    sentences=[RefSentence(sent_id=number, sent=image.caption)],
                )
            )
    reader = ReferReader("finecops", InstanceFile(images=list(photos), annotations=annotations), images, outlines=False)
    for kind, which in faults:
        reader.defects.add(kind, which)
    found = reader.read(refs, [split for split in REFER_SPLITS if split in splits.values()])
    found.defects.pop(UNKNOWN_CATEGORY, None)  # the format has no categories of objects
    absent = sum(not ref.targets for ref in refs)
    note = f"{absent:,} of the {len(refs):,} captions are negative: nothing in their image matches them."
    return found._replace(notes=[*found.notes, BOXES_ALONE, note])


def prepare_finecops(data: Sequence[Path], images: Path, output_dir: Path, *, name: str) -> PrepareReport:
    """Prepare the files of a data set: annotations with boxes, and `prepare.json` with the report.

    Args:
        data: paths of the files.
        images: the folder of the images.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.

    Raises:
        ConfigError: `name` is no plain name.
        DataError: see `read_finecops`; `images` is no folder; no caption that can be used; a folder or file cannot be
            written; the folder of that name holds a data set that was made in another way.
    """
    check_images(images)
    return prepare_refer_set(
        lambda: read_finecops(data, images),
        output_dir,
        check_name(name),
        source={"finecops": [str(path) for path in data]},
        images=images,
        of=", ".join(map(str, data)),
        generate_mask=False,
        replaced=split_names(output_dir, name),
    )
