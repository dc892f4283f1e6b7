"""Reader of SeqTR's annotation files, which MCN and its successors share: one JSON object of split and entries.

{"train": [{"image_id": 9, "height": 480, "width": 640, "bbox": [x, y, width, height], "category_id": 16,
            "mask": polygons or run lengths, "expressions": ["left dog", "the dog that sits"]}, ...], "val": [...]}

Where targets may be several or none, an entry has "annotations" in place of bbox and mask, see
`vlt.prepare.published.seqtr_entries`.

Source: https://github.com/seanzhuh/SeqTR
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from vlt.categories import COCO_CATEGORIES
from vlt.data.prepared import split_names
from vlt.errors import DataError
from vlt.files import read_json
from vlt.prepare.instances import Annotation, Category, InstanceFile
from vlt.prepare.published.refer import EXPECTED, check_images, prepare_refer_set
from vlt.prepare.published.refer_files import Ref, RefSentence
from vlt.prepare.published.refer_set import COCO_IDS, NO_OUTLINE, ReferReader, ReferSet
from vlt.prepare.published.seqtr_entries import AnyEntry, Entry, Group
from vlt.prepare.report import Counts, PrepareReport
from vlt.prepare.splits import check_name, check_split
from vlt.types import NO_CATEGORY


def read_seqtr(path: Path, images: Path) -> ReferSet:
    """Read a file of splits and entries.

    The ref_id of an entry is its number in the file, counted from 0 through all splits; an entry whose expressions have
    objects of their own counts once for each. Only the headers of images are read; where none of the images exists,
    they are not checked.

    Args:
        path: path of the file.
        images: the folder of the images, which are named by `file_name`, or else by `PHOTO_NAME`.

    Raises:
        DataError: the file is missing or not of the format; it holds no entry; a split has no plain name.
    """
    remedy = (
        "a file of splits is needed, each a list of bbox, image_id, height, width, expressions and mask "
        "(REFER's instances.json is for `vlt prepare refer`)"
    )
    splits = read_json(path, TypeAdapter(dict[str, list[AnyEntry]]), remedy)
    for split in splits:
        check_split(path, split)
    entries = [(split, entry) for split, members in splits.items() for entry in members]
    if not entries:
        raise DataError(f"{path} holds no entry in any split; {remedy}.")
    category_ids = number_categories(entry.category for _, entry in entries if isinstance(entry, Entry))
    groups = [(split, entry, group) for split, entry in entries for group in entry.groups()]
    sent_ids = itertools.count()
    annotations: list[Annotation] = []
    outlined: list[Ref] = []
    boxes_alone: list[int] = []
    for number, (split, entry, group) in enumerate(groups):
        own = convert_targets(group, len(annotations))
        is_one = isinstance(entry, Entry)
        ref = Ref(
            ref_id=number,
            ann_id=[each.id for each in own],
            category_id=category_ids.get(group.category, NO_CATEGORY) if is_one else group.category,
            image_id=entry.image_id,
            split=split,
            sentences=[RefSentence(sent_id=next(sent_ids), sent=text) for text in group.texts],
        )
        if len(own) == len(group.targets):
            outlined.append(ref)
            annotations += own
        else:
            boxes_alone.append(number)
    instances = InstanceFile(
        images=list(dict.fromkeys(group.photo for _, _, group in groups)),
        annotations=annotations,
        categories=[Category(id=each, name=name) for each, name in zip(COCO_IDS, COCO_CATEGORIES, strict=True)],
    )
    reader = ReferReader(path.name, instances, images)
    for number in boxes_alone:
        reader.defects.add(NO_OUTLINE, number, "entries without a mask, as files for boxes alone have them")
    # Expressions that match nothing are no data set on their own.
    usable = outlined if annotations or not boxes_alone else []
    return reader.read(usable, list(splits))._replace(expected=published_counts(path, splits))


def convert_targets(group: Group, first: int) -> list[Annotation]:
    """Convert the targets of a group to annotations; those without an outline are left out.

    Args:
        group: expressions and their targets.
        first: id of the first annotation.
    """
    return [
        Annotation(
            id=number,
            image_id=group.photo.id,
            bbox=target.bbox,
            segmentation=target.segmentation,
            iscrowd=target.iscrowd,
        )
        for number, target in enumerate(group.targets, first)
        if target.bbox is not None and target.segmentation
    ]


def number_categories(given: Iterable[int]) -> Mapping[int, int]:
    """Find out how the categories of a file are numbered: from 0 to 79 as published, or by COCO's ids up to 90.

    Args:
        given: all categories of the file.

    Returns:
        Each possible number -> the id of the category by COCO.
    """
    if max(given, default=NO_CATEGORY) < len(COCO_IDS):
        return dict(enumerate(COCO_IDS))
    return {each: each for each in COCO_IDS}


def published_counts(path: Path, splits: Iterable[str]) -> dict[str, Counts]:
    """Find the published counts of a file's splits by the names of its folder and of the splits.

    Args:
        path: path of the file, whose folder is called refcoco-unc, refcocoplus-unc, refcocog-umd, ... as published.
        splits: names of the splits; in files of several data sets they are called val_refcoco_unc, ...
    """
    published = {f"{dataset.replace('+', 'plus')}-{way}": counts for (dataset, way), counts in EXPECTED.items()}
    found = dict(published.get(path.absolute().parent.name, {}))
    for split in splits:
        part, _, data_set = split.partition("_")
        if counts := published.get(data_set.replace("_", "-"), {}).get(part):
            found[split] = counts
    return found


def prepare_seqtr(
    data: Path, images: Path, output_dir: Path, *, name: str, generate_mask: bool = False
) -> PrepareReport:
    """Prepare a file of splits and entries: annotations, masks, and `prepare.json` with the report.

    Args:
        data: path of the file.
        images: the folder of the images.
        output_dir: the folder that holds, or will hold, `anns/` and `masks/`.
        name: name of the data set, the folder under both.
        generate_mask: write the masks as PNGs, as the original's script does.

    Raises:
        ConfigError: `name` is no plain name.
        DataError: see `read_seqtr`; `images` is no folder; no entry that can be used; a folder or file that cannot be
            written; the folder of that name holds a data set that was made in another way.
    """
    check_images(images)
    return prepare_refer_set(
        lambda: read_seqtr(data, images),
        output_dir,
        check_name(name),
        source={"seqtr": str(data)},
        images=images,
        of=str(data),
        generate_mask=generate_mask,
        replaced=split_names(output_dir, name),
    )
