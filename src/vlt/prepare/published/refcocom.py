"""Reader of RefCOCOm, whose expressions refer to parts of objects and to objects of RefCOCO's val and test images.

<root>/annotations/<split>_<level>.json   [{"segment_id": 7, "img_name": "COCO_train2014_000000000009.jpg",
                                            "sentences": [{"sent": "ear of the left dog", ...}, ...], ...}, ...]
<root>/masks/<segment_id>.png             the object or part where > 0

Source: https://github.com/Rubics-Xuan/MRES
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter
from tqdm import tqdm

from vlt.data.masks import encode_rle, mask_box, read_target
from vlt.data.prepared import NO_BOX, split_names
from vlt.errors import DataError
from vlt.files import JsonObject, read_json
from vlt.prepare.instances import OUTCOME, Annotation, Id, InstanceFile, Photo
from vlt.prepare.published.refer import check_images, prepare_refer_set
from vlt.prepare.published.refer_files import Ref, RefSentence
from vlt.prepare.published.refer_set import UNKNOWN_CATEGORY, UNREADABLE_SEGMENTATION, ReferReader, ReferSet
from vlt.prepare.report import DefectKind, PrepareReport
from vlt.prepare.splits import check_name, choose_files
from vlt.types import NO_CATEGORY, Referral

SPLITS = tuple(f"{split}_{level}" for split in ("val", "testA", "testB") for level in ("part_only", "object_part"))
"""Names of the files and of the prepared splits: parts alone, and parts and objects together."""

NO_MASK = DefectKind("missing mask", "ref_id", OUTCOME)


class PartSentence(JsonObject):
    """One expression."""

    sent: str


class PartEntry(JsonObject):
    """A part or an object of an image with its expressions; its mask has the name of its id."""

    segment_id: int | Annotated[str, Field(pattern=r"^[^/\\:]+$")]
    img_name: Annotated[str, Field(min_length=1)]
    sentences: list[PartSentence]


def read_refcocom(folder: Path, images: Path, splits: Collection[str] = ()) -> ReferSet:
    """Read the entries of a folder; each is a ref with one target.

    Only the headers of images are read; where none of the images exists, they are not checked.

    Args:
        folder: the folder with `annotations/` and `masks/`.
        images: the folder of the images.
        splits: splits to read, of `SPLITS`; empty: all that exist.

    Raises:
        DataError: a file is missing or not of the format; no such split.
    """
    files = choose_files({split: folder / "annotations" / f"{split}.json" for split in SPLITS}, splits, "RefCOCOm")
    remedy = "RefCOCOm's list of segment_id, img_name and sentences is needed, download it again"
    found = {split: read_json(path, TypeAdapter(list[PartEntry]), remedy) for split, path in files.items()}
    numbers = number_ids(each.segment_id for own in found.values() for each in own)
    sent_ids = itertools.count()
    refs = {split: [convert_entry(each, numbers, split, sent_ids) for each in own] for split, own in found.items()}
    first: dict[Id, PartEntry] = {}
    for each in itertools.chain.from_iterable(found.values()):
        first.setdefault(each.segment_id, each)
    faults: dict[int, tuple[DefectKind, str]] = {}
    reader = ReferReader("refcocom", read_masks(folder / "masks", first.values(), numbers, faults), images)
    for number, (kind, example) in faults.items():
        reader.defects.add(kind, number, example=example)
    usable = {split: [ref for ref in own if ref.ref_id not in faults] for split, own in refs.items()}
    notes = reader.find_images(list(itertools.chain.from_iterable(usable.values())))
    filled: dict[str, list[Referral]] = {}
    for split, own in usable.items():  # each on its own, because the parts are in both files of a split
        filled |= reader.fill_splits(((ref, [split]) for ref in own), [split])
    reader.defects.pop(UNKNOWN_CATEGORY, None)  # parts have no categories
    return ReferSet(filled, reader.defects, notes, reader.names)


def number_ids(segment_ids: Iterable[Id]) -> dict[Id, int]:
    """Number the ids: those that are numbers are kept, texts get numbers above all of them, in their order."""
    ids = list(dict.fromkeys(segment_ids))
    free = itertools.count(1 + max((each for each in ids if isinstance(each, int)), default=-1))
    return {each: each if isinstance(each, int) else next(free) for each in ids}


def convert_entry(entry: PartEntry, numbers: Mapping[Id, int], split: str, sent_ids: Iterator[int]) -> Ref:
    """Convert an entry to a ref.

    Args:
        entry: the entry.
        numbers: segment_id -> ref_id, which is that of its annotation, too.
        split: split of its file.
        sent_ids: yields the ids of the expressions.
    """
    number = numbers[entry.segment_id]
    return Ref(
        ref_id=number,
        ann_id=number,
        category_id=NO_CATEGORY,
        image_id=entry.img_name,
        split=split,
        sentences=[RefSentence(sent_id=next(sent_ids), sent=each.sent) for each in entry.sentences],
    )


def read_masks(
    folder: Path, entries: Collection[PartEntry], numbers: Mapping[Id, int], faults: dict[int, tuple[DefectKind, str]]
) -> InstanceFile:
    """Read the masks of entries; the size of an image is that of its masks.

    Args:
        folder: the folder of the masks.
        entries: entries of distinct ids.
        numbers: segment_id -> id of the annotation.
        faults: receives the id, kind and file name of each mask that is missing or cannot be read.
    """
    photos: list[Photo] = []
    annotations: list[Annotation] = []
    for entry in tqdm(entries, desc="masks", unit="mask", disable=None):
        number, path = numbers[entry.segment_id], folder / f"{entry.segment_id}.png"
        if not path.is_file():
            faults[number] = NO_MASK, path.name
            continue
        try:
            mask = read_target(path)
        except DataError:
            faults[number] = UNREADABLE_SEGMENTATION, path.name
            continue
        x0, y0, x1, y1 = mask_box(mask) or NO_BOX
        height, width = mask.shape
        photos.append(Photo(id=entry.img_name, file_name=entry.img_name, height=height, width=width))
        annotations.append(
            Annotation(
                id=number, image_id=entry.img_name, bbox=(x0, y0, x1 - x0, y1 - y0), segmentation=encode_rle(mask)
            )
        )
    return InstanceFile(images=list(dict.fromkeys(photos)), annotations=annotations)


def prepare_refcocom(
    data: Path,
    images: Path,
    output_dir: Path,
    *,
    name: str,
    splits: Sequence[str] = (),
    generate_mask: bool = False,
) -> PrepareReport:
    """Prepare RefCOCOm: annotations, masks, and `prepare.json` with the report.

    Args:
        data: the folder with its `annotations/` and `masks/`.
        images: the folder of the images, COCO's train2014.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        splits: splits to prepare; empty: all that exist.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `name` is no plain name.
        DataError: see `read_refcocom`; `images` is no folder; no entry that can be used; a folder or file cannot be
            written; the folder of that name holds a data set that was made in another way.
    """
    check_images(images)
    return prepare_refer_set(
        lambda: read_refcocom(data, images, splits),
        output_dir,
        check_name(name),
        source={"refcocom": str(data), "splits": sorted(set(splits))},
        images=images,
        of=str(data),
        generate_mask=generate_mask,
        replaced=split_names(output_dir, name),
    )
