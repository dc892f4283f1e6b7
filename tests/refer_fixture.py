"""Small REFER folders, written the way the real ones are; the test table works their values out by hand."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from vlt.data.masks import encode_rle, mask_box, read_targets
from vlt.prepare.published.refer_set import COCO_IDS
from vlt.types import Referral


class Python2Pickler(pickle._Pickler):
    """Writes text as Python 2 wrote its byte strings, so that a reader has to choose an encoding."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_text(self, text: str) -> None:
        data = text.encode("latin-1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[str] = save_text


def python2_pickle(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def ref(
    ref_id: int,
    ann_id: Any,
    image_id: int,
    split: str,
    *texts: str,
    category: Any = 1,
) -> dict[str, Any]:
    """A ref whose sentences have the ids 10 * ref_id, 10 * ref_id + 1, ..."""
    sentences = [
        {"sent_id": 10 * ref_id + i, "sent": text, "raw": text.upper(), "tokens": text.split()}
        for i, text in enumerate(texts)
    ]
    return {
        "ref_id": ref_id,
        "ann_id": ann_id,
        "category_id": category,
        "image_id": image_id,
        "file_name": f"COCO_train2014_{image_id:012}_{ref_id}.jpg",  # carries a suffix, so nobody may use it
        "split": split,
        "sent_ids": [sentence["sent_id"] for sentence in sentences],
        "sentences": sentences,
    }


def photo(image_id: int, height: int, width: int, name: str | None = None) -> dict[str, Any]:
    file_name = name or f"COCO_train2014_{image_id:012}.jpg"
    return {"id": image_id, "file_name": file_name, "height": height, "width": width}


def annotation(ann_id: Any, box: Sequence[float], segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    return {"id": ann_id, "bbox": list(box), "segmentation": segmentation, "iscrowd": crowd}


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A polygon that covers the pixels left <= x < right, top <= y < bottom."""
    return [left, top, right, top, right, bottom, left, bottom]


def write_refer(
    root: Path,
    refs: list[dict[str, Any]],
    photos: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    *,
    dataset: str = "refcoco",
    split_by: str = "unc",
    categories: Sequence[int] = (),
) -> Path:
    """Writes `refs(<split_by>).p` (gRefCOCO: JSON) and instances.json; returns the data set's folder."""
    folder = root / dataset
    folder.mkdir(parents=True, exist_ok=True)
    if dataset == "grefcoco":
        (folder / f"grefs({split_by}).json").write_text(json.dumps(refs))
    else:
        (folder / f"refs({split_by}).p").write_bytes(python2_pickle(refs))
    instances = {"images": photos, "annotations": annotations, "categories": [{"id": each} for each in categories]}
    (folder / "instances.json").write_text(json.dumps(instances))
    return folder


def write_referrals(
    root: Path, splits: Mapping[str, Sequence[Referral]], *, dataset: str = "refcoco", split_by: str = "unc"
) -> Path:
    """Writes referrals to one object each of COCO's photos, by split, as REFER files; returns the data set's folder.

    Image files are named as COCO names them, with the id in the last twelve characters.
    """
    refs, photos, annotations = [], {}, []
    for split, referral in ((split, each) for split, referrals in splits.items() for each in referrals):
        number, image_id = len(refs), int(referral.image.stem[-12:])
        if image_id not in photos:
            with Image.open(referral.image) as picture:
                photos[image_id] = photo(image_id, picture.height, picture.width, referral.image.name)
        mask = read_targets(referral.targets, (photos[image_id]["height"], photos[image_id]["width"]))
        left, top, right, bottom = mask_box(mask)
        outline = annotation(number, (left, top, right - left, bottom - top), encode_rle(mask))
        annotations.append({**outline, "image_id": image_id})
        texts = (expression.text for expression in referral.expressions)
        refs.append(ref(number, number, image_id, split, *texts, category=COCO_IDS[referral.category]))
    return write_refer(root, refs, list(photos.values()), annotations, dataset=dataset, split_by=split_by)


def write_photos(folder: Path, photos: Sequence[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in photos:
        Image.new("RGB", (each["width"], each["height"]), (90, 120, 200)).save(folder / each["file_name"])


PHOTOS = [photo(11, 6, 8), photo(12, 5, 10), photo(13, 4, 4)]

ANNOTATIONS = [
    annotation(101, [1.9, 1.2, 4.7, 3.9], [rectangle(1, 1, 5, 4), rectangle(3, 2, 7, 5)]),
    annotation(102, [1, 0, 2, 3], {"size": [6, 8], "counts": [6, 3, 3, 2, 34]}, crowd=1),
    annotation(103, [0, 0, 2.5, 2], [[1, 1, 2, 2], rectangle(0, 0, 2, 2)]),
    annotation(104, [4, 1, 3, 3], [[4, 1, 7, 4]]),
    annotation(105, [0, 0, 8, 6], [rectangle(0, 0, 8, 6)]),
    annotation(107, [0, 0, 1, 1], [rectangle(0, 0, 1, 1)]),
    annotation(109, [5, 1, 2, 2], [rectangle(5, 1, 7, 3)]),
    annotation(111, [0, 0, 1, 1], {"size": [6, 8], "counts": [6, 3]}),
]

REFS = [
    ref(1, 101, 11, "train", "  the left caf\xe9 man ", "   "),
    ref(2, 102, 11, "train", "crowd", category=90),
    ref(3, 103, 12, "val", "stop sign", category=13),
    ref(4, 104, 12, "testA", "dog", category=18),
    ref(5, 105, 11, "testAB", "bottle", "the whole photo", category=44),
    ref(6, 999, 11, "train", "nobody drew me"),
    ref(7, 107, 13, "val", "my photo is lost"),
    ref(8, 101, 11, "train"),
    ref(9, 109, 12, "train", "twelve is no category", category=12),
    ref(10, 101, 99, "train", "no such image"),
    ref(11, 111, 11, "train", "nine pixels for a photo of 48"),
    ref(12, 101, 11, "minival", "a split of another name"),
    ref(2, 101, 11, "train", "a second ref 2"),
]


def write_refcoco(root: Path) -> Path:
    """A RefCOCO of thirteen refs, most of them with something wrong; photo 13 is not there."""
    write_photos(root / "images" / "train2014", PHOTOS[:2])
    return write_refer(root, REFS, PHOTOS, ANNOTATIONS)
