"""Parquet files in the layouts in which RefCOCO sets are published on a hub, with small drawn photos."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from refer_fixture import annotation, photo, rectangle, ref

from vlt.data.masks import read_segmentation

SIZES = {11: (6, 8), 12: (5, 10)}
"""(height, width) of the photos by image id."""
NAMES = {number: f"COCO_train2014_{number:012}.png" for number in SIZES}
OUTLINES = {101: rectangle(1, 1, 5, 4), 102: rectangle(5, 1, 7, 3), 103: rectangle(0, 0, 2, 2)}
"""Polygon by annotation id; 101 and 102 are objects of image 11, 103 is one of image 12."""
BOXES = {101: [1.9, 1.2, 4.7, 3.9], 102: [5, 1, 2, 2], 103: [0, 0, 2.5, 2]}
"""(x, y, width, height) by annotation id, in COCO's fractions of pixels."""


def picture(number: int, ending: str = "png", **how: Any) -> bytes:
    """The content of the photo of an image id."""
    height, width = SIZES[number]
    file = io.BytesIO()
    Image.new("RGB", (width, height), (9 * number, 120, 200)).save(file, format=ending, **how)
    return file.getvalue()


def image_of(number: int) -> int:
    return 12 if number == 103 else 11


def annotations(number: int) -> dict[str, Any]:
    """COCO's annotation of an id."""
    found = annotation(number, BOXES[number], [OUTLINES[number]])
    return {**found, "image_id": image_of(number), "category_id": 18, "area": 12.0}


def mask_of(number: int) -> dict[str, Any]:
    return dict(read_segmentation([OUTLINES[number]], SIZES[image_of(number)]).rle)


def write_rows(path: Path, rows: list[dict[str, Any]], **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **how)
    return path


def ref_row(ref_id: int, number: int, split: str, *texts: str) -> dict[str, Any]:
    """A row of jxu124/refcoco."""
    own = ref(ref_id, number, image_of(number), split, *texts, category=18)
    size = SIZES[image_of(number)]
    info = photo(image_of(number), *size, NAMES[image_of(number)])
    x, y, width, height = BOXES[number]
    return {
        **own,
        "raw_anns": json.dumps(annotations(number)),
        "raw_image_info": json.dumps({**info, "coco_url": "none", "license": 1}),
        "raw_sentences": json.dumps(own["sentences"]),
        "image_path": f"coco/train2014/{info['file_name']}",
        "bbox": [x, y, x + width, y + height],
        "captions": list(texts),
        "global_image_id": f"coco.{info['id']}",
        "anns_id": f"coco.{number}",
    }


def image_row(number: int, *refs: tuple[int, int, str, str]) -> dict[str, Any]:
    """A row of jxu124/refcoco-benchmark; of each ref the id, the annotation, the split and an expression."""
    listed = [
        {"ann_info": annotations(own), "ref_info": ref(ref_id, own, number, split, text, category=18)}
        for ref_id, own, split, text in refs
    ]
    return {"image": {"bytes": picture(number), "path": NAMES[number]}, "image_id": number, "ref_list": listed}


def object_row(number: int, *texts: str, name: str | None = None) -> dict[str, Any]:
    """A row of lmms-lab/RefCOCO."""
    image_id = image_of(number)
    return {
        "question_id": f"q{number}",
        "image": {"bytes": picture(image_id), "path": None},
        "question": "Please describe the region.",
        "answer": list(texts),
        "segmentation": [float(side) for side in OUTLINES[number]],
        "bbox": [float(side) for side in BOXES[number]],
        "iscrowd": 0,
        "file_name": name or f"COCO_train2014_{image_id:012}_{number}.png",
    }


def sample_row(image_id: int, *objects: tuple[int, list[str]]) -> dict[str, Any]:
    """A row of moondream/refcoco-m; of each object the annotation and the expressions."""
    samples = [{"sentences": texts, "mask": mask_of(own), "bbox": [0.1, 0.1, 0.2, 0.2]} for own, texts in objects]
    return {"image": {"bytes": picture(image_id, "jpeg"), "path": None}, "image_id": image_id, "samples": samples}


def write_images(folder: Path, *numbers: int) -> Path:
    """Write the photos of image ids as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / NAMES[number]).write_bytes(picture(number))
    return folder
